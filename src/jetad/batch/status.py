"""What became of each task: from the scheduler, from what the task noted, and from what it left."""

from __future__ import annotations

import datetime
import re
import signal
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError
from ..files.jsonfiles import read_object
from .base import Event, Queued, Scheduler
from .job import Job, Submission, Task

__all__ = ["FAILURES", "TaskStatus", "job_status"]

# class of a failure -> what it is, and whether to try again
FAILURES: dict[str, tuple[str, bool]] = {
    "memory": ("ran out of memory", True),
    "time": ("reached its time limit", True),
    "node": ("the node failed or gave it up", True),
    "stopped": ("stopped after a checkpoint", True),
    "killed": ("was killed", True),
    "cancelled": ("was cancelled", True),
    "lost": ("the scheduler does not know it and it never started", True),
    "unsubmitted": ("was not submitted", True),
    "failed": ("failed", False),
    "usage": ("usage or configuration", False),
    "setup": ("jetad was not found; see 'setup' and 'command' of the site settings", False),
    "no output": ("ended well, but its output is not there", False),
}

_OF_SCHEDULER = {
    "OUT_OF_MEMORY": "memory",
    "TIMEOUT": "time",
    "DEADLINE": "time",
    "NODE_FAIL": "node",
    "BOOT_FAIL": "node",
    "LAUNCH_FAILED": "node",
    "PREEMPTED": "stopped",
    "REVOKED": "node",
    "CANCELLED": "cancelled",
}
_OUT_OF_MEMORY = re.compile(
    r"out of memory|not enough memory|MemoryError|cannot allocate memory|can't allocate memory|"
    r"unable to allocate|bad_alloc|oom.?kill|memory allocation (still )?failed|failed to map segment|"
    r"memory (limit|exceeded)|memory usage exceeded|exceeded.{0,40}memory",
    re.IGNORECASE,
)
_OUT_OF_TIME = re.compile(r"time limit|wall.?clock|MaxRuntime|JobFlavour|run ?time", re.IGNORECASE)
_TAIL = 4000  # bytes of a log that are looked at


class TaskStatus(NamedTuple):
    """One task now.

    ``state`` is ``pending``, ``running``, ``done``, ``failed`` or ``preempted`` (stopped, and waiting to go
    on or to be submitted again); ``failure`` a key of ``FAILURES`` where it has ended without being done.
    """

    task: int
    state: str
    failure: str | None
    reason: str
    job_id: str
    starts: int
    node: str
    code: int | None
    settings: dict[str, str]
    outputs: list[str]


def job_status(job: Job, scheduler: Scheduler) -> list[TaskStatus]:
    """The tasks of a job, in order."""
    queued, events = scheduler.queued(job), scheduler.events(job)
    return [
        _status(
            job, task, job.last_submission(task.number), scheduler,
            None if queued is None else queued.get(task.number, Queued("")),
            events.get(task.number, []),
        )
        for task in job.tasks
    ]  # fmt: skip


def _status(
    job: Job,
    task: Task,
    submission: Submission | None,
    scheduler: Scheduler,
    queued: Queued | None,
    events: list[Event],
) -> TaskStatus:
    starts = [event for event in events if event.kind == "start"]
    ended = events[-1] if events and events[-1].kind in ("end", "requeue") else None
    code = _code(events[-1].detail) if events and events[-1].kind == "end" else None
    state, failure, reason = "pending", None, ""
    if submission is None:
        state, failure, reason = "failed", "unsubmitted", FAILURES["unsubmitted"][0]
    elif queued is not None and queued.state in scheduler.waiting:
        state, reason = ("preempted" if starts else "pending"), queued.reason
    elif queued is not None and queued.state in scheduler.running:
        state = "running"
    elif queued is None and ended is None:
        state = "running" if starts else "pending"
        reason = "the scheduler cannot be asked here"
    elif _complete(job, task, submission):
        state = "done"
    else:
        failure, reason = _failure(job, task, submission, scheduler, queued, events, code)
        state = "preempted" if failure == "stopped" else "failed"
    return TaskStatus(
        task.number, state, failure, reason,
        "" if submission is None else submission.job_id,
        len(starts), starts[-1].detail.split(" ")[-1] if starts else "", code, task.settings, task.outputs,
    )  # fmt: skip


