"""jetad train: background files in, a run directory out."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from jetad.errors import ConfigError

from ..options import Inputs, ManyValues, config_text, device_option, force_option, input_options

__all__ = ["command"]


def _monitors(values: tuple[str, ...]) -> dict[str, str]:
    monitors = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not equals:
            name, path = Path(value).stem, value
        if name in monitors:
            raise ConfigError(f"--monitor {value}: the name '{name}' is given twice; use NAME=FILE")
        monitors[name] = path
    return monitors


@click.command(cls=ManyValues)
@click.option(
    "--background",
    "-b",
    multiple=True,
    metavar="FILE...",
    help="Background jets (files, globs); one data set.",
)
@click.option("--method", "-m", help="Detector (see 'jetad methods').  [default: nae]")
@click.option("--preset", help="Published or own settings by name; 'jetad methods' lists them.")
@click.option(
    "--representation",
    help="Train on one representation only: image, features or constituents.  [default: image and features]",
)
@click.option("--config", "config_file", type=click.Path(dir_okay=False), help="YAML file of settings.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override one setting; repeatable."
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Run directory.  [default: runs/DATE-METHOD]"
)
@click.option("--seed", type=click.IntRange(min=0), help="Random seed.  [default: 1]")
@click.option(
    "--monitor",
    multiple=True,
    metavar="NAME=FILE",
    help="Signal jets to watch in the history; never used. Repeatable.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="CPU threads; the default networks are small and fastest on one.",
)
@input_options
@click.option("--print-config", is_flag=True, help="Print the resolved configuration and stop.")
@device_option
@force_option
def command(
    background: tuple[str, ...],
    method: str | None,
    preset: str | None,
    representation: str | None,
    config_file: str | None,
    settings: tuple[str, ...],
    output: Path | None,
    seed: int | None,
    monitor: tuple[str, ...],
    threads: int,
    print_config: bool,
    inputs: Inputs,
    device: str,
    force: bool,
) -> None:
    """Train a detector on background jets alone.

    One training is one run directory; the same command again resumes an unfinished one. Signal files
    can only be watched (--monitor).

    \b
    jetad train --background qcd.h5
    jetad train --background qcd*.root --set training.epochs=5 --output runs/short
    """
    from jetad.config import resolve_config

    config = resolve_config(
        method=method,
        preset=preset,
        representation=representation,
        text=config_text(config_file),
        source=config_file or "configuration",
        settings=settings,
        seed=seed,
    )
    if print_config:
        click.echo(config.to_yaml(), nl=False)
        return
    if not background:
        raise click.UsageError("give the background jets: --background FILE...")

    import torch

    from jetad import readers
    from jetad.ranks import join
    from jetad.scoring import select_device
    from jetad.training.data import open_background
    from jetad.training.loop import stop_signals
    from jetad.training.train import check_no_overlap, prepare_run, train

    from ..progress import TrainingProgress

    torch.set_num_threads(threads)
    paths = readers.expand(background)
    monitors = {name: readers.expand([path])[0] for name, path in _monitors(monitor).items()}
    check_no_overlap(paths, monitors)
    with join(select_device(device)) as ranks:
        jets = open_background(
            paths,
            select=inputs.select,
            max_jets=inputs.max_jets,
            options=inputs.options,
            max_in_memory=config.data.max_in_memory,
        )
        watched = {
            name: readers.read([path], select=inputs.selection(), **inputs.options)
            for name, path in monitors.items()
            if ranks.first
        }
        with stop_signals() as stop:
            run = ranks.first_does(
                lambda: prepare_run(
                    config, paths, output=output, command=["jetad", *sys.argv[1:]], device=device,
                    force=force, reading=inputs.to_dict(),
                )
            )  # fmt: skip
            if ranks.first:
                together = f" with {ranks.size} processes" if ranks.size > 1 else ""
                click.echo(
                    f"training '{config.method}' on {len(jets)} jets in {run.path}{together}", err=True
                )
            with TrainingProgress() as progress:
                train(
                    run, jets, monitor=watched, device=device, stop=stop,
                    progress=progress if ranks.first else None, ranks=ranks,
                )  # fmt: skip
    if ranks.first:
        click.echo(str(run.path))
