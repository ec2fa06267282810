"""A statistical model of the window for pyhf, and what pyhf makes of it."""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..evaluation.intervals import finite_or_none
from ..extras import needing
from .rootfile import root_name
from .spectrum import Spectrum

__all__ = ["Limit", "upper_limit", "workspace"]

_POINTS = 24  # of the scan for limits
_DOUBLINGS = 8  # of its end, where the limit is further off than its errors say
_ROOM = 4.0  # how far above the end of the scan a fit may go


def workspace(spectrum: Spectrum, signal: str) -> dict[str, Any]:
    """The window as a pyhf workspace: one channel, its background with errors, and the signal times ``mu``.

    The background has the numbers of anti-selected jets as Poisson constraints, one a bin (``shapesys``), and
    the errors of the transfer factor on all bins (``normsys``). The signal is what it adds beyond what it
    adds to the background expected (:meth:`Spectrum.net`), with the error of its number of jets.

    Arguments:
        spectrum: With a window.
        signal: Name of one of its signals.

    Returns:
        What ``json.dump`` writes for pyhf, cabinetry and others.

    Raises:
        InputError: without a window or signal, if no signal is in the window, or if a bin of the window has
            no anti-selected jets.
    """
    if signal not in spectrum.signals:
        raise InputError(f"'{signal}' is no signal; there are: {', '.join(spectrum.signals) or 'none'}")
    if spectrum.window is None:
        raise InputError(
            "a limit needs a window (--window LOW,HIGH): what is outside measures the background"
        )
    inside = spectrum.inside
    background, net = spectrum.background.cropped(inside), spectrum.net(signal).cropped(inside)
    empty = np.flatnonzero(background.values() <= 0)
    if len(empty):
        low, high = background.edges[empty[0]], background.edges[empty[0] + 1]
        raise InputError(
            f"the bin of {spectrum.variable} from {low:g} to {high:g} has no anti-selected jets, and so no "
            "background; take wider bins in the window"
        )
    total = float(net.values().sum())
    if not total > 0:
        raise InputError(
            f"signal '{signal}' adds nothing to the window that it does not add to the background as well; "
            "choose another window or cut"
        )
    modifiers = [{"name": "anti_selected", "type": "shapesys", "data": background.errors.tolist()}]
    modifiers += [
        {"name": name, "type": "normsys", "data": {"hi": math.exp(size), "lo": math.exp(-size)}}
        for name, size in spectrum.shared_errors().items()
    ]
    counts = spectrum.counts
    reach = max(counts.observed - counts.background, 0.0) + 5 * math.hypot(
        math.sqrt(counts.background), counts.error
    )
    return {
        "channels": [
            {
                "name": "window",
                "samples": [
                    {"name": "background", "data": background.values().tolist(), "modifiers": modifiers},
                    {
                        "name": root_name(signal),
                        "data": net.values().tolist(),
                        "modifiers": [
                            {"name": "mu", "type": "normfactor", "data": None},
                            {"name": "staterror_window", "type": "staterror", "data": net.errors.tolist()},
                        ],
                    },
                ],
            }
        ],
        "observations": [
            {"name": "window", "data": spectrum.data.selected.cropped(inside).values().tolist()}
        ],
        "measurements": [
            {
                "name": "limit",
                "config": {
                    "poi": "mu",
                    "parameters": [
                        {"name": "mu", "inits": [1.0], "bounds": [[0.0, _ROOM * (reach + 10) / total]]}
                    ],
                },
            }
        ],
        "version": "1.0.0",
    }


class Limit(NamedTuple):
    """Upper limit on a signal at 95 % CLs, in numbers of ``jets`` expected before the cut.

    ``expected`` holds what background alone would give: -2, -1, 0, 1, 2 standard deviations. ``mu`` is the
    limit in units of the signal as it was scaled, ``significance`` that of discovery.
    """

    observed: float
    expected: tuple[float, float, float, float, float]
    mu: float
    significance: float

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "observed": finite_or_none(self.observed),
            "expected": [finite_or_none(value) for value in self.expected],
            "mu": finite_or_none(self.mu),
            "significance": finite_or_none(self.significance),
        }


def upper_limit(spectrum: Spectrum, signal: str, *, level: float = 0.05) -> Limit:
    """Asymptotic CLs limit on a signal, by pyhf.

    Arguments:
        spectrum: With a window.
        signal: Name of one of its signals.
        level: 1 - confidence.

    Raises:
        MissingPackageError: without pyhf.
        InputError: as :func:`workspace`, or if the fit fails.

    References:
        Read, J. Phys. G 28 (2002) 2693 (CLs); Cowan et al., Eur. Phys. J. C 71 (2011) 1554, arXiv:1007.1727
    """
    specification = workspace(spectrum, signal)
    with needing("stats", "limits need pyhf"):
        import pyhf
    sample = spectrum.signals[signal]
    jets = float(sample.all.contents.sum())
    with _quiet(pyhf):
        work = pyhf.Workspace(specification)
        model = work.model()
        data = work.data(model)
        for minimise in (pyhf.optimize.scipy_optimizer, pyhf.optimize.minuit_optimizer):
            # the first is faster, the second finds its way where errors are larger than the background
            pyhf.set_backend("numpy", minimise())
            try:
                observed, *expected = _crossings(pyhf, model, data, level)
                p_value = float(pyhf.infer.hypotest(0.0, data, model, test_stat="q0"))
                break
            except (pyhf.exceptions.FailedMinimization, ValueError) as problem:
                reason = str(problem).splitlines()[0]
        else:
            raise InputError(
                f"signal '{signal}': pyhf finds no limit ({reason}); take wider bins or another window"
            )
    from scipy.stats import norm

    low2, low1, middle, high1, high2 = (jets * mu for mu in expected)
    significance = float(norm.isf(p_value))
    return Limit(jets * observed, (low2, low1, middle, high1, high2), observed, significance)


def _crossings(pyhf: Any, model: Any, data: Any, level: float) -> list[float]:
    """Where CLs, observed and the five expected ones, falls below ``level``; between points in its logarithm.

    Points of a grid are enough: the search of pyhf itself takes ten times as many fits for the third digit.
    """
    bounds, poi = list(model.config.suggested_bounds()), model.config.poi_index
    first = bounds[poi][1] / _ROOM

    def cls(mu: float) -> list[float]:
        value, band = pyhf.infer.hypotest(mu, data, model, par_bounds=bounds, return_expected_set=True)
        return [float(value), *map(float, band)]

    for doubled in range(_DOUBLINGS):
        top = first * 2**doubled
        bounds[poi] = (0.0, _ROOM * top)
        if max(cls(top)) < level:
            break
    else:
        raise ValueError("CLs does not fall, however much signal there is: has it enough simulated jets?")
    grid = np.geomspace(first / 20, top, _POINTS + 5 * doubled)
    found = np.array([cls(mu) for mu in grid])
    grid = np.concatenate([[0.0], grid])
    logs = np.log(np.maximum(np.vstack([np.ones(6), found]), 1e-300))
    # the last point above the level, and the next one
    above = [int(np.flatnonzero(curve >= math.log(level))[-1]) for curve in logs.T]
    return [
        float(np.interp(-math.log(level), -logs[k : k + 2, i], grid[k : k + 2])) for i, k in enumerate(above)
    ]


@contextlib.contextmanager
def _quiet(pyhf: Any) -> Iterator[None]:
    """Without the remarks of the minimiser on values that it tries; the backend is put back afterwards."""
    logger, backend = logging.getLogger("pyhf"), pyhf.get_backend()
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        pyhf.set_backend(*backend)
