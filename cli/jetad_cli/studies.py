"""What the commands that train several times have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import config_text, device_option

if TYPE_CHECKING:
    from jetad.studies.trainings import TrainingOptions

__all__ = ["one_class", "training_options", "trainings"]


def training_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of ``jetad train`` that say how, for ``trainings``."""
    for decorate in (
        device_option,
        click.option(
            "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads."
        ),
        click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Random seed."),
        click.option(
            "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override one setting; repeatable."
        ),
        click.option(
            "--config", "config_file", type=click.Path(dir_okay=False), help="YAML file of settings."
        ),
        click.option("--representation", help="Train on one representation only: image or features."),
        click.option("--method", "-m", help="Detector (see 'jetad methods').  [default: nae]"),
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
    from jetad.config import resolve_config

    config = resolve_config(
        method=method, representation=representation, text=config_text(config_file),
        source=config_file or "configuration", settings=settings, seed=seed,
    )  # fmt: skip
    import torch

    from jetad.scoring import select_device
    from jetad.studies.trainings import TrainingOptions
    from jetad.training.loop import stop_signals

    from .progress import TrainingProgress

    select_device(device)
    torch.set_num_threads(threads)
    with stop_signals() as stop, TrainingProgress() as progress:
        yield TrainingOptions(config, ["jetad", *sys.argv[1:]], device, stop, progress)


def one_class(values: tuple[str, ...], option: str) -> tuple[str, list[Path]]:
    """Name and files of one class, from ``[NAME=]FILE...``."""
    from jetad.readers import expand

    name, files = "", []
    for value in values:
        before, equals, rest = value.partition("=")
        named = bool(equals and before and not Path(value).exists())
        if named and name and name != before:
            raise click.UsageError(f"{option}: one class is needed, found '{name}' and '{before}'")
        name = before if named else name
        files += expand([rest if named else value])
    name = name or files[0].stem
    if not name.replace("-", "_").replace(".", "_").isidentifier():
        raise click.UsageError(f"{option}: '{name}' cannot be the name of a folder; use NAME=FILE")
    return name, files
