"""How long scoring will take: the real thing on some of the jets, timed, and extrapolated."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import math
import multiprocessing
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..detector import TrainedDetector
from ..errors import ConfigError, InputError
from ..readers import count, iterate
from ..readers.containers.remote import remote_url
from ..readers.paths import plain_name, split_path
from ..runs import Run
from .executors.base import load_detectors
from .finishing import finish
from .input_identity import stamp_of
from .job import Job
from .parts import score_range
from .request import Request
from .workspace import PartRange, Workspace

__all__ = ["Measurement", "ScoringPlan", "measure", "plan_scoring"]

_FEW, _PIECE = 64, 512  # jets; a network takes so many at once
_PIECES = 8  # of a measurement of one file
_FILES = 3  # looked at: the first, the middle, the last
_HASHED = 256 << 20  # bytes


class Measurement(NamedTuple):
    """What one process did in some seconds."""

    rates: tuple[float, ...]  # of pieces: read, scored, kept [jets/s]
    n_jets: int
    scoring: float  # seconds for them
    joining: float  # seconds to make the outputs of the pieces
    bytes_per_jet: float  # of the outputs
    bytes_per_file: float  # besides
    warm_up: float  # seconds more that the first jets of a process take
    per_file: float  # seconds that a file takes however short it is
    hash_rate: float  # of inputs [bytes/s]
    memory: float  # at most, with chunks of the length asked for [MB]

    @property
    def rate(self) -> float:
        """Jets per second, joining included."""
        return self.n_jets / (self.scoring + self.joining)


@dataclasses.dataclass(frozen=True)
class ScoringPlan:
    """What scoring will take, with the range that pieces of the measurement spread over (68 %).

    ``seconds`` is the wall time of one command with ``jobs`` processes, ``parts`` the number of jobs with
    one process each that end within the time asked for, ``part_seconds`` what one of them takes.
    """

    n_files: int
    n_jets: int
    jobs: int
    measured_jets: int
    measured_seconds: float
    rate: float
    rate_low: float
    rate_high: float
    startup_seconds: float
    seconds: float
    seconds_low: float
    seconds_high: float
    memory_mb: float
    output_mb: float
    parts: int
    part_seconds: float

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def plan_scoring(
    runs: Sequence[Run],
    paths: Sequence[Path],
    request: Request,
    *,
    jobs: int = 1,
    threads: int = 1,
    device: str = "auto",
    seconds: float = 5.0,
    target_hours: float | None = None,
    startup: float = 0.0,
) -> ScoringPlan:
    """Score some jets of the first, the middle and the last file for a few seconds and extrapolate.

    With several jobs, as many processes as there are cores measure at the same time.

    Arguments:
        runs: As for ``score_files``.
        paths: All files.
        request: As for ``score_files``.
        jobs: Processes to plan for.
        threads: CPU threads of each.
        device: ``auto``, ``cpu`` or ``cuda``.
        seconds: Duration of the measurement.
        target_hours: Wall time that one job of many may take.
        startup: Time [s] until a process is ready to score.

    Raises:
        InputError: if a file cannot be read or holds no jets.
        ConfigError: if no job can end within ``target_hours``.
    """
    counts = {path: count(path, **request.options) for path in paths}
    if request.max_jets is not None:
        counts = {path: min(n, request.max_jets) for path, n in counts.items()}
    n_jets = sum(counts.values())
    if not n_jets:
        raise InputError(f"{paths[0]}: holds zero jets, there is nothing to score")
    # remote files are not hashed whole
    size = sum(split_path(path)[0].stat().st_size for path in paths if remote_url(path) is None)
    held = [path for path, n in counts.items() if n]
    chosen = sorted({0, len(held) // 2, len(held) - 1})[:_FILES]
    sample = {held[i]: counts[held[i]] for i in chosen}
    words = ([str(run.path.resolve()) for run in runs], sample, request, threads, device, seconds)
    n_processes = min(jobs, len(os.sched_getaffinity(0)))
    measured = [measure(*words)] if n_processes == 1 else _side_by_side(n_processes, words)

    rate = sum(m.rate for m in measured)
    pieces = np.concatenate([np.array(m.rates) / m.rate for m in measured]) * rate
    slower, faster = np.quantile(pieces, [0.16, 0.84]) / np.median(pieces) if len(pieces) > 1 else (1.0, 1.0)
    per_file = float(np.mean([m.per_file for m in measured]))
    hashing = size / float(np.mean([m.hash_rate for m in measured]))
    startup += float(np.mean([m.warm_up for m in measured]))
    starting = startup * (1 if jobs == 1 else 2)  # of the command, and of its processes

    def wall(speed: float) -> float:
        return starting + hashing + n_jets / speed + len(paths) * per_file / n_processes

    memory = max(m.memory for m in measured) * (1 if jobs == 1 else jobs + 1)  # and that which waits
    one = min(m.rate for m in measured) * slower
    parts, part_seconds = 1, wall(rate)
    fixed = startup + hashing + len(paths) * per_file  # each part opens and hashes every file
    if target_hours is not None:
        left = 3600 * target_hours - fixed
        if left <= 0:
            raise ConfigError(
                f"--target-hours {target_hours:g}: opening and hashing {len(paths)} files takes "
                f"{fixed / 3600:.2g} h in every part already; give fewer files to a job, or more hours"
            )
        parts = math.ceil(n_jets / one / left)
        part_seconds = fixed + n_jets / one / parts
    return ScoringPlan(
        n_files=len(paths),
        n_jets=n_jets,
        jobs=jobs,
        measured_jets=sum(m.n_jets for m in measured),
        measured_seconds=max(m.scoring + m.joining for m in measured),
        rate=rate,
        rate_low=rate * float(slower),
        rate_high=rate * float(faster),
        startup_seconds=starting,
        seconds=wall(rate),
        seconds_low=wall(rate * float(faster)),
        seconds_high=wall(rate * float(slower)),
        memory_mb=memory,
        output_mb=(n_jets * measured[0].bytes_per_jet + len(paths) * measured[0].bytes_per_file) / 1e6,
        parts=parts,
        part_seconds=part_seconds,
    )


def measure(
    runs: list[str],
    sample: Mapping[Path, int],
    request: Request,
    threads: int,
    device: str,
    seconds: float,
) -> Measurement:
    """Score jets of the files (path: number of jets) for about so many seconds, into a scratch folder."""
    torch.set_num_threads(threads)
    detectors = load_detectors(runs, device)
    first, n_first = next(iter(sample.items()))
    with tempfile.TemporaryDirectory(prefix="jetad-plan-") as name:
        folder = Path(name)
        start = time.perf_counter()
        _try(detectors, first, min(_FEW, n_first), request, folder)
        warm_up = time.perf_counter() - start
        trials, sizes, per_file = [], [], math.inf
        memory = 0.0
        for path, n in sample.items():
            start = time.perf_counter()
            count(path, **request.options)
            few = _try(detectors, path, min(_FEW, n), request, folder)
            per_file = min(per_file, time.perf_counter() - start)
            short = dataclasses.replace(request, chunk=min(request.chunk, _PIECE))
            some = _try(detectors, path, min(_PIECES * short.chunk, n), short, folder)
            wanted = int(seconds / len(sample) * some.n_jets / some.scoring)
            wanted = min(n, max(few.n_jets, wanted))
            long = dataclasses.replace(request, chunk=min(request.chunk, max(1, wanted // _PIECES)))
            trials.append(_try(detectors, path, wanted, long, folder))
            sizes.append(_line(few, trials[-1]))
            memory = max(memory, trials[-1].peak, _reading_memory(path, request))
    return Measurement(
        rates=tuple(rate for trial in trials for rate in trial.rates),
        n_jets=sum(trial.n_jets for trial in trials),
        scoring=sum(trial.scoring for trial in trials),
        joining=sum(trial.joining for trial in trials),
        bytes_per_jet=float(np.mean([per_jet for per_jet, _ in sizes])),
        bytes_per_file=float(np.mean([per_file for _, per_file in sizes])),
        warm_up=max(0.0, warm_up - per_file),
        per_file=per_file,
        hash_rate=math.inf if remote_url(first) is not None else _hash_rate(split_path(first)[0]),
        memory=memory,
    )


class _Trial(NamedTuple):
    n_jets: int
    rates: list[float]  # of the parts [jets/s]
    scoring: float  # seconds
    joining: float  # seconds
    n_bytes: int  # of the output
    peak: float  # memory [MB]


def _line(few: _Trial, many: _Trial) -> tuple[float, float]:
    """Bytes of a jet, and of a file without jets."""
    if many.n_jets == few.n_jets:
        return many.n_bytes / many.n_jets, 0.0
    per_jet = (many.n_bytes - few.n_bytes) / (many.n_jets - few.n_jets)
    return per_jet, few.n_bytes - few.n_jets * per_jet


def _try(
    detectors: Mapping[str, TrainedDetector], path: Path, n: int, request: Request, folder: Path
) -> _Trial:
    """Score the first ``n`` jets of a file as ``score_files`` does, by the clock."""
    kind = plain_name(path).suffix
    suffix = kind if kind in (".root", ".h5") else ".h5"
    workspace = Workspace(folder / f"trial{suffix}")
    stamp = stamp_of(path)
    facts: dict[str, str | int] = {"input": str(path), "input_size": stamp.size}
    job = Job(
        path,
        workspace.output,
        workspace,
        dataclasses.replace(request, copy=False, layout="jets"),
        0,
        n,
        n,
        "",
        stamp,
        facts,
    )
    rates: list[float] = []
    _forget_peak()
    start = last = time.perf_counter()
    with contextlib.closing(workspace):
        workspace.open("")
        for number in score_range(detectors, job, PartRange(0, job.n_parts), ahead=True):
            now = time.perf_counter()
            rates.append(min(request.chunk, n - number * request.chunk) / (now - last))
            last = now
        scoring = time.perf_counter() - start
        logger = logging.getLogger("jetad.scoring")
        before = logger.level
        logger.setLevel(logging.ERROR)  # lost jets are told of when it is meant
        try:
            finish(job)
        finally:
            logger.setLevel(before)
    size = workspace.output.stat().st_size
    workspace.output.unlink()
    return _Trial(n, rates, scoring, time.perf_counter() - start - scoring, size, _memory("VmHWM"))


def _side_by_side(n_processes: int, words: tuple[Any, ...]) -> list[Measurement]:
    """The same measurement by several processes at the same time."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(n_processes)
    with ProcessPoolExecutor(
        n_processes, mp_context=context, initializer=_wait_for_all, initargs=(together,)
    ) as pool:
        return [future.result() for future in [pool.submit(measure, *words) for _ in range(n_processes)]]


def _wait_for_all(barrier: Any) -> None:
    barrier.wait()


def _hash_rate(file: Path) -> float:
    """Bytes per second of SHA-256 over a file, or its beginning."""
    digest, n = hashlib.sha256(), 0
    start = time.perf_counter()
    with file.open("rb") as stream:
        while n < _HASHED and (block := stream.read(1 << 20)):
            digest.update(block)
            n += len(block)
    return n / (time.perf_counter() - start)


def _reading_memory(path: Path, request: Request) -> float:
    """Peak memory [MB] of reading a chunk of full length while the one before is still there."""
    _forget_peak()
    jets = next(iterate(path, step=request.chunk, stop=request.chunk, **request.options))
    held = sum(values.nbytes for values in vars(jets).values() if isinstance(values, np.ndarray))
    held += sum(values.nbytes for values in jets.observables.values())
    return _memory("VmHWM") + held / (1 << 20)


def _memory(key: str) -> float:
    """Resident memory of this process [MB]: ``VmRSS`` now, ``VmHWM`` at most; 0 where it is not told."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) / 1024
    return 0.0


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
