"""One chunk of a simulation: so many events with one seed, in one process."""

from __future__ import annotations

import dataclasses
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..jets import Jets
from ..jets.kinematics import cylindrical, delta_r
from .clustering import HardestJets, hardest_jets
from .detector import measure
from .generator import Events, Generator
from .processes import DARK_MESONS, Process

__all__ = ["Chunk", "ChunkResult", "JetSelection", "run_chunk"]

EVENTS_PER_BATCH = 250  # an event record takes about 0.2 MB


def _veto_pt(pt_min: float) -> float:
    """Lowest pt of the hardest parton jet early in the shower for a wanted jet [GeV].

    docs/simulation.md shows that no wanted jets are lost; the offset is for soft jets, which fluctuate more.
    """
    return 0.86 * pt_min - 5.0


@dataclasses.dataclass(frozen=True)
class JetSelection:
    """Which jets are wanted: anti-kT radius, pt range [GeV], largest \\|eta\\|."""

    pt_min: float = 550.0
    pt_max: float = 650.0
    radius: float = 0.8
    eta_max: float = 2.0


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What one process has to do; picklable.

    Arguments:
        process: What to generate.
        selection: Which jets to keep.
        pt_hat: Range of the hard process [GeV], the upper end ``None`` for open; ``None`` for all.
        n_events: Events to generate (those dropped by the parton veto do not count).
        seed: Seed of the simulation.
        index: Number of the slice and number of the chunk inside the slice.
        mpi: Whether to simulate multiparton interactions.
        veto: Whether the parton veto may drop events.
    """

    process: Process
    selection: JetSelection
    pt_hat: tuple[float, float | None] | None
    n_events: int
    seed: int
    index: tuple[int, int]
    mpi: bool = False
    veto: bool = True

    def settings(self) -> list[str]:
        """All Pythia lines of this chunk but the seed."""
        lines = [
            "Beams:eCM = 14000.",
            "Print:quiet = on",
            f"PartonLevel:MPI = {'on' if self.mpi else 'off'}",
            # K0S, Lambda and what lives longer than 10 mm reach the calorimeter
            "ParticleDecays:limitTau0 = on",
            "ParticleDecays:tau0Max = 10.",
            *self.process.settings(),
        ]
        if self.pt_hat is not None:
            low, high = self.pt_hat
            lines.append(f"PhaseSpace:pTHatMin = {low:g}")
            if high is not None:
                lines.append(f"PhaseSpace:pTHatMax = {high:g}")
        return lines


@dataclasses.dataclass(frozen=True)
class ChunkResult:
    """What came out of a chunk.

    Arguments:
        index: As in the chunk.
        jets: The wanted jets, in order of generation.
        n_events: Events generated.
        cross_section: Of these events [mb].
        dark: Invisible and all dark mesons, in all events and inside the jets, ``(4,)``.
    """

    index: tuple[int, int]
    jets: Jets
    n_events: int
    cross_section: float
    dark: NDArray[np.int64]


def run_chunk(chunk: Chunk) -> ChunkResult:
    """Generate, measure, cluster, select. The same chunk gives the same jets on the same machine."""
    # the name keeps samples of different processes with the same seed independent
    entropy = np.random.SeedSequence([chunk.seed, zlib.crc32(chunk.process.name.encode()), *chunk.index])
    rng = np.random.default_rng(entropy)
    selection = chunk.selection
    veto_pt = _veto_pt(selection.pt_min) if chunk.veto and chunk.pt_hat is not None else None
    generator = Generator(
        chunk.settings(),
        seed=int(rng.integers(2**31)),
        min_parton_jet_pt=veto_pt,
        around=chunk.process.matched,
    )
    parts: list[Jets] = []
    dark = np.zeros(4, dtype=np.int64)
    done = 0
    while done < chunk.n_events:
        events = generator.batch(min(EVENTS_PER_BATCH, chunk.n_events - done))
        objects = measure(generator.stable_particles(events), rng)
        found = hardest_jets(
            objects,
            len(events),
            radius=selection.radius,
            pt_range=(selection.pt_min, selection.pt_max),
            eta_max=selection.eta_max,
        )
        truth, keep = _match(events, found, chunk.process.matched, selection.radius)
        jets = Jets(
            **{name: getattr(objects, name)[found.rows] for name in ("pt", "eta", "phi", "mass")},
            offsets=np.concatenate([[0], np.cumsum(found.counts)]),
            charge=objects.charge[found.rows],
            labels=np.full(len(found.event), chunk.process.label),
            observables={f"truth{name}": truth[:, k] for k, name in enumerate(("E", "PX", "PY", "PZ"))},
        )
        parts.append(jets[keep])
        if chunk.process.dark is not None:
            dark += _count_dark_mesons(events, found, selection.radius)
        done += len(events)
    return ChunkResult(chunk.index, Jets.concatenate(parts), done, generator.cross_section(), dark)


def _match(
    events: Events, found: HardestJets, pid: int | None, radius: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Four-momentum (E, px, py, pz) [GeV] of the matched particle ``(n_jets, 4)`` and which jets have one.

    Matched: the particle before its decay and all its decay quarks are within ``radius`` of the jet axis.
    """
    truth = np.zeros((len(found.event), 4), dtype=np.float32)
    if pid is None:
        return truth, np.ones(len(found.event), dtype=bool)
    keep = np.zeros(len(found.event), dtype=bool)
    for jet, event in enumerate(found.event):
        record = _record(events, int(event))
        for mother in np.flatnonzero(np.abs(record["pid"]) == pid):
            quarks = _decay_quarks(record, int(mother))
            if not quarks:
                continue
            rows = [int(mother), *quarks]
            _, eta, phi, _ = cylindrical(*(record[name][rows] for name in ("energy_gev", "px", "py", "pz")))
            if np.all(delta_r(eta, phi, found.eta[jet], found.phi[jet]) < radius):
                truth[jet] = [record[name][mother] for name in ("energy_gev", "px", "py", "pz")]
                keep[jet] = True
    return truth, keep


