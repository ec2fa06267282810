"""jetad calibrate: what a score means, on held-out background."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..options import ManyValues, device_option, json_option

__all__ = ["command"]


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
@device_option
@json_option()
def command(run_dir: Path | None, background: tuple[str, ...], device: str, as_json: bool) -> None:
    """Map scores to background efficiency on held-out background.

    Training keeps a part of its jets for this; use this command for a larger or a different sample.
    Files the detector was trained on are refused.
    """
    from jetad.readers import expand
    from jetad.run import find_run
    from jetad.scoring import calibrate

    run = find_run(run_dir)
    calibration = calibrate(run, expand(background), device=device)
    if as_json:
        click.echo(
            json.dumps({"run": str(run.path), "n": calibration.n, "smallest": 1 / (calibration.n + 1)})
        )
    else:
        click.echo(
            f"{run.path}: calibrated on {calibration.n} background jets; "
            f"background efficiencies down to {1 / (calibration.n + 1):.2g}"
        )
