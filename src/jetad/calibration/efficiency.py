"""What a score means: background efficiency on held-out jets, and one scale for several detectors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..evaluation.intervals import binomial_interval
from ..files.fields import Fields

__all__ = ["BackgroundEfficiency", "Surprise", "WorkingPoint", "flag_name"]

# scores kept in calibration.json; of more, evenly spaced order statistics
_MAX_KNOTS = 20_000


def flag_name(efficiency: float) -> str:
    """Column of jets that pass a background efficiency; a valid name of a ROOT branch.

    Example:
        >>> flag_name(1e-3), flag_name(0.05)
        ('pass_0p001', 'pass_0p05')
    """
    return "pass_" + np.format_float_positional(efficiency, trim="-").replace(".", "p")


def _finite_sorted(scores: ArrayLike, what: str) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    values = np.sort(values[np.isfinite(values)])
    if len(values) < 2:
        raise InputError(f"{what} needs at least two jets with a finite score, found {len(values)}")
    return values


class WorkingPoint(NamedTuple):
    """A cut ``score >= threshold`` with the fraction of background that passes, and its 68 % interval."""

    efficiency: float  # asked for; fresh background passes at most so often, on average
    threshold: float
    measured: float  # of the calibration jets
    low: float
    high: float

    def rate(self, background_rate: float) -> tuple[float, float, float]:
        """Passing rate, low and high, for a rate of background before the cut, in its unit."""
        return self.measured * background_rate, self.low * background_rate, self.high * background_rate


class BackgroundEfficiency:
    r"""The fraction of background at least as anomalous as a jet, from jets the detector never saw.

    ``p = (1 + n f) / (n + 1)`` with f the fraction of the held-out jets that have ``s_i >= s``: on fresh
    background the chance of ``p <= a`` is at most a, for any n and any distribution; the smallest value is
    ``1 / (n + 1)``. With event weights f is the fraction of weight and n the effective count
    ``(sum w)^2 / sum w^2``.

    Arguments:
        scores: Of held-out background, ``(n,)``; non-finite ones are left out.
        weights: Event weights, ``(n,)``; negative ones are allowed as long as their sum is positive.

    Raises:
        InputError: for fewer than two finite scores, or weights without a positive sum.

    References:
        Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World", 2005 (conformal p-values)

    Example:
        >>> BackgroundEfficiency([1.0, 2.0, 3.0])([0.0, 2.0, 9.0]).tolist()
        [1.0, 0.75, 0.25]
        >>> BackgroundEfficiency([1.0, 2.0, 3.0], weights=[2, 2, 2]).n_eff
        3.0
    """

    columns: tuple[str, ...] = ()

    def __init__(self, scores: ArrayLike, weights: ArrayLike | None = None) -> None:
        values = np.asarray(scores, dtype=np.float64)
        w = None if weights is None else np.asarray(weights, dtype=np.float64)
        if w is not None and w.shape != values.shape:
            raise InputError(f"{len(values)} scores of the calibration have {len(w)} weights")
        self.scores = _finite_sorted(values, "the calibration")
        self.n = len(self.scores)
        self.n_eff = float(self.n)
        # fraction of background at or above each of the scores, and beyond the last
        self.fractions = np.arange(self.n, -1, -1) / self.n
        self.weighted = w is not None
        if w is not None:
            finite = np.isfinite(values)
            w = w[finite][np.argsort(values[finite], kind="stable")]
            total = w.sum()
            if not (np.isfinite(w).all() and total > 0):
                raise InputError("the weights of the calibration jets have no positive, finite sum")
            self.n_eff = float(total**2 / np.square(w).sum())
            above = np.append(np.cumsum(w[::-1])[::-1], 0.0) / total
            # negative weights make it rise here and there
            self.fractions = np.clip(np.maximum.accumulate(above[::-1])[::-1], 0.0, 1.0)

    def __repr__(self) -> str:
        effective = f", n_eff={self.n_eff:.6g}" if self.weighted else ""
        return f"BackgroundEfficiency(n={self.n}{effective})"

    @property
    def smallest(self) -> float:
        """The smallest efficiency that can be stated, ``1 / (n_eff + 1)``."""
        return 1 / (self.n_eff + 1)

    def __call__(
        self, scores: ArrayLike, columns: Mapping[str, ArrayLike] | None = None
    ) -> NDArray[np.float32]:
        """Background efficiencies of scores, ``(m,)``; NaN for NaN. ``columns`` are not needed."""
        s = np.asarray(scores, dtype=np.float64)
        p = (1 + self.n_eff * self.fractions[np.searchsorted(self.scores, s, side="left")]) / (self.n_eff + 1)
        return np.where(np.isnan(s), np.nan, p).astype(np.float32)

    def working_point(self, efficiency: float) -> WorkingPoint:
        """The smallest threshold whose background efficiency is at most ``efficiency``.

        Raises:
            InputError: if the calibration is too small to state such an efficiency.
        """
        if efficiency < self.smallest:
            needed = math.ceil(1 / efficiency) - 1
            raise InputError(
                f"a background efficiency of {efficiency:g} cannot be stated: the calibration has "
                f"{self.n_eff:.0f} jets, its smallest value is {self.smallest:.2g}; "
                f"calibrate on at least {needed} jets ('jetad calibrate --background FILE')"
            )
        allowed = (efficiency * (self.n_eff + 1) - 1) / self.n_eff
        # fractions fall: the first that is allowed
        i = int(np.argmax(self.fractions <= allowed + 1e-12))
        threshold = (
            -math.inf if i == 0 else float(np.nextafter(np.float32(self.scores[i - 1]), np.float32(np.inf)))
        )
        low, high = binomial_interval(self.fractions[i], self.n_eff)
        return WorkingPoint(efficiency, threshold, float(self.fractions[i]), float(low), float(high))

    def to_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"n": self.n}
        kept = np.arange(len(self.scores))
        if len(kept) > _MAX_KNOTS:
            # the tail as it is, evenly spaced order statistics below
            half = _MAX_KNOTS // 2
            below = np.linspace(0, len(kept) - half, _MAX_KNOTS - half, endpoint=False).astype(int)
            kept = np.concatenate([below, kept[-half:]])
        state["scores"] = self.scores[kept].tolist()
        if self.weighted or len(kept) < self.n:
            state |= {
                "n_eff": self.n_eff,
                "weighted": self.weighted,
                "fractions": self.fractions[kept].tolist(),
            }
        return state

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> BackgroundEfficiency:
        """The inverse of ``to_dict``.

        Raises:
            InputError: naming the value that is missing or makes no sense.
        """
        fields = Fields(state)
        scores = fields.numbers("scores", at_least=2, rising=True)
        new = cls(scores)
        new.n = int(fields.number("n", low=len(scores), whole=True))
        new.n_eff = (
            float(fields.number("n_eff", low=1e-9, high=new.n * (1 + 1e-9))) if "n_eff" in fields else new.n
        )
        new.weighted = fields.values.get("weighted", False) is True
        if "fractions" in fields:
            fractions = fields.numbers("fractions", length=len(scores), low=0, high=1, rising=False)
            new.fractions = np.append(fractions, 0.0)
        elif new.n != len(scores):
            raise InputError(f"'n' is {new.n}, and must be the number of scores, {len(scores)}")
        return new


class Surprise:
    r"""Minus the logarithm of a smooth background efficiency, ``-ln p(s)``: one scale for all detectors.

    Inside the sample p falls linearly between the scores of held-out background; above its 90 % point it
    goes on as an exponential with the mean excess as its scale, so that jets beyond every background jet
    still have an order.

    Arguments:
        scores: Of background held out of the optimisation, ``(n,)``.

    References:
        Pickands, "Statistical inference using extreme order statistics", Ann. Statist. 3 (1975) 119
        (excesses over a high threshold; the exponential is the case of shape 0)
    """

    tail = 0.1

    def __init__(self, scores: ArrayLike) -> None:
        values = _finite_sorted(scores, "the scale of a detector")
        self.threshold = float(np.quantile(values, 1 - self.tail))
        excess = values[values > self.threshold] - self.threshold
        spread = float(values[-1] - values[0])
        self.scale = float(excess.mean()) if len(excess) else spread
        if not self.scale > 0:
            raise InputError("all background jets have the same score; the detector has learned nothing")
        q = np.linspace(0, 1 - self.tail, 1 + min(len(values), 1000))
        knots = np.quantile(values, q)
        self.knots, first = np.unique(knots, return_index=True)
        self.surprises = -np.log1p(-q[first])

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Surprises of scores, ``(m,)``, >= 0; NaN for NaN."""
        s = np.asarray(scores, dtype=np.float64)
        inside = np.interp(s, self.knots, self.surprises)
        beyond = -np.log(self.tail) + (s - self.threshold) / self.scale
        return np.where(s > self.threshold, beyond, inside)

    def to_dict(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "scale": self.scale,
            "knots": self.knots.tolist(),
            "surprises": self.surprises.tolist(),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Surprise:
        """The inverse of ``to_dict``.

        Raises:
            InputError: naming the value that is missing or makes no sense.
        """
        fields, new = Fields(state), cls.__new__(cls)
        new.threshold = float(fields.number("threshold"))
        new.scale = float(fields.number("scale", low=1e-300))
        new.knots = fields.numbers("knots", at_least=1, rising=True)
        new.surprises = fields.numbers("surprises", length=len(new.knots), low=0, rising=True)
        return new
