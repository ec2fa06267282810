"""LHC Olympics HDF5: events of 700 particles, clustered into their leading jets while they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...jets import Jets
from ..base import labels_of
from ..clustering import ClusteringReader
from ..containers.pandasframes import Frame
from ..paths import nearest
from ..rows import FrameReader, OpenFrame

__all__ = ["LHCOReader"]

_N_PARTICLES = 700
_WIDTHS = (3 * _N_PARTICLES, 3 * _N_PARTICLES + 1)
_MAX_EVENTS = 500  # about 17 MB of numbers, most of them padding


class LHCOReader(ClusteringReader, FrameReader[None]):
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
    options: ClassVar[Mapping[str, Any]] = {"radius": 1.0, "n_jets": 2, "external": False}

    def lacks(self, path: str | Path) -> str:
        return "no pandas table of 2100 or 2101 numbers"

    def not_found(self, path: str | Path, frames: list[Frame]) -> str:
        return f"{self.lacks(path)}; tables of the file: {nearest('df', [f.key for f in frames])}"

    def recognises(self, frame: Frame) -> bool:
        if not frame.blocks or any(block.dtype.kind not in "fiu" for block in frame.blocks):
            return False
        names = [n for block in frame.blocks for n in block.names or ()]
        # named columns are another table that happens to be as wide; those of the Olympics are numbers
        return _width(frame) in _WIDTHS and all(str(n).isdigit() for n in names)

    def plan(self, frame: Frame) -> None:
        return None

    def n_jets(self, table: OpenFrame[None], path: str | Path) -> int:
        return table.frame.n_rows * self.jets_per_event

    def contents(self, table: OpenFrame[None], path: str | Path) -> dict[str, Any]:
        width, n_jets, radius = _width(table.frame), self.jets_per_event, self.settings["radius"]
        return {
            **super().contents(table, path),
            "columns": {f"0 ... {width - 1}": str(table.frame.blocks[0].dtype)},
            "truth": (f"column {width - 1}",) if width == _WIDTHS[1] else (),
            "notes": (f"the {n_jets} hardest jets of every event, clustered here: anti-kT, R = {radius:g}",),
            "n_entries": table.frame.n_rows,
        }

    def rows_at_once(self, table: OpenFrame[None], step: int) -> int:
        return _MAX_EVENTS

    def convert(self, blocks: dict[str, NDArray[Any]], table: OpenFrame[None], first: int) -> Jets:
        rows = np.concatenate([blocks[b.key] for b in table.frame.blocks], axis=1)
        particles = rows[:, : _WIDTHS[0]].reshape(len(rows), _N_PARTICLES, 3).astype(np.float64)
        there = (particles != 0).any(axis=2)
        pt, eta, phi = particles[there].T
        labels = labels_of(rows[:, -1] == 1, rows[:, -1] == 0) if rows.shape[1] == _WIDTHS[1] else None
        return self.clustered(pt, eta, phi, np.zeros_like(pt), there.sum(axis=1), first, labels=labels)


def _width(frame: Frame) -> int:
    return sum(block.width for block in frame.blocks)
