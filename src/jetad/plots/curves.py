"""ROC and SIC curves with the axes of the field: signal efficiency to the right, rejection upwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ..evaluation import BAND_GRID, Band, Evaluation, SignalResult, SignalSpread, Spread
from .style import COLORS, LINE_STYLES, make_room, plain_ticks, styled

__all__ = ["plot_roc", "plot_sic"]

Curves = Evaluation | Spread

_FEW = 10  # background jets: fewer make stairs


class _Drawn(NamedTuple):
    signal: str
    method: str
    name: str
    result: SignalResult | SignalSpread
    min_background: int
    look: dict[str, Any]


def _each(curves: Curves | Sequence[Curves]) -> Iterator[_Drawn]:
    """Every curve with its look: the colour tells the signal, the line style tells the method.

    One signal in many methods: the colour tells the method.
    """
    several = [curves] if isinstance(curves, (Evaluation, Spread)) else list(curves)
    names = list(dict.fromkeys(name for evaluation in several for name in evaluation.signals))
    by_method = len(names) == 1 or len(several) > len(LINE_STYLES)
    for i, evaluation in enumerate(several):
        for name, result in evaluation.signals.items():
            color, line = (i, names.index(name)) if by_method else (names.index(name), i)
            if len(several) == 1:
                line = max(0, color - 2)  # from the fourth on colours are alike in grey
            look = {
                "color": COLORS[color % len(COLORS)],
                # with more signals than colours, the second round is dashed
                "linestyle": LINE_STYLES[(line + color // len(COLORS)) % len(LINE_STYLES)],
            }
            name = _typeset(name)
            shown = f"{name}, {evaluation.name}" if evaluation.name else name
            least = evaluation.min_background if isinstance(evaluation, Evaluation) else 0
            yield _Drawn(name, evaluation.name, shown, result, least, look)


def _typeset(name: str) -> str:
    """A name with the arrows and primes that keyboards lack."""
    return name.replace("->", "→").replace("Z'", "Z′")


def _error(value: float) -> str:
    return "?" if not np.isfinite(value) else f"{value:.3f}" if value >= 5e-4 else f"{value:.0e}"


def _legend(drawn: _Drawn) -> str:
    result = drawn.result
    if isinstance(result, SignalSpread):
        return f"{drawn.name}  (AUC = {_auc(result)}, {len(result.aucs)} runs)"
    return f"{drawn.name}  (AUC = {_auc(result)})"


def _band(result: SignalResult | SignalSpread) -> Band:
    if result.band is not None:
        return result.band
    assert isinstance(result, SignalResult)
    return Band(BAND_GRID, *result.curve.rejection_band(BAND_GRID))


@styled
def plot_roc(
    curves: Curves | Sequence[Curves],
    *,
    bands: bool = True,
    ratio: bool = False,
    paired: Mapping[tuple[str, str], Band] | None = None,
) -> Figure:
    """Background rejection 1/ε_B (log) against signal efficiency, with the AUC of each curve.

    Several evaluations are overlaid: one colour per signal, one line style per method. The bands are the
    68 % intervals of the rejection (those of the evaluation where it brings its own), or the spread over
    runs. The line is thin where fewer than ten background jets pass; where none passes, its lower bound is
    dotted with arrows.

    Arguments:
        curves: What :func:`jetad.evaluation.evaluate` or :func:`~jetad.evaluation.spread_of` returned, one
            or several.
        bands: Draw the intervals.
        ratio: Add a panel with the rejection over that of the first method for the same signal; with one
            method, over that of the first signal. Bands there are those of the curve alone, unless there is
            ``paired``.
        paired: Ratio to the first method with its interval, by signal and method, where both scored the same
            jets: what both have in common does not widen it.
    """
    figure = Figure(figsize=(8.0, 8.6) if ratio else None, layout="constrained")
    lower: Axes | None = None
    if ratio:
        axes, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1.15])
        axes.set(xlim=(0, 1), yscale="log")
    else:
        axes = figure.add_subplot(xlim=(0, 1), yscale="log")
    top = 10.0
    each = list(_each(curves))
    for drawn in each:
        result, look, label = drawn.result, drawn.look, _legend(drawn)
        band = _band(result)
        if isinstance(result, SignalSpread):
            eff_s, rejection = band.signal_efficiency, band.value
            axes.plot(eff_s, rejection, label=label, zorder=3, **look)
        else:
            eff_s, rejection, few = _rejections(result)
            axes.plot(eff_s, np.where(few, np.nan, rejection), label=label, zorder=3, **look)
            # a handful of jets makes stairs: thin, and up to the first point that is not
            end = few | np.append(few[1:], False) | np.append(False, few[:-1])
            axes.plot(eff_s, np.where(end, rejection, np.nan), zorder=3, **{**look, "linewidth": 0.8})
        infinite = np.isinf(band.value)
        if bands:
            upper = np.where(np.isinf(band.high), np.nan, band.high)
            axes.fill_between(
                band.signal_efficiency, band.low, upper, color=look["color"], alpha=0.2, linewidth=0, zorder=2
            )
        if np.any(infinite):
            x, bound = band.signal_efficiency[infinite], band.low[infinite]
            axes.plot(x, bound, color=look["color"], linestyle=":", linewidth=1.2, marker=r"$\uparrow$",
                      markersize=9, markevery=(len(x) // 2, 12), zorder=2)  # fmt: skip
            top = max(top, float(np.max(bound)) * 2)
        top = max(top, 1.5 * float(np.nanmax(rejection[eff_s > 5e-3], initial=1.0)))
    axes.plot(
        BAND_GRID, 1 / BAND_GRID, color="0.4", linestyle=(0, (2, 2)), linewidth=1.5, label="random", zorder=1
    )
    axes.set(ylabel=r"Background rejection $1/\varepsilon_B$", ylim=(1, top))
    bottom = axes if lower is None else lower
    bottom.set_xlabel("Signal efficiency")
    if lower is not None:
        same_jets = {(_typeset(signal), method): band for (signal, method), band in (paired or {}).items()}
        _draw_ratios(lower, each, same_jets, bands=bands)
    make_room(axes, _add_legend(axes, each))
    return figure


def _rejections(result: SignalResult) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """Signal efficiency, rejection, and where fewer than ``_FEW`` background jets pass, each ``(k,)``."""
    curve, kept = result.curve, result.curve.thin(4000)
    kept = kept[(curve.background_efficiency[kept] > 0) & (curve.signal_efficiency[kept] > 0)]
    few = curve.n_background_tagged[kept] < _FEW
    return curve.signal_efficiency[kept], 1 / curve.background_efficiency[kept], few


def _add_legend(axes: Axes, each: Sequence[_Drawn]) -> Legend:
    """One entry a curve; of several methods and signals one a colour with its AUCs, and one a line."""
    signals = list(dict.fromkeys(drawn.signal for drawn in each))
    methods = list(dict.fromkeys(drawn.method for drawn in each))
    n_background = {
        d.result.curve.n_background for d in each if isinstance(d.result, SignalResult)
    }  # fmt: skip
    title = f"{n_background.pop()} background jets" if len(n_background) == 1 else None
    more: dict[str, Any] = {"loc": "upper right", "title": title, "title_fontsize": 12, "alignment": "left"}
    colors = {drawn.look["color"] for drawn in each}
    each_twice = len(each) == len(signals) * len(methods)
    if len(signals) < 2 or len(methods) < 2 or len(colors) != len(signals) or not each_twice:
        return axes.legend(fontsize=12 if len(each) > 5 else None, **more)
    handles: list[Line2D] = []
    for signal in signals:
        ones = [drawn for drawn in each if drawn.signal == signal]
        values = ", ".join(_auc(drawn.result) for drawn in ones)
        label = f"{signal}  (AUC = {values})"
        handles.append(Line2D([], [], color=ones[0].look["color"], linewidth=4, label=label))
    for method in methods:
        look = next(drawn.look for drawn in each if drawn.method == method)
        handles.append(Line2D([], [], color="0.2", linestyle=look["linestyle"], label=method))
    handles += [line for line in axes.lines if line.get_label() == "random"]
    return axes.legend(handles=handles, fontsize=12, **more)


def _auc(result: SignalResult | SignalSpread) -> str:
    if isinstance(result, SignalSpread):
        return f"{result.auc:.3f} ± {_error(result.auc_spread)}"
    return f"{result.curve.auc:.3f} ± {_error(result.curve.auc_error)}"


def _draw_ratios(
    axes: Axes, each: Sequence[_Drawn], paired: Mapping[tuple[str, str], Band], *, bands: bool
) -> None:
    """The rejection of every curve over that of the first, of the same signal where there are several."""
    firsts: dict[str, _Drawn] = {}
    for drawn in each:
        firsts.setdefault(drawn.signal, drawn)
    one_method = len(firsts) == len(each)
    seen = [np.ones(1)]
    for drawn in each:
        reference = each[0] if one_method else firsts[drawn.signal]
        base, band = _band(reference.result), _band(drawn.result)
        known = np.isfinite(base.value) & np.isfinite(band.value)
        x = band.signal_efficiency
        base_value = np.where(known, base.value, np.nan)
        value = np.where(known, band.value, np.nan) / base_value
        axes.plot(x, value, **drawn.look)
        shown: NDArray[np.bool_] = known & (x >= 0.05)
        seen.append(value[shown])
        same_jets = paired.get((drawn.signal, drawn.method))
        if bands and same_jets is not None:
            axes.fill_between(
                same_jets.signal_efficiency, same_jets.low, same_jets.high, color=drawn.look["color"],
                alpha=0.2, linewidth=0,
            )  # fmt: skip
        elif bands and not paired:
            # far from the middle of the figure a few jets decide; they shall not set the range
            low, high = (
                np.where(np.isfinite(edge), edge, np.nan) / base_value for edge in (band.low, band.high)
            )
            axes.fill_between(x, low, high, color=drawn.look["color"], alpha=0.2, linewidth=0)
    values = np.concatenate(seen)
    if len(values) == 1:
        axes.text(
            0.5, 0.72, "no ratio: no background is left at any efficiency", transform=axes.transAxes,
            ha="center", va="center", fontsize=14, color="0.35",
        )  # fmt: skip
    least, most = float(np.min(values)), float(np.max(values))
    if most / max(least, 1e-9) > 8:
        axes.set(yscale="log", ylim=(max(least, 1e-4) / 1.6, most * 1.6))
        plain_ticks(axes.yaxis)
    else:
        axes.set_ylim(min(0.85 * least, 0.8), max(1.1 * most, 1.2))
    axes.axhline(1.0, color="0.4", linestyle=(0, (2, 2)), linewidth=1.5, zorder=1)
    to = each[0].signal if one_method else each[0].method
    axes.set_ylabel(f"Ratio to {to}" if 0 < len(to) <= 12 else "Ratio to first", fontsize=16)


@styled
def plot_sic(curves: Evaluation | Sequence[Evaluation], *, bands: bool = True) -> Figure:
    """Significance improvement ε_S/√ε_B against signal efficiency, where enough background jets pass.

    A dot marks the largest value of each curve. Looks and bands are those of :func:`plot_roc`.
    """
    figure = Figure(layout="constrained")
    axes = figure.add_subplot(xlim=(0, 1))
    top, least = 1.5, set()
    for _, _, name, result, min_background, look in _each(curves):
        assert isinstance(result, SignalResult)
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
                best.signal_efficiency, best.value, marker="o", markersize=7, color=look["color"], zorder=4,
                clip_on=False,
            )  # fmt: skip
            top = max(top, 1.1 * best.value)
        if bands:
            grid, _, low, high = _band(result)
            shown = np.isfinite(sic[curve.index_at(grid)])
            lower, upper = (np.where(shown, grid * np.sqrt(r), np.nan) for r in (low, high))
            axes.fill_between(grid, lower, upper, color=look["color"], alpha=0.2, linewidth=0, zorder=2)
            if np.any(shown):
                top = max(top, 1.05 * float(np.nanmax(upper[np.isfinite(upper)], initial=0.0)))
    axes.plot(
        BAND_GRID, np.sqrt(BAND_GRID), color="0.4", linestyle=(0, (2, 2)), linewidth=1.5, label="random",
        zorder=1,
    )  # fmt: skip
    axes.set(xlabel="Signal efficiency", ylabel=r"SIC  $\varepsilon_S/\sqrt{\varepsilon_B}$", ylim=(0, top))
    title = "at least " + "/".join(str(n) for n in sorted(least)) + " background jets pass"
    make_room(axes, axes.legend(loc="upper right", title=title, title_fontsize=12, alignment="right"))
    return figure
