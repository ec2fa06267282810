"""Which runs are there, and in what they differ."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError
from ..shown import html_table
from .directory import Run
from .summary import settings_of, summarize

__all__ = ["Comparison", "Runs", "compare", "find_runs", "flattened"]


class Comparison(NamedTuple):
    """In what runs differ.

    Arguments:
        settings: Each setting that is not the same in all -> its value in each run; ``None`` where a run has
            no such setting.
        n_same: Number of settings that are the same in all.
    """

    settings: Mapping[str, tuple[Any, ...]]
    n_same: int


class Runs(list[Run]):
    """Several runs; a notebook shows them as a table."""

    def _repr_html_(self) -> str:
        rows = []
        for summary in map(summarize, self):
            jets = summary.n_jets.get("train", "")
            rows.append([summary.path, summary.method, jets, summary.started[:16], summary.state])
        return html_table(f"{len(self)} runs", rows, ["run", "method", "jets", "started", "state"])


def find_runs(*places: str | Path) -> Runs:
    """The runs in folders, newest first; a run itself counts, too.

    Links such as ``runs/latest`` are passed over inside a folder: what they lead to would be there twice.

    Arguments:
        places: Runs, or folders of runs; ``runs`` by default.

    Raises:
        InputError: if a folder is not there.
    """
    found: dict[Path, Run] = {}
    for place in map(Path, places or ("runs",)):
        if not place.is_dir():
            raise InputError(f"{place}: no such folder; 'jetad train' makes runs, in the folder 'runs'")
        paths = [place] if _is_run(place) else _children(place)
        found.update({Path(os.path.realpath(path)): Run(path) for path in paths})
    return Runs(sorted(found.values(), key=lambda run: (_started(run), run.path.name), reverse=True))


def compare(runs: Sequence[Run]) -> Comparison:
    """The settings that are not the same in all runs, in the order of the configuration.

    Raises:
        InputError: if a configuration cannot be read.
    """
    flat = [dict(flattened(settings_of(run))) for run in runs]
    names = list(dict.fromkeys(name for settings in flat for name in settings))
    values = {name: tuple(settings.get(name) for settings in flat) for name in names}
    differing = {name: found for name, found in values.items() if any(v != found[0] for v in found)}
    return Comparison(differing, len(values) - len(differing))


def _is_run(path: Path) -> bool:
    return (path / "provenance.json").is_file() or (path / "config.yaml").is_file()


def _children(folder: Path) -> list[Path]:
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error})") from error
    return [p for p in paths if not p.name.startswith(".") and not p.is_symlink() and _is_run(p)]


def _started(run: Run) -> str:
    try:
        return str(run.provenance.get("started", ""))
    except InputError:
        return ""


def flattened(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """``a.b -> value`` of nested values; a list is one value."""
    if isinstance(value, dict) and (value or not name):
        for key, inner in value.items():
            yield from flattened(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, json.loads(json.dumps(value, default=str))
