"""ROC and SIC curves with the axes of the field: signal efficiency to the right, rejection upwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ..evaluation import Evaluation, SignalResult
from .style import COLORS, LINE_STYLES, make_room, styled

__all__ = ["plot_roc", "plot_sic"]

#: Signal efficiencies at which the bands are drawn.
_GRID = np.concatenate([[1e-3, 2e-3, 5e-3], np.linspace(0.01, 1.0, 199)])


class _Drawn(NamedTuple):
    name: str
    result: SignalResult
    min_background: int
    look: dict[str, Any]


def _each(evaluations: Evaluation | Sequence[Evaluation]) -> Iterator[_Drawn]:
    """Every curve with its look: the colour tells the signal, the line style tells the method."""
    several = [evaluations] if isinstance(evaluations, Evaluation) else list(evaluations)
    names = list(dict.fromkeys(name for evaluation in several for name in evaluation.signals))
    for i, evaluation in enumerate(several):
        for name, result in evaluation.signals.items():
            look = {
                "color": COLORS[names.index(name) % len(COLORS)],
                # with more signals than colours, the second round is dashed
                "linestyle": LINE_STYLES[(i + names.index(name) // len(COLORS)) % len(LINE_STYLES)],
            }
            shown = f"{name}, {evaluation.name}" if len(several) > 1 and evaluation.name else name
            yield _Drawn(shown, result, evaluation.min_background, look)


def _error(value: float) -> str:
    return "?" if not np.isfinite(value) else f"{value:.3f}" if value >= 5e-4 else f"{value:.0e}"


@styled
def plot_roc(evaluations: Evaluation | Sequence[Evaluation], *, bands: bool = True) -> Figure:
    """Background rejection 1/ε_B (log) against signal efficiency, with the AUC of each curve.

    Several evaluations are overlaid: one colour per signal, one line style per method. The bands are the
    68 % intervals of the rejection; where no background jet passes, its lower bound is dotted with arrows.

    Arguments:
        evaluations: What :func:`jetad.evaluation.evaluate` returned, for one method or several.
        bands: Draw the intervals.
    """
    figure = Figure(layout="constrained")
    axes = figure.add_subplot(xlim=(0, 1), yscale="log")
    top = 10.0
    for name, result, _, look in _each(evaluations):
        curve, kept = result.curve, result.curve.thin(4000)
        kept = kept[curve.background_efficiency[kept] > 0]
        eff_s, rejection = curve.signal_efficiency[kept], 1 / curve.background_efficiency[kept]
        label = f"{name}  (AUC = {curve.auc:.3f} ± {_error(curve.auc_error)})"
        axes.plot(eff_s, rejection, label=label, zorder=3, **look)
        value, low, high = curve.rejection_band(_GRID)
        infinite = np.isinf(value)
        if bands:
            upper = np.where(np.isinf(high), np.nan, high)
            axes.fill_between(_GRID, low, upper, color=look["color"], alpha=0.2, linewidth=0, zorder=2)
        if np.any(infinite):
            x, bound = _GRID[infinite], low[infinite]
            axes.plot(x, bound, color=look["color"], linestyle=":", linewidth=1.2, marker=r"$\uparrow$",
                      markersize=9, markevery=(len(x) // 2, 12), zorder=2)  # fmt: skip
            top = max(top, float(np.max(bound)) * 2)
        top = max(top, 1.5 * float(np.max(rejection[eff_s > 5e-3], initial=1.0)))
    axes.plot(_GRID, 1 / _GRID, color="0.4", linestyle=(0, (2, 2)), linewidth=1.5, label="random", zorder=1)
    axes.set(xlabel="Signal efficiency", ylabel=r"Background rejection $1/\varepsilon_B$", ylim=(1, top))
    make_room(axes, axes.legend(loc="upper right"))
    return figure


@styled
def plot_sic(evaluations: Evaluation | Sequence[Evaluation], *, bands: bool = True) -> Figure:
    """Significance improvement ε_S/√ε_B against signal efficiency, where enough background jets pass.

    A dot marks the largest value of each curve. Looks and bands are those of :func:`plot_roc`.
    """
    figure = Figure(layout="constrained")
    axes = figure.add_subplot(xlim=(0, 1))
    top, least = 1.5, set()
    for name, result, min_background, look in _each(evaluations):
        curve, best = result.curve, result.max_sic
        least.add(min_background)
        sic = curve.significance_improvement(min_background=min_background)
        kept = curve.thin(4000)
        known = kept[np.isfinite(sic[kept])]
        if len(known) and np.isfinite(best.value):
            label = f"{name}  (max {best.value:.2f} at {best.signal_efficiency:.2f})"
        else:
            label = f"{name}  (too few background jets)"
        axes.plot(curve.signal_efficiency[known], sic[known], label=label, zorder=3, **look)
        if np.isfinite(best.value):
            axes.plot(
                best.signal_efficiency, best.value, marker="o", markersize=7, color=look["color"], zorder=4
            )
            top = max(top, 1.1 * best.value)
        if bands:
            _, low, high = curve.rejection_band(_GRID)
            shown = np.isfinite(sic[curve.index_at(_GRID)])
            lower, upper = (np.where(shown, _GRID * np.sqrt(r), np.nan) for r in (low, high))
            axes.fill_between(_GRID, lower, upper, color=look["color"], alpha=0.2, linewidth=0, zorder=2)
            if np.any(shown):
                top = max(top, 1.05 * float(np.nanmax(upper[np.isfinite(upper)], initial=0.0)))
    axes.plot(
        _GRID, np.sqrt(_GRID), color="0.4", linestyle=(0, (2, 2)), linewidth=1.5, label="random", zorder=1
    )
    axes.set(xlabel="Signal efficiency", ylabel=r"SIC  $\varepsilon_S/\sqrt{\varepsilon_B}$", ylim=(0, top))
    title = "at least " + "/".join(str(n) for n in sorted(least)) + " background jets pass"
    make_room(axes, axes.legend(loc="upper right", title=title, title_fontsize=12, alignment="right"))
    return figure