def _record(events: Events, event: int) -> dict[str, NDArray[Any]]:
    rows = slice(events.offsets[event], events.offsets[event + 1])
    names = [f.name for f in dataclasses.fields(events) if f.name != "offsets"]
    return {name: getattr(events, name)[rows] for name in names}


def _daughters(record: dict[str, NDArray[Any]], mother: int) -> range:
    first, last = int(record["daughter1"][mother]), int(record["daughter2"][mother])
    return range(first, max(first, last) + 1) if first > 0 else range(0)


def _decay_quarks(record: dict[str, NDArray[Any]], mother: int) -> list[int]:
    """Positions of the quarks a top, W or Higgs decays to; empty if not its last copy or with leptons."""
    pid = record["pid"]
    daughters = _daughters(record, mother)
    if any(pid[d] == pid[mother] for d in daughters):
        return []
    quarks: list[int] = []
    for daughter in daughters:
        if abs(pid[daughter]) == 24:
            w = daughter
            while copies := [d for d in _daughters(record, w) if pid[d] == pid[w]]:
                w = copies[0]
            quarks += [d for d in _daughters(record, w) if abs(pid[d]) < 6]
        elif abs(pid[daughter]) < 6:
            quarks.append(daughter)
    return quarks if len(quarks) == (3 if abs(pid[mother]) == 6 else 2) else []


def _count_dark_mesons(events: Events, found: HardestJets, radius: float) -> NDArray[np.int64]:
    """Invisible and all dark mesons, in all events and within ``radius`` of the jets' axes, ``(4,)``."""
    event = np.repeat(np.arange(len(events)), np.diff(events.offsets))
    rows = np.flatnonzero(np.isin(np.abs(events.pid), DARK_MESONS))
    # the last copy either is stable or has daughters that are no dark mesons
    daughter = events.pid[events.offsets[event[rows]] + events.daughter1[rows]]
    last = (events.status[rows] > 0) | ~np.isin(np.abs(daughter), DARK_MESONS)
    rows, daughter = rows[last], daughter[last]
    invisible = (events.status[rows] > 0) | np.isin(np.abs(daughter), (51, 53))
    _, eta, phi, _ = cylindrical(events.energy_gev[rows], events.px[rows], events.py[rows], events.pz[rows])
    jet_of_event = np.full(len(events), -1)
    jet_of_event[found.event] = np.arange(len(found.event))
    jet = jet_of_event[event[rows]]
    inside = jet >= 0
    if inside.any():
        inside &= delta_r(eta, phi, found.eta[jet], found.phi[jet]) < radius
    return np.array([invisible.sum(), len(rows), (invisible & inside).sum(), inside.sum()], dtype=np.int64)
