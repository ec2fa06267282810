"""What the columns of a mapping hold: numbers, momenta, truth."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..jets.kinematics import cylindrical, delta_phi
from .base import labels_of
from .columnmap import FourMomentumColumns, LabelMap
from .particles import masses_of

__all__ = [
    "column_of",
    "is_filling",
    "momenta_of",
    "numbers_of",
    "plain_column",
    "require_energies",
    "truth_of",
]

# of the momentum, where columns are right but rounded; and the part of the particles that may have less
_LEAST_ENERGY, _FEW_WRONG = 0.98, 0.2


def momenta_of(
    four: FourMomentumColumns, columns: Mapping[str, NDArray[Any]], n: int, jet: NDArray[Any] | None = None
) -> tuple[NDArray[Any], ...]:
    """(pt, eta, phi, mass), each ``(n,)``, from columns by name.

    Arguments:
        four: Which columns are what.
        columns: Name -> ``(n,)``.
        n: How many.
        jet: (pt, eta, phi, mass) of the jet of each, for relative columns.
    """

    def column(name: str | None) -> NDArray[np.float64] | None:
        return None if name is None else columns[name].astype(np.float64)

    weight = column(four.weight)
    scale: Any = 1.0 if weight is None else weight
    mass = column(four.mass) if isinstance(four.mass, str) else np.full(n, float(four.mass))
    assert mass is not None
    if four.pid is not None and four.mass == 0.0:
        mass = masses_of(columns[four.pid])
    energy = column(four.E)
    if four.px is not None:
        px, py, pz = (columns[str(name)].astype(np.float64) for name in (four.px, four.py, four.pz))
        if energy is None:
            energy = np.sqrt(px**2 + py**2 + pz**2 + mass**2)
        return cylindrical(energy * scale, px * scale, py * scale, pz * scale)
    pt, eta, phi, rapidity = (column(name) for name in (four.pt, four.eta, four.phi, four.y))
    if pt is None or (eta is None and rapidity is None) or phi is None:
        jet_pt, jet_eta, jet_phi = np.zeros((3, n)) if jet is None else jet[:, :3].T.astype(np.float64)
        if pt is None:
            pt = columns[str(four.pt_fraction)] * jet_pt
        if eta is None and rapidity is None:
            eta = columns[str(four.deta)] + jet_eta.astype(np.float64)
        if phi is None:
            phi = np.zeros(n)
            if four.dphi:
                phi = delta_phi(columns[four.dphi] + jet_phi, 0.0).astype(np.float64)
    if rapidity is not None:
        eta = np.arcsinh(np.sinh(rapidity) * np.sqrt(1 + (mass / np.where(pt == 0, 1, pt)) ** 2))
    if energy is not None:
        mass = np.sqrt(np.maximum(energy**2 - (pt * np.cosh(eta)) ** 2, 0))  # type: ignore[arg-type]
    return pt * scale, eta, phi, mass * scale  # type: ignore[return-value]


def require_energies(
    four: FourMomentumColumns, columns: Mapping[str, NDArray[Any]], path: str | Path
) -> None:
    """Refuse energies that are smaller than the momenta: the columns must be exchanged.

    Raises:
        InputError: if more than a fifth of the particles have such a one.
    """
    if four.E is None or not (four.px or (four.pt and four.eta)):
        return
    with np.errstate(all="ignore"):
        energy = columns[four.E].astype(np.float64)
        if four.px:
            parts = [columns[str(name)].astype(np.float64) for name in (four.px, four.py, four.pz)]
            names, momentum = f"{four.px}, {four.py}, {four.pz}", np.sqrt(sum(part**2 for part in parts))
        else:
            names = f"{four.pt}, {four.eta}"
            momentum = columns[str(four.pt)].astype(np.float64) * np.cosh(
                columns[str(four.eta)].astype(np.float64)
            )
        known = (momentum > 0) & np.isfinite(momentum) & np.isfinite(energy)
        wrong = known & (energy < _LEAST_ENERGY * momentum)
    n, n_wrong = int(known.sum()), int(wrong.sum())
    if n_wrong > _FEW_WRONG * n:
        raise InputError(
            f"{path}: the energy '{four.E}' is smaller than the momentum ({names}) of {n_wrong} of {n} "
            "particles: columns are exchanged in the mapping, or in other units"
        )


def truth_of(truth: LabelMap, per_jet: Callable[[str], NDArray[Any]]) -> NDArray[np.int8]:
    """0 background, 1 signal, -1 unknown."""
    if truth.column:
        values = per_jet(truth.column)
        is_signal, is_background = np.isin(values, truth.signal), np.isin(values, truth.background)
    else:
        one_hot = [
            np.any([per_jet(n) == 1 for n in names], axis=0) if names else None
            for names in (truth.signal_columns, truth.background_columns)
        ]
        is_signal = ~one_hot[1] if one_hot[0] is None else one_hot[0]  # type: ignore[operator]
        is_background = ~is_signal if one_hot[1] is None else one_hot[1]
    return labels_of(is_signal, is_background)


_INDEX = re.compile(r"\[(\d+)(, *:)?\]$")


def plain_column(name: str) -> str:
    """The column of the file that ``name[2]`` is a part of."""
    return _INDEX.sub("", name)


def is_filling(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether slots ``(..., features)`` are only filled up: all NaN, or all one negative number, as -999."""
    first = values[..., :1]
    with np.errstate(invalid="ignore"):
        same = (values == first) & (first < 0)
    filling: NDArray[np.bool_] = (same | ((values != values) & (first != first))).all(axis=-1)
    return filling


def column_of(rows: Mapping[str, Any], name: str) -> Any:
    """A column as an awkward array; ``name[2]`` takes along the last axis, ``name[2, :]`` the one before."""
    import awkward as ak

    array = rows[plain_column(name)]
    match = _INDEX.search(name)
    if match and name not in rows:
        array = array[..., int(match[1]), :] if match[2] else array[..., int(match[1])]
    if isinstance(array, np.ndarray):
        array = ak.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False), regulararray=True)
        return ak.from_regular(array, axis=None)
    return ak.from_regular(array, axis=None)


def numbers_of(values: NDArray[Any], name: str, path: str | Path) -> NDArray[Any]:
    """A copy of a column; InputError unless it holds numbers."""
    if values.dtype.kind not in "fiub":
        raise InputError(f"{path}: column '{name}' holds {values.dtype}, expected numbers")
    return np.array(values)
