"""Generated events as text, HepMC and Les Houches: clustered into their leading jets while they are read."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import InputError
from ...jets import Jets
from ...jets.kinematics import cylindrical
from ..base import FileSummary
from ..clustering import ClusteringReader
from ..particles import charge_of
from ..paths import reading, require_container, split_path

__all__ = ["HepMCReader", "LesHouchesReader"]

_MAX_EVENTS = 200
_NEUTRINOS = (12, 14, 16)
_FINAL = 1  # status of particles that do not decay


class _Event(NamedTuple):
    particles: list[tuple[float, float, float, float, float]]  # pid, px, py, pz, E [GeV]
    weight: float


class GeneratedReader(ClusteringReader, abc.ABC):
    """Base of readers of generated events: final particles but neutrinos are clustered.

    Masses and charges follow from the file and the ids. Weights are the first of each event.
    """

    @abc.abstractmethod
    def events(self, lines: Iterator[str]) -> Iterator[_Event]:
        """The events of a file; ValueError or IndexError for lines that cannot be understood."""

    @abc.abstractmethod
    def begins(self, line: str) -> bool:
        """Whether a line begins an event."""

    def matches(self, path: str | Path) -> bool:
        require_container(path, self.container, self.name)
        return True

    def lacks(self, path: str | Path) -> str:
        return "no generated events"

    def _n_events(self, path: str | Path) -> int:
        require_container(path, self.container, self.name)
        with reading(path), open(split_path(path)[0], encoding="utf-8") as lines:
            return sum(self.begins(line) for line in lines)

    def count(self, path: str | Path) -> int:
        return self._n_events(path) * self.jets_per_event

    def describe(self, path: str | Path) -> FileSummary:
        n_events, n_jets = self._n_events(path), self.jets_per_event
        return FileSummary(
            path=Path(path),
            reader=self.name,
            container="text",
            dataset="events",
            n_jets=n_events * n_jets,
            columns={k: "float64" for k in ("pid", "px", "py", "pz", "E", "weight")},
            notes=(
                f"the {n_jets} hardest jets of every event, clustered here from final particles without "
                f"neutrinos: anti-kT, R = {self.settings['radius']:g}",
            ),
            n_entries=n_events,
        )

    def iterate(self, path: str | Path, *, step: int) -> Iterator[Jets]:
        require_container(path, self.container, self.name)
        first = 0
        with open(split_path(path)[0], encoding="utf-8") as stream:
            events = self.events(iter(stream))
            while True:
                some: list[_Event] = []
                try:
                    with reading(path):
                        for event in events:
                            some.append(event)
                            if len(some) == _MAX_EVENTS:
                                break
                except (ValueError, IndexError) as error:
                    raise InputError(f"{path}: event {first + len(some)} cannot be read ({error})") from error
                if not some:
                    return
                with reading(path):
                    jets = self._jets(some, first)
                yield jets
                first += len(some)

    def _jets(self, events: list[_Event], first: int) -> Jets:
        counts = np.array([len(event.particles) for event in events], dtype=np.int64)
        rows = np.array([p for event in events for p in event.particles], dtype=np.float64).reshape(-1, 5)
        pid, px, py, pz, energy = rows.T
        pt, eta, phi, mass = (v.astype(np.float64) for v in cylindrical(energy, px, py, pz))
        weights = np.array([event.weight for event in events])
        return self.clustered(pt, eta, phi, mass, counts, first, charge=charge_of(pid), weights=weights)


def _is_seen(pid: int, status: int, px: float, py: float) -> bool:
    return status == _FINAL and abs(pid) not in _NEUTRINOS and (px != 0 or py != 0)


class HepMCReader(GeneratedReader):
    """Reader of HepMC text, versions 2 and 3.

    Lines of particles are the same for both but for the number of the mother.
    """

    name = "hepmc"
    summary = "HepMC text (versions 2 and 3): events, clustered into their leading jets"
    container = "hepmc"

    def begins(self, line: str) -> bool:
        return line.startswith("E ")

    def events(self, lines: Iterator[str]) -> Iterator[_Event]:
        particles: list[tuple[float, float, float, float, float]] | None = None
        weight, unit, shift = 1.0, 1.0, 1  # version 3 has the mother behind the number
        for line in lines:
            if line.startswith("HepMC::IO_GenEvent"):
                shift = 0
            elif line.startswith("E "):
                if particles is not None:
                    yield _Event(particles, weight)
                particles, weight = [], 1.0
            elif line.startswith("U "):
                unit = 1e-3 if line.split()[1].upper() == "MEV" else 1.0
            elif line.startswith("W ") and particles is not None and shift:
                weight = float(line.split()[1])
            elif line.startswith("P ") and particles is not None:
                words = line.split()[2 + shift :]
                pid, status = int(words[0]), int(words[6])
                px, py, pz, energy = (float(w) * unit for w in words[1:5])
                if _is_seen(pid, status, px, py):
                    particles.append((pid, px, py, pz, energy))
        if particles is not None:
            yield _Event(particles, weight)


class LesHouchesReader(GeneratedReader):
    """Reader of Les Houches event files: the partons of the hard process, few a jet."""

    name = "lhe"
    summary = "Les Houches events (LHE): partons, clustered into their leading jets"
    container = "lhe"

    def begins(self, line: str) -> bool:
        return line.lstrip().startswith("<event>") or line.lstrip().startswith("<event ")

    def events(self, lines: Iterator[str]) -> Iterator[_Event]:
        for line in lines:
            if not self.begins(line):
                continue
            head = next(lines).split()
            n_particles, weight = int(head[0]), float(head[2])
            particles: list[tuple[float, float, float, float, float]] = []
            for _ in range(n_particles):
                words = next(lines).split()
                pid, status = int(words[0]), int(words[1])
                px, py, pz, energy = (float(w.lower().replace("d", "e")) for w in words[6:10])
                if _is_seen(pid, status, px, py):
                    particles.append((pid, px, py, pz, energy))
            yield _Event(particles, weight)
