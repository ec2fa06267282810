"""LHC Olympics HDF5: events of 700 particles, clustered into their leading jets while they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...jets import Jets
from ..base import BaseReader, FileSummary, nearest, reading, require_container
from ..clustering import cluster
from ..containers.hdf5 import Frame, check_frame, choose_frame, find_frames, open_hdf5

__all__ = ["LHCOReader"]

_N_PARTICLES = 700
_WIDTHS = (3 * _N_PARTICLES, 3 * _N_PARTICLES + 1)
_MAX_EVENTS = 500  # about 17 MB of numbers, most of them padding


class LHCOReader(BaseReader):
    """Reader of the LHC Olympics 2020 data sets.

    A pandas frame of 2100 columns, 700 massless particles as (pt, eta, phi) [GeV] with zeros as padding,
    and perhaps a last one with the truth. Every event is clustered with FastJet (anti-kT, ``radius``); its
    ``n_jets`` hardest jets come out, hardest first: ``entry`` is the event, ``position`` 0, 1, ... An event
    with fewer jets has empty ones, so that every event has as many rows. Labels are those of the event.

    References:
        Kasieczka et al., "The LHC Olympics 2020", 2021, arXiv:2101.08320
    """

    name = "lhco"
    summary = "LHC Olympics HDF5: events of 700 x (pt, eta, phi), clustered into their leading jets"
    container = "hdf5"
    options: ClassVar[Mapping[str, Any]] = {"radius": 1.0, "n_jets": 2, "external": False}

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        if not (0 < self.settings["radius"] <= 3 and 0 < self.settings["n_jets"] <= 100):
            raise InputError("reader 'lhco': the radius is in (0, 3] and the number of jets in 1 ... 100")

    def matches(self, path: str | Path) -> bool:
        require_container(path, self.container, self.name)
        with open_hdf5(path, self.settings["external"]) as handle:
            return any(_is_lhco(frame) for frame in find_frames(handle, path))

    def lacks(self, path: str | Path) -> str:
        return "no pandas table of 2100 or 2101 numbers"

    def count(self, path: str | Path) -> int:
        with open_hdf5(path, self.settings["external"]) as handle:
            return self._frame(handle, path).n_rows * int(self.settings["n_jets"])

    def describe(self, path: str | Path) -> FileSummary:
        with open_hdf5(path, self.settings["external"]) as handle:
            frame = self._frame(handle, path)
        width = sum(block.width for block in frame.blocks)
        radius, n_jets = self.settings["radius"], self.settings["n_jets"]
        return FileSummary(
            path=Path(path),
            reader=self.name,
            container=f"HDF5 (pandas {frame.layout})",
            dataset=frame.key,
            n_jets=frame.n_rows * n_jets,
            columns={f"0 ... {width - 1}": str(frame.blocks[0].dtype)},
            n_slots=None,
            truth=(f"column {width - 1}",) if width == _WIDTHS[1] else (),
            observables=(),
            notes=(f"the {n_jets} hardest jets of every event, clustered here: anti-kT, R = {radius:g}",),
            n_entries=frame.n_rows,
        )

    def iterate(self, path: str | Path, *, step: int) -> Iterator[Jets]:
        with open_hdf5(path, self.settings["external"]) as handle:
            frame = self._frame(handle, path)
            for start in range(0, frame.n_rows, _MAX_EVENTS):
                blocks = frame.rows(handle, start, min(start + _MAX_EVENTS, frame.n_rows))
                with reading(path):
                    rows = np.concatenate([blocks[b.key] for b in frame.blocks], axis=1)
                    jets = self._jets(rows, start)
                yield jets
                del blocks, rows, jets

    def _frame(self, handle: Any, path: str | Path) -> Frame:
        frames = find_frames(handle, path)
        with reading(path):
            frame = choose_frame([f for f in frames if _is_lhco(f)], path)
            if frame is None:
                keys = nearest("df", [f.key for f in frames])
                raise InputError(f"{path}: {self.lacks(path)}; tables of the file: {keys}")
            check_frame(handle, frame)
        return frame

    def _jets(self, rows: NDArray[Any], first: int) -> Jets:
        n_events, n_jets = len(rows), int(self.settings["n_jets"])
        particles = rows[:, : _WIDTHS[0]].reshape(n_events, _N_PARTICLES, 3).astype(np.float64)
        there = (particles != 0).any(axis=2)
        counts = there.sum(axis=1)
        pt, eta, phi = particles[there].T
        jet, bad = cluster(pt, eta, phi, np.zeros_like(pt), counts, float(self.settings["radius"]), n_jets)
        pt = np.where(bad, np.nan, pt)
        order = np.flatnonzero(jet >= 0)
        order = order[np.lexsort((-pt[order], jet[order]))]
        n_constituents = np.bincount(jet[order], minlength=n_events * n_jets)
        labels = None
        if rows.shape[1] == _WIDTHS[1]:
            truth = np.repeat(rows[:, -1], n_jets)
            labels = np.select([truth == 1, truth == 0], [1, 0], default=-1).astype(np.int8)
        with np.errstate(all="ignore"):
            return Jets(
                pt=pt[order],
                eta=eta[order],
                phi=phi[order],
                mass=np.zeros(len(order), dtype=np.float32),
                offsets=np.concatenate([[0], np.cumsum(n_constituents)]),
                labels=labels,
                entry=np.repeat(np.arange(first, first + n_events), n_jets),
                position=np.tile(np.arange(n_jets), n_events),
            )


def _is_lhco(frame: Frame) -> bool:
    if not frame.blocks or any(block.dtype.kind not in "fiu" for block in frame.blocks):
        return False
    names = [n for block in frame.blocks for n in block.names or ()]
    # named columns are another table that happens to be as wide; those of the Olympics are numbers
    return sum(b.width for b in frame.blocks) in _WIDTHS and all(str(n).isdigit() for n in names)
