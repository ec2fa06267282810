"""jetad two-way: does a method find B among A, and A among B?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import ManyValues, figure_label
from ..study_options import StudyFiles, study_options, trainings, two_classes
from ..tables import aligned, hanging
from ..terminal import echo, tell

if TYPE_CHECKING:
    from jetad.studies.two_way import TwoWay

__all__ = ["command", "table"]


@click.command("two-way", cls=ManyValues)
@study_options(
    "two-way", background="One class.", signal="The other.",
    test_fraction=(0.25, "Share of each class that neither training sees."),
)  # fmt: skip
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
    label = figure_label(options)
    first, second = two_classes(background, signal)
    files = StudyFiles(
        output, "roc", "two_way", force=force, inputs=(background, signal, options["config_file"])
    )

    from jetad.studies.two_way import two_way

    with trainings(**options) as how:
        found = two_way(
            first, second, output, how, test_fraction=test_fraction, max_jets=max_jets,
            say=tell,
        )  # fmt: skip
    from jetad.plots import plot_roc

    text = files.write(found.to_dict(), plot_roc([d.evaluation for d in found.directions]), label)
    echo(text if as_json else table(found))


def table(found: TwoWay) -> str:
    """Both directions, the worst, and the complexity bias, for reading."""
    rows = [["trained on", "looking for", "AUC", "multiplicity alone", "pixels alone"]]
    for d in found.directions:
        alone = [f"{d.complexity[name].auc:.4f}" for name in ("multiplicity", "pixels")]
        rows.append([d.background, d.signal, f"{d.auc:.4f} ± {d.auc_error:.4f}", *alone])
    lines = aligned(rows, keys=2)
    worst = found.worst
    bias = ", ".join(f"{found.complexity_bias(c):+.2f} ({c})" for c in ("multiplicity", "pixels"))
    lines += [
        "",
        hanging(
            "worst direction: ",
            f"trained on {worst.background}, looking for {worst.signal}: {worst.auc:.4f}",
        ),
    ]
    lines += [f"complexity bias: {bias}"]
    return "\n".join(lines)
