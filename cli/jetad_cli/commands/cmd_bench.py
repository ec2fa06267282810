"""jetad bench: methods side by side on your jets, ranked by their worst direction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..options import ManyValues, device_option, json_option, seed_option
from ..overwriting import keep_inputs
from ..study_options import trainings
from ..tables import aligned
from ..terminal import echo, tell

__all__ = ["command"]


@click.command(cls=ManyValues)
@click.option(
    "--sample", "samples", multiple=True, required=True, metavar="NAME=FILE...", help="A class of jets."
)
@click.option(
    "--train", "-t", "trained_on", multiple=True, required=True, metavar="NAME...",
    help="Classes to train on in turn; each detector looks for all others.",
)  # fmt: skip
@click.option(
    "--train-file", "training_files", multiple=True, metavar="NAME=FILE...",
    help="Train on this file of the class, and test on all of its sample.",
)  # fmt: skip
@click.option(
    "--detector", "-d", "detectors", multiple=True, metavar="'[LABEL=]METHOD [KEY=VALUE...]'...",
    help="Methods (or preset:NAME) with settings.  [default: gmm knn nae ae mass multiplicity]",
)  # fmt: skip
@click.option(
    "--judge", "judged", multiple=True, metavar="NAME:NAME...",
    help="Directions (trained on:looked for) whose worst ranks the detectors.  [default: all]",
)  # fmt: skip
@click.option(
    "--n-train", type=click.IntRange(min=100), default=12_000, show_default=True, help="Training jets."
)
@click.option(
    "--max-test", type=click.IntRange(min=100), default=20_000, show_default=True, help="Test jets."
)
@click.option("--n-seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Trainings each.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default=Path("bench"), show_default=True,
    help="Folder for the runs, bench.md and bench.json.",
)  # fmt: skip
@click.option("--representation", help="Train on one representation only: image or features.")
@click.option("--threads", type=click.IntRange(1, 4096), default=1, show_default=True, help="CPU threads.")
@seed_option
@device_option
@json_option()
def command(
    samples: tuple[str, ...],
    trained_on: tuple[str, ...],
    training_files: tuple[str, ...],
    detectors: tuple[str, ...],
    judged: tuple[str, ...],
    n_train: int,
    max_test: int,
    n_seeds: int,
    output: Path,
    representation: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train detectors on each class and look for all others: AUC, rejection, time, and the ranking.

    A detector of anomalies is as good as its worst direction. The first --n-train jets of a file train
    and the rest are tested. A supervised detector ('classifier') sees half of the signal jets and shows
    what can be found at all. The same command again, with more detectors or seeds if you like, does only
    what is missing.

    \b
    jetad bench --sample qcd=qcd.h5 top=top.h5 svj=svj.h5 --train qcd top -d nae ae gmm classifier
    """
    from jetad.errors import ConfigError
    from jetad.files import atomic_output

    files, separate = _named(samples, "--sample"), _named(training_files, "--train-file")
    pairs = []
    for text in judged:
        background, colon, signal = text.partition(":")
        if not colon:
            raise click.UsageError(f"--judge: '{text}' is no direction; give TRAINED:LOOKED_FOR")
        pairs.append((background, signal))
    keep_inputs([output / "bench.md", output / "bench.json"], samples, training_files)
    if len(files) < 2:
        raise ConfigError("at least two samples are needed, one to train on and one to look for")
    from jetad.studies.ranking import rank_methods

    with trainings(method=None, representation=None, config_file=None, settings=(), **options) as how:
        found = rank_methods(
            files, trained_on, detectors or ("gmm", "knn", "nae", "ae", "mass", "multiplicity"), output, how,
            training_files=separate, judged=pairs, n_train=n_train, max_test=max_test, n_seeds=n_seeds,
            representation=representation, say=tell,
        )  # fmt: skip
    markdown, text = found.to_markdown(), json.dumps(found.to_dict(), indent=1, allow_nan=False)
    for name, content in (("bench.md", markdown), ("bench.json", text)):
        with atomic_output(output / name, force=True) as temporary:
            temporary.write_text(content + "\n")
    tell(f"wrote {output}/bench.md, bench.json")
    echo(text if as_json else "\n".join(aligned(found.cells())))


def _named(values: tuple[str, ...], option: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not equals or not name.replace("-", "_").replace(".", "_").isidentifier():
            raise click.UsageError(f"{option}: '{value}' is not NAME=FILE")
        if name in found:
            raise click.UsageError(f"{option}: '{name}' is given twice")
        found[name] = Path(path)
    return found
