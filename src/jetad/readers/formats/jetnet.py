"""JetNet HDF5: particles relative to their jet, with a mask, and the jet's own pt, eta and mass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...jets import Jets
from ...jets.kinematics import delta_phi
from ..base import StoredJet
from ..containers.arrays import ArraySource, open_source
from ..paths import nearest, require_container
from ..rows import RowReader

__all__ = ["JetNetReader"]

_N_TRIED, _MAX_FRACTION = 200, 1.5  # rows that are looked at, fraction of pT that no particle of a jet has
_PARTICLES, _JETS = "particle_features", "jet_features"
_JET_COLUMNS = ("jet_pt_file", "jet_eta_file", "jet_mass_file", "jet_n_particles")
_MAX_ROWS = 4_000


class JetNetReader(RowReader[ArraySource]):
    """Reader of JetNet and files laid out like it.

    ``particle_features (n_jets, n, 4)``: eta and phi relative to the jet, pt as a fraction of the jet's,
    and a mask (without the mask, pt = 0 is padding); ``jet_features (n_jets, 3 or 4)``: pt [GeV], eta,
    mass [GeV], number of particles. Jets stand at phi = 0, which the file does not give; particles are
    massless. The class of jets is the name of the file, so there is no truth.

    References:
        Kansal et al., "Particle cloud generation with message passing GANs", 2021, arXiv:2106.11535
    """

    name = "jetnet"
    summary = "JetNet HDF5: particle_features (n, 30 or 150, 4) relative to the jet, and jet_features"
    container = "hdf5"
    seeks = True
    options: ClassVar[Mapping[str, Any]] = {"external": False}

    @contextlib.contextmanager
    def opened(self, path: str | Path) -> Iterator[ArraySource]:
        require_container(path, self.container, self.name)
        with open_source(path, self.container, external=self.settings["external"]) as source:
            assert isinstance(source, ArraySource)
            yield source

    def matches(self, path: str | Path) -> bool:
        with self.opened(path) as source:
            return {_PARTICLES, _JETS} <= set(source.columns()) and _are_relative(source)

    def lacks(self, path: str | Path) -> str:
        return f"no datasets {_PARTICLES} and {_JETS} of particles relative to their jets"

    def contents(self, table: ArraySource, path: str | Path) -> dict[str, Any]:
        shapes = _shapes(table)
        return {
            "container": "HDF5",
            "dataset": _PARTICLES,
            "columns": table.columns(),
            "n_slots": shapes[_PARTICLES][1],
            "observables": _JET_COLUMNS[: shapes[_JETS][1]],
            "notes": ("particles are relative to the jet: it is put at its own pt and eta, and at phi = 0",),
            "stored": StoredJet("jet_pt_file", "jet_eta_file", "jet_mass_file"),
        }

    def rows_at_once(self, table: ArraySource, step: int) -> int:
        return _MAX_ROWS

    def jets(self, table: ArraySource, start: int, stop: int, path: str | Path) -> Jets:
        rows = table.read([_PARTICLES, _JETS], start, stop)
        return _jets(rows[_PARTICLES], rows[_JETS], start)

    def n_rows(self, table: ArraySource, path: str | Path) -> int:
        if not {_PARTICLES, _JETS} <= set(table.columns()):
            found = nearest(_PARTICLES, table.columns())
            raise InputError(f"{path}: {self.lacks(path)}; the file holds {found}")
        shapes = _shapes(table)
        particles, jets = shapes[_PARTICLES], shapes[_JETS]
        if len(particles) != 3 or particles[2] not in (3, 4) or len(jets) != 2 or jets[1] < 3:
            raise InputError(
                f"{path}: {_PARTICLES} has shape {particles} and {_JETS} {jets}, "
                "expected (n, particles, 4) and (n, 4)"
            )
        return table.n_rows([_PARTICLES, _JETS])


def _shapes(source: ArraySource) -> dict[str, tuple[int, ...]]:
    return {name: tuple(map(int, source.arrays[name].shape)) for name in (_PARTICLES, _JETS)}


def _are_relative(source: ArraySource) -> bool:
    """Whether the first particles are parts of their jet: others have datasets of these names, too."""
    shape = _shapes(source)[_PARTICLES]
    if len(shape) != 3 or shape[2] not in (3, 4) or not shape[0]:
        return True  # told of later
    rows = np.asarray(source.arrays[_PARTICLES][: min(_N_TRIED, shape[0])], dtype=np.float64)
    fraction = rows[..., 2][rows[..., -1] > 0.5 if shape[2] == 4 else rows[..., 2] != 0]
    return not len(fraction) or bool(((fraction < -0.01) | (fraction > _MAX_FRACTION)).mean() < 0.3)


def _jets(particles: NDArray[Any], stored: NDArray[Any], first: int) -> Jets:
    with np.errstate(all="ignore"):
        jet_pt, jet_eta = (stored[:, k].astype(np.float64)[:, None] for k in (0, 1))
        eta = particles[..., 0] + jet_eta
        phi = delta_phi(particles[..., 1], 0.0)
        pt = particles[..., 2] * jet_pt
        there = particles[..., 3] > 0.5 if particles.shape[2] == 4 else particles[..., 2] != 0
        return Jets(
            pt=np.asarray(pt[there], dtype=np.float32),
            eta=np.asarray(eta[there], dtype=np.float32),
            phi=np.asarray(phi[there], dtype=np.float32),
            mass=np.zeros(int(there.sum()), dtype=np.float32),
            offsets=np.concatenate([[0], np.cumsum(there.sum(axis=1))]),
            entry=np.arange(first, first + len(stored)),
            observables={
                name: stored[:, k].astype(np.float32)
                for k, name in enumerate(_JET_COLUMNS[: stored.shape[1]])
            },
        )
