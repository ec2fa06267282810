"""The spread over several trainings of one method."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..shown import html_table
from .comparison import BAND_GRID
from .intervals import Interval, finite_or_none
from .results import Band, Evaluation, SignalResult
from .roc import RocCurve

__all__ = ["SignalSpread", "Spread", "spread_of"]

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class SignalSpread:
    """One signal in several trainings of one method.

    Arguments:
        aucs: AUC of each, ``(n_runs,)``.
        auc_error: Statistical error of one of them (root of the mean square).
        band: Geometric mean of the rejection over the runs, and that times or over exp(standard deviation
            of its logarithm); NaN where a run has no background jet left.
        background_rejection: The same at single signal efficiencies.
        max_sic: Mean largest significance improvement, minus and plus its standard deviation.
    """

    aucs: Floats
    auc_error: float
    band: Band
    background_rejection: Mapping[float, Interval]
    max_sic: Interval

    @property
    def auc(self) -> float:
        """The mean."""
        return float(np.mean(self.aucs))

    @property
    def auc_spread(self) -> float:
        """Sample standard deviation over the runs; NaN for one."""
        return float(np.std(self.aucs, ddof=1)) if len(self.aucs) > 1 else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        known = np.isfinite(self.band.value)
        return {
            "auc": self.auc,
            "auc_error": finite_or_none(self.auc_error),
            "auc_spread": finite_or_none(self.auc_spread),
            "aucs": self.aucs.tolist(),
            "background_rejection": {f"{at:g}": v.to_dict() for at, v in self.background_rejection.items()},
            "max_sic": self.max_sic.to_dict(),
            "curve": {
                "signal_efficiency": self.band.signal_efficiency[known].tolist(),
                "background_efficiency": (1.0 / self.band.value[known]).tolist(),
            },
        }


@dataclasses.dataclass(frozen=True, eq=False)
class Spread:
    """Several trainings of one method (seeds, say) taken together."""

    signals: Mapping[str, SignalSpread]
    runs: tuple[str, ...]
    n_background: int
    name: str = ""

    def _repr_html_(self) -> str:
        rows = [
            [name, *(f"{v:.4f}" for v in (x.auc, x.auc_spread, x.auc_error))]
            for name, x in self.signals.items()
        ]
        title = f"{self.name}: {len(self.runs)} runs, {self.n_background} background jets"
        return html_table(title.removeprefix(": "), rows, ["signal", "AUC", "± runs", "± jets"])

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "background": {"n": self.n_background},
            "runs": list(self.runs),
            "signals": {name: s.to_dict() for name, s in self.signals.items()},
        }


def spread_of(evaluations: Sequence[Evaluation], *, name: str = "") -> Spread:
    """Mean and standard deviation over trainings, for the signals that all of them have.

    The spread shows what another seed would change; the statistical error of the test jets, which all
    trainings share, is not in it.

    Raises:
        InputError: for fewer than two trainings, or none in common.
    """
    if len(evaluations) < 2:
        raise InputError(f"{len(evaluations)} run is not enough for a spread; give the scores of two or more")
    first = evaluations[0]
    common = [signal for signal in first.signals if all(signal in e.signals for e in evaluations)]
    if not common:
        raise InputError("the runs have no signal in common")
    signals = {}
    for signal in common:
        results: list[SignalResult] = [e.signals[signal] for e in evaluations]
        curves: list[RocCurve] = [r.curve for r in results]
        at = list(results[0].background_rejection)
        sic = np.array([r.max_sic.value for r in results])
        middle, deviation = float(np.mean(sic)), float(np.std(sic, ddof=1))
        value, low, high = _log_spread(curves, np.asarray(at))
        signals[signal] = SignalSpread(
            aucs=np.array([c.auc for c in curves]),
            auc_error=float(np.sqrt(np.mean([c.auc_error**2 for c in curves]))),
            band=Band(BAND_GRID, *_log_spread(curves, BAND_GRID)),
            background_rejection={
                x: Interval(float(v), float(a), float(b))
                for x, v, a, b in zip(at, value, low, high, strict=True)
            },
            max_sic=Interval(middle, middle - deviation, middle + deviation),
        )
    return Spread(signals, tuple(e.name for e in evaluations), first.n_background, name)


def _log_spread(curves: Sequence[RocCurve], at: Floats) -> tuple[Floats, Floats, Floats]:
    efficiency = np.array([c.background_efficiency[c.index_at(at)] for c in curves])
    logs = np.log(np.where(efficiency > 0, efficiency, np.nan))
    mean, deviation = logs.mean(axis=0), logs.std(axis=0, ddof=1)
    return np.exp(-mean), np.exp(-mean - deviation), np.exp(-mean + deviation)
