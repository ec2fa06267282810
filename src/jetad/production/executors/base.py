"""Who scores the parts: processes of this machine or workers elsewhere; a score does not depend on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from ...detector import TrainedDetector
from ...runs import Run
from ..job import Job
from ..parts import score_range
from ..request import run_names
from ..workspace import PartRange

__all__ = ["Executor", "load_detectors", "score_parts"]


class Executor(Protocol):
    """Workers that score ranges of parts and keep them in the workspace of the file.

    A task is whatever ``submit`` returns; it is hashable.
    """

    @property
    def size(self) -> int:
        """Tasks that run at the same time; may change."""

    @property
    def name(self) -> str:
        """For progress, such as ``8 processes``."""

    def submit(self, job: Job, parts: PartRange) -> Any:
        """Queue parts of a file; a task."""

    def finished(self, tasks: Collection[Any]) -> Collection[Any]:
        """Those that have ended, after waiting for half a second at most.

        Raises:
            JetadError: if the workers are lost.
        """

    def result(self, task: Any) -> list[int]:
        """Numbers of the parts that an ended task has made.

        Raises:
            InputError: if the file is broken; other files go on.
            JetadError: if nothing can go on.
        """

    def close(self) -> None:
        """Drop what is queued and go; never raises."""


def load_detectors(runs: list[str], device: str) -> Mapping[str, TrainedDetector]:
    """The detectors of runs by the names that ``score_files`` gives them."""
    opened = [Run.open(path) for path in runs]
    names = run_names([run.path.resolve().name for run in opened])
    return {name: TrainedDetector.from_run(run, device) for name, run in zip(names, opened, strict=True)}


def score_parts(detectors: Mapping[str, TrainedDetector], job: Job, parts: PartRange) -> list[int]:
    """Score parts in a worker; stops between two of them when they are no longer wanted."""
    done: list[int] = []
    if job.workspace.wanted:
        for number in score_range(detectors, job, parts):
            done.append(number)
            if not job.workspace.wanted:
                break
    return done
