"""Jets as another detector, calibration or pile-up would have measured them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..jets import Jets
from ..jets.kinematics import delta_phi

__all__ = ["DISTORTIONS", "Distortion", "distort"]


class Distortion(NamedTuple):
    """A change of the constituents: what it is, and the function that makes it."""

    description: str
    apply: Callable[[Jets, np.random.Generator], Jets]


def _scaled(factor: float) -> Callable[[Jets, np.random.Generator], Jets]:
    def apply(jets: Jets, generator: np.random.Generator) -> Jets:
        return dataclasses.replace(jets, pt=jets.pt * factor, mass=jets.mass * factor)

    return apply


def _smeared(jets: Jets, generator: np.random.Generator) -> Jets:
    factor = np.clip(1 + 0.05 * generator.normal(size=len(jets.pt)), 0.05, None).astype(np.float32)
    return dataclasses.replace(jets, pt=jets.pt * factor, mass=jets.mass * factor)


def _angles(jets: Jets, generator: np.random.Generator) -> Jets:
    shift = 0.01 * generator.normal(size=(2, len(jets.pt)))
    return dataclasses.replace(jets, eta=jets.eta + shift[0], phi=_wrapped(jets.phi + shift[1]))


def _without_soft(jets: Jets, generator: np.random.Generator) -> Jets:
    keep = ~(jets.pt < 1.0)  # NaN stays, to be reported when it is scored
    counts = np.bincount(jets.jet_index[keep], minlength=len(jets))
    return _with_constituents(jets, {name: v[keep] for name, v in _columns(jets).items()}, counts)


def _with_radiation(jets: Jets, generator: np.random.Generator) -> Jets:
    """Poisson(5) constituents without mass and charge, exponential pT (mean 1 GeV), uniform in R < 0.8."""
    extra = np.where(jets.n_constituents > 0, generator.poisson(5.0, len(jets)), 0)
    owner = np.repeat(np.arange(len(jets)), extra)
    n = len(owner)
    radius, angle = 0.8 * np.sqrt(generator.uniform(size=n)), generator.uniform(0, 2 * np.pi, n)
    added = {
        "pt": generator.exponential(1.0, n),
        "eta": jets.jet_eta[owner] + radius * np.cos(angle),
        "phi": _wrapped(jets.jet_phi[owner] + radius * np.sin(angle)),
        "mass": np.zeros(n),
        "charge": np.zeros(n),
    }
    order = np.argsort(np.concatenate([jets.jet_index, owner]), kind="stable")
    columns = {name: np.concatenate([values, added[name]])[order] for name, values in _columns(jets).items()}
    return _with_constituents(jets, columns, jets.n_constituents + extra)


def _rotated(jets: Jets, generator: np.random.Generator) -> Jets:
    """Every jet turned about its axis by an angle of its own."""
    angle = generator.uniform(0, 2 * np.pi, len(jets))[jets.jet_index]
    axis_eta, axis_phi = jets.jet_eta[jets.jet_index], jets.jet_phi[jets.jet_index]
    x, y = jets.eta - axis_eta, delta_phi(jets.phi, axis_phi)
    c, s = np.cos(angle), np.sin(angle)
    return dataclasses.replace(jets, eta=axis_eta + c * x - s * y, phi=_wrapped(axis_phi + s * x + c * y))


def _shifted(jets: Jets, generator: np.random.Generator) -> Jets:
    return dataclasses.replace(jets, eta=jets.eta + 0.029, phi=_wrapped(jets.phi + 0.035))


#: By name; a detector should not care about the last two at all.
DISTORTIONS = {
    "scale +1 %": Distortion("energy scale of all constituents up by 1 %", _scaled(1.01)),
    "scale -1 %": Distortion("energy scale of all constituents down by 1 %", _scaled(0.99)),
    "pT smearing": Distortion("pT of every constituent smeared by 5 %", _smeared),
    "angular smearing": Distortion("eta and phi of every constituent smeared by 0.01", _angles),
    "no soft": Distortion("constituents below 1 GeV dropped", _without_soft),
    "soft radiation": Distortion("5 soft constituents a jet added (mean pT 1 GeV, R < 0.8)", _with_radiation),
    "rotation": Distortion("jets turned about their axis", _rotated),
    "pixel shift": Distortion("jets moved by one pixel, (0.029, 0.035)", _shifted),
}


def distort(jets: Jets, name: str, seed: int = 1) -> Jets:
    """The jets after one of ``DISTORTIONS``; rows, truth and bookkeeping stay, the argument, too."""
    return DISTORTIONS[name].apply(jets, np.random.default_rng([seed, list(DISTORTIONS).index(name)]))


def _wrapped(phi: NDArray[Any]) -> NDArray[Any]:
    return delta_phi(phi, 0.0)


def _columns(jets: Jets) -> dict[str, NDArray[Any]]:
    """Everything that jets have per constituent."""
    names = ("pt", "eta", "phi", "mass", *(["charge"] if jets.charge is not None else []))
    return {name: getattr(jets, name) for name in names}


def _with_constituents(jets: Jets, columns: dict[str, NDArray[Any]], counts: NDArray[Any]) -> Jets:
    offsets = np.concatenate([[0], np.cumsum(counts)])
    changed: dict[str, Any] = {**columns, "offsets": offsets}
    return dataclasses.replace(jets, **changed)
