"""Arrays that may be four-momenta, by the ranges of their numbers and the mass shell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..columnvalues import is_filling
from ..containers.arrays import ArraySource
from .names import N_ROWS, Guess

__all__ = ["array_guesses", "on_shell"]

_MAX_FEATURES = 32  # numbers a particle


def array_guesses(source: ArraySource) -> Iterator[Guess]:
    """Arrays (n, particles, features) or (n, features, particles) as constituents, (n, features) as jets.

    Which number is which follows from ranges and from the mass shell, E^2 >= p^2.
    """
    names = [n for n, a in source.arrays.items() if a.dtype.kind in "fiu" and n in source.columns()]
    inside: dict[str, dict[str, str]] = {}  # relative to a jet, by array
    for name in names:
        array = source.arrays[name]
        if len(array.shape) not in (3, 4) or not min(array.shape):
            continue
        rows = np.asarray(array[: min(N_ROWS, array.shape[0])], dtype=np.float64)
        rows = rows.reshape(-1, *rows.shape[-2:])  # of events with several jets, their jets
        for axis in (2, 1):
            if not 3 <= rows.shape[axis] <= _MAX_FEATURES:
                continue
            slots = rows if axis == 2 else np.swapaxes(rows, 1, 2)
            end = "]" if axis == 2 else ", :]"
            for mask, there in _masks(source, slots, array, f"{name}[", end):
                for roles in _roles(slots[there]):
                    four = {r: f"{name}[{i}{end}" for r, i in roles.items()}
                    yield Guess(f"'{name}'", {"constituents": {**four, "mask": mask}})
            filled = (slots != 0).any(axis=2) & np.isfinite(slots).all(axis=2) & ~is_filling(slots)
            for roles in _roles(slots[filled]):
                yield Guess(f"'{name}'", {"constituents": {r: f"{name}[{i}{end}" for r, i in roles.items()}})
            if relative := _relative(np.where(filled[..., None], slots, 0)):
                inside[name] = {r: f"{name}[{i}{end}" for r, i in relative.items()}
    jets = []
    for name in names:
        array = source.arrays[name]
        if len(array.shape) == 2 and 3 <= array.shape[1] <= _MAX_FEATURES and array.shape[0]:
            rows = np.asarray(array[: min(N_ROWS, array.shape[0])], dtype=np.float64)
            for roles in _roles(rows[np.isfinite(rows).all(axis=1)]):
                jets.append(Guess(f"'{name}'", {"jets": {r: f"{name}[{i}]" for r, i in roles.items()}}))
    for jet in jets:
        for name, four in inside.items():
            yield Guess(f"'{name}' in {jet.what}", {**jet.keys, "constituents": four})
    yield from jets


def _masks(
    source: ArraySource, slots: NDArray[np.float64], array: Any, start: str, end: str
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Columns that say which slots ``(n, particles)`` are filled: arrays beside, or features of 1, then 0."""
    whole = (*array.shape[:-2], slots.shape[1])
    for name, other in source.arrays.items():
        if other.shape == whole and other.dtype.kind in "biuf":
            there = np.asarray(other[: min(N_ROWS, array.shape[0])]).reshape(slots.shape[:2])
            if np.isin(there, (0, 1)).all() and (re.search("mask|valid", name.lower()) or _fills(there)):
                yield name, there == 1
    for i in range(slots.shape[2]):
        if np.isin(slots[..., i], (0, 1)).all() and _fills(slots[..., i]):
            yield f"{start}{i}{end}", slots[..., i] == 1


def _fills(there: NDArray[Any]) -> bool:
    """Whether rows of 0 and 1 begin with 1 and change once, some of them at least."""
    return bool(
        (np.diff(there.astype(np.int8), axis=1) <= 0).all() and (there == 1).any() and (there == 0).any()
    )


def _relative(slots: NDArray[np.float64]) -> dict[str, int] | None:
    """Where ``(n, particles, features)`` has pt_fraction, deta, dphi: parts of a whole, and small angles."""
    n_features = slots.shape[2]
    for i in range(n_features - 2):
        for order in (("pt_fraction", "deta", "dphi"), ("deta", "dphi", "pt_fraction")):
            places = dict(zip(order, range(i, i + 3), strict=True))
            part, deta, dphi = (slots[..., places[k]] for k in ("pt_fraction", "deta", "dphi"))
            whole = part.sum(axis=1)
            small = all((np.abs(v) < 3.2).all() and (v < 0).any() and (v > 0).any() for v in (deta, dphi))
            if (part >= 0).all() and 0.5 < np.median(whole) < 1.2 and whole.max() < 2 and small:
                return places
    return None


def _roles(values: NDArray[np.float64]) -> Iterator[dict[str, int]]:
    """Ways to read ``(n, features)`` as four-momenta: role -> position."""
    n_features = values.shape[1]
    if len(values) < 3:
        return
    for i in range(n_features - 3):
        for roles in (dict(zip(("E", "px", "py", "pz"), range(i, i + 4), strict=True)),
                      dict(zip(("px", "py", "pz", "E"), range(i, i + 4), strict=True))):  # fmt: skip
            if on_shell(values[:, [roles[k] for k in ("E", "px", "py", "pz")]]):
                yield roles
    for i in range(n_features - 2):
        for order in (("pt", "eta", "phi"), ("eta", "phi", "pt"), ("pt", "phi", "eta")):
            places = dict(zip(order, range(i, i + 3), strict=True))
            pt, eta, phi = (values[:, places[k]] for k in ("pt", "eta", "phi"))
            if _cylindrical(pt, eta, phi):
                yield {**places, **_fourth(values, i + 3, pt, eta)}


def on_shell(values: NDArray[np.float64]) -> bool:
    """Whether columns are (E, px, py, pz): E >= |p|, and of light particles nearly equal."""
    energy, momenta = values[:, 0], values[:, 1:]
    if (energy <= 0).any() or (momenta == 0).all(axis=0).any() or not (momenta < 0).any():
        return False
    p = np.sqrt((momenta**2).sum(axis=1))
    return bool((energy >= p * (1 - 1e-3)).mean() > 0.995 and np.median((energy - p) / energy) < 0.3)


def _cylindrical(pt: NDArray[np.float64], eta: NDArray[np.float64], phi: NDArray[np.float64]) -> bool:
    in_phi = (np.abs(phi) <= 3.2).all() or ((phi >= 0) & (phi <= 6.3)).all()
    whole = all(np.array_equal(v, np.round(v)) for v in (eta, phi))
    sided = (eta < 0).any() and (eta > 0).any() and len(np.unique(phi)) > 2
    return bool(
        (pt >= 0).all() and pt.max() > 1.5 and (np.abs(eta) < 7).all() and in_phi and sided and not whole
    )


def _fourth(values: NDArray[np.float64], place: int, pt: Any, eta: Any) -> dict[str, int]:
    """What stands behind (pt, eta, phi): the energy, the ids of the particles, the mass, or else."""
    if place >= values.shape[1]:
        return {}
    fourth = values[:, place]
    p = pt * np.cosh(eta)
    if (fourth >= p * (1 - 1e-3)).mean() > 0.995 and np.median(fourth / np.where(p > 0, p, 1)) < 1.5:
        return {"E": place}
    if np.isin(np.abs(fourth), (11, 13, 22, 130, 211, 310, 321, 2112, 2212)).mean() > 0.95:
        return {"pid": place}
    is_mask = np.isin(fourth, (0, 1)).all()
    return {"mass": place} if values.shape[1] == 4 and (fourth >= 0).all() and not is_mask else {}
