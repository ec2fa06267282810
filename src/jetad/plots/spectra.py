"""The spectrum before and after a cut, with the background expected."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..evaluation.intervals import poisson_interval
from ..spectra import Spectrum
from .style import COLORS, LINE_STYLES, make_room, styled

__all__ = ["plot_spectrum"]


@styled
def plot_spectrum(spectrum: Spectrum) -> Figure:
    """Selected jets with the background from the anti-selected ones, all jets before the cut, and signals.

    Below, the ratio of selected jets to background. Bands are all errors of the background together; error
    bars hold 68 % (Poisson for jets without weights). The window is shaded.

    Arguments:
        spectrum: What :func:`jetad.spectra.select` returned.
    """
    figure = Figure(figsize=(8.0, 8.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    edges, width = spectrum.edges, np.diff(spectrum.edges)
    # bins of several widths are divided by their width
    equal = np.allclose(width, width[0])
    unit = np.ones(len(width)) if equal else width
    centres = (edges[1:] + edges[:-1]) / 2
    selected, background = spectrum.data.selected, spectrum.background.values()
    errors, before = spectrum.background_errors, spectrum.data.all.values()

    upper.stairs(
        before / unit, edges, color="0.45", linewidth=1.6, label=f"all {spectrum.data.all.entries} jets"
    )
    upper.stairs(
        background / unit, edges, fill=True, color=COLORS[0], alpha=0.45, label="background expected"
    )
    band = {"color": "0.25", "hatch": "////", "fill": False, "linewidth": 0.0}
    upper.stairs((background + errors) / unit, edges, baseline=np.maximum(background - errors, 0) / unit,
                 label="its error", **band)  # fmt: skip
    for i, (name, signal) in enumerate(spectrum.signals.items(), 1):
        upper.stairs(
            signal.selected.values() / unit, edges, color=COLORS[(i + 1) % len(COLORS)], linewidth=2.2,
            linestyle=LINE_STYLES[1 + i % 4], label=f"{name}, selected",
        )  # fmt: skip
    low, high = poisson_interval(selected.values(), selected.variances())
    values = selected.values()
    bars = [(values - low) / unit, (high - values) / unit]
    shown = values > 0
    points = {"fmt": "o", "color": "black", "markersize": 5, "elinewidth": 1.4}
    upper.errorbar(centres[shown], (values / unit)[shown], yerr=[b[shown] for b in bars],
                   label=f"{selected.entries} selected jets", **points)  # fmt: skip
    # an invisible line along the steps, for the legend to keep clear of
    upper.plot(np.repeat(edges, 2)[1:-1], np.repeat(before / unit, 2), alpha=0)
    least = [v for v in (*(background / unit)[background > 0], *(values / unit)[shown])]
    floor = 0.3 * min(least)
    upper.set(yscale="log", ylim=(floor, 3 * np.max(before / unit)), xlim=(edges[0], edges[-1]))
    upper.set_ylabel(_per_bin(width[0] if equal else None, selected.label))
    upper.tick_params(labelbottom=False)

    known = background > 0
    safe = np.where(known, background, 1.0)
    ratio = np.where(known, values / safe, np.nan)
    relative = np.where(known, errors / safe, 0.0)
    lower.stairs(1 + relative, edges, baseline=1 - relative, **band)
    lower.axhline(1, color="0.4", linewidth=1.2)
    bars = [(values - low) / safe, (high - values) / safe]
    lower.errorbar(centres[known], ratio[known], yerr=[b[known] for b in bars], **points)
    far = np.nanmax(np.abs(np.concatenate([ratio[known & shown] - 1, [0.4]])))
    far = min(1.15 * far, 3.0)
    lower.set(ylim=(max(1 - far, 0.0), 1 + far), xlabel=selected.label, ylabel="Selected / exp.")
    lower.yaxis.label.set_fontsize(16)
    if spectrum.window is not None:
        for axes in (upper, lower):
            axes.axvspan(*spectrum.window, color=COLORS[1], alpha=0.15, linewidth=0, zorder=0)
    _legend(upper)
    return figure


def _per_bin(width: float | None, label: str) -> str:
    unit = label[label.index("[") + 1 : label.index("]")] if "[" in label else ""
    if width is None:
        return f"Jets / {unit}" if unit else "Jets / unit"
    if np.isclose(width, 1) and not unit:
        return "Jets / bin"
    return f"Jets / {width:.3g} {unit}".rstrip()


def _legend(axes: Axes) -> None:
    legend = axes.legend(loc="upper right", ncols=2)
    make_room(axes, legend)
