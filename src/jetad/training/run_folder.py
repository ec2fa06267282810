"""The directory of a training: a new one, or the unfinished one that the same command began."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import RunConfig
from ..errors import InputError, OutputError
from ..files import refuse_inputs_inside, refuse_link
from ..readers.containers.remote import remote_url
from ..readers.paths import split_path
from ..runs import Run
from ..runs.directory import unfinished_runs
from ..runs.provenance import collect_inputs, collect_provenance
from .checks import check_inputs

__all__ = ["check_removal", "check_run_folder", "new_run", "prepare_run"]


def prepare_run(
    config: RunConfig,
    background: Sequence[Path],
    *,
    output: Path | None,
    command: list[str],
    device: str,
    force: bool = False,
    reading: Mapping[str, Any] | None = None,
    signal: Sequence[Path] = (),
    also_read: Sequence[Path] = (),
    collection: str | None = None,
) -> Run:
    """The run directory of this training: a new one, or the unfinished one that the same command began.

    ``reading`` says how the files were read and which jets selected, where that is not the default;
    ``signal`` are the files of signal of a supervised training, ``also_read`` further files and folders that
    the command reads: what is read is never removed. ``collection`` are the jets that are read where events
    hold several kinds.

    Raises:
        ConfigError: as ``check_inputs``.
        OutputError: if ``output`` holds a finished or a different training, or is a link or holds inputs and
            would have to be removed.
    """
    check_inputs(config, background, signal)
    provenance = collect_provenance(command, list(background), config.seed, device)
    parts: list[Any] = [config.model_dump(mode="json"), [i["sha256"] for i in provenance["inputs"]]]
    if reading:
        parts.append(reading)
        provenance["reading"] = dict(reading)
    if collection is not None:
        provenance["collection"] = collection
    if signal:
        provenance["signal_inputs"] = collect_inputs(signal)
        parts.append([i["sha256"] for i in provenance["signal_inputs"]])
    fingerprint = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    provenance["fingerprint"] = fingerprint
    _refuse_copies(provenance["inputs"], provenance.get("signal_inputs", []))

    def same(run: Run) -> bool:
        return run.provenance.get("fingerprint") == fingerprint

    if output is None:
        folder = Path("runs")
        for run in unfinished_runs(folder):
            if same(run):
                return run
        return Run.create(new_run(config), config, provenance)
    if output.exists():
        if check_run_folder(output, force=force, same=same):
            return Run.open(output)
        check_removal(output, [*background, *signal, *also_read])
        if any(output.iterdir()):
            Run(output).remove()
    return Run.create(output, config, provenance)


def new_run(config: RunConfig) -> Path:
    """Where a training goes that is told nothing: ``runs/DATE-METHOD``, with a number where that is taken."""
    base = f"{datetime.date.today():%Y%m%d}-{config.method}"
    output, k = Path("runs") / base, 1
    while output.exists():
        k += 1
        output = Path("runs") / f"{base}-{k}"
    return output


def _refuse_copies(*samples: Sequence[Mapping[str, Any]]) -> None:
    """Refuse inputs of which one is a copy of another: jets held out would be jets trained on.

    Raises:
        InputError: naming both.
    """
    known: dict[tuple[str, str | None], str] = {}
    for entry in (entry for sample in samples for entry in sample if entry["sha256"] is not None):
        content = (entry["sha256"], split_path(entry["path"])[1])
        if content in known:
            raise InputError(
                f"{entry['path']}: holds the same jets as {known[content]}, byte for byte; give one of them"
            )
        known[content] = entry["path"]


def check_removal(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse to remove a run directory that is a link to another, or holds what the command reads.

    Raises:
        OutputError: naming the link or the input.
    """
    refuse_link(output)
    refuse_inputs_inside(output, (split_path(path)[0] for path in inputs if remote_url(path) is None))


def check_run_folder(output: Path, *, force: bool, same: Callable[[Run], bool] = lambda run: True) -> bool:
    """Whether a folder holds an unfinished training to go on with; otherwise it may be replaced.

    Raises:
        OutputError: if it holds something that must be kept.
    """
    if not output.exists():
        return False
    if not output.is_dir():
        raise OutputError(f"{output}: exists and is not a folder")
    if (output / "provenance.json").is_file():
        run, finished = Run.open(output), False
        try:
            finished = run.finished
            if not finished and same(run):
                return True
        except InputError as error:
            if not force:
                raise OutputError(
                    f"{error}; choose another --output or pass --force to replace this training"
                ) from error
        if not force:
            state = (
                "a finished training" if finished else "an unfinished training with other settings or inputs"
            )
            raise OutputError(
                f"{output}: holds {state}; choose another --output or pass --force to replace it"
            )
    elif any(output.iterdir()):
        raise OutputError(f"{output}: is a folder with other files in it; choose another --output")
    return False
