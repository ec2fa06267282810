"""What the commands that train several times have in common."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jetad.registry import parted

from .numbers import FiniteRange
from .options import MAX_SEED, device_option, force_option, json_option, label_options
from .overwriting import keep_inputs
from .terminal import tell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jetad.plots import FigureLabel
    from jetad.studies.trainings import TrainingOptions

__all__ = ["StudyFiles", "study_options", "trainings", "two_classes"]

Class = tuple[str, list[Path]]


def study_options(
    folder: str, *, background: str, signal: str, test_fraction: tuple[float, str]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of a study of two classes: files, folder, split, and those of all trainings and figures.

    Arguments:
        folder: The default of ``--output``.
        background: What the first class is.
        signal: What the second class is.
        test_fraction: Default and meaning of ``--test-fraction``.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            json_option(),
            force_option,
            label_options,
            _training_options,
            click.option("--max-jets", type=click.IntRange(min=100), help="Jets read of each class."),
            click.option(
                "--test-fraction", type=FiniteRange(0, 1, min_open=True, max_open=True),
                default=test_fraction[0], show_default=True, help=test_fraction[1],
            ),
            click.option(
                "--output", "-o", type=click.Path(path_type=Path), default=Path(folder), show_default=True,
                help="Folder for the runs, the figure and the numbers.",
            ),
            click.option(
                "--signal", "-s", multiple=True, required=True, metavar="[NAME=]FILE...", help=signal
            ),
            click.option(
                "--background", "-b", multiple=True, required=True, metavar="[NAME=]FILE...", help=background
            ),
        ):  # fmt: skip
            function = option(function)
        return function

    return decorate


class StudyFiles:
    """What a study writes beside its runs: a figure and its numbers; refused at once where they exist.

    Arguments:
        folder: Of the study.
        figure: Name of the figure, without suffix.
        numbers: Name of the JSON file, without suffix.
        force: Replace what exists.
        inputs: What the study reads, which must stay.
    """

    def __init__(self, folder: Path, figure: str, numbers: str, *, force: bool, inputs: Any) -> None:
        from jetad.files import check_output

        self.figure, self.numbers, self.force = folder / figure, folder / f"{numbers}.json", force
        written = (self.figure.with_suffix(".pdf"), self.figure.with_suffix(".png"), self.numbers)
        keep_inputs(written, inputs)
        if folder.is_dir():
            for path in written:
                check_output(path, force=force)

    def write(self, values: dict[str, Any], figure: Figure, label: FigureLabel) -> str:
        """Write both; returns the numbers as JSON text."""
        from jetad.files import atomic_output
        from jetad.plots import add_label, save

        written = [*save(add_label(figure, label), self.figure, force=self.force), self.numbers]
        text = json.dumps(values, indent=1, allow_nan=False)
        with atomic_output(self.numbers, force=self.force) as temporary:
            temporary.write_text(text + "\n")
        tell(f"wrote {', '.join(str(path) for path in written)}")
        return text


def two_classes(background: tuple[str, ...], signal: tuple[str, ...]) -> tuple[Class, Class]:
    """Name and files of both classes.

    Raises:
        ConfigError: if they have the same name.
    """
    from jetad.errors import ConfigError

    first, second = _one_class(background, "--background"), _one_class(signal, "--signal")
    if first[0] == second[0]:
        raise ConfigError(f"both classes are called '{first[0]}'; use NAME=FILE")
    return first, second


def _training_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of ``jetad train`` that say how, for ``trainings``."""
    for decorate in (
        device_option,
        click.option(
            "--threads", type=click.IntRange(1, 4096), default=1, show_default=True, help="CPU threads."
        ),
        click.option(
            "--seed", type=click.IntRange(0, MAX_SEED), default=1, show_default=True, help="Random seed."
        ),
        click.option(
            "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override one setting; repeatable."
        ),
        click.option(
            "--config", "config_file", type=click.Path(dir_okay=False), help="YAML file of settings."
        ),
        click.option("--representation", help="Train on one representation only: image or features."),
        click.option("--method", "-m", help="Detector (see 'jetad methods').  [default: gmm]"),
    ):
        function = decorate(function)
    return function


@contextmanager
def trainings(
    *,
    method: str | None,
    representation: str | None,
    config_file: str | None,
    settings: tuple[str, ...],
    seed: int,
    threads: int,
    device: str,
) -> Iterator[TrainingOptions]:
    """The training options of a command line, with progress shown and signals caught inside."""
    from jetad.training.plan import configure

    config = configure(
        method=method, representation=representation, config_file=config_file, settings=settings, seed=seed
    )
    import torch

    from jetad.device import select_device
    from jetad.interrupts import stop_signals
    from jetad.studies.trainings import TrainingOptions

    from .progress import TrainingProgress, amounts_of

    select_device(device)
    torch.set_num_threads(threads)
    with stop_signals() as stop, TrainingProgress(amounts_of(config), one_of_many=True) as progress:
        yield TrainingOptions(config, ["jetad", *sys.argv[1:]], device, stop, progress)


def _one_class(values: tuple[str, ...], option: str) -> Class:
    """Name and files of one class, from ``[NAME=]FILE...``."""
    from jetad.readers import expand

    name, files = "", []
    for value in values:
        before, equals, rest = parted(value)
        named = bool(equals and before and not Path(value).exists())
        if named and name and name != before:
            raise click.UsageError(f"{option}: one class is needed, found '{name}' and '{before}'")
        name = before if named else name
        files += expand([rest if named else value])
    name = name or files[0].stem
    if not name.replace("-", "_").replace(".", "_").isidentifier():
        raise click.UsageError(f"{option}: '{name}' cannot be the name of a folder; use NAME=FILE")
    return name, files
