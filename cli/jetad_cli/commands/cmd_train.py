"""jetad train: background files in, a run directory out."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

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
    config_text,
    device_option,
    force_option,
    input_options,
    show_check,
)
from ..overwriting import files_meant
from ..terminal import echo

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


def _accepted(resolved: Callable[..., object], setting: str) -> bool:
    """Whether the method has this setting."""
    try:
        resolved(settings=[setting])
    except ConfigError:
        return False
    return True


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


def _features(paths: list[Path], inputs: Inputs) -> tuple[str, ...]:
    """What to train on where the jets have neither constituents nor images; nothing for others."""
    from jetad import readers
    from jetad.preprocessing.choosing import choose_features

    for path in paths:  # a file may hold no jet
        first = next(readers.iterate(path, step=1000, **inputs.options), None)
        if first is not None and len(first):
            break
    else:
        return ()
    if first.jet_momenta is None:
        return ()
    chosen = choose_features(first)
    shown = ",".join(chosen)
    echo(
        f"{path}: the jets have no constituents: training on the features {', '.join(chosen)}; "
        f"for others: --representation features --set 'preprocessing.observables=[{shown}]'",
        err=True,
    )
    return chosen


_SECTIONS = {
    "Jets": ("--background", "--signal", "--monitor", "--allow"),
    "Method": (
        "--method", "--preset", "--representation", "--encoder", "--quick", "--config", "--set", "--seed",
    ),
    "Reading files": READING_OPTIONS,
    "Computing": ("--threads", "--compile", "--device"),
    "Output": ("--output", "--force", "--print-config", "--check"),
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
    from jetad import readers

    paths = [] if print_config else readers.expand(background)
    signal_paths = readers.expand(signal) if signal and not print_config else []
    monitors = {} if print_config else _monitors(monitor)
    watched_files = {name: readers.expand([path])[0] for name, path in monitors.items()}
    jet_files = [*paths, *signal_paths, *watched_files.values()]
    for path in jet_files:  # before torch is loaded, which takes seconds
        readers.check_format(path, **inputs.options)

    free = preset is None and config_file is None and encoder is None and representation in (None, "features")
    if paths and free and not any(s.startswith(("members", "preprocessing.observables")) for s in settings):
        chosen = _features(paths, inputs)
        if chosen:
            representation = "features"
            settings = (f"preprocessing.observables=[{', '.join(map(repr, chosen))}]", *settings)

    from jetad.config import resolve_config
    from jetad.runs import describe_encoder

    resolved = functools.partial(
        resolve_config,
        method=method,
        preset=preset,
        representation=representation,
        encoder=None if encoder is None else describe_encoder(encoder),
        text=config_text(config_file),
        source=config_file or "configuration",
        seed=seed,
    )
    first: tuple[str, ...] = ()
    if quick:
        chosen_method = resolved(settings=settings).method  # the default depends on the settings
        resolved = functools.partial(resolved, method=None if preset or config_file else chosen_method)
        first = tuple(setting for setting in QUICK if _accepted(resolved, setting))
    config = resolved(settings=[*first, *settings, *(["training.compile=true"] if compiled else [])])
    if print_config:
        echo(config.to_yaml(), nl=False)
        return None

    import torch

    from jetad.device import select_device
    from jetad.distributed.process_group import join
    from jetad.interrupts import stop_signals
    from jetad.models import METHODS
    from jetad.training.data import BY_FILE, check_charges, check_sample, open_background
    from jetad.training.train import (
        check_inputs,
        check_no_overlap,
        check_removal,
        check_run_folder,
        new_run,
        prepare_run,
        train,
    )

    from ..progress import TrainingProgress

    check_inputs(config, paths, signal_paths)
    check_no_overlap([*paths, *signal_paths], watched_files)
    check_charges(jet_files, config, inputs.options)
    files = [*jet_files, *inputs.files, *([Path(config_file)] if config_file else [])]
    if check:
        for path in jet_files:
            readers.read([path], max_jets=10, **inputs.options)
        if output is not None and not check_run_folder(output, force=force) and output.exists():
            check_removal(output, files_meant((files, encoder)))
        counted = sum(readers.count(path, **inputs.options) for path in paths)
        echo(f"would train '{config.method}' on {counted} jets of {len(paths)} files (before --select)")
        if output is None:
            echo(f"would write {new_run(config)} (or go on with an unfinished run of the same command)")
        return show_check(files, [] if output is None else [output], threads)
    torch.set_num_threads(threads)
    opened = functools.partial(
        open_background,
        select=inputs.select,
        max_jets=inputs.max_jets,
        options=inputs.options,
        max_in_memory=config.data.max_in_memory,
        number_files=config.data.classes == BY_FILE,
    )
    started = time.monotonic()
    if quick:
        echo(f"--quick: a first look, with {', '.join(first)}", err=True)
    with join(select_device(device)) as ranks:
        jets = opened(paths)
        signal_jets = opened(signal_paths) if signal_paths else None
        for role, sample, files_of in (("background", jets, paths), ("signal", signal_jets, signal_paths)):
            if sample is not None:
                named = ", ".join(map(str, files_of[:3]))
                ranks.first_does(functools.partial(check_sample, sample, named, allow, role=role))
        watched = {
            name: readers.read([path], select=inputs.selection(), **inputs.options)
            for name, path in watched_files.items()
            if ranks.first
        }
        with stop_signals() as stop:
            run = ranks.first_does(
                lambda: prepare_run(
                    config, paths, output=output, command=["jetad", *sys.argv[1:]], device=device,
                    force=force, reading=inputs.to_dict(), signal=signal_paths,
                    also_read=files_meant((files, encoder)),
                )
            )  # fmt: skip
            if ranks.first:
                what = (
                    f"{len(jets)} jets" if signal_jets is None else f"{len(jets)} + {len(signal_jets)} jets"
                )
                together = f" with {ranks.size} processes" if ranks.size > 1 else ""
                echo(f"training '{config.method}' on {what} in {run.path}{together}", err=True)
            plan = [(name, phase) for name in config.members for phase in METHODS[config.method].phases]
            with TrainingProgress(plan) as progress:
                train(
                    run, jets, signal=signal_jets, monitor=watched, device=device, stop=stop,
                    progress=progress if ranks.first else None, ranks=ranks,
                )  # fmt: skip
    if ranks.first:
        for line in _learned(run, time.monotonic() - started, quick):
            echo(line, err=True)
        echo(str(run.path))
    return None
