"""What every scheduler has: a script, a way to submit it, and words on what became of its tasks."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol

from ..errors import JetadError, MissingPackageError
from .job import Job
from .options import Options

__all__ = ["Event", "Queued", "Scheduler", "Work", "ask", "body", "call"]

logger = logging.getLogger("jetad.batch")

FIRST_WAIT = 5.0  # seconds before the second try; doubled for every further one


class Event(NamedTuple):
    """Something that happened to a task: ``start``, ``signal``, ``end`` or another word of its scheduler."""

    time: str  # UTC, ISO
    kind: str
    detail: str = ""


class Queued(NamedTuple):
    """What the scheduler says of a task; ``state`` is its own word, empty if it no longer knows the task."""

    state: str
    reason: str = ""


class Work(NamedTuple):
    """Tasks to submit in one go."""

    tasks: list[int]
    options: Options


class Scheduler(Protocol):
    """One per batch system; the rest of the package knows no other difference between them."""

    name: ClassVar[str]
    options: ClassVar[type[Options]]
    waiting: ClassVar[frozenset[str]]  # states of tasks that will start
    running: ClassVar[frozenset[str]]

    def split(self, tasks: Sequence[int], options: Options) -> list[list[int]]:
        """Tasks in groups that can be submitted in one go each."""
        ...

    def render(self, job: Job, work: Work) -> dict[str, str]:
        """Text by file name; the first is what ``submit`` takes."""
        ...

    def submit(self, job: Job, file: Path, options: Options) -> str:
        """Give the file to the scheduler; the id of the job.

        Raises:
            JetadError: if it is refused, or not there after several tries.
        """
        ...

    def queued(self, job: Job) -> dict[int, Queued] | None:
        """Of each task as last submitted; ``None`` if the scheduler cannot be asked here."""
        ...

    def events(self, job: Job) -> dict[int, list[Event]]:
        """Of each task since it was last submitted, in order."""
        ...

    def log(self, job: Job, number: int) -> Path:
        """Where messages of a task are."""
        ...

    def forget(self, job: Job, tasks: Sequence[int]) -> None:
        """Take failed tasks out of the queue where the scheduler still holds them."""
        ...


def body(setup: Sequence[str], end: str) -> str:
    """The part of the script that is the same for every scheduler, and how it ends."""
    text = resources.files(__package__).joinpath("task.sh").read_text()
    return text.replace("# SETUP\n", "".join(f"{line}\n" for line in setup)) + end


def call(
    command: Sequence[str],
    *,
    attempts: int,
    transient: re.Pattern[str],
    done: Callable[[], str | None] = lambda: None,
) -> str:
    """The output of a command of the scheduler, tried again with growing waits while that is busy.

    Arguments:
        command: Program and arguments.
        attempts: Number of tries.
        transient: Messages that are worth another try.
        done: The job id if the failed try has submitted the job in spite of its message.

    Raises:
        MissingPackageError: if there is no such program.
        JetadError: with the scheduler's own words.
    """
    if shutil.which(command[0]) is None:
        raise MissingPackageError(
            f"{command[0]} is not installed here: run this on a login node of the cluster, "
            "or look at what would be submitted with --dry-run"
        )
    wait = FIRST_WAIT
    for left in range(attempts - 1, -1, -1):
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode == 0:
            return result.stdout
        said = " ".join((result.stderr or result.stdout).split())
        if not transient.search(said):
            raise JetadError(f"{command[0]} refuses: {said or f'exit code {result.returncode}'}")
        if (found := done()) is not None:
            return found
        if left:
            logger.warning("%s: %s; trying again in %g s", command[0], said, wait)
            time.sleep(wait)
            wait *= 2
    raise JetadError(f"{command[0]}: {said} ({attempts} times); try again later")


def ask(command: Sequence[str]) -> str | None:
    """What a command of the scheduler prints; ``None`` if it fails or is not there."""
    if shutil.which(command[0]) is None:
        return None
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return None
    return result.stdout if result.returncode == 0 else None
