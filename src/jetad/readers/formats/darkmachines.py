"""Dark Machines text: one event a line, a set of reconstructed objects with event features."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...jets import Jets
from ..base import BaseReader, FileSummary, column_name
from ..paths import reading, require_container, split_path

__all__ = ["DarkMachinesReader"]

_OBJECTS = ("j", "b", "e-", "e+", "m-", "m+", "g")
_COLUMNS = ("event_id", "process_id", "met", "met_phi", "ht")
_COUNTS = {
    "n_jets": ("j",),
    "n_bjets": ("b",),
    "n_electrons": ("e-", "e+"),
    "n_muons": ("m-", "m+"),
    "n_photons": ("g",),
}
_MAX_LINE = 1 << 20
_MAX_EVENTS = 5_000


class DarkMachinesReader(BaseReader):
    """Reader of the Dark Machines challenge.

    Lines ``event; process; weight; MET; METphi; obj,E,pt,eta,phi; ...`` in MeV, which are converted. An
    event stands in the place of a jet: its objects (j, b, e-, e+, m-, m+, g) are the constituents, and
    MET, HT [GeV] and the number of objects of each kind are observables. The process is a name, not signal
    or background, so there is no truth; ``process_id`` is NaN where it is not a number.

    References:
        Aarrestad et al., "The Dark Machines anomaly score challenge", 2021, arXiv:2105.14027
    """

    name = "darkmachines"
    summary = "Dark Machines text: one event a line, its objects as a set, event features"
    container = "text"

    def matches(self, path: str | Path) -> bool:
        require_container(path, self.container, self.name)
        line = next((text for _, text in _lines(path)), "")
        fields = [f for f in line.split(";") if f.strip()]
        return len(fields) >= 5 and all(len(f.split(",")) == 5 for f in fields[5:])

    def lacks(self, path: str | Path) -> str:
        return "no lines 'event; process; weight; MET; METphi; obj,E,pt,eta,phi; ...'"

    def count(self, path: str | Path) -> int:
        require_container(path, self.container, self.name)
        return sum(1 for _ in _lines(path))

    def describe(self, path: str | Path) -> FileSummary:
        return FileSummary(
            path=Path(path),
            reader=self.name,
            container="text",
            dataset="lines",
            n_jets=self.count(path),
            columns={"event; process; weight; MET; METphi": "text", "obj,E,pt,eta,phi": "text, repeated"},
            n_slots=None,
            truth=(),
            observables=tuple(map(column_name, (*_COLUMNS, *_COUNTS))),
            notes=("every event is one 'jet', its objects are the constituents", "MeV are converted to GeV"),
            units="GeV",
        )

    def iterate(self, path: str | Path, *, step: int) -> Iterator[Jets]:
        require_container(path, self.container, self.name)
        rows: list[str] = []
        first = 0
        for _, text in _lines(path):
            rows.append(text)
            if len(rows) == _MAX_EVENTS:
                yield _jets(rows, first, path)
                first, rows = first + len(rows), []
        if rows:
            yield _jets(rows, first, path)


def _lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Lines that are not empty, with their number from 1."""
    file, _ = split_path(path)
    with reading(path), open(file, encoding="ascii", errors="strict", newline="\n") as stream:
        number = 0
        while line := stream.readline(_MAX_LINE):
            number += 1
            if len(line) == _MAX_LINE:
                raise InputError(f"{path}: line {number} is longer than {_MAX_LINE} characters")
            if line.strip():
                yield number, line.strip()


def _jets(lines: list[str], first: int, path: str | Path) -> Jets:
    events = np.empty((len(lines), 5), dtype=np.float64)  # event, process, weight, MET, METphi
    counts = {name: np.zeros(len(lines), dtype=np.int32) for name in _COUNTS}
    objects: list[tuple[float, ...]] = []
    offsets = [0]
    for i, line in enumerate(lines):
        where = f"{path}: event {first + i}"
        fields = [field.strip() for field in line.split(";")]
        while fields and not fields[-1]:
            fields.pop()  # lines may end in a semicolon
        if len(fields) < 5:
            raise InputError(
                f"{where}: has {len(fields)} fields, expected 'event; process; weight; MET; METphi'"
            )
        events[i] = [
            _number(fields[0], where),
            _process(fields[1]),
            *(_number(f, where) for f in fields[2:5]),
        ]
        for text in fields[5:]:
            kind, *numbers = text.split(",")
            if kind.strip() not in _OBJECTS or len(numbers) != 4:
                raise InputError(
                    f"{where}: object '{text[:40]}' is not 'obj,E,pt,eta,phi' "
                    f"with obj one of {', '.join(_OBJECTS)}"
                )
            objects.append(tuple(_number(n, where) for n in numbers))
            name = next(n for n, kinds in _COUNTS.items() if kind.strip() in kinds)
            counts[name][i] += 1
        offsets.append(len(objects))
    energy, pt, eta, phi = np.array(objects, dtype=np.float64).reshape(-1, 4).T
    ends = np.array(offsets)
    with np.errstate(all="ignore"):
        mass = np.sqrt(np.maximum(energy**2 - (pt * np.cosh(eta)) ** 2, 0.0))
        running: NDArray[np.float64] = np.concatenate([[0.0], np.cumsum(np.where(np.isfinite(pt), pt, 0.0))])
        observables = {
            "event_id": events[:, 0],
            "process_id": events[:, 1],
            "met": events[:, 3] * 1e-3,
            "met_phi": events[:, 4],
            "ht": (running[ends[1:]] - running[ends[:-1]]) * 1e-3,
            **counts,
        }
        return Jets(
            pt=np.asarray(pt * 1e-3, dtype=np.float32),
            eta=np.asarray(eta, dtype=np.float32),
            phi=np.asarray(phi, dtype=np.float32),
            mass=np.asarray(mass * 1e-3, dtype=np.float32),
            offsets=ends,
            weights=events[:, 2],
            entry=np.arange(first, first + len(lines)),
            observables=observables,
        )


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{where}: '{text[:40]}' is not a number") from None


def _process(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
