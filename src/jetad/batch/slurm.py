"""SLURM: sbatch scripts and arrays; squeue, and sacct where there is accounting."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from .. import __version__
from ..errors import ConfigError
from ..files.jsonfiles import whole_lines
from .base import Event, Queued, Work, ask, body, call
from .job import Job, require_printable
from .options import Options, clock

__all__ = ["Slurm", "SlurmOptions"]

_TRANSIENT = re.compile(
    r"timed out|unable to contact|connection (refused|reset|timed)|temporarily|not responding|"
    r"zero bytes were transmitted|transport endpoint|communication (connection )?failure",
    re.IGNORECASE,
)


class SlurmOptions(Options):
    """What ``sbatch`` takes besides."""

    partition: str | None = None
    qos: str | None = None
    constraint: str | None = Field(None, description="feature of the nodes")
    gpu_type: str | None = Field(None, description="as in --gres=gpu:TYPE:N")
    nodes: int | None = Field(None, ge=1, description="nodes of one task")
    tasks_per_node: int | None = Field(None, ge=1, description="processes on each; needs a launcher: srun")
    signal_seconds: int = Field(120, ge=1, description="SIGUSR1 comes so long before the time limit")
    requeues: int = Field(50, ge=0, description="times that a stopped task goes back into the queue")
    max_array: int = Field(1000, ge=1, description="tasks in one array; the cluster's MaxArraySize - 1")


class Slurm:
    """See :class:`jetad.batch.base.Scheduler`."""

    name: ClassVar[str] = "slurm"
    options: ClassVar[type[Options]] = SlurmOptions
    waiting: ClassVar[frozenset[str]] = frozenset(
        ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")
    )
    running: ClassVar[frozenset[str]] = frozenset(
        ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT")
    )

    def split(self, tasks: Sequence[int], options: Options) -> list[list[int]]:
        assert isinstance(options, SlurmOptions)
        groups: dict[int, list[int]] = {}
        for task in sorted(tasks):
            groups.setdefault((task - 1) // options.max_array, []).append(task)
        return list(groups.values())

    def render(self, job: Job, work: Work) -> dict[str, str]:
        options, tasks = work.options, work.tasks
        assert isinstance(options, SlurmOptions)
        offset = (tasks[0] - 1) // options.max_array * options.max_array
        single = len(job.tasks) == 1
        name, folder = job.next_name(), _path(job.absolute, "folder of the job")
        chdir = _path(job.folder, "working directory")
        log = f"{folder.replace('%', '%%')}/logs/{'1.log' if single else _log('%a', offset)}"
        head: list[tuple[str, object]] = [
            ("job-name", self._job_name(job, name)),
            ("chdir", chdir),
            ("output", log),
            ("open-mode", "append"),
            ("partition", options.partition),
            ("account", options.account),
            ("qos", options.qos),
            ("constraint", options.constraint),
            ("nodes", options.nodes),
            ("ntasks-per-node", options.tasks_per_node),
            ("cpus-per-task", options.cpus),
            ("gres", f"gpu:{options.gpu_type}:{options.gpus}" if options.gpu_type else f"gpu:{options.gpus}")
            if options.gpus
            else ("gres", None),
            ("mem", None if options.memory is None else f"{options.memory}M"),
            ("time", None if options.time is None else clock(options.time)),
            ("signal", f"B:USR1@{options.signal_seconds}"),
        ]
        if not single:
            throttle = f"%{options.max_running}" if options.max_running else ""
            head.append(("array", _ranges([task - offset for task in tasks]) + throttle))
        lines = ["#!/bin/bash"]
        lines += [f"#SBATCH --{key}={_quoted(value)}" for key, value in head if value is not None]
        lines += ["#SBATCH --requeue" if options.requeues else "#SBATCH --no-requeue"]
        extra = [require_printable(line.strip(), "line of 'extra'") for line in options.extra]
        lines += [line if line.startswith("#SBATCH") else f"#SBATCH {line}" for line in extra]
        index = "$SLURM_ARRAY_TASK_ID"
        task = "1" if single else f"$(({offset} + {index}))" if offset else index
        lines += [
            "",
            f"# Written by jetad {__version__}. Task N is line N of commands.txt.",
            f"job={shlex.quote(folder)}",
            f"folder={shlex.quote(chdir)}",
            f"task={task}",
            "list=$job/tasks/task-$task.args",
            "id=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}",
        ]
        end = _END.replace("REQUEUES", str(options.requeues)) if options.requeues else 'exit "$code"\n'
        return {f"{name}.sh": "\n".join(lines) + "\n" + body(options.setup, end)}

    def submit(self, job: Job, file: Path, options: Options) -> str:
        name = self._job_name(job, file.stem)

        def done() -> str | None:
            known = ask(["squeue", "--noheader", "--states=all", "--me", f"--name={name}", "--format=%F"])
            return known.split()[0] if known and known.split() else None

        said = call(
            ["sbatch", "--parsable", str(file)], attempts=options.attempts, transient=_TRANSIENT, done=done
        )
        return said.strip().split(";")[0]

    def queued(self, job: Job) -> dict[int, Queued] | None:
        last = {task.number: job.last_submission(task.number) for task in job.tasks}
        ids = sorted({s.job_id for s in last.values() if s is not None})
        if not ids:
            return {}
        max_array = _max_array(job)
        asked = ["--noheader", "--array", "--states=all", "--format=%F|%K|%T|%r"]
        current = ask(["squeue", f"--jobs={','.join(ids)}", *asked])
        if current is None:  # also where it has forgotten the only job that was asked for
            current = ask(["squeue", "--me", *asked])
        if current is None:
            return None
        finished = ask(
            ["sacct", "-X", "-n", "-P", "--duplicates", "-j", ",".join(ids), "--format=JobID,State"]
        )
        states: dict[tuple[str, str], Queued] = {}
        for line in (finished or "").splitlines():
            name, _, state = line.partition("|")
            job_id, _, index = name.partition("_")
            states[job_id, index or "N/A"] = Queued(state.split()[0])  # CANCELLED by 1000
        for line in current.splitlines():
            job_id, index, state, reason = line.strip().split("|", 3)
            states[job_id, index] = Queued(state, "" if reason == "None" else reason)
        found = {}
        for number, submission in last.items():
            if submission is not None:
                index = str((number - 1) % max_array + 1) if len(last) > 1 else "N/A"
                found[number] = states.get((submission.job_id, index), Queued(""))
        return found

    def events(self, job: Job) -> dict[int, list[Event]]:
        events: dict[int, list[Event]] = {}
        for task in job.tasks:
            submission = job.last_submission(task.number)
            file = job.path / "state" / f"{task.number}.txt"
            lines = [line.decode(errors="replace") for line in whole_lines(file)]
            words = [line.split(" ", 3) for line in lines if line.count(" ") >= 2]
            events[task.number] = [
                Event(w[0], w[2], w[3] if len(w) > 3 else "")
                for w in words
                if submission is not None and w[1] == submission.job_id
            ]
        return events

    def log(self, job: Job, number: int) -> Path:
        max_array = _max_array(job)
        index = (number - 1) % max_array + 1
        return job.path / "logs" / _log(str(index), number - index)

    def forget(self, job: Job, tasks: Sequence[int]) -> None:
        """Nothing: SLURM holds no failed tasks."""

    @staticmethod
    def _job_name(job: Job, script: str) -> str:
        return f"jetad-{job.name}-{script.removeprefix('job-')}"


# after USR1 the scheduler lets the task end; after TERM it has plans of its own: to requeue, or to cancel
_END = """restarts=${SLURM_RESTART_COUNT:-0}
if [ "$code" -eq 85 ] && [ "$stopped" != TERM ] && [ "$restarts" -lt REQUEUES ]; then
    note "requeue"
    trap '' TERM
    scontrol requeue "$id${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
fi
exit "$code"
"""


def _max_array(job: Job) -> int:
    return int(job.record["options"].get("max_array", SlurmOptions().max_array))


def _log(index: str, offset: int) -> str:
    return f"{offset}+{index}.log" if offset else f"{index}.log"


def _path(path: Path, what: str) -> str:
    """A folder as the head of a script can hold it; sbatch takes no quotes around a backslash in --output."""
    text = require_printable(path, what)
    if "\\" in text:
        raise ConfigError(f"{what} {text}: SLURM cannot write below a folder with a backslash; rename it")
    return text


def _quoted(value: object) -> str:
    """sbatch reads its lines as a shell would: blanks, quotes, # and \\ need quotes."""
    text = require_printable(str(value).strip("\n"), "option of the job")
    if re.fullmatch(r"[\w@%+=:,./-]*", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers as ``--array`` takes them.

    Example:
        >>> _ranges([1, 2, 3, 7, 9, 10])
        '1-3,7,9-10'
    """
    groups: list[list[int]] = []
    for number in numbers:
        if groups and number == groups[-1][-1] + 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    return ",".join(str(g[0]) if len(g) == 1 else f"{g[0]}-{g[-1]}" for g in groups)
