"""jetad contamination: performance against the share of signal in the training data."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..numbers import FiniteRange
from ..options import ManyValues, figure_label
from ..study_options import StudyFiles, study_options, trainings, two_classes
from ..tables import aligned, hanging
from ..terminal import echo, tell

if TYPE_CHECKING:
    from jetad.studies.contamination import Contamination

__all__ = ["command", "table"]


@click.command(cls=ManyValues)
@click.option(
    "--fraction", "-x", "fractions", metavar="X...", type=FiniteRange(0, 1, max_open=True),
    multiple=True, default=(0.0, 0.01, 0.03, 0.1), show_default=True,
    help="Shares of signal in the training data.",
)  # fmt: skip
@click.option(
    "--n-train", type=click.IntRange(min=100), help="Training jets.  [default: as many as all shares allow]"
)
@click.option(
    "--n-seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Trainings per share."
)
@study_options(
    "contamination", background="Background jets.", signal="Signal jets.",
    test_fraction=(0.5, "Share of the signal kept for the test (of the background: a quarter)."),
)  # fmt: skip
def command(
    background: tuple[str, ...],
    signal: tuple[str, ...],
    fractions: tuple[float, ...],
    output: Path,
    n_train: int | None,
    n_seeds: int,
    test_fraction: float,
    max_jets: int | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train with more and more signal in the data: how fast does the sensitivity go?

    Every training gets equally many jets; AUC and largest SIC are measured on the same held-out jets. The
    same command again goes on where an interrupted one stopped.

    \b
    jetad contamination -b qcd.h5 -s top.h5 -x 0 0.01 0.05 0.1 --n-seeds 3
    """
    label = figure_label(options)
    first, second = two_classes(background, signal)
    files = StudyFiles(
        output,
        "contamination",
        "contamination",
        force=force,
        inputs=(background, signal, options["config_file"]),
    )

    from jetad.studies.contamination import contamination

    with trainings(**options) as how:
        found = contamination(
            first, second, output, how, fractions=fractions, n_train=n_train, n_seeds=n_seeds,
            test_fraction=test_fraction, max_jets=max_jets, say=tell,
        )  # fmt: skip
    from jetad.plots import plot_contamination

    text = files.write(found.to_dict(), plot_contamination(found.points, signal=found.signal), label)
    echo(text if as_json else table(found))


def table(found: Contamination) -> str:
    """One line a share."""
    rows = [["share [%]", "signal jets", "AUC", "max SIC"]]
    for p in found.points:
        auc = f"{p.auc.value:.4f} ± {p.auc.high - p.auc.value:.4f}"
        value, low, high = p.max_sic
        sic = "-" if math.isnan(value) else f"{value:.2f} [{low:.2f}, {high:.2f}]"
        rows.append([f"{100 * p.fraction:g}", str(p.n_signal), auc, sic])
    title = f"trained on {found.n_train} jets, looking for {found.signal} in {found.background}:"
    return "\n".join([hanging("", title), "", *aligned(rows)])
