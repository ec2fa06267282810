"""What a score means: background efficiency on held-out jets, and one scale for several detectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

__all__ = ["BackgroundEfficiency", "Surprise", "flag_name"]

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


class BackgroundEfficiency:
    r"""The fraction of background at least as anomalous as a jet, from jets the detector never saw.

    ``p = (1 + #{s_i >= s}) / (n + 1)``: on fresh background the chance of ``p <= a`` is at most a, for any
    n and any distribution; the smallest value is ``1 / (n + 1)``.

    Arguments:
        scores: Of held-out background, ``(n,)``; non-finite ones are left out.

    References:
        Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World", 2005 (conformal p-values)

    Example:
        >>> BackgroundEfficiency([1.0, 2.0, 3.0])([0.0, 2.0, 9.0]).tolist()
        [1.0, 0.75, 0.25]
    """

    def __init__(self, scores: ArrayLike) -> None:
        self.scores = _finite_sorted(scores, "the calibration")
        self.n = len(self.scores)

    def __repr__(self) -> str:
        return f"BackgroundEfficiency(n={self.n})"

    def __call__(self, scores: ArrayLike) -> NDArray[np.float32]:
        """Background efficiencies of scores, ``(m,)``; NaN for NaN."""
        s = np.asarray(scores, dtype=np.float64)
        # n may be larger than the number of kept order statistics
        above = (len(self.scores) - np.searchsorted(self.scores, s, side="left")) * (
            self.n / len(self.scores)
        )
        p = (1 + above) / (self.n + 1)
        return np.where(np.isnan(s), np.nan, p).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        kept = self.scores
        if len(kept) > _MAX_KNOTS:
            kept = kept[np.linspace(0, len(kept) - 1, _MAX_KNOTS).round().astype(int)]
        return {"n": self.n, "scores": kept.tolist()}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> BackgroundEfficiency:
        new = cls(state["scores"])
        new.n = int(state["n"])
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
    def from_dict(cls, state: dict[str, Any]) -> Surprise:
        new = cls.__new__(cls)
        new.threshold, new.scale = float(state["threshold"]), float(state["scale"])
        new.knots, new.surprises = np.asarray(state["knots"]), np.asarray(state["surprises"])
        return new
