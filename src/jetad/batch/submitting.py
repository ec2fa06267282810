"""From a job in memory to one that the scheduler has."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import JetadError
from .base import Scheduler, Work
from .job import Job, Submission, now
from .options import Options

__all__ = ["render", "submit"]

logger = logging.getLogger("jetad.batch")


def _works(scheduler: Scheduler, tasks: Sequence[int], options: Options) -> Iterator[Work]:
    for group in scheduler.split(tasks, options):
        yield Work(group, options)


def render(job: Job, scheduler: Scheduler, tasks: Sequence[int], options: Options) -> list[dict[str, str]]:
    """What ``submit`` would write: for each submission the text of its files."""
    return [scheduler.render(job, work) for work in _works(scheduler, tasks, options)]


def submit(
    job: Job, scheduler: Scheduler, tasks: Sequence[int], options: Options, *, fresh: bool = True
) -> list[Submission]:
    """Write the scripts of a job and give them to the scheduler; what it answers is recorded at once.

    Arguments:
        job: Created before.
        scheduler: Who gets it.
        tasks: Numbers.
        options: What each asks for.
        fresh: Remove the folder of the job if the scheduler refuses all of it.

    Raises:
        JetadError: if the scheduler refuses.
    """
    made = []
    for work in _works(scheduler, tasks, options):
        files = scheduler.render(job, work)
        job.write_arguments(work.tasks)
        for name, text in files.items():
            job.write(name, text)
            if name.endswith(".sh"):
                (job.path / name).chmod(0o755)
        begun, (script, *_) = now(), files
        try:
            job_id = scheduler.submit(job, Path(job.absolute) / script, options)
        except JetadError as error:
            if fresh and not job.submissions:
                job.discard()
                raise
            raise type(error)(f"{error}; 'jetad resubmit {job.path}' submits what is left") from error
        submission = Submission(script, job_id, work.tasks, options.memory, options.time, begun)
        job.add(submission)
        made.append(submission)
        logger.info("submitted %d tasks as job %s", len(work.tasks), job_id)
    return made
