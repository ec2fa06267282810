"""Evaluations as tables and remarks of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .tables import aligned

if TYPE_CHECKING:
    from jetad.evaluation import Evaluation, Interval, PairedComparison, Spread

__all__ = ["comparison_table", "remarks", "spread_table", "table"]


def table(evaluation: Evaluation) -> str:
    """The numbers of an evaluation for reading, one line per signal."""
    from jetad.evaluation import either_way

    first = next(iter(evaluation.signals.values()))
    at = list(first.background_rejection)
    header = ["signal", "jets", "AUC", "pT alone", "mass alone", "max SIC (at eff_S)"]
    header += [f"1/eff_B at eff_S {x:g}" for x in at]
    rows = [header]
    fixed = [["signal", *(f"eff_S at eff_B {x:g}" for x in first.signal_efficiency_at)]]
    notes = []
    for name, result in evaluation.signals.items():
        curve, best = result.curve, result.max_sic
        rows.append(
            [
                name,
                str(curve.n_signal),
                f"{curve.auc:.4f} ± {number_text(curve.auc_error, '.4f')}",
                number_text(either_way(result.pt_only_auc), ".3f"),
                number_text(either_way(result.mass_only_auc), ".3f"),
                "-" if math.isnan(best.value) else f"{best.value:.2f} ({best.signal_efficiency:.2f})",
                *(rejection_text(result.background_rejection[x]) for x in at),
            ]
        )
        fixed.append([name, *(efficiency_text(v) for v in result.signal_efficiency_at.values())])
        if curve.n_excluded_signal:
            notes.append(f"{name}: {curve.n_excluded_signal} jets without a score are left out")
    if evaluation.n_excluded_background:
        notes.insert(0, f"background: {evaluation.n_excluded_background} jets without a score are left out")
    lines = [f"background: {evaluation.n_background} jets", "", *aligned(rows)]
    if any(cell != "-" for row in fixed[1:] for cell in row[1:]):
        lines += ["", *aligned(fixed)]
    return "\n".join([*lines, "", *notes] if notes else lines)


def remarks(evaluation: Evaluation) -> list[str]:
    """What a reader of the numbers should know of them, in sentences."""
    from jetad.evaluation import either_way

    of = f"{evaluation.name}: " if evaluation.name else ""
    found = []
    lost, n = evaluation.n_excluded_background, evaluation.n_background
    if lost > 0.01 * (n + lost):
        found.append(f"{of}{lost} of {n + lost} background jets have no score and are left out")
    for name, result in evaluation.signals.items():
        curve = result.curve
        lost, n = curve.n_excluded_signal, curve.n_signal
        if lost > 0.01 * (n + lost):
            found.append(f"{of}{lost} of {n + lost} jets of '{name}' have no score and are left out")
        if curve.auc + 5 * curve.auc_error < 0.5:
            found.append(
                f"{of}'{name}' is less anomalous than the background (AUC {curve.auc:.3f}): are the two "
                "exchanged?"
            )
        alone = either_way(result.pt_only_auc)
        if alone > max(curve.auc, 0.7):
            found.append(
                f"{of}jet pT alone tells '{name}' from the background (AUC {alone:.3f}): their pT spectra "
                "differ, and the numbers say little of the detector; --select the same range of pT"
            )
    return found


def spread_table(spread: Spread) -> str:
    """The numbers of several runs of one method, one line per signal."""
    first = next(iter(spread.signals.values()))
    at = list(first.background_rejection)
    header = ["signal", "AUC", "± runs", "± jets", *(f"1/eff_B at eff_S {x:g}" for x in at), "max SIC"]
    rows = [header]
    for name, s in spread.signals.items():
        rejections = (rejection_text(s.background_rejection[x]) for x in at)
        sic = (
            "-"
            if math.isnan(s.max_sic.value)
            else f"{s.max_sic.value:.2f} ± {s.max_sic.high - s.max_sic.value:.2f}"
        )
        rows.append(
            [name, f"{s.auc:.4f}", f"{s.auc_spread:.4f}", number_text(s.auc_error, ".4f"), *rejections, sic]
        )  # fmt: skip
    runs = f"background: {spread.n_background} jets; mean and spread of {len(spread.runs)} runs"
    return "\n".join([f"{runs} ({', '.join(spread.runs)})", "", *aligned(rows)])


def comparison_table(pairs: Sequence[PairedComparison]) -> str:
    """Two detectors on the same jets, one line per pair and signal."""
    at = list(pairs[0].rejection_ratio)
    rows = [["signal", "runs", "AUC difference", "p-value", *(f"rejection ratio at {x:g}" for x in at)]]
    for pair in pairs:
        ratios = ("-" if math.isnan(r.value) else rejection_text(r) for r in pair.rejection_ratio.values())
        difference = f"{pair.auc_difference:+.4f} ± {number_text(pair.auc_error, '.4f')}"
        rows.append(
            [
                pair.signal,
                f"{pair.first} - {pair.second}",
                difference,
                number_text(pair.p_value, ".2g"),
                *ratios,
            ]
        )
    return "\n".join(["paired comparison on the same jets:", "", *aligned(rows)])


def rejection_text(interval: Interval) -> str:
    if math.isnan(interval.value):
        return "-"
    if math.isinf(interval.value):
        return f"> {interval.low:.3g}"
    high = "inf" if math.isinf(interval.high) else f"{interval.high:.3g}"
    return f"{interval.value:.3g} [{interval.low:.3g}, {high}]"


def efficiency_text(interval: Interval) -> str:
    if math.isnan(interval.value):
        return "-"
    return f"{interval.value:.3g} [{interval.low:.3g}, {interval.high:.3g}]"


def number_text(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"
