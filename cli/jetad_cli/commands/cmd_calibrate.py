"""jetad calibrate: what a score means, on held-out background."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jetad.errors import InputError

from ..numbers import FiniteRange
from ..options import Inputs, ManyValues, allow_option, device_option, input_options, json_option
from ..overwriting import keep_inputs
from ..tables import hanging
from ..terminal import echo

if TYPE_CHECKING:
    from jetad.calibration import BackgroundEfficiency

__all__ = ["command"]

_POINTS = (0.1, 0.01, 0.001, 0.0001)


def _points(cell: BackgroundEfficiency, asked: tuple[float, ...], rate: float | None) -> list[dict[str, Any]]:
    """Thresholds of the asked efficiencies, or of the usual ones that the calibration can state."""
    rows = []
    for efficiency in asked or _POINTS:
        try:
            point = cell.working_point(efficiency)
        except InputError:
            if asked:
                raise
            continue
        row = point._asdict()
        if rate is not None:
            row["rate"], row["rate_low"], row["rate_high"] = point.rate(rate)
        rows.append(row)
    return rows


@click.command(cls=ManyValues)
@click.option(
    "--run",
    "run_dir",
    type=click.Path(path_type=Path),
    help="Run directory.  [default: $JETAD_RUN, runs/latest]",
)
@click.option(
    "--background",
    "-b",
    multiple=True,
    required=True,
    metavar="FILE...",
    help="Background jets, not trained on.",
)
@click.option(
    "--in-bins-of",
    multiple=True,
    metavar="COLUMN[=EDGES]",
    help="Calibrate in bins of jet_pt or jet_mass: 'jet_pt=450,550', or five of equal content.",
)
@click.option(
    "--decorrelate", metavar="COLUMN", help="Make score and efficiency independent of jet_mass or jet_pt."
)
@click.option("--weight", metavar="COLUMN", help="Column of event weights.")
@click.option(
    "--working-point",
    "working_points",
    multiple=True,
    type=FiniteRange(0, 1, min_open=True, max_open=True),
    help="Background efficiency to give the threshold of; repeatable.  [default: 0.1, 0.01, ...]",
)
@click.option(
    "--rate",
    type=FiniteRange(0, min_open=True),
    metavar="HZ",
    help="Rate of background jets: gives the rate after each cut.",
)
@allow_option("labels", "range")
@input_options
@device_option
@json_option()
def command(
    run_dir: Path | None,
    background: tuple[str, ...],
    in_bins_of: tuple[str, ...],
    decorrelate: str | None,
    weight: str | None,
    working_points: tuple[float, ...],
    rate: float | None,
    allow: tuple[str, ...],
    inputs: Inputs,
    device: str,
    as_json: bool,
) -> None:
    """Map scores to background efficiency on held-out background.

    Training keeps a part of its jets for this; use this command for a larger or a different sample.
    Files the detector was trained on are refused. Efficiencies below 1/(n+1) cannot be stated with n
    background jets.

    \b
    jetad calibrate --background qcd2.h5 --working-point 1e-3
    jetad calibrate --background qcd2.h5 --decorrelate jet_mass
    """
    from jetad.readers import expand
    from jetad.runs import find_run

    run = find_run(run_dir)
    files = expand(background)
    keep_inputs([run.path / "calibration.json"], background, inputs.files)
    bins = dict(_bins(text) for text in in_bins_of)

    from jetad.calibration import BackgroundEfficiency, BinnedEfficiency, DecorrelatedEfficiency
    from jetad.detector import calibrate

    calibration = calibrate(
        run, files, device=device, in_bins_of=bins, decorrelate=decorrelate, weight=weight,
        select=inputs.select, max_jets=inputs.max_jets, options=inputs.options, allow=allow,
    )  # fmt: skip
    cells: dict[str, BackgroundEfficiency] = {}
    if isinstance(calibration, BinnedEfficiency):
        cells = {calibration.describe(i): cell for i, cell in enumerate(calibration.cells)}
    elif isinstance(calibration, DecorrelatedEfficiency):
        cells = {"score_decorrelated": calibration.efficiency}
    elif isinstance(calibration, BackgroundEfficiency):
        cells = {"": calibration}
    tables = {name: _points(cell, working_points, rate) for name, cell in cells.items()}
    if as_json:
        result: dict[str, Any] = {
            "run": str(run.path),
            "n": calibration.n,
            "n_eff": sum(cell.n_eff for cell in cells.values()),
            "smallest": calibration.smallest,
            "working_points": next(iter(tables.values())) if len(tables) == 1 else tables,
        }
        echo(json.dumps(result))
        return
    first = f"{run.path}: calibrated on {calibration.n} background jets; "
    echo(hanging("", f"{first}background efficiencies down to {calibration.smallest:.2g}", 2))
    for name, rows in tables.items():
        if name:
            echo(name)
        for row in rows:
            line = (
                f"  efficiency {row['efficiency']:<8g} score >= {row['threshold']:<12.6g} "
                f"measured {row['measured']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
            )
            if rate is not None:
                line += f"  rate {row['rate']:.4g} Hz [{row['rate_low']:.4g}, {row['rate_high']:.4g}]"
            echo(hanging("", line, 4))


def _bins(text: str) -> tuple[str, list[float] | int]:
    """``jet_pt=450,550`` to its edges, ``jet_pt`` to five bins."""
    name, equals, edges = text.partition("=")
    if not equals:
        return name, 5
    try:
        return name, [float(edge) for edge in edges.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"'{text}': expected COLUMN=EDGE,EDGE,... with numbers", param_hint="--in-bins-of"
        ) from None
