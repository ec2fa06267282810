"""Histograms of the anomaly score."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..errors import InputError
from ..scores import Scores
from .style import COLORS, LINE_STYLES, make_room, styled

__all__ = ["plot_scores"]


@styled
def plot_scores(
    classes: Mapping[str, Scores],
    *,
    bins: int | None = None,
    log_x: bool | None = None,
    score_label: str = "Anomaly score",
) -> Figure:
    """Fraction of jets (log) against score for each class; the first, the background, is filled.

    The axis covers the central 99.9 % of every class; what lies outside is counted in the end bins. Jets
    without a score are left out and counted in the legend.

    Arguments:
        classes: Scores by the name to show, background first.
        bins: Number of bins; by default 10 for a handful of jets up to 50 for many.
        log_x: Logarithmic score axis; by default where all scores are positive and span over three decades.
        score_label: Label of the axis.

    Raises:
        InputError: if no class has any score.
    """
    finite = {name: scores[np.isfinite(scores.score)] for name, scores in classes.items()}
    filled = [s.score.astype(np.float64) for s in finite.values() if len(s)]
    if not filled:
        raise InputError("no score to draw: all are NaN, or there are no jets")
    low = min(float(np.quantile(values, 0.0005)) for values in filled)
    high = max(float(np.quantile(values, 0.9995)) for values in filled)
    if log_x is None:
        log_x = low > 0 and high / low > 1e3
    bins = bins or int(np.clip(2 * max(len(values) for values in filled) ** 0.4, 10, 50))
    edges = _edges(low, high, bins, log_x)

    figure = Figure(layout="constrained")
    axes = figure.add_subplot(yscale="log", xlim=(edges[0], edges[-1]), xscale="log" if log_x else "linear")
    lowest, highest = [], []
    for i, (name, scores) in enumerate(finite.items()):
        weight = np.ones(len(scores)) if scores.weight is None else scores.weight
        values = np.clip(scores.score.astype(np.float64), edges[0], edges[-1])
        counts = np.histogram(values, edges, weights=weight)[0]
        errors = np.sqrt(np.histogram(values, edges, weights=weight**2)[0])
        total = weight.sum() or 1.0
        color = COLORS[i % len(COLORS)]
        missing = len(classes[name]) - len(scores)
        label = f"{name}  ({len(scores)} jets" + (f", {missing} without score)" if missing else ")")
        height = np.where(counts > 0, counts / total, np.nan)
        if i == 0:
            axes.stairs(np.nan_to_num(height), edges, fill=True, color=color, alpha=0.35, baseline=1e-12)
        axes.stairs(
            np.nan_to_num(height), edges, color=color, linewidth=2, label=label, baseline=1e-12,
            linestyle=LINE_STYLES[i // len(COLORS) % len(LINE_STYLES)],
        )  # fmt: skip
        centers = np.sqrt(edges[1:] * edges[:-1]) if log_x else (edges[1:] + edges[:-1]) / 2
        below = np.minimum(errors / total, 0.999 * np.nan_to_num(height))
        axes.errorbar(
            centers, height, yerr=[below, errors / total], fmt="none", ecolor=color, elinewidth=1.2, alpha=0.8
        )
        # an invisible line through the bars, for the legend to keep clear of
        axes.plot(centers, height, alpha=0)
        lowest.append(np.nanmin(height) if len(scores) else 1.0)
        highest.append(np.nanmax(height) if len(scores) else 1e-3)
    top = 2 * max(highest)
    axes.set(
        xlabel=score_label, ylabel="Fraction of jets / bin", ylim=(min(0.4 * min(lowest), top / 30), top)
    )
    make_room(axes, axes.legend(loc="upper right"))
    return figure


def _edges(low: float, high: float, bins: int, log_x: bool) -> NDArray[np.float64]:
    if not high > low:
        spread = max(abs(low), 1.0) * 0.5
        return np.linspace(low - spread, low + spread, bins + 1)
    return np.geomspace(low, high, bins + 1) if log_x else np.linspace(low, high, bins + 1)
