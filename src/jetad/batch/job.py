"""The folder of a job: its record, and what its tasks leave there."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ConfigError, InputError, OutputError, without_secrets
from ..files import atomic_output, own_folder, own_token, refuse_link, remove_leftovers
from ..files.jsonfiles import read_object
from .options import Options

__all__ = ["Job", "Submission", "Task", "now", "open_jobs", "require_printable", "shell_word"]

_FORMAT = 1
_KINDS: dict[str, type] = {
    "folder": str, "kind": str, "created": str, "scheduler": str, "command": str, "site": str, "prefix": list,
    "options": dict, "tasks": list, "merges": dict, "submissions": list,
}  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclasses.dataclass(frozen=True)
class Task:
    """One command of a job.

    Arguments:
        number: From 1, the line of ``commands.txt``; its words are in ``tasks/task-NUMBER.args``.
        words: After ``jetad``.
        settings: What is different from the other tasks, such as the seed.
        inputs: Files and folders that it reads.
        outputs: Files that are there when it is done; of a training, its run directory.
        folder: Where it writes, relative to the folder that the job was submitted from.
    """

    number: int
    words: list[str]
    settings: dict[str, str]
    inputs: list[str]
    outputs: list[str]
    folder: str


class Submission(NamedTuple):
    """Tasks that were given to the scheduler in one go; ``None`` where a limit was not asked for."""

    script: str
    job_id: str
    tasks: list[int]
    memory: int | None  # MB
    time: int | None  # minutes
    submitted: str


def now() -> str:
    """The time in UTC, as records hold it."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Job:
    """A job on disk.

    Files: ``job.json``, ``commands.txt``, ``tasks/``, the submitted ``job-N.sh`` (and ``job-N.sub``),
    ``logs/``, ``state/``.
    """

    def __init__(self, path: str | Path, record: dict[str, Any]) -> None:
        self.path = Path(path)
        self.record = record

    def __repr__(self) -> str:
        return f"Job('{self.path}', {len(self.tasks)} tasks)"

    @classmethod
    def new(
        cls,
        path: Path,
        *,
        scheduler: str,
        kind: str,
        words: Sequence[str],
        tasks: Sequence[Task],
        options: Options,
        site: str,
        prefix: Sequence[str],
        merges: Mapping[str, Sequence[str]] | None = None,
    ) -> Job:
        """A job that is in memory only, until ``create``.

        Arguments:
            path: Its folder.
            scheduler: Name in ``BATCH_SYSTEMS``.
            kind: ``train`` or ``score``.
            words: The command as the user gave it.
            tasks: What it became.
            options: What each task asks for.
            site: Where the options come from.
            prefix: Words that start jetad on a node.
            merges: Score file and the parts that it is to be merged from.
        """
        return cls(
            path,
            {
                "format": _FORMAT,
                "scheduler": scheduler,
                "kind": kind,
                "created": now(),
                "folder": str(Path.cwd()),
                "command": shlex.join(["jetad", *words]),
                "prefix": list(prefix),
                "site": site,
                "options": options.model_dump(mode="json", exclude_defaults=True),
                "tasks": [_to_record(task) for task in tasks],
                "merges": {key: list(parts) for key, parts in (merges or {}).items()},
                "submissions": [],
            },
        )

    @classmethod
    def open(cls, path: str | Path) -> Job:
        """A job that was created before.

        Raises:
            InputError: if the folder is not one.
        """
        file = Path(path) / "job.json"
        if not file.is_file():
            raise InputError(
                f"{path}: is not the folder of a job (job.json is missing); 'jetad submit' makes one"
            )
        try:
            job = cls(path, read_object(file))
            job._check()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{file}: is damaged ({type(error).__name__}: {error}); take it from a copy, or submit again"
            ) from error
        return job

    def _check(self) -> None:
        """Look at what was read: a value of another kind would be an error later, far from its cause."""
        record = self.record
        for name, kind in _KINDS.items():
            if not isinstance(record[name], kind):
                raise TypeError(f"'{name}' is {record[name]!r:.60}")
        if not all(isinstance(word, str) for word in record["prefix"]):
            raise TypeError("'prefix' is not what was written")
        tasks, submissions = self.tasks, self.submissions
        for task in tasks:
            lists = (task.inputs, task.outputs, task.words)
            fine = all(isinstance(x, list) and all(isinstance(word, str) for word in x) for x in lists)
            if not (fine and type(task.number) is int and isinstance(task.folder, str)):
                raise TypeError(f"task {task.number!r:.60} is not what was written")
            if not isinstance(task.settings, dict):
                raise TypeError(f"the settings of task {task.number} are {task.settings!r:.60}")
        for time in (record["created"], *(made.submitted for made in submissions)):
            datetime.datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()
        for made in submissions:
            if not (
                isinstance(made.job_id, str) and isinstance(made.script, str) and isinstance(made.tasks, list)
            ):
                raise TypeError(f"submission {made.job_id!r:.60} is not what was written")
            if not all(x is None or type(x) is int for x in (*made.tasks, made.memory, made.time)):
                raise TypeError(f"the limits of submission {made.job_id} are no numbers")
        for whole, parts in record["merges"].items():
            if not (
                isinstance(whole, str) and isinstance(parts, list) and all(isinstance(p, str) for p in parts)
            ):
                raise TypeError("'merges' is not what was written")

    def create(self) -> None:
        """Make the folder.

        Raises:
            OutputError: if it exists.
        """
        path = self.path
        for word in (word for task in self.tasks for word in task.words):
            if word != without_secrets(word):
                raise ConfigError(
                    f"{word}: holds a password or key, which everybody who can read the folder of the "
                    "job would see; let the tasks find it otherwise (a token file, a proxy certificate)"
                )
        if os.path.lexists(path):
            raise OutputError(f"{path}: exists already; choose another --name")
        remove_leftovers(path.parent, f".{path.name}.", ".tmp")
        temporary = path.with_name(f".{path.name}.{own_token()}.tmp")
        whole = Job(temporary, self.record)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for folder in ("logs", "state", "tasks"):
                (temporary / folder).mkdir(parents=True)
            whole.write("commands.txt", self.commands())
            whole.save()
            os.rename(temporary, path)  # killed before, it is in nobody's way
        except OSError as error:
            raise OutputError(f"{path}: cannot be created ({error.strerror})") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    # --- parts -----------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def absolute(self) -> Path:
        """The path as a node must see it."""
        return Path(self.path).absolute()

    @property
    def folder(self) -> Path:
        """Where the job was submitted from and its commands run."""
        return Path(self.record["folder"])

    @property
    def tasks(self) -> list[Task]:
        return [_from_record(values) for values in self.record["tasks"]]

    @property
    def submissions(self) -> list[Submission]:
        return [Submission(**values) for values in self.record["submissions"]]

    def last_submission(self, number: int) -> Submission | None:
        """The latest one with this task."""
        return next((s for s in reversed(self.submissions) if number in s.tasks), None)

    def commands(self) -> str:
        """One line a task, for people to read and to type; the script does not read it."""
        prefix = list(self.record["prefix"])
        return "".join(
            " ".join(shell_word(word) for word in [*prefix, *task.words]) + "\n" for task in self.tasks
        )

    def arguments_file(self, number: int) -> Path:
        """The words of a task, which its script reads, each ended by a NUL: nothing in them is shell text."""
        return self.absolute / "tasks" / f"task-{number}.args"

    def write_arguments(self, numbers: Sequence[int]) -> None:
        """Write the files of words of these tasks; also in the folder of a job that an older jetad made."""
        folder = own_folder(self.path / "tasks")
        prefix = list(self.record["prefix"])
        for task in self.tasks:
            if task.number in numbers:
                data = b"".join(os.fsencode(word) + b"\0" for word in [*prefix, *task.words])
                with atomic_output(folder / f"task-{task.number}.args", force=True) as temporary:
                    temporary.write_bytes(data)

    def next_name(self) -> str:
        """Of the script of the next submission, without suffix."""
        return f"job-{len(self.record['submissions']) + 1}"

    # --- files -----------------------------------------------------------------------------------

    def add(self, submission: Submission) -> None:
        self.record["submissions"].append(submission._asdict())
        self.save()

    def save(self) -> None:
        self.write("job.json", _readable(self.record) + "\n")

    def write(self, name: str, text: str) -> None:
        with atomic_output(self.path / name, force=True) as temporary:
            temporary.write_bytes(os.fsencode(text))

    def discard(self) -> None:
        """Remove the folder of a job that was just created and that no scheduler has."""
        refuse_link(self.path)
        shutil.rmtree(self.path, ignore_errors=True)


