"""The same parts shared by workers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...detector import TrainedDetector
from ...errors import InputError
from ...interrupts import StopRequest
from ..finishing import failure, finish
from ..job import Job, Progress, check_stop, prepare
from ..ledger import Account
from ..request import Request
from ..workspace import PartRange, Workspace, gaps
from .base import Executor

__all__ = ["score_by_executor"]

# parts that a worker reads in one go: opening a ROOT file of many branches takes a while
_MAX_RANGE = 8


class _Open:
    """A file that is being scored."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.done = job.workspace.done()
        self.running: set[Any] = set()
        self.all_submitted = False
        self.error: InputError | None = None

    @property
    def ended(self) -> bool:
        return self.all_submitted and not self.running


def score_by_executor(
    executor: Executor,
    detectors: Mapping[str, TrainedDetector],
    outputs: Mapping[Path, Path],
    request: Request,
    *,
    share: tuple[int, int],
    force: bool,
    stop: StopRequest | None,
    progress: Progress | None,
    report: Callable[[Account], None],
) -> list[Account]:
    """As ``score_files``, with workers that share the parts of all files; the executor is closed at the end.

    Raises:
        JetadError: if the workers are lost; finished parts are kept.
    """
    alone = len(outputs) == 1
    accounts: dict[Path, Account] = {}
    files: dict[Any, _Open] = {}
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
            longest = max(1, min(_MAX_RANGE, missing // (2 * executor.size)))
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

    waiting = tasks()
    exhausted = False
    try:
        while files or not exhausted:
            while not exhausted and len(files) < 2 * executor.size:
                check_stop(stop)
                try:
                    file, parts = next(waiting)
                except StopIteration:
                    exhausted = True
                    break
                # the lock stays here
                workspace = Workspace(file.job.output, file.job.workspace.session)
                task = executor.submit(file.job._replace(workspace=workspace), parts)
                file.running.add(task)
                files[task] = file
            for task in executor.finished(files.keys()):
                file = files.pop(task)
                file.running.discard(task)
                try:
                    finished = executor.result(task)
                    file.done.update(finished)
                    n_jets += len(finished) * request.chunk
                except InputError as error:
                    file.error = error
                close(file)
            if progress is not None:
                progress(f"{len(outputs)} files, {executor.name}:", n_jets, None)
            if files or not exhausted:
                check_stop(stop)
    finally:
        for file in unfinished:
            file.job.workspace.dismiss()
        executor.close()
        for file in unfinished:
            file.job.workspace.close()
    return [accounts[source] for source in outputs]
