"""Trainings inside a study: each is a run directory, and the same study again goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..config import RunConfig
from ..detector import TrainedDetector
from ..errors import InputError, OutputError
from ..files import refuse_link
from ..interrupts import StopRequest
from ..jets import Jets
from ..runs import Run
from ..runs.provenance import collect_inputs
from ..training.checks import same_content
from ..training.train import prepare_run, train

__all__ = ["Halves", "TrainingOptions", "check_distinct", "hold_out", "train_in_study"]


class TrainingOptions(NamedTuple):
    """How a study trains."""

    config: RunConfig
    command: list[str]
    device: str = "auto"
    stop: StopRequest | None = None
    progress: Callable[[str, str, int, int, Mapping[str, Any]], None] | None = None


class Halves(NamedTuple):
    """Jets to train on and jets to test with; they share none."""

    train: Jets
    test: Jets


def check_distinct(classes: Mapping[str, Sequence[Path]]) -> None:
    """Refuse two classes of which one holds a file of the other, or a copy of it.

    Raises:
        InputError: naming both files.
    """
    given = [(name, path) for name, paths in classes.items() for path in paths]
    for i, (name, path) in enumerate(given):
        for other, known in given[:i]:
            if same_content(path, known):
                raise InputError(
                    f"{path}: holds the same jets as {known}, and '{other}' and '{name}' must be different"
                )


def hold_out(jets: Jets, fraction: float, seed: int) -> Halves:
    """Split at random, fixed by the seed.

    Raises:
        InputError: if no jet is left on one side.
    """
    n_test = round(len(jets) * fraction)
    if n_test < 1 or n_test >= len(jets):
        raise InputError(
            f"{len(jets)} jets cannot be split into a part to train on and {fraction:g} to test with"
        )
    order = np.random.default_rng([seed, 7919]).permutation(len(jets))
    return Halves(jets[np.sort(order[n_test:])], jets[np.sort(order[:n_test])])


def train_in_study(
    jets: Jets,
    files: Sequence[Path],
    folder: Path,
    options: TrainingOptions,
    study: Mapping[str, Any],
    *,
    signal: tuple[Path, Jets] | None = None,
) -> TrainedDetector:
    """Train on ``jets`` in ``folder``, or load what an earlier call with the same settings left there.

    Arguments:
        jets: What to train on.
        files: Where they come from, for the provenance.
        folder: The run directory.
        options: Configuration and device.
        study: What else decides which jets these are (fractions, say); kept in the provenance.
        signal: File and jets, for a supervised method.

    Raises:
        OutputError: if ``folder`` holds another training.
        DivergedError, Interrupted: as in ``train``.
    """
    study = {**study, "n_jets_given": len(jets)}
    if (folder / "provenance.json").is_file():
        old = Run.open(folder)
        known, given = old.provenance.get("inputs", []), collect_inputs(files)
        same_files = [i["sha256"] for i in known] == [i["sha256"] for i in given]
        same = same_files and old.config() == options.config and old.provenance.get("study") == study
        if same and old.finished:
            return TrainedDetector.from_run(old, options.device)
        if not old.finished and old.provenance.get("study") not in (None, study):
            raise OutputError(
                f"{folder}: holds an unfinished training on other jets; choose another --output or remove it"
            )
    refuse_link(folder)
    run = prepare_run(
        options.config, files, output=folder, command=options.command, device=options.device,
        signal=() if signal is None else [signal[0]],
    )  # fmt: skip
    run.write_json("provenance.json", {**run.provenance, "study": study})
    return train(
        run, jets, signal=None if signal is None else signal[1], device=options.device, stop=options.stop,
        progress=options.progress,
    )  # fmt: skip
