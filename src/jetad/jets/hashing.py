"""Hashes of jets, by which the same jet is known in two files."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .collection import Jets

__all__ = ["jet_hashes"]


def jet_hashes(jets: Jets) -> NDArray[np.uint64]:
    """64-bit hash of the (pt, eta, phi) bits of a jet's constituents, ``(n_jets,)``; 0 for an empty jet.

    Where the file has none, of the jet's pixels or of its stored momentum and observables.

    Sum modulo 2^64 of a mixed word per constituent, so that a jet with re-sorted constituents is the
    same jet. Chance collisions: n^2 / 2^65, about 1e-7 for a million jets.
    """
    if not jets.has_constituents:
        return _row_hashes(jets)
    # + 0.0 turns -0.0 into 0.0
    pt, eta, phi = (
        (v + np.float32(0)).view(np.uint32).astype(np.uint64) for v in (jets.pt, jets.eta, jets.phi)
    )
    word = _mix(_mix(pt | eta << np.uint64(32)) ^ phi)
    hashes = np.zeros(len(jets), dtype=np.uint64)
    filled = jets.n_constituents > 0
    if filled.any():
        hashes[filled] = np.add.reduceat(word, jets.offsets[:-1][filled])
    return hashes


def _row_hashes(jets: Jets) -> NDArray[np.uint64]:
    """Of numbers in a fixed order: each word is mixed with what came before."""
    columns: list[NDArray[Any]] = []
    if jets.jet_momenta is not None:
        columns.extend(jets.jet_momenta.T)
    if jets.images is not None:
        columns.extend(jets.images.reshape(len(jets), math.prod(jets.images.shape[1:])).T)
    hashes = np.full(len(jets), 1, dtype=np.uint64)
    for values in columns:
        word = (values + np.float32(0)).astype(np.float32).view(np.uint32).astype(np.uint64)
        hashes = _mix(hashes ^ word)
    return hashes


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): an input bit flips half of the output."""
    x = (x + np.uint64(0x9E3779B97F4A7C15)) & np.uint64(0xFFFFFFFFFFFFFFFF)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed
