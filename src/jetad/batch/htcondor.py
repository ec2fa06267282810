"""HTCondor: submit files; the event log that the access point writes says what became of the tasks."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from .. import __version__
from ..errors import ConfigError
from ..readers.containers.remote import remote_url
from .base import Event, Queued, Work, ask, body, call
from .job import Job, require_printable
from .options import Options

__all__ = ["HTCondor", "HTCondorOptions"]

logger = logging.getLogger("jetad.batch")

# CERN's job flavours and their longest time [min]
_FLAVOURS = {
    "espresso": 20,
    "microcentury": 60,
    "longlunch": 120,
    "workday": 480,
    "tomorrow": 1440,
    "testmatch": 4320,
    "nextweek": 10080,
}
if TYPE_CHECKING:
    Flavour = str
else:
    Flavour = Literal[tuple(_FLAVOURS)]
_TRANSIENT = re.compile(
    r"failed to connect|can't connect|timed? ?out|failed to (fetch|commit|locate)|unable to locate|"
    r"connection (refused|reset)|temporarily",
    re.IGNORECASE,
)
# 005 (123.004.000) 2026-11-22 23:00:01 Job terminated.   (older versions: 11/22 23:00:01)
_HEADER = re.compile(r"(\d{3}) \((\d+)\.(\d+)\.\d+\) (\S+ [\d:.]+)\S* (.*)")
# numbers of events that end the present state of a task
_STATES = {
    0: "IDLE", 1: "RUNNING", 4: "IDLE", 5: "COMPLETED", 9: "REMOVED", 10: "SUSPENDED", 11: "RUNNING",
    12: "HELD", 13: "IDLE", 24: "IDLE",
}  # fmt: skip


_TRANSFERABLE = re.compile(r"[^\x00-\x20\x7f,;$\"'()\\*?]+")


class HTCondorOptions(Options):
    """What a submit file takes besides."""

    flavour: Flavour | None = Field(None, description="CERN's +JobFlavour, where no time is given")
    disk: str | None = Field(None, description="request_disk, such as 4GB")
    requirements: str | None = Field(None, description="expression on the machine")
    transfer_files: bool = Field(
        False, description="bring relative inputs to the node and results back; without a shared file system"
    )

    def usual_time(self) -> int | None:
        return None if self.flavour is None else _FLAVOURS[self.flavour]


class HTCondor:
    """See :class:`jetad.batch.base.Scheduler`."""

    name: ClassVar[str] = "htcondor"
    options: ClassVar[type[Options]] = HTCondorOptions
    waiting: ClassVar[frozenset[str]] = frozenset(("IDLE",))
    running: ClassVar[frozenset[str]] = frozenset(("RUNNING", "SUSPENDED"))

    def split(self, tasks: Sequence[int], options: Options) -> list[list[int]]:
        return [sorted(tasks)]

    def render(self, job: Job, work: Work) -> dict[str, str]:
        options = work.options
        assert isinstance(options, HTCondorOptions)
        name, folder = job.next_name(), _literal(job.absolute, "folder of the job")
        lines = [
            f"# Written by jetad {__version__}. Task N is line N of commands.txt.",
            f"batch_name = jetad-{_literal(job.name, 'name of the job')}",
            f"executable = {folder}/{name}.sh",
            "arguments = $(ClusterId) $(task)",
            f"initialdir = {_literal(job.folder, 'working directory')}",
            f"output = {folder}/logs/$(task).out",
            f"error = {folder}/logs/$(task).log",
            f"log = {folder}/events.log",
            "",
            f"request_cpus = {options.cpus or 1}",
        ]
        if options.gpus:
            lines.append(f"request_gpus = {options.gpus}")
        if options.memory is not None:
            lines.append(f"request_memory = {options.memory}M")
        if options.disk is not None:
            lines.append(f"request_disk = {_line(options.disk)}")
        if options.time is not None:
            lines.append(f"+MaxRuntime = {60 * options.time}")
        elif options.flavour is not None:
            lines.append(f'+JobFlavour = "{options.flavour}"')
        if options.account is not None:
            lines.append(f"accounting_group = {_line(options.account)}")
        if options.requirements is not None:
            lines.append(f"requirements = {_line(options.requirements)}")
        if options.max_running is not None:
            lines.append(f"max_materialize = {options.max_running}")
        lines += ["", *self._files(job, work, options), *(_line(line) for line in options.extra)]
        columns = "task, results, inputs" if options.transfer_files else "task"
        lines += ["", f"queue {columns} from ("]
        lines += [f"  {row}" for row in self._rows(job, work, options)]
        lines += [")"]
        where = "$PWD" if options.transfer_files else None
        script = [
            "#!/bin/bash",
            f"# Written by jetad {__version__}. Task N is line N of commands.txt.",
            f"job={where or shlex.quote(str(job.absolute))}",
            f"folder={where or shlex.quote(str(job.folder))}",
            "id=$1",
            "task=$2",
            f"list=$job/{'' if where else 'tasks/'}task-$task.args",
        ]
        end = 'exit "$code"\n'
        if options.transfer_files:  # what is to be brought back must be there, or the task is held
            end = 'mkdir -p "$3"\n' + end
            lines[lines.index("arguments = $(ClusterId) $(task)")] = (
                "arguments = $(ClusterId) $(task) $(results)"
            )
        return {
            f"{name}.sub": "\n".join(lines) + "\n",
            f"{name}.sh": "\n".join(script) + "\n" + body(options.setup, end),
        }

    @staticmethod
    def _files(job: Job, work: Work, options: HTCondorOptions) -> list[str]:
        if not options.transfer_files:
            return [
                "# all machines see the same files; stopped after a checkpoint, a task is queued again",
                "should_transfer_files = NO",
                "on_exit_remove = ExitCode =!= 85",
            ]
        return [
            "# stopped after a checkpoint, a task is started again with the files of the checkpoint",
            "should_transfer_files = YES",
            "when_to_transfer_output = ON_EXIT_OR_EVICT",
            "preserve_relative_paths = True",
            "transfer_input_files = $(inputs)",
            "transfer_output_files = $(results)",
            "checkpoint_exit_code = 85",
            "transfer_checkpoint_files = $(results)",
        ]

    @staticmethod
    def _rows(job: Job, work: Work, options: HTCondorOptions) -> list[str]:
        if not options.transfer_files:
            return [str(number) for number in work.tasks]
        rows = []
        for task in job.tasks:
            if task.number not in work.tasks:
                continue
            if task.folder == "." or Path(task.folder).is_absolute() or ".." in Path(task.folder).parts:
                raise ConfigError(
                    "transfer_files brings back one folder inside this one: give --output FOLDER, found "
                    f"'{task.folder}'"
                )
            inputs = [str(job.arguments_file(task.number))]
            for path in task.inputs:
                if remote_url(path) is not None or Path(path).is_absolute():
                    continue  # the node opens it where it is
                if ".." in Path(path).parts:
                    raise ConfigError(
                        f"{path}: transfer_files takes files below this folder, or absolute names"
                    )
                inputs.append(path)
            if (job.folder / task.folder).exists():  # what an earlier try has brought back
                inputs.append(task.folder)
            for path in [*inputs, task.folder]:
                if not _TRANSFERABLE.fullmatch(path):
                    raise ConfigError(
                        f"transfer_files takes no file names with blanks, commas, quotes, $ or control "
                        f"characters, found {path!r}"
                    )
            rows.append(f"{task.number}, {task.folder}, {','.join(inputs)}")  # the last one takes all commas
        return rows

    def submit(self, job: Job, file: Path, options: Options) -> str:
        known = {s.job_id for s in job.submissions}

        def done() -> str | None:
            new = [cluster for cluster, *_ in self._log(job) if cluster not in known]
            return new[-1] if new else None

        said = call(
            ["condor_submit", "-terse", str(file)],
            attempts=options.attempts, transient=_TRANSIENT, done=done,
        )  # fmt: skip
        match = re.search(r"(\d+)\.\d+\s*-\s*\d+\.\d+", said)
        return match[1] if match else said.strip()

    def _log(self, job: Job) -> list[tuple[str, int, int, str, str]]:
        """Events as (cluster, process, number, time, all lines in one)."""
        file = job.path / "events.log"
        events = []
        text = file.read_text(errors="replace") if file.exists() else ""
        for block in text.split("\n...\n")[:-1]:  # the last one is not finished
            block = block.lstrip("\0 \t\r\n")
            match = _HEADER.match(block)
            if match:
                number, cluster, process, when, head = match.groups()
                rest = " ".join(block.partition("\n")[2].split())
                events.append((str(int(cluster)), int(process), int(number), when, f"{head} {rest}".strip()))
        return events

    def _by_task(self, job: Job) -> dict[int, list[tuple[int, str, str]]]:
        """Number, time and text of the events of each task since its last submission."""
        found: dict[int, list[tuple[int, str, str]]] = {task.number: [] for task in job.tasks}
        last = {number: job.last_submission(number) for number in found}
        tasks = {s.job_id: s.tasks for s in job.submissions}
        for cluster, process, number, when, text in self._log(job):
            if cluster in tasks and process < len(tasks[cluster]):
                task = tasks[cluster][process]
                submission = last[task]
                if submission is not None and submission.job_id == cluster:
                    found[task].append((number, when, text))
        return found

    def queued(self, job: Job) -> dict[int, Queued] | None:
        found = {}
        for task, events in self._by_task(job).items():
            state, reason = "", ""
            for number, _, text in events:
                if number in _STATES:
                    state, reason = _STATES[number], text if number in (9, 12) else ""
            found[task] = Queued(state or ("IDLE" if job.last_submission(task) else ""), reason)
        return found

    def events(self, job: Job) -> dict[int, list[Event]]:
        found: dict[int, list[Event]] = {}
        for task, raw in self._by_task(job).items():
            found[task] = []
            for number, when, text in raw:
                if number == 1:
                    host = re.search(r"host: <?([^>?\s]+)", text)
                    name = re.search(r"SlotName: (\S+)", text)
                    found[task].append(Event(when, "start", name[1] if name else host[1] if host else ""))
                elif number == 4:
                    found[task].append(Event(when, "evicted"))
                elif number in (22, 24):
                    found[task].append(Event(when, "lost", text))
                elif number == 5:
                    code = re.search(r"return value (-?\d+)", text)
                    killed = re.search(r"signal (\d+)", text)
                    value = code[1] if code else str(128 + int(killed[1])) if killed else ""
                    found[task].append(Event(when, "end", value))
        return found

    def log(self, job: Job, number: int) -> Path:
        return job.path / "logs" / f"{number}.log"

    def forget(self, job: Job, tasks: Sequence[int]) -> None:
        queued = self.queued(job) or {}
        for number in tasks:
            submission = job.last_submission(number)
            if submission is not None and queued[number].state == "HELD":
                name = f"{submission.job_id}.{submission.tasks.index(number)}"
                if ask(["condor_rm", name]) is None:
                    logger.warning("condor_rm %s did not work; remove this held task yourself", name)


def _line(text: str) -> str:
    """An option that the user wrote for a submit file, expressions and macros included, on one line."""
    text = require_printable(text.strip(), "option of the job")
    if text.endswith("\\"):
        raise ConfigError(f"option of the job {text}: ends with a backslash, which joins it to the next line")
    return text


def _literal(value: object, what: str) -> str:
    """A name as it is: a submit file would expand $(NAME) in it."""
    text = require_printable(value, what)
    if text.endswith(("\\", " ")) or text.startswith(" "):
        raise ConfigError(
            f"{what} {text!r}: HTCondor cannot hold it with a blank or backslash at its end; rename it"
        )
    return text.replace("$", "$(DOLLAR)")
