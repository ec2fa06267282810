"""How much background passes, from the jets that do not: the transfer factor and whether it is one number."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..evaluation.intervals import finite_or_none
from .histogram import Histogram

__all__ = ["Transfer", "measure"]

Floats = NDArray[np.float64]

_LEAST = 5.0  # selected jets that a bin must be expected to hold for the chi-square


class Transfer(NamedTuple):
    """Selected jets for one anti-selected jet, in bins without signal; errors are relative to the value.

    ``statistical`` is that of the jets counted. ``closure`` is the spread of the factor from bin to bin
    beyond what their number explains, 0 if they explain all. ``chi2`` is that of one factor for all bins;
    ``ndf`` is 0 where there are too few jets for it.
    """

    value: float
    statistical: float
    closure: float
    chi2: float
    ndf: int
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON; what is unknown is ``None``."""
        return {name: finite_or_none(value) for name, value in self._asdict().items()}


def measure(selected: Histogram, anti: Histogram, control: NDArray[np.bool_], what: str) -> Transfer:
    r"""The transfer factor from the bins of a control region.

    f = P/A with P selected and A anti-selected jets, and its relative error squared is
    :math:`\sum_P w^2/P^2 + \sum_A w^2/A^2`. For the spread, the share of selected jets in bin i is compared
    with that of all: its variance is :math:`\varepsilon (1-\varepsilon) \sum_i w^2 / (\sum_i w)^2`. The
    spread beyond it is estimated by the method of moments.

    Arguments:
        selected: Jets that pass.
        anti: Jets that do not.
        control: Bins to count in, ``(k,)``.
        what: The quantity, for messages.

    Raises:
        InputError: if there are no selected or no anti-selected jets there.

    References:
        DerSimonian, Laird, "Meta-analysis in clinical trials", Control. Clin. Trials 7 (1986) 177
    """
    p, a = selected.values()[control], anti.values()[control]
    p2, a2 = selected.variances()[control], anti.variances()[control]
    for name, jets in (("anti-selected", a), ("selected", p)):
        if not jets.sum() > 0:
            raise InputError(
                f"there are no {name} jets to measure the transfer factor with"
                f"{'' if control.all() else f', outside of the window of {what}'}; "
                + ("cut harder" if name[0] == "a" else "cut less hard, or give more jets")
            )
    value = float(p.sum() / a.sum())
    statistical = math.sqrt(p2.sum() / p.sum() ** 2 + a2.sum() / a.sum() ** 2)
    closure, chi2, ndf, p_value = _spread(p, p + a, p2 + a2)
    return Transfer(value, statistical, closure, chi2, ndf, p_value)


def pulls(selected: Histogram, anti: Histogram, transfer: Transfer) -> Floats:
    """Selected minus estimated jets over the error of the difference, ``(k,)``; NaN for empty bins."""
    share = transfer.value / (1 + transfer.value)
    p, a = selected.values(), anti.values()
    variance = share * (1 - share) * (selected.variances() + anti.variances())
    found = np.full(len(p), np.nan)
    np.divide(p - share * (p + a), np.sqrt(variance), out=found, where=variance > 0)
    return found


def _spread(p: Floats, n: Floats, n2: Floats) -> tuple[float, float, int, float]:
    """Relative spread of f beyond statistics, chi-square, degrees of freedom, and its p-value."""
    share = float(p.sum() / n.sum())
    p, n, n2 = _merged(p, n, n2, share)
    ndf = len(p) - 1
    if ndf < 1 or not share < 1:
        return 0.0, math.nan, 0, math.nan
    variance = share * (1 - share) * n2 / n**2
    weight = 1 / variance
    mean = float(np.sum(weight * p / n) / weight.sum())
    chi2 = float(np.sum(weight * (p / n - mean) ** 2))
    beyond = (chi2 - ndf) / float(weight.sum() - np.sum(weight**2) / weight.sum())
    # with e the share, f = e/(1 - e), and df/f = de/(e (1 - e))
    closure = math.sqrt(max(beyond, 0.0)) / (share * (1 - share))
    from scipy.special import gammaincc  # takes longer to load than many a command to run

    return closure, chi2, ndf, float(gammaincc(ndf / 2, chi2 / 2))


def _merged(p: Floats, n: Floats, n2: Floats, share: float) -> tuple[Floats, Floats, Floats]:
    """Neighbouring bins put together until each is expected to hold a few selected jets."""
    effective = np.divide(n**2, n2, out=np.zeros_like(n), where=n2 > 0)
    groups = [0]
    held = 0.0
    for k in range(len(n)):
        if held * share >= _LEAST:
            groups.append(k)
            held = 0.0
        held += effective[k]
    if held * share < _LEAST and len(groups) > 1:
        groups.pop()
    return tuple(np.add.reduceat(x, groups) for x in (p, n, n2))  # type: ignore[return-value]
