"""jetad contamination: performance against the share of signal in the training data."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import ManyValues, figure_label, force_option, json_option, label_options
from ..studies import one_class, training_options, trainings

if TYPE_CHECKING:
    from jetad.studies.contamination import Contamination

__all__ = ["command", "table"]


@click.command(cls=ManyValues)
@click.option(
    "--background", "-b", multiple=True, required=True, metavar="[NAME=]FILE...", help="Background jets."
)
@click.option("--signal", "-s", multiple=True, required=True, metavar="[NAME=]FILE...", help="Signal jets.")
@click.option(
    "--fraction", "-x", "fractions", metavar="X...", type=click.FloatRange(0, 1, max_open=True),
    multiple=True, default=(0.0, 0.01, 0.03, 0.1), show_default=True,
    help="Shares of signal in the training data.",
)  # fmt: skip
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default=Path("contamination"), show_default=True,
    help="Folder for the runs, the figure and the numbers.",
)  # fmt: skip
@click.option(
    "--n-train", type=click.IntRange(min=100), help="Training jets.  [default: as many as all shares allow]"
)
@click.option(
    "--n-seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Trainings per share."
)
@click.option(
    "--test-fraction", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.5,
    show_default=True, help="Share of the signal kept for the test (of the background: a quarter).",
)  # fmt: skip
@click.option("--max-jets", type=click.IntRange(min=100), help="Jets read of each class.")
@training_options
@label_options
@force_option
@json_option()
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
    from jetad.errors import ConfigError
    from jetad.files import atomic_output, check_output

    label = figure_label(options)
    first, second = one_class(background, "--background"), one_class(signal, "--signal")
    if first[0] == second[0]:
        raise ConfigError(f"both classes are called '{first[0]}'; use NAME=FILE")
    if output.is_dir():
        for name in ("contamination.pdf", "contamination.png", "contamination.json"):
            check_output(output / name, force=force)

    from jetad.studies.contamination import contamination

    with trainings(**options) as how:
        found = contamination(
            first, second, output, how, fractions=fractions, n_train=n_train, n_seeds=n_seeds,
            test_fraction=test_fraction, max_jets=max_jets, say=lambda text: click.echo(text, err=True),
        )  # fmt: skip
    from jetad.plots import add_label, plot_contamination, save

    figure = add_label(plot_contamination(found.points, signal=found.signal), label)
    save(figure, output / "contamination", force=force)
    text = json.dumps(found.to_dict(), indent=1, allow_nan=False)
    with atomic_output(output / "contamination.json", force=force) as temporary:
        temporary.write_text(text + "\n")
    click.echo(f"wrote {output}/contamination.pdf, .png, .json", err=True)
    click.echo(text if as_json else table(found))


def table(found: Contamination) -> str:
    """One line a share."""
    lines = [f"trained on {found.n_train} jets, looking for {found.signal} in {found.background}:", ""]
    lines.append(f"{'share [%]':>10}{'signal jets':>13}{'AUC':>20}{'max SIC':>16}")
    for p in found.points:
        auc = f"{p.auc.value:.4f} ± {p.auc.high - p.auc.value:.4f}"
        sic = (
            "-"
            if math.isnan(p.max_sic.value)
            else f"{p.max_sic.value:.2f} ± {p.max_sic.high - p.max_sic.value:.2f}"
        )
        lines.append(f"{100 * p.fraction:>10g}{p.n_signal:>13}{auc:>20}{sic:>16}")
    return "\n".join(lines)
