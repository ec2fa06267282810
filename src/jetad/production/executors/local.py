"""Worker processes on this machine."""

from __future__ import annotations

import concurrent.futures
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for

from ...detector import TrainedDetector
from ...errors import JetadError
from ...runs import Run
from ..job import Job
from ..workspace import PartRange
from .base import load_detectors, score_parts

__all__ = ["Processes"]

_Task = concurrent.futures.Future[list[int]]

# of a worker process
_detectors: Mapping[str, TrainedDetector] = {}


def _begin(runs: list[str], device: str, threads: int) -> None:
    """Load the detectors of a worker, and end it with its parent, however that ends."""
    import torch

    global _detectors
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
    _detectors = load_detectors(runs, device)


def _work(job: Job, parts: PartRange) -> list[int]:
    return score_parts(_detectors, job, parts)


class Processes:
    """A crew of ``size`` processes that load the detectors once.

    Arguments:
        runs: Of the detectors.
        size: How many.
        threads: CPU threads of each.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    def __init__(self, runs: Sequence[Run], size: int, *, threads: int, device: str) -> None:
        self.size = size
        self.name = f"{size} processes"
        self._pool = concurrent.futures.ProcessPoolExecutor(
            size,
            mp_context=multiprocessing.get_context("spawn"),  # torch's threads do not survive a fork
            initializer=_begin,
            initargs=([str(run.path.resolve()) for run in runs], device, threads),
        )

    def submit(self, job: Job, parts: PartRange) -> _Task:
        try:
            return self._pool.submit(_work, job, parts)
        except BrokenProcessPool as error:
            raise _killed() from error

    def finished(self, tasks: Collection[_Task]) -> Collection[_Task]:
        return concurrent.futures.wait(tasks, 0.5, concurrent.futures.FIRST_COMPLETED).done

    def result(self, task: _Task) -> list[int]:
        try:
            return task.result()
        except BrokenProcessPool as error:
            raise _killed() from error

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _killed() -> JetadError:
    return JetadError(
        "a worker process was killed (out of memory?); finished parts are kept: run the same command "
        "again, perhaps with fewer --jobs"
    )
