"""The ROC curve of two sets of scores, with its working points and their uncertainties."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .intervals import ONE_SIGMA, Interval, SicPoint, binomial_interval

__all__ = ["MIN_BACKGROUND", "RocCurve", "roc_curve"]

Floats = NDArray[np.float64]

#: Background jets that must pass before a significance improvement is believed.
MIN_BACKGROUND = 10


@dataclasses.dataclass(frozen=True, eq=False)
class RocCurve:
    """Efficiencies at every distinct score, from none tagged (0, 0) to all tagged (1, 1).

    Arguments:
        thresholds: Falling, ``(k,)``; the first is infinite.
        signal_efficiency: ε_S at each threshold, ``(k,)``.
        background_efficiency: ε_B at each threshold, ``(k,)``.
        n_background_tagged: Background jets that pass (not weighted), ``(k,)``.
        auc: Area under ε_S as a function of ε_B: the chance that a signal jet scores above a background jet,
            ties counted half.
        auc_error: Its standard deviation (see :func:`roc_curve`).
        n_signal: Signal jets in the curve.
        n_background: Background jets in the curve.
        n_eff_signal: Effective count (Σw)²/Σw²; ``n_signal`` without weights.
        n_eff_background: The same for background.
        n_excluded_signal: Signal jets left out because their score is NaN.
        n_excluded_background: The same for background.
    """

    thresholds: Floats
    signal_efficiency: Floats
    background_efficiency: Floats
    n_background_tagged: NDArray[np.int64]
    auc: float
    auc_error: float
    n_signal: int
    n_background: int
    n_eff_signal: float
    n_eff_background: float
    n_excluded_signal: int = 0
    n_excluded_background: int = 0

    def __repr__(self) -> str:
        return (
            f"RocCurve(auc={self.auc:.4f} ± {self.auc_error:.4f}, {self.n_signal} signal, "
            f"{self.n_background} background)"
        )

    def __len__(self) -> int:
        return len(self.thresholds)

    # --- working points --------------------------------------------------------------------------

    def index_at(self, signal_efficiency: ArrayLike) -> NDArray[np.intp]:
        """Index of the tightest threshold that keeps at least the stated ε_S: a cut, no interpolation."""
        reached = np.maximum.accumulate(self.signal_efficiency)
        index = np.searchsorted(reached, np.asarray(signal_efficiency) - 1e-12, side="left")
        return np.minimum(index, len(self) - 1)

    def rejection_band(
        self, signal_efficiency: ArrayLike, *, level: float = ONE_SIGMA
    ) -> tuple[Floats, Floats, Floats]:
        """Background rejection 1/ε_B and its interval at stated signal efficiencies.

        Two parts, added in quadrature in ln ε_B: the Clopper-Pearson interval of the background jets that
        pass the threshold, and the shift of the threshold within the Clopper-Pearson interval of ε_S (read
        off the curve). Where no background jet passes, the rejection is infinite and ``low`` is its bound.

        Returns:
            Value, low, high; each of the shape of ``signal_efficiency``.
        """
        target = np.asarray(signal_efficiency, dtype=np.float64)
        # negative event weights may push an efficiency slightly out of [0, 1]
        eff = np.clip(self.background_efficiency[self.index_at(target)], 0.0, 1.0)
        low, high = binomial_interval(eff, self.n_eff_background, level=level)
        looser, tighter = binomial_interval(target, self.n_eff_signal, level=level)[::-1]
        shifted_up = self.background_efficiency[self.index_at(looser)]
        shifted_down = self.background_efficiency[self.index_at(tighter)]
        shifted_down = np.where(shifted_down > 0, shifted_down, low)
        with np.errstate(divide="ignore", invalid="ignore"):
            up = eff * np.exp(np.hypot(np.log(high / eff), np.log(np.maximum(shifted_up, eff) / eff)))
            up = np.minimum(np.where(eff > 0, up, np.hypot(high, shifted_up)), 1.0)
            down = eff * np.exp(-np.hypot(np.log(eff / low), np.log(eff / np.minimum(shifted_down, eff))))
            down = np.where(low > 0, down, 0.0)
            return 1.0 / eff, 1.0 / up, 1.0 / down

    def background_rejection(self, signal_efficiency: float, *, level: float = ONE_SIGMA) -> Interval:
        """1/ε_B at one signal efficiency (see :meth:`rejection_band`)."""
        return Interval(*(float(v) for v in self.rejection_band(signal_efficiency, level=level)))

    def signal_efficiency_at(self, background_efficiency: float, *, level: float = ONE_SIGMA) -> Interval:
        """ε_S at the loosest threshold that lets at most the stated ε_B pass.

        The interval adds in quadrature the Clopper-Pearson interval of ε_S and the shift of the threshold
        within that of ε_B. All NaN if the background is too small to measure it (ε_B · n_eff < 1).
        """
        if background_efficiency * self.n_eff_background < 1.0 - 1e-9:
            return Interval(math.nan, math.nan, math.nan)
        reached = np.maximum.accumulate(self.background_efficiency)

        def read(eff: float) -> float:
            index = int(np.searchsorted(reached, eff + 1e-12, side="right")) - 1
            return float(self.signal_efficiency[max(index, 0)])

        value = read(background_efficiency)
        low, high = (float(v) for v in binomial_interval(value, self.n_eff_signal, level=level))
        tighter, looser = binomial_interval(background_efficiency, self.n_eff_background, level=level)
        return Interval(
            value,
            max(0.0, value - math.hypot(value - low, max(value - read(float(tighter)), 0.0))),
            min(1.0, value + math.hypot(high - value, max(read(float(looser)) - value, 0.0))),
        )

    # --- significance improvement ----------------------------------------------------------------

    def significance_improvement(self, *, min_background: int = MIN_BACKGROUND) -> Floats:
        """SIC = ε_S/√ε_B at every threshold, ``(k,)``; NaN where fewer than ``min_background`` jets pass.

        Without the minimum the curve ends in the noise of the last few background jets, and its maximum is
        always found there.
        """
        enough = (self.n_background_tagged >= max(min_background, 1)) & (self.background_efficiency > 0)
        eff = np.where(enough, self.background_efficiency, np.nan)
        return self.signal_efficiency / np.sqrt(eff)

    def max_sic(self, *, min_background: int = MIN_BACKGROUND, level: float = ONE_SIGMA) -> SicPoint:
        """Largest SIC among thresholds that at least ``min_background`` background jets pass.

        The value is biased up: it is the largest of many that fluctuate. The interval is that of ε_S/√ε_B at
        this threshold, moved down by how much the largest SIC of resampled curves exceeds the value.
        """
        sic = self.significance_improvement(min_background=min_background)
        if np.all(np.isnan(sic)):
            return SicPoint(*[math.nan] * 5)
        i = int(np.nanargmax(sic))
        eff_s, eff_b, best = self.signal_efficiency[i], self.background_efficiency[i], sic[i]
        s_low, s_high = binomial_interval(eff_s, self.n_eff_signal, level=level)
        b_low, b_high = binomial_interval(eff_b, self.n_eff_background, level=level)
        down = math.hypot(best - s_low / math.sqrt(eff_b), best - eff_s / math.sqrt(b_high))
        up = math.hypot(s_high / math.sqrt(eff_b) - best, eff_s / math.sqrt(max(float(b_low), 1e-300)) - best)
        bias = max(self._resampled_max_sic(min_background) - best, 0.0)
        return SicPoint(
            float(best), float(max(best - down - bias, 0.0)), float(max(best + up - bias, best)),
            float(eff_s), float(eff_b),
        )  # fmt: skip

    def _resampled_max_sic(self, min_background: int, n_replicas: int = 40) -> float:
        """Mean largest SIC of curves whose steps fluctuate like Poisson counts of the effective jets."""
        kept = self.thin(4000)
        steps_s, steps_b = (
            np.clip(np.diff(efficiency[kept]), 0.0, None) * n
            for efficiency, n in (
                (self.signal_efficiency, self.n_eff_signal),
                (self.background_efficiency, self.n_eff_background),
            )
        )
        generator = np.random.default_rng(1)
        least = max(min_background, 1) * self.n_eff_background / self.n_background
        found = []
        for _ in range(n_replicas):
            s, b = (np.cumsum(generator.poisson(steps)) for steps in (steps_s, steps_b))
            enough = b >= least
            if s[-1] and np.any(enough):
                found.append(np.max(s[enough] / np.sqrt(b[enough])) * math.sqrt(b[-1]) / s[-1])
        return float(np.mean(found)) if found else 0.0

    # --- fewer points ----------------------------------------------------------------------------

    def thin(self, n: int = 2000) -> NDArray[np.intp]:
        """Indices of at most ``n`` points that draw the same curve, linear or log; both ends stay."""
        eff_s, eff_b = self.signal_efficiency, self.background_efficiency
        # a point between two others on one horizontal or vertical line adds nothing
        flat_s, flat_b = np.diff(eff_s) == 0, np.diff(eff_b) == 0
        inner = ~((flat_s[:-1] & flat_s[1:]) | (flat_b[:-1] & flat_b[1:]))
        corners = np.flatnonzero(np.concatenate([[True], inner, [True]]))
        if len(corners) <= n:
            return corners
        half = max((n - 2) // 2, 1)
        positive = eff_b[eff_b > 0]
        targets_b = np.geomspace(positive.min() if len(positive) else 1.0, 1.0, half)
        at_s = np.searchsorted(np.maximum.accumulate(eff_s), np.linspace(0, 1, half))
        at_b = np.searchsorted(np.maximum.accumulate(eff_b), targets_b)
        last = len(self) - 1
        return np.unique(np.clip(np.concatenate([[0, last], at_s, at_b]), 0, last)).astype(np.intp)


def roc_curve(
    background_scores: ArrayLike,
    signal_scores: ArrayLike,
    *,
    background_weights: ArrayLike | None = None,
    signal_weights: ArrayLike | None = None,
) -> RocCurve:
    """The ROC curve of two sets of scores, higher = more signal-like; NaN scores are left out and counted.

    AUC = P(s > b) + P(s = b)/2. Its variance is DeLong's: with V_i the fraction of background below signal
    jet i (ties half) and V_j the fraction of signal above background jet j,

        var = Σ_i (V_i - AUC)² / (n_S (n_S - 1)) + Σ_j (V_j - AUC)² / (n_B (n_B - 1)),

    for weighted jets Σ w²(V - AUC)²/(Σw)² · n_eff/(n_eff - 1). Where the classes do not overlap at all this
    vanishes, and the error is the one-sided bound 1 - 0.317^(1/n) of the smaller class instead.

    Arguments:
        background_scores: ``(n_background,)``.
        signal_scores: ``(n_signal,)``.
        background_weights: Event weights, ``(n_background,)``; 1 each by default.
        signal_weights: Event weights, ``(n_signal,)``.

    Raises:
        InputError: if a class has no score that is a number, or a sum of weights is not positive.

    References:
        E. DeLong, D. DeLong, D. Clarke-Pearson, "Comparing the areas under two or more correlated receiver
        operating characteristic curves", Biometrics 44 (1988) 837.
    """
    background, w_b, excluded_b = _clean(background_scores, background_weights, "background")
    signal, w_s, excluded_s = _clean(signal_scores, signal_weights, "signal")
    score = np.concatenate([background, signal])
    order = np.argsort(-score, kind="stable")
    score = score[order]
    # one point after the last jet of each distinct score: ties move both efficiencies at once
    end = np.flatnonzero(np.append(score[1:] != score[:-1], True))
    is_signal = order >= len(background)

    def cumulated(values: Floats) -> Floats:
        return np.concatenate([[0.0], np.cumsum(values)[end]])

    weight = np.concatenate([w_b, w_s])[order]
    sum_s, sum_b = cumulated(np.where(is_signal, weight, 0.0)), cumulated(np.where(is_signal, 0.0, weight))
    eff_s, eff_b = sum_s / sum_s[-1], sum_b / sum_b[-1]
    step_s, step_b = np.diff(eff_s), np.diff(eff_b)
    above_background = 1.0 - eff_b[1:] + step_b / 2
    below_signal = eff_s[1:] - step_s / 2
    apart = signal.min() > background.max() or signal.max() < background.min()
    auc = float(np.sum(step_b * below_signal))
    auc = float(round(auc)) if apart else auc
    n_eff_s, n_eff_b = _n_eff(w_s), _n_eff(w_b)
    if apart:
        variance = (1.0 - (1.0 - ONE_SIGMA) ** (1.0 / min(n_eff_s, n_eff_b))) ** 2
    elif min(n_eff_s, n_eff_b) <= 1.0:
        variance = math.nan
    else:
        squares_s = np.diff(cumulated(np.where(is_signal, weight, 0.0) ** 2)) / sum_s[-1] ** 2
        squares_b = np.diff(cumulated(np.where(is_signal, 0.0, weight) ** 2)) / sum_b[-1] ** 2
        variance = float(
            np.sum(squares_s * (above_background - auc) ** 2) * n_eff_s / (n_eff_s - 1.0)
            + np.sum(squares_b * (below_signal - auc) ** 2) * n_eff_b / (n_eff_b - 1.0)
        )
    return RocCurve(
        thresholds=np.concatenate([[np.inf], score[end]]),
        signal_efficiency=eff_s,
        background_efficiency=eff_b,
        n_background_tagged=np.concatenate([[0], np.cumsum(~is_signal)[end]]),
        auc=auc,
        auc_error=math.sqrt(variance),
        n_signal=len(signal),
        n_background=len(background),
        n_eff_signal=n_eff_s,
        n_eff_background=n_eff_b,
        n_excluded_signal=excluded_s,
        n_excluded_background=excluded_b,
    )


def _clean(scores: ArrayLike, weights: ArrayLike | None, what: str) -> tuple[Floats, Floats, int]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise InputError(f"{what} scores must be one number per jet, found shape {values.shape}")
    weight = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != values.shape:
        raise InputError(f"{what}: {weight.size} weights for {values.size} scores")
    good = ~np.isnan(values)
    excluded = int((~good).sum())
    values, weight = values[good], weight[good]
    if not len(values):
        raise InputError(f"no {what} jet has a score" + (f" ({excluded} are NaN)" if excluded else ""))
    if not np.all(np.isfinite(weight)) or weight.sum() <= 0:
        raise InputError(f"the weights of the {what} must be finite with a positive sum")
    return values, weight, excluded


def _n_eff(weights: Floats) -> float:
    return float(weights.sum() ** 2 / np.sum(weights**2))
