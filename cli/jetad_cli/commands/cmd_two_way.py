"""jetad two-way: does a method find B among A, and A among B?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import ManyValues, figure_label, force_option, json_option, label_options
from ..studies import one_class, training_options, trainings

if TYPE_CHECKING:
    from jetad.studies.two_way import TwoWay

__all__ = ["command", "table"]


@click.command("two-way", cls=ManyValues)
@click.option("--background", "-b", multiple=True, required=True, metavar="[NAME=]FILE...", help="One class.")
@click.option("--signal", "-s", multiple=True, required=True, metavar="[NAME=]FILE...", help="The other.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), default=Path("two-way"), show_default=True,
    help="Folder for the two runs, the figure and the numbers.",
)  # fmt: skip
@click.option(
    "--test-fraction", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.25,
    show_default=True, help="Share of each class that neither training sees.",
)  # fmt: skip
@click.option("--max-jets", type=click.IntRange(min=100), help="Jets read of each class.")
@training_options
@label_options
@force_option
@json_option()
def command(
    background: tuple[str, ...],
    signal: tuple[str, ...],
    output: Path,
    test_fraction: float,
    max_jets: int | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train on A and look for B, train on B and look for A, with one configuration.

    Prints both AUCs, the worst direction (what a method may be quoted with), and how far the score just
    counts what is in a jet: the AUC of the number of constituents or of filled pixels alone, and the
    complexity bias, the mean rank correlation of the score with it over both directions (0: none; +1:
    complex jets are called anomalous whatever the training). The same command again goes on where an
    interrupted one stopped.

    \b
    jetad two-way --background qcd.h5 --signal top.h5
    """
    from jetad.errors import ConfigError
    from jetad.files import atomic_output, check_output

    label = figure_label(options)
    first, second = one_class(background, "--background"), one_class(signal, "--signal")
    if first[0] == second[0]:
        raise ConfigError(f"both classes are called '{first[0]}'; use NAME=FILE")
    if output.is_dir():
        for name in ("roc.pdf", "roc.png", "two_way.json"):
            check_output(output / name, force=force)

    from jetad.studies.two_way import two_way

    with trainings(**options) as how:
        found = two_way(
            first, second, output, how, test_fraction=test_fraction, max_jets=max_jets,
            say=lambda text: click.echo(text, err=True),
        )  # fmt: skip
    from jetad.plots import add_label, plot_roc, save

    save(add_label(plot_roc([d.evaluation for d in found.directions]), label), output / "roc", force=force)
    text = json.dumps(found.to_dict(), indent=1, allow_nan=False)
    with atomic_output(output / "two_way.json", force=force) as temporary:
        temporary.write_text(text + "\n")
    click.echo(f"wrote {output}/roc.pdf, roc.png, two_way.json", err=True)
    click.echo(text if as_json else table(found))


def table(found: TwoWay) -> str:
    """Both directions, the worst, and the complexity bias, for reading."""
    lines = [
        f"{'trained on':<14}{'looking for':<14}{'AUC':>18}{'multiplicity alone':>21}{'pixels alone':>15}"
    ]
    for d in found.directions:
        auc = f"{d.auc:.4f} ± {d.auc_error:.4f}"
        alone = [d.complexity[name].auc for name in ("multiplicity", "pixels")]
        lines.append(f"{d.background:<14}{d.signal:<14}{auc:>18}{alone[0]:>21.4f}{alone[1]:>15.4f}")
    worst = found.worst
    bias = ", ".join(f"{found.complexity_bias(c):+.2f} ({c})" for c in ("multiplicity", "pixels"))
    lines += [
        "",
        f"worst direction: trained on {worst.background}, looking for {worst.signal}: {worst.auc:.4f}",
    ]
    lines += [f"complexity bias: {bias}"]
    return "\n".join(lines)
