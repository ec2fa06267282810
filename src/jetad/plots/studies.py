"""Figures of studies: changes under distortions, performance against contamination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ..evaluation import Interval
from .style import COLORS, styled

__all__ = ["plot_contamination", "plot_robustness"]

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


class _Point(Protocol):
    @property
    def fraction(self) -> float: ...
    @property
    def auc(self) -> Interval: ...
    @property
    def max_sic(self) -> Interval: ...


@styled
def plot_robustness(changes: Mapping[float, Mapping[str, Mapping[str, tuple[float, float]]]]) -> Figure:
    """Relative change of the efficiencies, one panel a cut, one row a distortion, one colour a sample.

    Arguments:
        changes: Change and its error [relative] by background efficiency of the cut, distortion and sample.
    """
    names = list(dict.fromkeys(name for found in changes.values() for name in found))
    samples = list(dict.fromkeys(s for found in changes.values() for row in found.values() for s in row))
    size = 10.0 if len(changes) == 1 else 2.6 + 6.4 * len(changes)
    figure = Figure(figsize=(size, 2.6 + 0.75 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(changes), squeeze=False, sharey=True)[0]
    for axes, (cut, found) in zip(panels, changes.items(), strict=True):
        _draw_changes(axes, found, names, samples)
        axes.set_xlabel(rf"Change of efficiency at $\varepsilon_B$ = {cut:g} [%]")
    wide = max(map(len, samples)) > 12
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper right",
        ncols=min(len(samples), 3 if wide else 4),
    )  # fmt: skip
    return figure


def _draw_changes(
    axes: Axes, changes: Mapping[str, Mapping[str, tuple[float, float]]], names: Sequence[str],
    samples: Sequence[str],
) -> None:  # fmt: skip
    y = np.arange(len(names))[::-1].astype(float)
    reach = [1.0]
    for i, sample in enumerate(samples):
        found = np.array([changes[name].get(sample, (np.nan, np.nan)) for name in names], dtype=np.float64)
        value, error = 100 * found[:, 0], 100 * found[:, 1]
        shift = (0.5 - (i + 0.5) / len(samples)) * 0.6
        axes.errorbar(
            value, y + shift, xerr=error, fmt=_MARKERS[i % len(_MARKERS)], color=COLORS[i % len(COLORS)],
            markersize=7, elinewidth=1.8, label=sample,
        )  # fmt: skip
        reach += [float(v) for v in np.abs(value) + error if np.isfinite(v)]
    axes.axvline(0, color="0.4", linestyle=(0, (2, 2)), linewidth=1.5)
    for edge in (y[:-1] + y[1:]) / 2:
        axes.axhline(edge, color="0.88", linewidth=1)
    limit = 1.15 * max(reach)
    axes.set(xlim=(-limit, limit), ylim=(-0.6, len(names) - 0.4))
    axes.set_yticks(y, names)
    axes.tick_params(axis="y", which="both", length=0)
    axes.yaxis.set_minor_locator(NullLocator())


@styled
def plot_contamination(points: Sequence[_Point], *, signal: str) -> Figure:
    """AUC and largest SIC against the share of signal in the training data."""
    figure = Figure(figsize=(14.0, 6.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    x = np.array([100 * p.fraction for p in points])
    for axes, values, label in (
        (left, [p.auc for p in points], "AUC"),
        (right, [p.max_sic for p in points], r"max SIC  $\varepsilon_S/\sqrt{\varepsilon_B}$"),
    ):
        value, low, high = np.array([tuple(v) for v in values]).T
        axes.errorbar(
            x, value, yerr=[value - low, high - value], marker="o", color=COLORS[0], markersize=8,
            elinewidth=2, label=signal,
        )  # fmt: skip
        axes.set(xlabel=f"{signal} in the training data [%]", ylabel=label)
        axes.margins(x=0.06, y=0.25)
        if len(x) > 2 and x[-1] > 20 * x[x > 0].min(initial=np.inf):
            axes.set_xscale("symlog", linthresh=float(x[x > 0].min()))
    right.set_xlim(left.get_xlim())  # also where no SIC is known
    left.set_ylim(min(0.45, left.get_ylim()[0]), 1.0)
    left.axhline(0.5, color="0.4", linestyle=(0, (2, 2)), linewidth=1.5)
    right.axhline(1.0, color="0.4", linestyle=(0, (2, 2)), linewidth=1.5)
    return figure
