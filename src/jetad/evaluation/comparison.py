"""Bootstrap bands, and two detectors on the same jets."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..scores import Scores
from .intervals import ONE_SIGMA, Interval, finite_or_none
from .results import Band, Evaluation
from .roc import MIN_BACKGROUND

__all__ = [
    "BAND_GRID",
    "PairedComparison",
    "compare_paired",
    "placements",
    "rejection_by_bootstrap",
    "same_jets",
    "with_bootstrap_bands",
]

Floats = NDArray[np.float64]

#: Signal efficiencies at which bands and spreads are given.
BAND_GRID: Floats = np.concatenate([[1e-3, 2e-3, 5e-3], np.linspace(0.01, 1.0, 199)])


# --- bootstrap -----------------------------------------------------------------------------------


class _Replicas:
    """Background efficiency at fixed signal efficiencies in resampled data; sorts the scores once."""

    def __init__(self, background: Scores, signal: Scores) -> None:
        score = np.concatenate([background.score, signal.score]).astype(np.float64)
        self.order = np.argsort(-score, kind="stable")
        ranked = score[self.order]
        self.end = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        self.is_signal = self.order >= len(background)

    def background_efficiency(self, weights: Floats, at: Floats) -> Floats:
        """ε_B of the tightest cuts that keep ``at`` of the signal, with these weights of the jets."""
        weights = weights[self.order]
        s = np.concatenate([[0.0], np.cumsum(np.where(self.is_signal, weights, 0.0))[self.end]])
        b = np.concatenate([[0.0], np.cumsum(np.where(self.is_signal, 0.0, weights))[self.end]])
        if s[-1] <= 0 or b[-1] <= 0:  # a replica of a handful of jets may lack a class
            return np.full(len(at), np.nan)
        index = np.searchsorted(np.maximum.accumulate(s / s[-1]), at - 1e-12, side="left")
        result: NDArray[np.float64] = np.clip((b / b[-1])[np.minimum(index, len(b) - 1)], 0.0, 1.0)
        return result


def _weights(*samples: Scores) -> Floats:
    return np.concatenate([np.ones(len(s)) if s.weight is None else s.weight for s in samples])


def _scored(scores: Scores) -> Scores:
    return scores[~np.isnan(scores.score)]


def rejection_by_bootstrap(
    background: Scores,
    signal: Scores,
    signal_efficiency: Floats,
    *,
    n_replicas: int = 200,
    seed: int = 1,
    level: float = ONE_SIGMA,
) -> tuple[Floats, Floats]:
    """Central interval of the background rejection 1/ε_B from resampled jets.

    Every jet enters a replica k times, k from a Poisson distribution of mean 1. Where a replica has no
    background jet left its rejection is infinite; resampling knows nothing of jets that were never seen, so
    that below about ten background jets the interval of :meth:`RocCurve.rejection_band` is the honest one.

    Arguments:
        background: Scores of background jets; NaN is left out, event weights are used.
        signal: Scores of signal jets.
        signal_efficiency: Where, ``(k,)``.
        n_replicas: Number of resampled data sets.
        seed: Of the resampling.
        level: Probability content.

    Returns:
        Low and high, each ``(k,)``.

    References:
        B. Efron, "Bootstrap methods: another look at the jackknife", Ann. Statist. 7 (1979) 1.
    """
    background, signal = _scored(background), _scored(signal)
    at = np.asarray(signal_efficiency, dtype=np.float64)
    replicas, weight = _Replicas(background, signal), _weights(background, signal)
    generator = np.random.default_rng(seed)
    found = np.array(
        [
            replicas.background_efficiency(weight * generator.poisson(1.0, len(weight)), at)
            for _ in range(n_replicas)
        ]
    )
    found = found[~np.isnan(found).any(axis=1)]
    if not len(found):
        return np.zeros(len(at)), np.full(len(at), np.inf)
    tail = (1.0 - level) / 2.0
    # of the efficiencies, not of their inverse: infinities cannot be interpolated
    down, up = np.quantile(found, [tail, 1.0 - tail], axis=0)
    with np.errstate(divide="ignore"):
        return 1.0 / up, 1.0 / down


def with_bootstrap_bands(
    evaluation: Evaluation,
    background: Scores,
    signals: Mapping[str, Scores],
    *,
    n_replicas: int = 200,
    seed: int = 1,
) -> Evaluation:
    """The evaluation with bands from resampled jets in place of the binomial ones.

    Where fewer than ``MIN_BACKGROUND`` background jets pass, the binomial interval stays.
    """
    results = {}
    for name, result in evaluation.signals.items():
        curve = result.curve
        low, high = rejection_by_bootstrap(
            background, signals[name], BAND_GRID, n_replicas=n_replicas, seed=seed
        )
        value, safe_low, safe_high = curve.rejection_band(BAND_GRID)
        few = curve.n_background_tagged[curve.index_at(BAND_GRID)] < MIN_BACKGROUND
        band = Band(BAND_GRID, value, np.where(few, safe_low, low), np.where(few, safe_high, high))
        results[name] = dataclasses.replace(result, band=band)
    return dataclasses.replace(evaluation, signals=results)


# --- two detectors, the same jets ----------------------------------------------------------------


class PairedComparison(NamedTuple):
    """Two detectors on the same jets: the first minus (or over) the second."""

    first: str
    second: str
    signal: str
    n_background: int
    n_signal: int
    auc_difference: float
    auc_error: float
    p_value: float  # of "no difference in AUC", two-sided
    rejection_ratio: Mapping[float, Interval]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        ratios = {f"{at:g}": v.to_dict() for at, v in self.rejection_ratio.items()}
        numbers = {
            name: finite_or_none(getattr(self, name)) for name in ("auc_difference", "auc_error", "p_value")
        }
        return {**self._asdict(), **numbers, "rejection_ratio": ratios}


def same_jets(first: Scores, second: Scores) -> bool:
    """Whether two tables hold the same jets in the same rows: entry, position, and pT where both have it."""
    if len(first) != len(second):
        return False
    if not (np.array_equal(first.entry, second.entry) and np.array_equal(first.jet, second.jet)):
        return False
    both = np.isfinite(first.jet_pt) & np.isfinite(second.jet_pt)
    return bool(np.allclose(first.jet_pt[both], second.jet_pt[both], rtol=1e-4))


def compare_paired(
    first: tuple[Scores, Scores],
    second: tuple[Scores, Scores],
    *,
    names: tuple[str, str] = ("first", "second"),
    signal: str = "signal",
    signal_efficiencies: Sequence[float] = (0.3, 0.5),
    n_replicas: int = 300,
    seed: int = 1,
) -> PairedComparison:
    """Compare two detectors on the same jets; what the jets have in common drops out of the error.

    With V_i of DeLong for detector 1 and 2 (see :func:`jetad.evaluation.roc_curve`), the variance of
    AUC_1 - AUC_2 is that of the differences V_i1 - V_i2, summed over both classes; the p-value is two-sided
    and normal. The ratio of rejections has its interval from resampling the same jets for both.

    Arguments:
        first: Background and signal scores of the first detector.
        second: The same jets in the same rows, scored by the second.
        names: Of the two detectors.
        signal: Name of the signal.
        signal_efficiencies: Where to give the ratio of background rejections.
        n_replicas: Resampled data sets behind the intervals of the ratios.
        seed: Of the resampling.

    Raises:
        InputError: if the rows are not the same jets.

    References:
        E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 44 (1988) 837.
    """
    for a, b, what in zip(first, second, ("background", f"signal '{signal}'"), strict=True):
        if not same_jets(a, b):
            raise InputError(
                f"'{names[0]}' and '{names[1]}' scored different {what} jets ({len(a)} and {len(b)} rows, "
                "or other entries); score the same file with both runs to compare them"
            )
    usable = [~(np.isnan(a.score) | np.isnan(b.score)) for a, b in zip(first, second, strict=True)]
    background, sig = ([pair[i][usable[i]] for pair in (first, second)] for i in (0, 1))
    if not len(background[0]) or not len(sig[0]):
        raise InputError(f"'{names[0]}' and '{names[1]}' have no scored jets of both classes in common")
    w_b, w_s = _weights(background[0]), _weights(sig[0])

    areas, parts = [], []
    for b, s in zip(background, sig, strict=True):
        v_s = placements(b.score, s.score, w_b)
        v_b = 1.0 - placements(s.score, b.score, w_s)
        areas.append(float(np.average(v_s, weights=w_s)))
        parts.append((v_b, v_s))
    difference = areas[0] - areas[1]
    variance = sum(
        _variance_of_mean(a - b, w) for a, b, w in zip(parts[0], parts[1], (w_b, w_s), strict=True)
    )
    error = math.sqrt(variance) if variance == variance else math.nan
    p = math.erfc(abs(difference) / error / math.sqrt(2.0)) if error > 0 else math.nan
    p = 1.0 if difference == 0 else p

    at = np.asarray(list(signal_efficiencies), dtype=np.float64)
    replicas = [_Replicas(b, s) for b, s in zip(background, sig, strict=True)]
    weight = np.concatenate([w_b, w_s])
    generator = np.random.default_rng(seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        nominal = _ratio(replicas, weight, at)
        found = np.array(
            [_ratio(replicas, weight * generator.poisson(1.0, len(weight)), at) for _ in range(n_replicas)]
        )
    tail = (1.0 - ONE_SIGMA) / 2.0
    ratios = {}
    for k, x in enumerate(at):
        # no jet left in one of them: the ratio is unknown, and so is its interval
        good = np.isfinite(found[:, k]) & (found[:, k] > 0)
        if not np.isfinite(nominal[k]) or nominal[k] <= 0 or np.mean(good) < 0.9:
            ratios[float(x)] = Interval(math.nan, math.nan, math.nan)
        else:
            low, high = np.quantile(found[good, k], [tail, 1.0 - tail])
            ratios[float(x)] = Interval(float(nominal[k]), float(low), float(high))
    return PairedComparison(*names, signal, len(w_b), len(w_s), difference, error, p, ratios)


def _ratio(replicas: Sequence[_Replicas], weights: Floats, at: Floats) -> Floats:
    """Rejection of the first over that of the second."""
    first, second = (r.background_efficiency(weights, at) for r in replicas)
    return second / first


def placements(reference: NDArray[Any], values: NDArray[Any], weights: Floats | None = None) -> Floats:
    """Fraction of ``reference`` below each value, ties half: DeLong's V; their mean is the AUC.

    Arguments:
        reference: Scores of the other class, ``(n,)``, at least one.
        values: Scores to place, ``(m,)``.
        weights: Of the reference, ``(n,)``; default: one each.

    Returns:
        Numbers in [0, 1], ``(m,)``.
    """
    if weights is None:
        weights = np.ones(len(reference))
    order = np.argsort(reference, kind="stable")
    ranked = reference[order]
    total = np.concatenate([[0.0], np.cumsum(weights[order])])
    below, upto = (total[np.searchsorted(ranked, values, side=side)] for side in ("left", "right"))
    fractions: Floats = (below + upto) / 2.0 / total[-1]
    return fractions


def _variance_of_mean(values: Floats, weights: Floats) -> float:
    """Variance of the weighted mean, Σw²(v - v̄)²/(Σw)² · n/(n - 1) with the effective n."""
    total = weights.sum()
    n_eff = total**2 / np.sum(weights**2)
    if n_eff <= 1.0:
        return math.nan
    mean = np.average(values, weights=weights)
    return float(np.sum(weights**2 * (values - mean) ** 2) / total**2 * n_eff / (n_eff - 1.0))
