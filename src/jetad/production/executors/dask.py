"""Workers of a dask.distributed cluster, which somebody else has started and which share our file system."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import pickle
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ... import __version__
from ...detector import TrainedDetector
from ...errors import InputError, JetadError
from ...extras import needing
from ...files.jsonfiles import read_object
from ...readers.columnmap import load_mapping
from ...readers.paths import split_path
from ...runs import Run
from ..job import Job
from ..workspace import PartRange
from .base import load_detectors, score_parts

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["DaskCluster", "Task"]

logger = logging.getLogger("jetad.scoring")

_CONNECT = 10  # seconds
_APPEAR = 1.0  # seconds that a network file system may need to show a new folder
_RETRIES = 2  # on any error, by dask, perhaps on another worker
_LEAST_SIZE = 4  # so that an adaptive cluster sees a reason to grow
_LOOK = 5.0  # seconds between looks at the workers
_MODEL = ("model_hash", "calibration_hash")


@dataclasses.dataclass(frozen=True)
class Task:
    """Parts of a file with all that a worker needs to know.

    Arguments:
        runs: Run directories.
        models: Hashes of the model and the calibration of each.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads of the worker process.
        job: The file, by absolute paths.
        parts: Which.
    """

    runs: tuple[str, ...]
    models: tuple[tuple[str, ...], ...]
    device: str
    threads: int
    job: Job
    parts: PartRange

    def __call__(self) -> list[int]:
        """Score the parts, in the process of a worker; the detectors are loaded by its first task.

        Raises:
            JetadError: if the worker does not see the files.
        """
        from distributed import get_worker

        where = f"dask worker {get_worker().address}"
        _require_seen(self.job, where)
        with _loading:
            detectors = _detectors(self.runs, self.models, self.device, self.threads, where)
        return score_parts(detectors, self.job, self.parts)


# of a worker process, whose threads share the detectors
_loading = threading.Lock()


@functools.lru_cache(maxsize=2)
def _detectors(
    runs: tuple[str, ...], models: tuple[tuple[str, ...], ...], device: str, threads: int, where: str
) -> Mapping[str, TrainedDetector]:
    """The detectors of these weights; a worker may live longer than the weights of a run."""
    torch.set_num_threads(threads)
    try:
        detectors = load_detectors(list(runs), device)
    except InputError as error:
        raise JetadError(f"{where} cannot load the run: {error}") from error
    if _models(detectors) != models:
        raise JetadError(f"{where} sees other weights in {runs[0]}: it does not share this file system")
    return detectors


def _models(detectors: Mapping[str, TrainedDetector]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(str(d.metadata[key]) for key in _MODEL) for d in detectors.values())


def _require_seen(job: Job, where: str) -> None:
    """Wait a moment for the input and the folder of the parts to appear.

    Raises:
        JetadError: if they do not.
    """
    deadline = time.monotonic() + _APPEAR
    source = split_path(job.source)[0]
    while True:
        size: Any = None
        if job.stamp.remote:  # found when it is read
            size = job.stamp.size
        else:
            with contextlib.suppress(OSError):
                size = source.stat().st_size
        lacking = source if size != job.facts["input_size"] else job.workspace.path
        if lacking is not source and job.workspace.exists:
            return
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    what = "does not see" if size is None or lacking is not source else "sees another file in the place of"
    raise JetadError(
        f"{where} {what} {lacking}: workers need a file system shared with this machine, with the same paths"
    )


def _runner() -> Callable[[str, bytes], list[int]]:
    """What is sent to the cluster: a function that travels by value, as a scheduler may lack jetad."""

    def score_with_jetad(version: str, task: bytes) -> list[int]:
        import pickle

        from distributed import get_worker

        import jetad
        from jetad.errors import JetadError

        if jetad.__version__ != version:
            raise JetadError(
                f"dask worker {get_worker().address} has jetad {jetad.__version__}, this is {version}: "
                "install the same there"
            )
        done: list[int] = pickle.loads(task)()
        return done

    return score_with_jetad


def _ask(address: str) -> None:
    """Wait for an answer, not longer than ``_CONNECT``: the client of dask waits for ever for some.

    Raises:
        TimeoutError: if there is none.
        ValueError: if it is not that of a scheduler.
    """
    from distributed.core import rpc
    from distributed.security import Security

    async def identity() -> Any:
        arguments = Security().get_connection_args("client")
        async with rpc(address, connection_args=arguments) as there:
            return await there.identity()

    async def answer() -> Any:
        return await asyncio.wait_for(identity(), _CONNECT)

    if address.startswith("inproc:"):  # known to its own thread alone
        return
    with ThreadPoolExecutor(1) as thread:  # here a loop may be running already, as in a notebook
        try:
            found = thread.submit(asyncio.run, answer()).result()
        except asyncio.TimeoutError as error:
            raise TimeoutError("what is there does not speak as dask does") from error
    if not isinstance(found, dict) or found.get("type") != "Scheduler":
        kind = found.get("type") if isinstance(found, dict) else type(found).__name__
        raise ValueError(f"what answers is a {kind}")


class DaskCluster:
    """The threads of all workers; those that come later join, those that die are replaced.

    Parts of a worker that died are computed again by others; dask gives up on parts that have killed
    ``allowed-failures`` workers (3 by default).

    Arguments:
        where: Address of the scheduler, or its scheduler file.
        runs: Of the detectors.
        threads: CPU threads of each task.
        device: ``auto``, ``cpu`` or ``cuda``, for the workers.

    Raises:
        MissingPackageError: without dask.distributed.
        JetadError: if the scheduler cannot be reached, or has workers of another Python.
    """

    def __init__(self, where: str, runs: Sequence[Run], *, threads: int, device: str) -> None:
        with needing("dask", "--dask needs dask.distributed"):
            from distributed import Client
        log = logging.getLogger("distributed.client")
        self._restore_log = functools.partial(log.setLevel, log.level)
        log.setLevel(logging.CRITICAL)  # its news are told here
        self._where = where
        address: dict[str, Any] = {"address": where}
        if "://" not in where and (where.endswith(".json") or Path(where).exists()):
            if not Path(where).is_file():
                raise JetadError(
                    f"--dask {where}: no such scheduler file; 'dask scheduler --scheduler-file' writes it"
                )
            address = {"scheduler_file": where}
        try:
            _ask(where if "address" in address else str(read_object(where)["address"]))
            self._client: Client = Client(**address, timeout=_CONNECT, name="jetad")
        except Exception as error:  # of any type, where something else answers
            self._restore_log()
            raise JetadError(
                f"--dask {where}: no dask scheduler answers there within {_CONNECT} s "
                f"({(str(error).splitlines() or [type(error).__name__])[0]})"
            ) from error
        try:
            self._check_workers()
        except BaseException:
            self.close()
            raise
        paths = tuple(str(run.path.resolve()) for run in runs)
        self._make = functools.partial(
            Task, paths, _models(load_detectors(list(paths), "cpu")), device, threads
        )
        self._run = _runner()
        self._looked = -_LOOK
        self._workers: dict[str, int] = {}

    def _check_workers(self) -> None:
        from distributed import versions

        mine = versions.get_versions()["packages"] | {"torch": torch.__version__, "numpy": np.__version__}
        found: Any = self._client.get_versions(packages=["torch"])
        if not found["workers"]:
            logger.warning("%s: has no workers yet; waiting for the first", self._where)
        for worker, theirs in found["workers"].items():
            python = ".".join(theirs["host"]["python"].split(".")[:2])
            if python != ".".join(map(str, sys.version_info[:2])):
                raise JetadError(
                    f"dask worker {worker} has Python {python}, this is "
                    f"{sys.version_info[0]}.{sys.version_info[1]}: use the same environment"
                )
            for package in ("torch", "numpy"):
                version = theirs["packages"][package]
                if version not in (None, mine[package]):
                    logger.warning(
                        "dask worker %s has %s %s, this is %s: last digits of scores may differ",
                        worker, package, version, mine[package],
                    )  # fmt: skip

    @property
    def size(self) -> int:
        return max(_LEAST_SIZE, sum(self._nthreads().values()))

    @property
    def name(self) -> str:
        return f"{len(self._nthreads())} dask workers"

    def _nthreads(self) -> Mapping[str, int]:
        """Threads of each worker, as they were some seconds ago."""
        if time.monotonic() - self._looked > _LOOK:
            with self._connected():
                self._workers = dict(self._client.nthreads())
            self._looked = time.monotonic()
        return self._workers

    def submit(self, job: Job, parts: PartRange) -> Any:
        task = pickle.dumps(self._make(_absolute(job), parts))
        with self._connected():
            return self._client.submit(self._run, __version__, task, pure=False, retries=_RETRIES)

    def finished(self, tasks: Collection[Any]) -> Collection[Any]:
        from distributed import TimeoutError, wait

        with self._connected():
            try:
                done: Collection[Any] = wait(list(tasks), timeout=0.5, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                return ()
        return done

    def result(self, task: Any) -> list[int]:
        from distributed import KilledWorker

        with self._connected():
            try:
                done: list[int] = task.result()
                return done
            except KilledWorker as error:
                raise JetadError(
                    f"{error.allowed_failures + 1} dask workers died of the same parts (out of memory?); "
                    "finished parts are kept: run the same command again, perhaps with a smaller --chunk"
                ) from error
            except ImportError as error:
                raise JetadError(
                    f"a dask worker cannot import {error.name}: install the same jetad there as here"
                ) from error

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        """Say it plainly when the scheduler is gone: dask cancels all futures then."""
        from concurrent.futures import CancelledError

        from distributed.comm.core import CommClosedError

        try:
            if self._client.status != "running":
                raise CancelledError
            yield
        except (CancelledError, CommClosedError) as error:
            raise JetadError(
                f"--dask {self._where}: the connection to the scheduler was lost; finished parts are kept: "
                "start it again and run the same command"
            ) from error

    def close(self) -> None:
        """Go; what runs ends after its part, see ``Workspace.wanted``."""
        with contextlib.suppress(Exception):
            self._client.close(timeout=_CONNECT)
        self._restore_log()


def _absolute(job: Job) -> Job:
    """The job by paths that do not depend on the folder that a worker is in."""
    workspace = type(job.workspace)(job.output.absolute(), job.workspace.session)
    options = dict(job.request.options)
    if options.get("mapping") is not None:
        options["mapping"] = load_mapping(options["mapping"])
    return job._replace(
        source=job.source if job.stamp.remote else job.source.absolute(),
        output=workspace.output,
        workspace=workspace,
        request=dataclasses.replace(job.request, options=options),
    )
