"""jetad train: background files in, a run directory out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jetad.errors import ConfigError
from jetad.registry import parted

from ..options import (
    MAX_SEED,
    READING_OPTIONS,
    Inputs,
    ManyValues,
    allow_option,
    check_option,
    device_option,
    force_option,
    input_options,
    show_check,
)
from ..terminal import echo, tell

if TYPE_CHECKING:
    from jetad.batch.tasks import Footprint
    from jetad.runs import Run

__all__ = ["command"]


def _monitors(values: tuple[str, ...]) -> dict[str, str]:
    monitors = {}
    for value in values:
        name, equals, path = parted(value)
        if not equals:
            name, path = Path(value).stem, value
        if name in monitors:
            raise ConfigError(f"--monitor {value}: the name '{name}' is given twice; use NAME=FILE")
        monitors[name] = path
    return monitors


def _quick(configuration: dict[str, Any]) -> dict[str, Any]:
    """The configuration with those settings of ``QUICK`` that the method has; what --set says wins."""
    from jetad.training.plan import configure

    quick = dict(configuration)
    if configuration["preset"] is None and configuration["config_file"] is None:
        quick["method"] = configure(**configuration).method  # the default depends on the settings

    def accepted(setting: str) -> bool:
        try:
            configure(**{**quick, "settings": [setting]})
        except ConfigError:
            return False
        return True

    quick["settings"] = [*filter(accepted, QUICK), *configuration["settings"]]
    return quick


def _learned(run: Run, seconds: float, quick: bool) -> list[str]:
    """What a training has come to, and what to type next."""
    known, last = run.provenance, (run.history() or [{}])[-1]
    n = known["n_jets"]
    energy = f", held-out energy {last['val_energy']:.4g}" if "val_energy" in last else ""
    rate = f", {last['acceptance']:.0%} of the chain steps accepted" if last.get("acceptance") else ""
    lines = [
        f"trained in {seconds:.0f} s on {n['train']} jets{energy}{rate}",
        f"calibrated on {n['calibration']} jets held out: background efficiencies down to "
        f"{1 / (n['calibration'] + 1):.2g}",
    ]
    if quick:
        lines.append("this was --quick, a first look: train without it before you quote a number")
    return [*lines, f"next: jetad score FILE --run {run.path}"]


_SECTIONS = {
    "Jets": ("--background", "--signal", "--monitor", "--allow"),
    "Method": (
        "--method", "--preset", "--representation", "--encoder", "--quick", "--config", "--set", "--seed",
    ),
    "Reading files": READING_OPTIONS,
    "Computing": ("--threads", "--compile", "--device"),
    "Output": ("--output", "--track", "--force", "--print-config", "--check"),
}  # fmt: skip

#: What --quick sets, where the method has it; what --set says wins.
QUICK = ("data.max_jets=3000", "training.epochs=3", "training.contrastive.steps=60")


@click.command(cls=ManyValues, sections=_SECTIONS)
@click.option(
    "--background",
    "-b",
    multiple=True,
    metavar="FILE...",
    help="Background jets (files, globs); one data set.",
)
@click.option(
    "--signal",
    "-s",
    multiple=True,
    metavar="FILE...",
    help="Signal jets, for the supervised reference alone (--method classifier).",
)
@click.option("--method", "-m", help="Detector (see 'jetad methods').  [default: gmm]")
@click.option("--preset", help="Published or own settings by name; 'jetad methods' lists them.")
@click.option(
    "--representation",
    help="Train on one representation only: image, features or constituents.  [default: image and features]",
)
@click.option(
    "--encoder",
    type=click.Path(file_okay=False),
    metavar="RUN",
    help="Train on what the encoder of this run (--method clr, ae, vae, ...) makes of a jet.",
)
@click.option("--config", "config_file", type=click.Path(dir_okay=False), help="YAML file of settings.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override one setting; repeatable."
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Run directory.  [default: runs/DATE-METHOD]"
)
@click.option("--seed", type=click.IntRange(0, MAX_SEED), help="Random seed.  [default: 1]")
@click.option(
    "--monitor",
    multiple=True,
    metavar="NAME=FILE",
    help="Signal jets to watch in the history; never used. Repeatable.",
)
@click.option(
    "--track",
    multiple=True,
    type=click.Choice(["tensorboard", "mlflow", "wandb"]),
    help="Show the training in this program, too; repeatable.",
)
@click.option(
    "--quick", is_flag=True, help="A first look in seconds: few jets, a short training. Not for results."
)
@click.option(
    "--threads",
    type=click.IntRange(1, 4096),
    default=1,
    show_default=True,
    help="CPU threads; the default networks are small and fastest on one.",
)
@click.option(
    "--compile",
    "compiled",
    is_flag=True,
    help="Compile the steps of the chains (training.compile); pays where training takes many minutes.",
)
@input_options
@allow_option("labels")
@click.option("--print-config", is_flag=True, help="Print the resolved configuration and stop.")
@check_option
@device_option
@force_option
def command(
    background: tuple[str, ...],
    signal: tuple[str, ...],
    method: str | None,
    preset: str | None,
    representation: str | None,
    encoder: str | None,
    config_file: str | None,
    settings: tuple[str, ...],
    output: Path | None,
    seed: int | None,
    monitor: tuple[str, ...],
    track: tuple[str, ...],
    quick: bool,
    threads: int,
    compiled: bool,
    allow: tuple[str, ...],
    print_config: bool,
    check: bool,
    inputs: Inputs,
    device: str,
    force: bool,
) -> Footprint | None:
    """Train a detector on background jets alone.

    One training is one run directory; the same command again resumes an unfinished one. Signal files
    can only be watched (--monitor). The one exception is the supervised reference, which is no anomaly
    detector and trains on --signal, too.

    \b
    jetad train --background qcd.h5
    jetad train --background qcd*.root --set training.epochs=5 --output runs/short
    """
    if not print_config and not background:
        raise click.UsageError("give the background jets: --background FILE...")
    from jetad.training.plan import configure, plan_training

    configuration: dict[str, Any] = {
        "method": method, "preset": preset, "representation": representation, "encoder": encoder,
        "config_file": config_file, "seed": seed,
        "settings": [*settings, "training.compile=true"] if compiled else settings,
    }  # fmt: skip
    if quick:
        configuration = _quick(configuration)
    if print_config:
        echo(configure(**configuration).to_yaml(), nl=False)
        return None
    plan = plan_training(
        background, signal=signal, monitor=_monitors(monitor), select=inputs.select,
        max_jets=inputs.max_jets, say=tell, **configuration, **inputs.options,
    )  # fmt: skip
    if check:
        plan.check(output, force=force)
        for line in plan.described(output):
            echo(line)
        return show_check(plan.files, [] if output is None else [output], threads)

    import torch

    from jetad.device import select_device
    from jetad.distributed.process_group import join
    from jetad.interrupts import stop_signals

    from ..progress import TrainingProgress, amounts_of

    torch.set_num_threads(threads)
    started = time.monotonic()
    if quick:
        first = [setting for setting in QUICK if setting in configuration["settings"]]
        tell(f"--quick: a first look, with {', '.join(first)}")
    progress = TrainingProgress(amounts_of(plan.config))
    with join(select_device(device)) as ranks:
        run = plan.run(
            output, device=device, force=force, stop=stop_signals(), progress=progress,
            ranks=ranks, allow=allow, track=track, say=tell,
        )  # fmt: skip
    if ranks.first:
        for line in _learned(run, time.monotonic() - started, quick):
            tell(line)
        echo(str(run.path))
    return None
