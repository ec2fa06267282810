"""Trainings and scorings as jobs of a cluster: written, submitted, watched, and submitted again.

A job is a folder that can be read without jetad: ``job.json`` (the record), ``commands.txt`` (one command a
line, one line a task), ``tasks`` (the words of each command, which its script reads), the scripts that were
submitted, ``logs`` and ``state`` (what each task noted when it started, was stopped and ended). No engine:
what runs on a node is the command that a user would type there.
"""

from typing import TYPE_CHECKING

from ..registry import lazy
from .systems import BATCH_SYSTEMS

if TYPE_CHECKING:
    from .base import Scheduler
    from .job import Job, Submission, Task, open_jobs
    from .options import Options, load_options
    from .resubmitting import Repair, repairs, resubmit
    from .status import TaskStatus, job_status
    from .submitting import render, submit
    from .tasks import score_tasks, train_tasks
else:  # the commands name the batch systems before anything else is installed
    __getattr__, __dir__ = lazy(
        __name__, base=["Scheduler"], job=["Job", "Submission", "Task", "open_jobs"],
        resubmitting=["Repair", "repairs", "resubmit"], options=["Options", "load_options"],
        status=["TaskStatus", "job_status"], submitting=["render", "submit"],
        tasks=["score_tasks", "train_tasks"],
    )  # fmt: skip

__all__ = [
    "BATCH_SYSTEMS",
    "Job",
    "Options",
    "Repair",
    "Scheduler",
    "Submission",
    "Task",
    "TaskStatus",
    "job_status",
    "load_options",
    "open_jobs",
    "render",
    "repairs",
    "resubmit",
    "score_tasks",
    "submit",
    "train_tasks",
]
