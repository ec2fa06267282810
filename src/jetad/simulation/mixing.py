"""Jets of a process: slices mixed by cross section, many processes at work, pt matched to other jets."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError, JetadError
from ..extras import import_fastjet
from ..jets import Jets
from .chunks import Chunk, ChunkResult, JetSelection, run_chunk
from .generator import import_pythia
from .matching import allocate, bins_of_pt, jets_needed, match_pt, merged_slices, pt_quotas, slice_rates
from .processes import Process, find_process, with_dark_options

__all__ = ["Progress", "Simulation", "simulate"]

MAX_CHUNK_EVENTS = 2000
# when to give up: chunks of a slice without any jet, jets to choose from per jet when matching pt
MAX_EMPTY_CHUNKS = 50
MAX_OVERSAMPLING = 200


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a simulation is: jets found so far, jets it needs (an estimate), seconds since the start."""

    jets: int
    needed: int
    seconds: float

    @property
    def jets_per_second(self) -> float:
        return self.jets / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float:
        """Estimated time to the end; infinite before the first jet."""
        return max(self.needed - self.jets, 0) / self.jets_per_second if self.jets else math.inf


@dataclasses.dataclass(frozen=True)
class Simulation:
    """Simulated jets and how they were made.

    Arguments:
        jets: The jets, in random order.
        n_events: Events generated.
        cross_section_pb: Cross section of the jets before pt matching [pb]; of a dark process, whose
            couplings are Pythia's defaults, only meaningful as a ratio.
        r_inv: Measured invisible fraction of the dark mesons, ``(in all events, inside the jets)``,
            the latter before pt matching; ``None`` without a dark sector.
        slices: Per pT-hat slice: range [GeV], events, jets, cross section of its jets [pb].
        metadata: Settings, seed and versions, as text.
    """

    jets: Jets
    n_events: int
    cross_section_pb: float
    r_inv: tuple[float, float] | None
    slices: list[dict[str, Any]]
    metadata: dict[str, str]


def simulate(
    process: str | Process,
    n_jets: int,
    *,
    seed: int = 1,
    jobs: int = 1,
    pt_range: tuple[float, float] = (550.0, 650.0),
    radius: float = 0.8,
    eta_max: float = 2.0,
    mpi: bool = False,
    pt_hat_min: float | None = None,
    match_pt_to: ArrayLike | None = None,
    r_inv: float | None = None,
    mass_mediator: float | None = None,
    mass_dark: float | None = None,
    veto: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
) -> Simulation:
    """Simulate ``n_jets`` jets of a process in proton collisions at 14 TeV.

    The result depends on the seed and the options, not on ``jobs``.

    Arguments:
        process: A name of `PROCESSES`, or a process of your own.
        n_jets: Jets to return.
        seed: Seed of everything random.
        jobs: Processes to work with.
        pt_range: Jet transverse momentum, from (included) and to [GeV].
        radius: Anti-kT radius.
        eta_max: Largest \\|eta\\| of the jet.
        mpi: Simulate multiparton interactions.
        pt_hat_min: Lowest pT-hat [GeV] of 'qcd', 'top', 'w', 'higgs'; 0.45, 0.2, 0.6, 0.6 of the smallest jet
            pt by default.
        match_pt_to: Jet pt [GeV] whose distribution the jets shall follow, ``(n,)``.
        r_inv: Of 'svj': invisible fraction.
        mass_mediator: Of 'svj': Z' mass [GeV].
        mass_dark: Of 'svj': mass of the dark mesons [GeV].
        veto: Drop hopeless events early; off only to show that it changes nothing.
        on_progress: Called after each chunk.

    Raises:
        ConfigError: for an unknown process or a value out of range.
        MissingPackageError: without Pythia or FastJet.
        JetadError: if the process makes no such jets.
    """
    if isinstance(process, str):
        process = find_process(process)
    process = with_dark_options(process, r_inv=r_inv, mass_mediator=mass_mediator, mass_dark=mass_dark)
    selection = JetSelection(float(pt_range[0]), float(pt_range[1]), radius, eta_max)
    _check(n_jets, seed, jobs, selection, pt_hat_min)
    targets = (
        None if match_pt_to is None else bins_of_pt(np.asarray(match_pt_to, dtype=np.float64), selection)
    )
    import_pythia()
    import_fastjet("simulate jets")

    slices = _slices(process, selection, pt_hat_min)
    chunk_events = [_events_per_chunk(n_jets, pt_hat, selection) for pt_hat in slices]
    started = time.monotonic()
    results: list[list[ChunkResult]] = [[] for _ in slices]

    def chunks(wanted: NDArray[np.int64]) -> list[Chunk]:
        """The next ``wanted[i]`` chunks of each slice."""
        return [
            Chunk(process, selection, slices[i], chunk_events[i], seed, (i, len(results[i]) + k), mpi, veto)
            for i in range(len(slices))
            for k in range(int(wanted[i]))
        ]

    with _workers(jobs) as run:
        wanted = np.ones(len(slices), dtype=np.int64)
        while True:
            todo = chunks(wanted)
            needed = None
            for result in run(todo):
                results[result.index[0]].append(result)
                if on_progress is not None:
                    needed = jets_needed(results, n_jets, targets) if needed is None else needed
                    found = sum(len(r.jets) for rs in results for r in rs)
                    on_progress(Progress(found, max(needed, found), time.monotonic() - started))
            chosen, wanted = _plan(results, n_jets, targets, seed)
            if chosen is not None:
                break

    order = np.random.default_rng([seed, 2]).permutation(len(chosen))
    jets = chosen[order]
    jets = dataclasses.replace(jets, entry=np.arange(n_jets), position=np.zeros(n_jets, dtype=np.int32))
    return Simulation(
        jets=jets,
        n_events=sum(r.n_events for rs in results for r in rs),
        cross_section_pb=float(slice_rates(results).sum()) * 1e9,
        r_inv=_measured_r_inv(results) if process.dark else None,
        slices=[
            {
                "pt_hat": list(pt_hat) if pt_hat else None,
                "n_events": sum(r.n_events for r in rs),
                "n_jets": sum(len(r.jets) for r in rs),
                "cross_section_pb": float(rate) * 1e9,
            }
            for pt_hat, rs, rate in zip(slices, results, slice_rates(results), strict=True)
        ],
        metadata=_metadata(process, n_jets, seed, selection, mpi, slices, match_pt_to is not None),
    )


