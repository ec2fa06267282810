"""From one command to the tasks of a job: seeds and scans of a training, parts and files of a scoring."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from ..errors import ConfigError
from ..files.yamlfiles import YAMLError, load_yaml
from .job import Task

__all__ = ["Footprint", "merges", "parse_scans", "score_tasks", "train_tasks"]

# scanned as options of 'jetad train'; everything else is a setting
_OPTIONS = ("method", "preset", "representation", "seed")


class Footprint(NamedTuple):
    """What a command said, when asked to check itself, that it would read and write."""

    inputs: list[Path]
    outputs: list[Path]
    cpus: int = 1


def parse_scans(texts: Iterable[str]) -> dict[str, list[str]]:
    """``key=a,b,c`` as key and values; commas inside brackets do not separate.

    Example:
        >>> parse_scans(["training.epochs=5,10", "network.hidden=[64,64],[32]"])
        {'training.epochs': ['5', '10'], 'network.hidden': ['[64, 64]', '[32]']}

    Raises:
        ConfigError: if a text is not of that form, or names a key or value twice.
    """
    scans: dict[str, list[str]] = {}
    for text in texts:
        key, _, values = (part.strip() for part in text.partition("="))
        try:
            items = load_yaml(f"[{values}]", as_text=True)
        except YAMLError:
            items = []
        if not key or not items or "" in items:
            raise ConfigError(
                f"--scan {text}: expected KEY=VALUE,VALUE,..., for example training.epochs=5,10"
            )
        if key in scans:
            raise ConfigError(f"--scan {text}: '{key}' is scanned twice; give all its values in one list")
        scans[key] = [v if isinstance(v, str) else _flow(v) for v in items]
        if len(set(scans[key])) < len(items):
            raise ConfigError(f"--scan {text}: a value stands there twice")
    return scans


def _flow(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return text.replace("'", "")


def train_tasks(
    words: Sequence[str],
    *,
    name: str,
    output: str | None = None,
    seeds: int | None = None,
    first_seed: int = 1,
    scans: Mapping[str, Sequence[str]] | None = None,
) -> list[Task]:
    """Trainings of all seeds and combinations of scanned values, each with its own ``--output``.

    Arguments:
        words: ``train ...`` as the user gave it.
        name: Of the job.
        output: The run directory that they name, or the folder of several; ``runs/NAME`` by default.
        seeds: So many seeds.
        first_seed: The first of them.
        scans: From ``parse_scans``.

    Raises:
        ConfigError: if seeds are scanned twice, or two tasks would have the same folder.
    """
    axes = dict(scans or {})
    if seeds is not None:
        if "seed" in axes:
            raise ConfigError("--seeds and --scan seed=... mean the same; give one of them")
        axes["seed"] = [str(first_seed + k) for k in range(seeds)]
    base = Path(output or f"runs/{name}")
    tasks = []
    for number, values in enumerate(itertools.product(*axes.values()), 1):
        settings = dict(zip(axes, values, strict=True))
        folder = base / "_".join(f"{_short(k, axes)}-{_safe(v)}" for k, v in settings.items())
        own = [*words]
        for key, value in settings.items():
            own += [f"--{key}", value] if key in _OPTIONS else ["--set", f"{key}={value}"]
        own += ["--output", str(folder)]
        tasks.append(Task(number, own, settings, [], [str(folder)], str(folder)))
    if len({task.folder for task in tasks}) < len(tasks):
        raise ConfigError("two of the scanned values make the same folder name; scan them in two jobs")
    return tasks


def _short(key: str, keys: Iterable[str]) -> str:
    """The last word of a dotted key, where no other key ends with it."""
    last = key.rsplit(".", 1)[-1]
    unique = sum(k.rsplit(".", 1)[-1] == last for k in keys) == 1
    return _safe(last if unique else key)


def _safe(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", text).strip("-")


def score_tasks(
    words: Sequence[str],
    footprint: Footprint,
    *,
    files: Sequence[str] | None = None,
    parts: int = 1,
    files_per_task: int | None = None,
    run: Path | None = None,
) -> list[Task]:
    """Scorings of shares of the files (``--part K/N``), of a few of the files each, or both.

    Arguments:
        words: ``score ...`` without the files if ``files`` has them.
        footprint: Files and score files of the whole command, the latter as of its first part.
        files: Input files in the order of ``footprint``; needed for ``files_per_task``.
        parts: Shares of each file.
        files_per_task: So many files in each task.
        run: Run to score with, where ``words`` do not name it: the latest one may change meanwhile.
    """
    inputs, outputs = list(footprint.inputs), [str(path) for path in footprint.outputs]
    n = len(outputs)
    size = files_per_task or n
    more = [] if run is None else ["--run", str(run)]
    tasks: list[Task] = []
    for first in range(0, n, size):
        chosen = slice(first, first + size)
        own = [*words, *more]
        extra = inputs[n:]  # runs and mappings
        if files is not None:
            own += [f"./{file}" if file.startswith("-") else file for file in files[chosen]]  # no options
        for part in range(1, parts + 1):
            made = [_part(path, part, parts) for path in outputs[chosen]]
            settings = {} if parts == 1 else {"part": f"{part}/{parts}"}
            if size < n:
                last = min(first + size, n)
                settings["files"] = str(last) if last == first + 1 else f"{first + 1}-{last}"
            share = [] if parts == 1 else ["--part", f"{part}/{parts}"]
            read = [str(path) for path in [*inputs[:n][chosen], *extra]]
            folder = str(Path(made[0]).parent)
            tasks.append(Task(len(tasks) + 1, [own[0], *share, *own[1:]], settings, read, made, folder))
    return tasks


def _part(path: str, part: int, parts: int) -> str:
    return path.replace(f".part-1-of-{parts}", f".part-{part}-of-{parts}")


def merges(outputs: Iterable[Path], parts: int) -> dict[str, list[str]]:
    """Whole score files and the parts that they come from."""
    if parts == 1:
        return {}
    return {
        str(path).replace(f".part-1-of-{parts}", ""): [
            _part(str(path), k, parts) for k in range(1, parts + 1)
        ]
        for path in outputs
    }