def shell_word(word: str) -> str:
    """A word as it can be typed in bash, always on one line.

    Example:
        >>> print(shell_word("a b.h5"), shell_word("a\\nb.h5"))
        'a b.h5' $'a\\nb.h5'
    """
    if not _CONTROL.search(word):
        return shlex.quote(word)
    escaped = word.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")
    return "$'" + _CONTROL.sub(lambda match: f"\\{ord(match[0]):03o}", escaped) + "'"


def require_printable(text: object, what: str) -> str:
    """Refuse what no file of a batch system can hold.

    Raises:
        ConfigError: for a newline or another control character.
    """
    if _CONTROL.search(str(text)):
        raise ConfigError(
            f"{what} {str(text)!r}: holds a newline or another control character, which the files of a batch "
            "system cannot hold; use a name without"
        )
    return str(text)


def _to_record(task: Task) -> dict[str, Any]:
    """The words as one line that can be typed."""
    values = dataclasses.asdict(task)
    return {"number": values["number"], "command": shlex.join(["jetad", *values.pop("words")]), **values}


def _from_record(values: Mapping[str, Any]) -> Task:
    others = {key: value for key, value in values.items() if key != "command"}
    return Task(words=shlex.split(values["command"])[1:], **others)


def _readable(record: Mapping[str, Any]) -> str:
    """JSON with each innermost list on one line."""

    def one_line(match: re.Match[str]) -> str:
        return "[" + re.sub(r",\n\s+", ", ", match[1]) + "]"

    return re.sub(r"\[\n\s+([^\[\]{}]*?)\n\s*\]", one_line, json.dumps(record, indent=1))


def open_jobs(path: str | Path) -> Iterator[Job]:
    """The job in a folder, or all those in a folder of jobs, oldest first.

    Raises:
        InputError: if there is none.
    """
    path = Path(path)
    if (path / "job.json").is_file():
        yield Job.open(path)
        return
    jobs = [Job.open(file.parent) for file in sorted(path.glob("*/job.json"))]
    if not jobs:
        raise InputError(f"{path}: holds no jobs; 'jetad submit' makes them")
    yield from sorted(jobs, key=lambda job: str(job.record["created"]))
