"""Numbers that say how far a cut or a score depends on a variable."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..scores import Scores

__all__ = ["jensen_shannon", "rank_correlation", "threshold_at"]

Floats = NDArray[np.float64]


def threshold_at(scores: Scores, efficiency: float) -> float:
    """The lowest cut that lets at most this (weighted) fraction of the jets pass; ties pass together.

    Infinite if even the most anomalous jet is too much.
    """
    good = ~np.isnan(scores.score)
    values = scores.score[good].astype(np.float64)
    weight = np.ones(len(values)) if scores.weight is None else scores.weight[good]
    order = np.argsort(-values, kind="stable")
    values = values[order]
    end = np.flatnonzero(np.append(values[1:] != values[:-1], True)) if len(values) else np.zeros(0, int)
    passing = np.cumsum(weight[order])[end] / weight.sum() if len(values) else np.zeros(0)
    allowed = np.flatnonzero(passing <= efficiency + 1e-9)
    return float(values[end[allowed[-1]]]) if len(allowed) else math.inf


def jensen_shannon(p: ArrayLike, q: ArrayLike) -> float:
    """Jensen-Shannon divergence of two histograms in bits: 0 for equal shapes, 1 for disjoint ones.

    JSD = (KL(p, m) + KL(q, m))/2 with m = (p + q)/2 and both normalised.

    References:
        J. Lin, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 37 (1991) 145.

    Example:
        >>> jensen_shannon([1, 1, 0], [0, 0, 5])
        1.0
    """
    first, second = (np.clip(np.asarray(x, dtype=np.float64), 0, None) for x in (p, q))
    if first.sum() <= 0 or second.sum() <= 0:
        return math.nan
    first, second = first / first.sum(), second / second.sum()
    m = (first + second) / 2

    def relative(a: Floats) -> float:
        on = a > 0
        return float(np.sum(a[on] * np.log2(a[on] / m[on])))

    return max(0.0, (relative(first) + relative(second)) / 2)


def rank_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank correlation of two arrays, NaN left out; NaN for fewer than 3 or constant ones."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    good = ~(np.isnan(a) | np.isnan(b))
    if good.sum() < 3:
        return math.nan
    x, y = _ranks(a[good]), _ranks(b[good])
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(x: NDArray[Any]) -> Floats:
    """Ranks from 1 on, the mean rank where values are equal, ``(n,)``."""
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(count) - (count - 1) / 2.0)[place]
    return ranks
