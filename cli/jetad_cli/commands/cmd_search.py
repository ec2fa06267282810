"""jetad search: settings that are better by what needs no labels."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..options import (
    MAX_SEED,
    READING_OPTIONS,
    Inputs,
    ManyValues,
    device_option,
    input_options,
    json_option,
)
from ..tables import aligned
from ..terminal import echo, one_line, tell

if TYPE_CHECKING:
    from jetad.studies.search import SearchResult

__all__ = ["command"]

_SHOWN = 10  # trials in the table

_SECTIONS = {
    "Search": ("--over", "--objective", "--trials", "--jobs", "--output"),
    "Training": (
        "--background",
        "--method",
        "--preset",
        "--representation",
        "--config",
        "--set",
        "--seed",
        "--device",
    ),
    "Reading files": READING_OPTIONS,
}


@click.command("search", cls=ManyValues, sections=_SECTIONS)
@click.option("--background", "-b", multiple=True, required=True, metavar="FILE...", help="Background jets.")
@click.option(
    "--over", multiple=True, required=True, metavar="KEY=RANGE",
    help="A setting and its range, LOW:HIGH, LOW:HIGH:log or A,B,C; repeatable.",
)  # fmt: skip
@click.option(
    "--objective", type=click.Choice(["distance", "likelihood", "spread"]), default="distance",
    show_default=True, help="What is made small, on held-out background.",
)  # fmt: skip
@click.option(
    "--trials", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Trainings in all."
)
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Trainings at once.")
@click.option(
    "--output", "-o", default="search", show_default=True, help="Folder of the search and its runs."
)
@click.option("--method", "-m", help="Detector (see 'jetad methods').  [default: gmm]")
@click.option("--preset", help="Published or own settings by name.")
@click.option("--representation", help="Train on one representation only.")
@click.option("--config", "config_file", type=click.Path(dir_okay=False), help="YAML file of settings.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="One setting of all trainings; repeatable."
)
@click.option("--seed", type=click.IntRange(0, MAX_SEED), help="Random seed of all trainings.  [default: 1]")
@input_options
@device_option
@json_option()
def command(
    background: tuple[str, ...],
    over: tuple[str, ...],
    objective: str,
    trials: int,
    jobs: int,
    output: str,
    method: str | None,
    preset: str | None,
    representation: str | None,
    config_file: str | None,
    settings: tuple[str, ...],
    seed: int | None,
    inputs: Inputs,
    device: str,
    as_json: bool,
) -> None:
    """Search for better settings without labels, with Optuna.

    Each trial is a training with other settings; held-out background judges it: by the energy distance to
    the negatives of the model (distance), by its likelihood (likelihood), or by how much the background
    efficiency depends on the jet mass (spread). The same command again goes on; any number of them, on one
    machine (--jobs) or as the tasks of a job array, share one folder.

    \b
    jetad search --background qcd.h5 --over model.components=5:40 --objective likelihood --trials 8
    jetad search -b qcd.h5 -m nae --over training.contrastive.temperature=0.1:1:log --jobs 2 -o search-nae
    """
    from jetad.studies.search import Space, search

    spaces = [Space.parse(text) for text in over]
    given: dict[str, Any] = {
        "method": method, "preset": preset, "representation": representation, "config_file": config_file,
        "seed": seed, "select": inputs.select, "max_jets": inputs.max_jets, **inputs.options,
    }  # fmt: skip

    import torch

    from jetad.interrupts import stop_signals

    torch.set_num_threads(1)

    def report(number: int, values: Mapping[str, str], value: float) -> None:
        tell(
            f"trial {number}: {objective} {value:.4g} with {', '.join(f'{k}={v}' for k, v in values.items())}"
        )

    with stop_signals() as stop:

        def go_on() -> SearchResult:
            return search(
                background, spaces, objective=objective, trials=trials, folder=output, settings=settings,
                device=device, stop=stop, report=report, **given,
            )  # fmt: skip

        with _helpers(jobs - 1):
            found = go_on()
        if jobs > 1:
            found = go_on()  # what the others have found in the end
    if as_json:
        echo(json.dumps({"best": str(found.best), "failed": found.failed, "trials": found.trials}))
        return
    _print(found, objective)


@contextmanager
def _helpers(n: int) -> Iterator[None]:
    """The same command in ``n`` further processes; they have ended when the block has."""
    words = [sys.executable, "-m", "jetad", "-q", *sys.argv[1:], "--jobs", "1", "--json"]
    started = [subprocess.Popen(words, stdout=subprocess.DEVNULL) for _ in range(n)]
    try:
        yield
    except BaseException:
        for process in started:
            process.terminate()
        raise
    finally:
        for process in started:
            process.wait()


def _print(found: SearchResult, objective: str) -> None:
    names = list(found.trials[0][1])
    rows = [["trial", objective, *(name.rpartition(".")[2] for name in names)]]
    rows += [
        [str(n), f"{value:.4g}", *(_short(values[k]) for k in names)]
        for n, values, value in found.trials[:_SHOWN]
    ]
    echo("\n".join(aligned(rows)))
    if found.failed:
        echo(f"{found.failed} trainings diverged")
    chosen = " ".join(f"--set {name}={value}" for name, value in found.trials[0][1].items())
    tell(f"the best is {found.best}: {one_line(chosen)}")
    tell("smaller is better by this measure alone: look at 'jetad roc' before you believe it")


def _short(text: str) -> str:
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return one_line(text)
