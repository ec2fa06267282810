"""jetad robustness: how efficiencies at a fixed cut change when jets are measured differently."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..numbers import FiniteRange
from ..options import (
    ManyValues,
    allow_option,
    device_option,
    figure_label,
    force_option,
    json_option,
    label_options,
    seed_option,
)
from ..overwriting import keep_inputs
from ..tables import aligned
from ..terminal import echo, tell
from .cmd_report import named_inputs

if TYPE_CHECKING:
    from jetad.studies.robustness import Robustness

__all__ = ["command", "table"]


@click.command(cls=ManyValues)
@click.option(
    "--run", "run_dir", type=click.Path(), help="Run directory.  [default: $JETAD_RUN, runs/latest]"
)
@click.option("--background", "-b", multiple=True, required=True, metavar="FILE...", help="Background jets.")
@click.option("--signal", "-s", multiple=True, metavar="[NAME=]FILE...", help="Signal jets.")
@click.option(
    "--eff-b", "cuts", metavar="EFF...", type=FiniteRange(0, 1, min_open=True), multiple=True,
    default=(0.1, 0.01), show_default=True, help="Background efficiencies of the cuts; two are drawn.",
)  # fmt: skip
@click.option(
    "--output",
    "-o",
    metavar="FIG",
    help="Draw the changes: FIG.pdf and FIG.png, with the numbers in FIG.json.",
)
@click.option(
    "--max-jets", type=click.IntRange(min=10), default=5000, show_default=True, help="Jets of each sample."
)
@allow_option("labels", "range")
@seed_option
@device_option
@label_options
@force_option
@json_option()
def command(
    run_dir: str | None,
    background: tuple[str, ...],
    signal: tuple[str, ...],
    cuts: tuple[float, ...],
    output: str | None,
    max_jets: int,
    allow: tuple[str, ...],
    seed: int,
    device: str,
    force: bool,
    as_json: bool,
    **label_values: Any,
) -> None:
    """Score distorted jets: how much do efficiencies at a fixed cut depend on the measurement?

    Energy scale +-1 %, smearing of pT (5 %) and angles (0.01), constituents below 1 GeV dropped, soft
    radiation added, jets turned about their axis, and moved by a pixel (the last two should not matter).
    Cuts are fixed on the undistorted background; errors count only jets that change sides.

    \b
    jetad robustness --run runs/latest -b qcd_test.h5 -s top.h5 -o robustness
    """
    from jetad.files import atomic_output, check_output
    from jetad.runs import find_run

    label = figure_label(label_values)
    if output is not None:
        from jetad.plots import figure_paths

        numbers = figure_paths(output)[0].with_suffix(".json")
        keep_inputs([*figure_paths(output), numbers], background, signal, find_run(run_dir))
        for path in (*figure_paths(output), numbers):
            check_output(path, force=force)
    run = find_run(run_dir)

    import torch

    from jetad.detector import TrainedDetector
    from jetad.errors import ConfigError
    from jetad.readers import expand, read
    from jetad.studies.robustness import robustness
    from jetad.studies.trainings import check_distinct
    from jetad.training.data import check_sample

    torch.set_num_threads(1)
    files: list[Path] = expand(background)
    name = files[0].stem if len(files) == 1 else "background"
    signals = named_inputs(signal)
    if name in signals:
        raise ConfigError(f"--signal: '{name}' is the name of the background, too; use NAME=FILE")
    check_distinct({name: files, **signals})
    jets = {key: read(paths, max_jets=max_jets) for key, paths in {name: files, **signals}.items()}
    detector = TrainedDetector.from_run(run, device)
    for key, some in jets.items():
        role = "background" if key == name else "signal"
        check_sample(some, key, allow, role=role)
        detector.training.check(some, key, allow)
        for sentence in detector.training.remarks(some):
            echo(f"warning: {key}: {sentence}", err=True)
    found = robustness(
        detector,
        jets.pop(name),
        jets,
        background_name=name,
        cuts=cuts,
        seed=seed,
        say=tell,
    )
    text = json.dumps(found.to_dict(), indent=1, allow_nan=False)
    if output is not None:
        from jetad.plots import add_label, plot_robustness, save

        figure = plot_robustness({cut: found.changes(cut) for cut in cuts[:2]})
        written = [*save(add_label(figure, label), output, force=force), numbers]
        with atomic_output(numbers, force=force) as temporary:
            temporary.write_text(text + "\n")
        tell(f"wrote {', '.join(str(path) for path in written)}")
    echo(text if as_json else table(found))


def table(found: Robustness) -> str:
    """Relative changes in per cent, one block a cut, one row a distortion."""
    samples = list(found.n_jets)
    blocks = []
    for cut in found.cuts:
        rows = [["", *samples, *(f"AUC {s}" for s in found.auc)]]
        rows.append(["(undistorted)", *("" for _ in samples), *(f"{v:.4f}" for v in found.auc.values())])
        for name, result in found.distortions.items():
            changes = (_change(result.efficiencies[cut][s]) for s in samples)
            rows.append([name, *changes, *(f"{result.auc[s]:.4f}" for s in found.auc)])
        title = f"change of efficiency [%] at background efficiency {cut:g}:"
        blocks.append("\n".join([title, "", *aligned(rows)]))
    return "\n\n".join(blocks)


def _change(change: Any) -> str:
    if not math.isfinite(change.relative):
        return "-"
    return f"{100 * change.relative:+.1f} ± {100 * change.relative_error:.1f}"
