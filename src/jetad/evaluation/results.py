"""Scores in, one evaluation out: every signal against the background, for tables, JSON and figures."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..scores import Scores
from ..shown import html_table
from .intervals import ONE_SIGMA, Interval, SicPoint, finite_or_none, nan_if_none
from .roc import MIN_BACKGROUND, RocCurve, roc_curve

__all__ = ["Band", "Evaluation", "SignalResult", "either_way", "evaluate"]


class Band(NamedTuple):
    """Background rejection with its interval at stated signal efficiencies, each ``(k,)``."""

    signal_efficiency: NDArray[np.float64]
    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class SignalResult:
    """One signal against the background.

    Arguments:
        curve: The ROC curve.
        background_rejection: By signal efficiency.
        signal_efficiency_at: By background efficiency.
        max_sic: Largest significance improvement.
        pt_only_auc: AUC of the jet pT alone (above 0.5: signal is harder), NaN if unknown.
        mass_only_auc: AUC of the jet mass alone. A detector that beats neither may have learned just these.
        band: Intervals of the rejection to draw in place of the binomial ones.
    """

    curve: RocCurve
    background_rejection: Mapping[float, Interval]
    signal_efficiency_at: Mapping[float, Interval]
    max_sic: SicPoint
    pt_only_auc: float = math.nan
    mass_only_auc: float = math.nan
    band: Band | None = None

    def to_dict(self, *, max_points: int = 2000) -> dict[str, Any]:
        """Plain numbers for JSON; the curve is thinned to ``max_points``."""
        curve, kept = self.curve, self.curve.thin(max_points)
        return {
            "n": curve.n_signal,
            "n_effective": curve.n_eff_signal,
            "n_excluded": curve.n_excluded_signal,
            "auc": curve.auc,
            "auc_error": finite_or_none(curve.auc_error),
            "background_rejection": {f"{at:g}": v.to_dict() for at, v in self.background_rejection.items()},
            "signal_efficiency": {f"{at:g}": v.to_dict() for at, v in self.signal_efficiency_at.items()},
            "max_sic": self.max_sic.to_dict(),
            "pt_only_auc": finite_or_none(either_way(self.pt_only_auc)),
            "pt_only_auc_signed": finite_or_none(self.pt_only_auc),
            "mass_only_auc": finite_or_none(either_way(self.mass_only_auc)),
            "mass_only_auc_signed": finite_or_none(self.mass_only_auc),
            "curve": {
                "signal_efficiency": curve.signal_efficiency[kept].tolist(),
                "background_efficiency": curve.background_efficiency[kept].tolist(),
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], background: Mapping[str, Any]) -> SignalResult:
        """What ``to_dict`` gave, with the background that it was compared with; thresholds are not kept."""
        eff_s, eff_b = (
            np.asarray(values["curve"][f"{name}_efficiency"], dtype=np.float64)
            for name in ("signal", "background")
        )
        curve = RocCurve(
            thresholds=np.full(len(eff_s), np.nan),
            signal_efficiency=eff_s,
            background_efficiency=eff_b,
            n_background_tagged=np.round(eff_b * background["n"]).astype(np.int64),
            auc=float(values["auc"]),
            auc_error=nan_if_none(values["auc_error"]),
            n_signal=values["n"],
            n_background=background["n"],
            n_eff_signal=float(values["n_effective"]),
            n_eff_background=float(background["n_effective"]),
            n_excluded_signal=values["n_excluded"],
            n_excluded_background=background["n_excluded"],
        )
        return cls(
            curve=curve,
            background_rejection=_intervals(values["background_rejection"]),
            signal_efficiency_at=_intervals(values["signal_efficiency"]),
            max_sic=SicPoint.from_dict(values["max_sic"]),
            pt_only_auc=nan_if_none(values["pt_only_auc_signed"]),
            mass_only_auc=nan_if_none(values["mass_only_auc_signed"]),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """One background against several signals; ``name`` (a method or run) tells curves of several apart."""

    signals: Mapping[str, SignalResult]
    n_background: int
    n_excluded_background: int = 0
    min_background: int = MIN_BACKGROUND
    name: str = ""

    def _repr_html_(self) -> str:
        first = next(iter(self.signals.values()))
        rows = []
        for name, result in self.signals.items():
            curve = result.curve
            rejections = [f"{v.value:.3g}" for v in result.background_rejection.values()]
            alone = f"{either_way(result.mass_only_auc):.3f}"
            error = f"{curve.auc:.4f} ± {curve.auc_error:.4f}"
            rows.append([name, curve.n_signal, error, alone, f"{result.max_sic.value:.2f}", *rejections])
        header = ["signal", "jets", "AUC", "mass alone", "max SIC"]
        header += [f"1/ε_B at ε_S = {x:g}" for x in first.background_rejection]
        title = f"{self.name}: " if self.name else ""
        return html_table(f"{title}{self.n_background} background jets", rows, header)

    def to_dict(self, *, max_points: int = 2000) -> dict[str, Any]:
        """The layout of ``jetad roc --json``."""
        n_effective = next(iter(self.signals.values())).curve.n_eff_background
        return {
            "background": {
                "n": self.n_background,
                "n_effective": n_effective,
                "n_excluded": self.n_excluded_background,
            },
            "signals": {name: result.to_dict(max_points=max_points) for name, result in self.signals.items()},
            "interval_level": ONE_SIGMA,
            "max_sic_min_background": self.min_background,
            **({"name": self.name} if self.name else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evaluation:
        """What ``to_dict`` gave; curves have the points that were kept, without their thresholds."""
        background = values["background"]
        return cls(
            {name: SignalResult.from_dict(v, background) for name, v in values["signals"].items()},
            n_background=background["n"],
            n_excluded_background=background["n_excluded"],
            min_background=values["max_sic_min_background"],
            name=values.get("name", ""),
        )

    def to_json(self, *, max_points: int = 2000) -> str:
        """``to_dict`` as JSON text; infinite and unknown numbers are ``null``."""
        return json.dumps(self.to_dict(max_points=max_points), indent=2, allow_nan=False)


def evaluate(
    background: Scores,
    signals: Mapping[str, Scores],
    *,
    signal_efficiencies: Sequence[float] = (0.3, 0.5),
    background_efficiencies: Sequence[float] = (1e-2, 1e-3, 1e-4),
    min_background: int = MIN_BACKGROUND,
    name: str = "",
) -> Evaluation:
    """Compare each signal with the background; event weights are used where a file has them.

    Arguments:
        background: Scores of background jets.
        signals: Scores of signal jets, by the name to show.
        signal_efficiencies: Where to give the background rejection.
        background_efficiencies: Where to give the signal efficiency.
        min_background: Background jets that must pass for a point to count for the largest SIC.
        name: Method or run, for figures that overlay several.

    Raises:
        InputError: if there is no signal, or a class without any score.
    """
    if not signals:
        raise InputError("no signal scores to compare with the background")
    failed = int(np.isnan(background.score).sum())
    if failed == len(background):
        raise InputError("no background jet has a score" + (f" ({failed} are NaN)" if failed else ""))
    results = {}
    for signal_name, signal in signals.items():
        try:
            curve = roc_curve(
                background.score, signal.score,
                background_weights=background.weight, signal_weights=signal.weight,
            )  # fmt: skip
        except InputError as error:
            raise InputError(f"signal '{signal_name}': {error}") from error
        results[signal_name] = SignalResult(
            curve=curve,
            background_rejection={at: curve.background_rejection(at) for at in signal_efficiencies},
            signal_efficiency_at={at: curve.signal_efficiency_at(at) for at in background_efficiencies},
            max_sic=curve.max_sic(min_background=min_background),
            pt_only_auc=_column_auc(background, signal, "jet_pt"),
            mass_only_auc=_column_auc(background, signal, "jet_mass"),
        )
    return Evaluation(results, len(background) - failed, failed, min_background, name)


def either_way(auc: float) -> float:
    """max(AUC, 1 - AUC): separation by a variable whatever its direction."""
    return max(auc, 1.0 - auc)


def _intervals(values: Mapping[str, Mapping[str, float | None]]) -> dict[float, Interval]:
    return {float(at): Interval.from_dict(interval) for at, interval in values.items()}


def _column_auc(background: Scores, signal: Scores, column: str) -> float:
    b, s = background[~np.isnan(background.score)], signal[~np.isnan(signal.score)]
    try:
        return roc_curve(
            getattr(b, column), getattr(s, column), background_weights=b.weight, signal_weights=s.weight
        ).auc
    except InputError:  # the column is not in the file
        return math.nan