# --- planning ------------------------------------------------------------------------------------------


def _check(n_jets: int, seed: int, jobs: int, selection: JetSelection, pt_hat_min: float | None) -> None:
    if n_jets < 1:
        raise ConfigError(f"the number of jets is at least 1, found {n_jets}")
    if jobs < 1:
        raise ConfigError(f"the number of jobs is at least 1, found {jobs}")
    if seed < 0:
        raise ConfigError(f"the seed is at least 0, found {seed}")
    if not 20 <= selection.pt_min < selection.pt_max <= 5000:
        raise ConfigError(
            f"the jet pt range needs 20 <= minimum < maximum <= 5000 GeV,"
            f" found {selection.pt_min:g} to {selection.pt_max:g}"
        )
    if not 0.1 <= selection.radius <= 1.5:
        raise ConfigError(f"the jet radius is between 0.1 and 1.5, found {selection.radius:g}")
    if not 0 < selection.eta_max <= 4:
        raise ConfigError(f"the largest |eta| is above 0 and at most 4, found {selection.eta_max:g}")
    if pt_hat_min is not None and not 5 <= pt_hat_min < selection.pt_max:
        raise ConfigError(
            f"--pt-hat-min is between 5 GeV and the largest jet pt ({selection.pt_max:g}),"
            f" found {pt_hat_min:g}"
        )


def _slices(
    process: Process, selection: JetSelection, pt_hat_min: float | None
) -> list[tuple[float, float | None] | None]:
    """pT-hat ranges [GeV], the last one open; one entry ``None`` for a process without slices."""
    if process.lowest_pt_hat is None:
        if pt_hat_min is not None:
            raise ConfigError(f"process '{process.name}' is a resonance and has no pT-hat slices")
        return [None]
    low, high = selection.pt_min, selection.pt_max
    first = process.lowest_pt_hat * low if pt_hat_min is None else pt_hat_min
    inner = [*(fraction * low for fraction in (0.35, 0.45, 0.6, 0.8, 1.0)), high, 1.3 * high]
    edges = [first, *(edge for edge in inner if edge > 1.05 * first)]
    return list(zip(edges, [*edges[1:], None], strict=True))


