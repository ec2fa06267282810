"""Failed tasks again, with what they lacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import ConfigError
from .base import Scheduler
from .job import Job, Submission
from .options import Options
from .status import FAILURES, TaskStatus
from .submitting import submit

__all__ = ["Repair", "repairs", "resubmit"]


class Repair(NamedTuple):
    """Tasks that go back with the same options."""

    tasks: list[int]
    failures: list[str]  # of each
    options: Options


def repairs(
    job: Job,
    statuses: Sequence[TaskStatus],
    options: Options,
    *,
    factor: float = 2.0,
    force: bool = False,
    given: Mapping[str, Any] | None = None,
) -> tuple[list[Repair], list[TaskStatus]]:
    """What to submit again and how, and the failed tasks that trying again would not help.

    Arguments:
        job: The job.
        statuses: From ``job_status``.
        options: As the job was submitted.
        factor: More memory where a task ran out of it, more time where it reached the limit.
        force: Also tasks whose error says that they would fail again.
        given: Options that the user gives now; they hold for all.

    Raises:
        ConfigError: if a task ran out of something that was never asked for.
    """
    given = dict(given or {})
    groups: dict[Options, tuple[list[int], list[str]]] = {}
    refused = []
    for status in statuses:
        if status.failure is None:
            continue
        if not (FAILURES[status.failure][1] or force):
            refused.append(status)
            continue
        more = _more(status, job.last_submission(status.task), options, factor, given)
        tasks, failures = groups.setdefault(options.model_copy(update={**more, **given}), ([], []))
        tasks.append(status.task)
        failures.append(status.failure)
    return [Repair(tasks, failures, group) for group, (tasks, failures) in groups.items()], refused


def _more(
    status: TaskStatus, last: Submission | None, options: Options, factor: float, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Memory and time as last asked for, times ``factor`` where they were short."""
    if last is None:
        return {}
    values: dict[str, Any] = {"memory": last.memory, "time": last.time}
    what = status.failure
    if what not in ("memory", "time") or what in given:
        return values
    before = values[what]
    if before is None and what == "time":
        before = options.usual_time()
    if before is None:
        raise ConfigError(
            f"task {status.task} {FAILURES[what][0]}, but the job did not ask for any {what}: give --{what}"
        )
    return {**values, what: round(factor * before)}


def resubmit(job: Job, scheduler: Scheduler, chosen: Sequence[Repair]) -> list[Submission]:
    """Submit them; what is done is not touched.

    Raises:
        JetadError: if the scheduler refuses.
    """
    made = []
    for repair in chosen:
        scheduler.forget(job, repair.tasks)
        made += submit(job, scheduler, repair.tasks, repair.options, fresh=False)
    return made
