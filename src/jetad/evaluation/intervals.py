"""Numbers with their intervals, and the binomial interval behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ONE_SIGMA",
    "Interval",
    "SicPoint",
    "binomial_interval",
    "finite_or_none",
    "nan_if_none",
    "poisson_interval",
]

Floats = NDArray[np.float64]

#: Probability content of one standard deviation of a normal distribution.
ONE_SIGMA = 0.6826894921370859


class Interval(NamedTuple):
    """A number with the two ends of its interval; an infinite ``value`` is known only as ``>= low``."""

    value: float
    low: float
    high: float

    def __repr__(self) -> str:
        return f"Interval(value={self.value:.3g}, low={self.low:.3g}, high={self.high:.3g})"

    def to_dict(self) -> dict[str, float | None]:
        """For JSON: what is infinite or unknown becomes ``None``."""
        return {name: finite_or_none(value) for name, value in self._asdict().items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, float | None]) -> Interval:
        """What ``to_dict`` gave: without ``low`` nothing is known, with it what is missing is infinite."""
        if values["low"] is None:
            return cls(math.nan, math.nan, math.nan)
        value, high = (math.inf if values[name] is None else values[name] for name in ("value", "high"))
        return cls(float(value), float(values["low"]), float(high))  # type: ignore[arg-type]


class SicPoint(NamedTuple):
    """Where ε_S/√ε_B is largest, with its interval at that threshold; NaN if too little background passes."""

    value: float
    low: float
    high: float
    signal_efficiency: float
    background_efficiency: float

    def to_dict(self) -> dict[str, float | None]:
        """For JSON: what is unknown becomes ``None``."""
        return {name: finite_or_none(value) for name, value in self._asdict().items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, float | None]) -> SicPoint:
        """What ``to_dict`` gave."""
        return cls(*(nan_if_none(values[name]) for name in cls._fields))


def binomial_interval(efficiency: ArrayLike, n: float, *, level: float = ONE_SIGMA) -> tuple[Floats, Floats]:
    """Clopper-Pearson interval of k/n, never beyond [0, 1], with coverage of at least ``level``.

    low = B(α/2; k, n - k + 1), high = B(1 - α/2; k + 1, n - k), where B is the quantile of the beta
    distribution and α = 1 - level; low = 0 for k = 0 and high = 1 for k = n.

    Arguments:
        efficiency: Passing fractions k/n, any shape; k need not be whole (weighted jets).
        n: Number of trials, or the effective count n_eff of weighted ones.
        level: Probability content of the central interval.

    Returns:
        Lower and upper ends, same shape.

    References:
        C. Clopper, E. Pearson, "The use of confidence or fiducial limits illustrated in the case of the
        binomial", Biometrika 26 (1934) 404.
    """
    from scipy.special import betaincinv  # takes longer to load than many a command to run

    k = np.clip(np.asarray(efficiency, dtype=np.float64), 0.0, 1.0) * n
    tail = (1.0 - level) / 2.0
    tiny = 1e-9 * max(n, 1.0)
    none, every = k <= tiny, k >= n - tiny
    low = np.where(none, 0.0, betaincinv(np.where(none, 1.0, k), n - k + 1.0, tail))
    high = np.where(every, 1.0, betaincinv(k + 1.0, np.where(every, 1.0, n - k), 1.0 - tail))
    return low, high


def poisson_interval(
    values: ArrayLike, variances: ArrayLike, *, level: float = ONE_SIGMA
) -> tuple[Floats, Floats]:
    """Garwood interval of counts, with coverage of at least ``level``.

    low = G(α/2; n), high = G(1 - α/2; n + 1), where G is the quantile of the gamma distribution and
    α = 1 - level. Weighted counts have n_eff = (sum w)²/sum w² jets of the mean weight.

    Arguments:
        values: Sums of weights, ``(k,)``.
        variances: Sums of squared weights, ``(k,)``.
        level: Probability content of the central interval.

    Returns:
        Lower and upper ends, ``(k,)``; those of nothing are 0 and 1.84 for 68 %.

    References:
        F. Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28 (1936) 437.
    """
    from scipy.special import gammaincinv

    value, variance = (np.asarray(x, dtype=np.float64) for x in (values, variances))
    weight = np.divide(variance, value, out=np.ones_like(value), where=value > 0)
    n = value / weight
    tail = (1.0 - level) / 2.0
    low = np.where(n > 0, gammaincinv(np.where(n > 0, n, 1.0), tail), 0.0)
    return weight * low, weight * gammaincinv(n + 1.0, 1.0 - tail)


def finite_or_none(value: float) -> float | None:
    """The number, or ``None`` for JSON if it is infinite or NaN."""
    return float(value) if math.isfinite(value) else None


def nan_if_none(value: float | None) -> float:
    """The number from JSON, NaN for ``None``."""
    return math.nan if value is None else float(value)
