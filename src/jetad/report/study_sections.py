"""The part of a page about a study: what it found in a sentence, the numbers, and the figure."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from ..evaluation import Interval
from ..plots import plot_contamination, plot_robustness, plot_roc
from ..studies.contamination import Contamination
from ..studies.robustness import Change, Robustness
from ..studies.two_way import TwoWay

__all__ = ["StudySection", "section_of"]


class StudySection(NamedTuple):
    """A study for the page; the first row of ``rows`` is the header."""

    name: str
    title: str
    text: str
    rows: Sequence[Sequence[str]]
    caption: str
    figure: Figure


@functools.singledispatch
def section_of(study: object) -> StudySection:
    """What to show of a study that 'jetad two-way', 'robustness' or 'contamination' made."""
    raise TypeError(f"no study: {type(study).__name__}")


@section_of.register
def _two_way(found: TwoWay) -> StudySection:
    worst, counts = found.worst, list(found.directions[0].complexity)
    bias = ", ".join(f"{found.complexity_bias(count):+.2f} with {count}" for count in counts)
    rows = [["trained on", "looking for", "AUC", *(f"{count} alone" for count in counts)]]
    for d in found.directions:
        alone = (_number(d.complexity[count].auc, ".4f") for count in counts)
        rows.append([d.background, d.signal, f"{d.auc:.4f} ± {_number(d.auc_error, '.4f')}", *alone])
    return StudySection(
        "two-way", "Both directions",
        f"Worst direction: trained on {worst.background}, looking for {worst.signal}, AUC {worst.auc:.4f}. "
        f"Complexity bias (0: none; +1: complex jets are called anomalous whatever the training): {bias}.",
        rows,
        "One configuration trained on each class, tested on the other; alone: the AUC of the count itself.",
        plot_roc([d.evaluation for d in found.directions]),
    )  # fmt: skip


@section_of.register
def _robustness(found: Robustness) -> StudySection:
    samples, signals = list(found.n_jets), list(found.auc)
    rows = [["change of efficiency [%]", *samples, *(f"AUC {signal}" for signal in signals)]]
    for cut in found.cuts:
        areas = signals if cut == found.cuts[0] else []  # they do not depend on a cut
        start = [_number(found.auc[signal], ".4f") for signal in areas]
        rows.append([f"cut at ε_B = {cut:g}", *("" for _ in samples), *start])
        for name, result in found.distortions.items():
            changes = [_change(result.efficiencies[cut][sample]) for sample in samples]
            rows.append([name, *changes, *(_number(result.auc[signal], ".4f") for signal in areas)])
    jets = ", ".join(f"{n} {name}" for name, n in found.n_jets.items())
    shown = " and ".join(f"{cut:g}" for cut in found.cuts[:2])
    return StudySection(
        "robustness", "Robustness",
        f"Cuts are fixed on the undistorted background, then the same jets are distorted and scored again "
        f"({jets} jets); rotation and shift should change nothing.",
        rows,
        f"Change of the efficiency of a cut (ε_B = {shown}) when jets are measured differently; "
        "errors count only jets that change sides.",
        plot_robustness({cut: found.changes(cut) for cut in found.cuts[:2]}),
    )  # fmt: skip


@section_of.register
def _contamination(found: Contamination) -> StudySection:
    rows = [[f"{found.signal} in the training data [%]", f"{found.signal} jets", "AUC", "max SIC"]]
    for p in found.points:
        rows.append(
            [f"{100 * p.fraction:g}", str(p.n_signal), _interval(p.auc, ".4f"), _interval(p.max_sic, ".2f")]
        )
    return StudySection(
        "contamination", "Signal in the training data",
        f"Every training has {found.n_train} jets, {found.background} and the share of {found.signal} in the "
        "table; all are tested on the same other jets.",
        rows,
        "AUC and largest significance improvement against the share of signal in the training data.",
        plot_contamination(found.points, signal=found.signal),
    )  # fmt: skip


def _change(change: Change) -> str:
    if not math.isfinite(change.relative):
        return "–"
    return f"{100 * change.relative:+.1f} ± {100 * change.relative_error:.1f}"


def _interval(interval: Interval, form: str) -> str:
    if not math.isfinite(interval.value):
        return "–"
    value, low, high = interval
    below, above = (f"{error:{form}}" for error in (value - low, high - value))
    return f"{value:{form}} ± {above}" if below == above else f"{value:{form}} [{low:{form}}, {high:{form}}]"


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "–"