def _events_per_chunk(n_jets: int, pt_hat: tuple[float, float | None] | None, selection: JetSelection) -> int:
    n_events = int(np.clip(4 * n_jets, 100, MAX_CHUNK_EVENTS))
    # far below the jets an event takes a tenth of a second, and few jets come from there
    if pt_hat is not None and pt_hat[1] is not None and pt_hat[1] < 0.5 * selection.pt_min:
        return max(n_events // 8, 50)
    return n_events


def _plan(
    results: list[list[ChunkResult]], n_jets: int, targets: NDArray[np.float64] | None, seed: int
) -> tuple[Jets | None, NDArray[np.int64]]:
    """The jets if there are enough, else how many more chunks each slice needs."""
    for rs in results:
        rs.sort(key=lambda r: r.index)
    pool, n = merged_slices(results)
    chunks = np.array([len(rs) for rs in results])
    if pool is None:
        if chunks.max() > MAX_EMPTY_CHUNKS:
            n_events = sum(r.n_events for rs in results for r in rs)
            raise JetadError(f"no wanted jet among {n_events} events; choose another pt range")
        return None, chunks  # as many again
    if targets is None:
        if n >= n_jets:
            rows = np.random.default_rng([seed, 1]).permutation(n)[:n_jets]
            return pool[np.sort(rows)], chunks
    else:
        chosen = match_pt(pool.jet_pt, targets, pt_quotas(n_jets), np.random.default_rng([seed, 1]))
        if chosen is not None:
            return pool[chosen], chunks
    if n > MAX_OVERSAMPLING * n_jets + 10_000:
        raise JetadError(
            f"{n} jets do not fill the pt spectrum to match;"
            " some of it is where this process makes next to no jets: choose a narrower pt range"
        )
    needed = max(jets_needed(results, n_jets, targets), n + 1)
    counts = np.array([sum(len(r.jets) for r in rs) for rs in results])
    per_chunk = counts / chunks
    # no more than four times what there is: the next round knows the rates better
    goal = allocate(min(needed, 4 * n + 200), slice_rates(results)) + 1
    missing = np.where(per_chunk > 0, np.ceil((goal - counts) / np.maximum(per_chunk, 1e-9)), 0)
    wanted = np.maximum(missing, 0).astype(np.int64)
    if not wanted.any():
        wanted[int(np.argmax(counts))] = 1
    return None, wanted


# --- work and bookkeeping ----------------------------------------------------------------------------------


@contextlib.contextmanager
def _workers(jobs: int) -> Iterator[Callable[[list[Chunk]], Iterator[ChunkResult]]]:
    """A function that runs chunks, in this process or in ``jobs`` others."""
    if jobs == 1:
        yield lambda chunks: map(run_chunk, chunks)
        return
    # spawn: a fork would copy threads and C++ state of whatever the caller has running
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_follow_parent, initargs=(os.getpid(),))
    try:
        yield lambda chunks: (f.result() for f in as_completed([pool.submit(run_chunk, c) for c in chunks]))
    except BrokenProcessPool as error:
        raise JetadError("a worker process died, perhaps for lack of memory; try fewer --jobs") from error
    except BaseException:
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()  # a chunk can take minutes, which nobody wants to wait for after Ctrl-C
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent(parent: int) -> None:
    """In a worker: leave Ctrl-C to the parent, and end when the parent has ended, even when it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _measured_r_inv(results: list[list[ChunkResult]]) -> tuple[float, float]:
    dark = np.sum([r.dark for rs in results for r in rs], axis=0)
    return float(dark[0] / max(dark[1], 1)), float(dark[2] / max(dark[3], 1))


def _metadata(
    process: Process,
    n_jets: int,
    seed: int,
    selection: JetSelection,
    mpi: bool,
    slices: list[tuple[float, float | None] | None],
    matched: bool,
) -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in ("jetad", "pythia8mc", "fastjet", "numpy")}
    settings = Chunk(process, selection, None, 0, seed, (0, 0), mpi).settings()
    return {
        "process": process.name,
        "class_label": process.class_label,
        "n_jets": str(n_jets),
        "seed": str(seed),
        "selection": json.dumps(dataclasses.asdict(selection)),
        "pythia_settings": json.dumps(settings),
        "pt_hat_slices": json.dumps(slices),
        "pt_matched": str(matched).lower(),
        "versions": json.dumps(versions),
        "generator": "Pythia 8 (arXiv:2203.11601), FastJet (arXiv:1111.6097)",
    }