def _code(text: str) -> int:
    """The exit code that a task has noted; -1 where that is damaged."""
    return int(text) if re.fullmatch(r"-?\d+", text) else -1


def _complete(job: Job, task: Task, submission: Submission) -> bool:
    """Whether everything that the task should make is there, made since the job was created."""
    begun = _seconds(str(job.record["created"]))
    for name in task.outputs:
        path = job.folder / name
        if job.record["kind"] == "train":
            path = path / "provenance.json"
            try:
                if read_object(path).get("status") != "finished":
                    return False
            except (OSError, InputError):
                return False
        if not path.exists() or path.stat().st_mtime < begun - 60:  # clocks of nodes differ
            return False
    return True


def _failure(
    job: Job,
    task: Task,
    submission: Submission,
    scheduler: Scheduler,
    queued: Queued | None,
    events: list[Event],
    code: int | None,
) -> tuple[str, str]:
    """Class and one line of explanation."""
    tail = _tail(scheduler.log(job, task.number))
    word = queued.state if queued is not None else ""
    said = queued.reason if queued is not None else ""
    if word in _OF_SCHEDULER:
        kind = _OF_SCHEDULER[word]
        if kind == "cancelled" and _OUT_OF_TIME.search(_last(tail, "slurmstepd", "CANCELLED")):
            kind = "time"
        return kind, FAILURES[kind][0]
    if word in ("HELD", "REMOVED"):
        kind = (
            "memory" if _OUT_OF_MEMORY.search(said) else "time" if _OUT_OF_TIME.search(said) else "cancelled"
        )
        return kind, said or FAILURES[kind][0]
    if code == 85:
        if _used_up(submission, events):
            return "time", FAILURES["time"][0]
        return "stopped", FAILURES["stopped"][0]
    if code == 0:
        return "no output", FAILURES["no output"][0]
    if code is None or code > 128:
        if not any(event.kind == "start" for event in events):
            return "lost", FAILURES["lost"][0]
        if code in (None, 128 + signal.SIGTERM) and _used_up(submission, events):
            return "time", FAILURES["time"][0]
        if code == 128 + signal.SIGKILL or _OUT_OF_MEMORY.search(tail):
            return "memory", "was killed, which is what happens when memory runs out"
        number = "" if code is None else f" by signal {code - 128}"
        return "killed", f"{FAILURES['killed'][0]}{number}"
    if code in (126, 127):
        return "setup", FAILURES["setup"][0]
    if code != 2 and _OUT_OF_MEMORY.search(tail):
        return "memory", _last(tail) or FAILURES["memory"][0]
    kind = "usage" if code == 2 else "failed"
    return kind, _last(tail, "jetad:", "Error:") or f"exit code {code}; see {scheduler.log(job, task.number)}"


def _used_up(submission: Submission, events: list[Event]) -> bool:
    """Whether the last start is as long before the last sign of life as the time limit, nearly."""
    starts = [event.time for event in events if event.kind == "start"]
    if submission.time is None or not starts:
        return False
    try:
        passed = _seconds(events[-1].time) - _seconds(starts[-1])
    except ValueError:
        return False
    return passed > 0.9 * 60 * submission.time


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _last(text: str, *words: str) -> str:
    """The last line with one of the words; the last line of all without words."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [line for line in lines if not words or any(word in line for word in words)]
    return found[-1].removeprefix("jetad: error: ") if found else ""


def summary(statuses: list[TaskStatus]) -> dict[str, Any]:
    """Number of tasks by state, those that occur."""
    states = [status.state for status in statuses]
    return {state: states.count(state) for state in dict.fromkeys(states)}
