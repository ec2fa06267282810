"""Trainings and scorings as jobs of a cluster: written, submitted, watched, and submitted again.

A job is a folder that can be read without jetad: ``job.json`` (the record), ``commands.txt`` (one command a
line, one line a task), ``tasks`` (the words of each command, which its script reads), the scripts that were
submitted, ``logs`` and ``state`` (what each task noted when it started, was stopped and ended). No engine:
what runs on a node is the command that a user would type there.
"""

from .base import Scheduler
from .job import Job, Submission, Task, open_jobs
from .resubmit import Repair, repairs, resubmit
from .sites import Options, load_options
from .status import TaskStatus, job_status
from .submit import render, submit
from .systems import BATCH_SYSTEMS
from .tasks import score_tasks, train_tasks

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
