"""What a cut on the score does to mass, pT and multiplicity, and where it is efficient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from ..errors import InputError
from ..evaluation.dependence import VARIABLES, EfficiencyProfile, VariableSculpting
from .style import COLORS, LINE_STYLES, plain_ticks, styled

__all__ = ["plot_efficiency", "plot_sculpting"]

_SHORT = {"mass": "mass", "pt": r"$p_T$", "multiplicity": "multiplicity"}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


@styled
def plot_sculpting(found: Mapping[str, VariableSculpting], *, details: bool = True) -> Figure:
    """Spectra of background after cuts with their ratio to no cut, and the score against each variable.

    One column a variable: normalised spectra, ratio, and median score with its central 68 %. In the last
    column the Jensen-Shannon divergence from the uncut spectrum against background efficiency (dashed: what
    the number of passing jets would give by chance) and the rank correlations.

    Arguments:
        found: What :func:`jetad.evaluation.dependence.sculpting` returned.
        details: Draw the score and the last column, too; else spectra and ratios alone.

    Raises:
        InputError: if there is no variable.
    """
    if not found:
        raise InputError("no variable of the jets is known: there is nothing to draw")
    n = len(found)
    if not details:
        figure = Figure(figsize=(8.0 * n, 8.0), layout="constrained")
        panels = figure.subplots(2, n, squeeze=False, sharex="col", height_ratios=[3.0, 1.4])
        for upper, lower, variable in zip(*panels, found.values(), strict=True):
            _draw_spectra(upper, lower, variable)
        return figure
    figure = Figure(figsize=(5.6 * (n + 1), 11.0), layout="constrained")
    grid = figure.add_gridspec(3, n + 1, height_ratios=[3.0, 1.4, 2.4])
    for column, variable in enumerate(found.values()):
        upper = figure.add_subplot(grid[0, column])
        lower = figure.add_subplot(grid[1, column], sharex=upper)
        score = figure.add_subplot(grid[2, column])
        _draw_spectra(upper, lower, variable)
        _draw_profile(score, variable)
    _draw_divergence(figure.add_subplot(grid[:2, n]), found)
    _draw_correlations(figure.add_subplot(grid[2, n]), found)
    return figure


def _draw_spectra(upper: Axes, lower: Axes, variable: VariableSculpting) -> None:
    edges, base = variable.edges, variable.fractions[0]
    centers = (edges[1:] + edges[:-1]) / 2
    top, least = 0.0, np.inf
    for i, (cut, passing) in enumerate(zip(variable.cuts, variable.n_passing, strict=True)):
        color = COLORS[i % len(COLORS)]
        values, errors = variable.fractions[i], variable.errors[i]
        label = "no cut" if cut >= 1 else rf"$\varepsilon_B$ = {cut:g}"
        upper.stairs(
            np.nan_to_num(values), edges, color=color, linewidth=2, label=f"{label}  ({passing} jets)",
            baseline=1e-9, fill=False, linestyle=LINE_STYLES[max(0, i - 2) % len(LINE_STYLES)],
        )  # fmt: skip
        if i == 0:
            upper.stairs(np.nan_to_num(values), edges, color=color, alpha=0.25, fill=True, baseline=1e-9)
        shown = values > 0
        upper.errorbar(
            centers[shown], values[shown], yerr=errors[shown], fmt="none", ecolor=color, elinewidth=1.2
        )
        positive = values[values > 0]
        if len(positive):
            top, least = max(top, float(positive.max())), min(least, float(positive.min()))
        if i == 0 or passing == 0:
            continue
        good = (base > 0) & (values > 0)
        lower.errorbar(
            centers[good], (values / np.where(base > 0, base, 1))[good],
            yerr=(errors / np.where(base > 0, base, 1))[good], color=color, marker=_MARKERS[i], markersize=4,
            linewidth=1.2, elinewidth=1.2,
        )  # fmt: skip
    filled = np.flatnonzero(base > 0)
    ends = (edges[filled[0]], edges[filled[-1] + 1]) if len(filled) else (edges[0], edges[-1])
    upper.set(yscale="log", ylabel="Fraction of jets / bin", xlim=ends)
    low, high = 0.5 * least if np.isfinite(least) else 1e-3, 1.5 * (top or 1.0)
    upper.set_ylim(low, high * (high / low) ** (0.11 * len(variable.cuts)))  # room for the legend
    upper.tick_params(labelbottom=False)
    lower.axhline(1, color="0.4", linestyle=(0, (2, 2)), linewidth=1.5)
    lower.set(xlabel=VARIABLES.get(variable.name, variable.name), ylabel="Ratio to no cut")
    lower.set_yscale("log")
    low, high = lower.get_ylim()
    low, high = max(min(low, 0.4), 0.02), min(max(high, 2.5), 100)
    lower.set_ylim(low, high)
    at = (0.1, 0.5, 1, 2, 10) if high < 50 * low else (0.1, 1, 10, 100)
    lower.yaxis.set_major_locator(FixedLocator([v for v in at if low <= v <= high]))
    lower.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    lower.yaxis.set_minor_formatter(NullFormatter())
    lower.yaxis.label.set_fontsize(15)
    upper.legend(loc="upper right")


def _draw_profile(axes: Axes, variable: VariableSculpting) -> None:
    edges = variable.profile_edges
    low, middle, high = variable.profile
    centers, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    for k in range(len(centers)):
        axes.fill_between(edges[k : k + 2], low[k], high[k], color=COLORS[0], alpha=0.25, linewidth=0)
    axes.errorbar(centers, middle, xerr=half, color=COLORS[0], fmt="o", markersize=5, label="median")
    axes.fill_between([], [], [], color=COLORS[0], alpha=0.25, linewidth=0, label="central 68 %")
    axes.set(xlabel=VARIABLES.get(variable.name, variable.name), ylabel="Anomaly score")
    axes.set_xlim(variable.edges[0], variable.edges[-1])
    bottom, top = float(np.nanmin(low)), float(np.nanmax(high))
    room = (top - bottom) or 1.0
    axes.set_ylim(bottom - 0.05 * room, top + 0.45 * room)
    axes.legend(loc="upper right", ncols=2)


def _draw_divergence(axes: Axes, found: Mapping[str, VariableSculpting]) -> None:
    values = []
    for i, variable in enumerate(found.values()):
        color, x = COLORS[i], variable.efficiencies
        label = _SHORT.get(variable.name, variable.name)
        axes.plot(
            x, _positive(variable.divergence), color=color, label=label, marker=_MARKERS[i], markersize=5
        )
        axes.plot(x, _positive(variable.divergence_floor), color=color, linestyle="--", linewidth=1.3)
        values += [_positive(variable.divergence), _positive(variable.divergence_floor)]
    seen = np.concatenate(values)
    seen = seen[np.isfinite(seen)]
    low = max(float(seen.min()), 1e-5) if len(seen) else 1e-4
    axes.plot([], [], color="0.4", linestyle="--", linewidth=1.3, label="by chance")
    axes.set(
        xscale="log", yscale="log", xlabel="Background efficiency",
        ylabel="Jensen-Shannon divergence [bits]", ylim=(low / 2, 2.0 * (4.0 / low) ** 0.25),
    )  # fmt: skip
    plain_ticks(axes.xaxis)
    axes.legend(loc="upper right", title="spectrum after the cut / before", title_fontsize=14)


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, np.nan)


def _draw_correlations(axes: Axes, found: Mapping[str, VariableSculpting]) -> None:
    names = [_SHORT.get(v.name, v.name) for v in found.values()]
    values = [v.correlation for v in found.values()]
    y = np.arange(len(names))[::-1]
    axes.barh(y, np.nan_to_num(values), color=[COLORS[i] for i in range(len(names))], height=0.55)
    for k, value in zip(y, values, strict=True):
        text = f"{value:+.2f}" if np.isfinite(value) else "unknown"
        # on the empty side of the zero, where no bar can reach it
        left = np.isfinite(value) and value > 0
        axes.text(-0.04 if left else 0.04, k, text, va="center", ha="right" if left else "left", fontsize=16)
    axes.axvline(0, color="0.4", linewidth=1.5)
    axes.set(xlim=(-1, 1), ylim=(-0.6, len(names) - 0.4), xlabel="Rank correlation with the score")
    axes.set_yticks(y, names)
    axes.set_xticks([-1, -0.5, 0, 0.5, 1])
    axes.tick_params(axis="y", which="both", length=0)
    axes.minorticks_off()


@styled
def plot_efficiency(profiles: Sequence[EfficiencyProfile], *, background_efficiency: float) -> Figure:
    """Efficiency of one cut against mass, pT and multiplicity, one panel each, one colour a class.

    Arguments:
        profiles: What :func:`jetad.evaluation.dependence.efficiency_profiles` returned.
        background_efficiency: Of the cut, drawn as a line.

    Raises:
        InputError: if there is nothing to draw.
    """
    variables = list(dict.fromkeys(p.variable for p in profiles))
    if not variables:
        raise InputError("no variable of the jets is known: there is nothing to draw")
    figure = Figure(
        figsize=(7.0 * len(variables) + (1.0 if len(variables) == 1 else 0), 6.5), layout="constrained"
    )
    grid = figure.subplots(1, len(variables), squeeze=False, sharey=True)[0]
    classes = list(dict.fromkeys(p.class_name for p in profiles))
    # an interval over the whole panel says nothing, unless there is nothing else
    enough = 5 if any(np.any(p.n_jets >= 5) for p in profiles) else 1
    seen = [background_efficiency]
    for axes, variable in zip(grid, variables, strict=True):
        for p in (p for p in profiles if p.variable == variable):
            i = classes.index(p.class_name)
            few = p.n_jets < enough
            axes.set_xlim(p.edges[0], p.edges[-1])
            value = np.where(few, np.nan, p.efficiency)
            centers, half = (p.edges[1:] + p.edges[:-1]) / 2, np.diff(p.edges) / 2
            shown = value > 0
            axes.errorbar(
                centers[shown], value[shown], xerr=half[shown],
                yerr=[(value - p.low)[shown], (p.high - value)[shown]], fmt=_MARKERS[i % len(_MARKERS)],
                color=COLORS[i % len(COLORS)], markersize=6, elinewidth=1.6, label=p.class_name,
            )  # fmt: skip
            # nothing passes: an upper end, with an arrow
            none = (value == 0) & ~few
            axes.errorbar(
                centers[none], p.high[none], yerr=0.35 * p.high[none], uplims=True, fmt="none",
                ecolor=COLORS[i % len(COLORS)], elinewidth=1.2,
            )  # fmt: skip
            seen += [*p.low[shown & (p.low > 0)], *p.high[none]]
        axes.axhline(background_efficiency, color="0.4", linestyle=(0, (2, 2)), linewidth=1.5)
        axes.set(xlabel=VARIABLES.get(variable, variable), yscale="log")
    grid[0].set_ylabel(rf"Efficiency at $\varepsilon_B$ = {background_efficiency:g}")
    low = max(min(seen) / 2, background_efficiency / 100)
    grid[0].set_ylim(low, 1.3)
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure
