"""The same parts by several processes; their number does not change a score."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

from ..errors import InputError, Interrupted, JetadError
from ..run import Run
from ..scoring import TrainedDetector
from ..training.loop import StopRequest
from .ledger import Account
from .produce import Job, Progress, check_stop, failure, finish, prepare, score_range
from .request import Request, run_names
from .workspace import PartRange, Workspace, gaps

__all__ = ["score_in_pool"]

# parts that a process reads in one go: opening a ROOT file of many branches takes a while
_MAX_RANGE = 8

# of a worker process
_detectors: Mapping[str, TrainedDetector] = {}
_stop: Any = None


def _begin(runs: list[str], device: str, threads: int, stop: Any) -> None:
    """Load the detectors of a worker, and end it with its parent, however that ends."""
    import torch

    global _detectors, _stop
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # the parent decides
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    logging.getLogger("jetad").setLevel(logging.ERROR)  # the parent has said it
    torch.set_num_threads(threads)
    opened = [Run.open(path) for path in runs]
    names = run_names([run.path.resolve().name for run in opened])
    _detectors = {name: run.detector(device) for name, run in zip(names, opened, strict=True)}
    _stop = stop


def _work(job: Job, parts: PartRange) -> list[int]:
    """Score parts in a worker; stops between two of them."""
    done = []
    for number in score_range(_detectors, job, parts):
        done.append(number)
        if _stop.is_set():
            break
    return done


class _Open:
    """A file that is being scored."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.done = job.workspace.done()
        self.running: set[concurrent.futures.Future[list[int]]] = set()
        self.all_submitted = False
        self.error: InputError | None = None

    @property
    def ended(self) -> bool:
        return self.all_submitted and not self.running


def score_in_pool(
    detectors: Mapping[str, TrainedDetector],
    runs: Sequence[Run],
    outputs: Mapping[Path, Path],
    request: Request,
    *,
    jobs: int,
    threads: int,
    device: str,
    share: tuple[int, int],
    force: bool,
    stop: StopRequest | None,
    progress: Progress | None,
    report: Callable[[Account], None],
) -> list[Account]:
    """As ``score_files``, with ``jobs`` processes that share the parts of all files.

    Raises:
        JetadError: if a process was killed; finished parts are kept.
    """
    alone = len(outputs) == 1
    accounts: dict[Path, Account] = {}
    files: dict[concurrent.futures.Future[list[int]], _Open] = {}
    unfinished: list[_Open] = []
    n_jets = 0

    def account(value: Account) -> None:
        accounts[Path(value.input)] = value
        report(value)

    def tasks() -> Iterator[tuple[_Open, PartRange]]:
        """Parts of one file after the other; files are opened when their turn comes."""
        for source, output in outputs.items():
            try:
                job = prepare(detectors, source, output, request, share=share, force=force, alone=alone)
            except InputError as error:
                account(failure(source, output, error, alone=alone))
                continue
            if isinstance(job, Account):
                account(job)
                continue
            file = _Open(job)
            unfinished.append(file)
            missing = job.n_parts - len(file.done)
            longest = max(1, min(_MAX_RANGE, missing // (2 * jobs)))
            for parts in gaps(file.done, job.n_parts, longest):
                if file.error is None:
                    yield file, parts
            file.all_submitted = True
            close(file)

    def close(file: _Open) -> None:
        """Make the output when the last part is there."""
        if not file.ended or file not in unfinished:
            return
        unfinished.remove(file)
        job = file.job
        try:
            with contextlib.closing(job.workspace):
                if file.error is not None:
                    raise file.error
                account(finish(job))
        except InputError as error:
            account(failure(job.source, job.output, error, job, alone=alone))

    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    event = context.Event()
    pool = concurrent.futures.ProcessPoolExecutor(
        jobs,
        mp_context=context,
        initializer=_begin,
        initargs=([str(run.path.resolve()) for run in runs], device, threads, event),
    )
    waiting = tasks()
    exhausted = False
    try:
        while files or not exhausted:
            while not exhausted and len(files) < 2 * jobs:
                check_stop(stop)
                try:
                    file, parts = next(waiting)
                except StopIteration:
                    exhausted = True
                    break
                # the lock stays here
                job = file.job._replace(workspace=Workspace(file.job.output))
                future = pool.submit(_work, job, parts)
                file.running.add(future)
                files[future] = file
            done, _ = concurrent.futures.wait(files, 0.5, concurrent.futures.FIRST_COMPLETED)
            for future in done:
                file = files.pop(future)
                file.running.discard(future)
                try:
                    finished = future.result()
                    file.done.update(finished)
                    n_jets += len(finished) * request.chunk
                except InputError as error:
                    file.error = error
                close(file)
            if progress is not None:
                progress(f"{len(outputs)} files, {jobs} processes:", n_jets, None)
            if files or not exhausted:
                check_stop(stop)
    except BrokenProcessPool as error:
        raise JetadError(
            "a worker process was killed (out of memory?); finished parts are kept: run the same command "
            "again, perhaps with fewer --jobs"
        ) from error
    except Interrupted:
        event.set()
        raise
    finally:
        event.set()
        pool.shutdown(wait=True, cancel_futures=True)
        for file in unfinished:
            file.job.workspace.close()
    return [accounts[source] for source in outputs]
