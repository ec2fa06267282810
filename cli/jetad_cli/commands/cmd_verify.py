"""jetad verify: does a score file belong to a file of jets, row by row?"""

from __future__ import annotations

import json
from pathlib import Path

import click

from jetad.errors import JetadError

from ..options import Inputs, device_option, json_option, reading_options
from ..terminal import echo

__all__ = ["command"]


@click.command()
@click.argument("scores", type=click.Path(path_type=Path))
@click.argument("original", type=click.Path(path_type=Path))
@click.option(
    "--run", "run_dir", type=click.Path(path_type=Path), help="Score up to 1000 jets again with this run."
)
@reading_options
@device_option
@json_option()
def command(
    scores: Path, original: Path, run_dir: Path | None, inputs: Inputs, device: str, as_json: bool
) -> None:
    """Prove that SCORES belongs to the jets of ORIGINAL, row by row.

    Compared are the digest of the score file, the hash of the input, the account, and for each row
    entry, jet, kinematics and truth. Exit code 1 if anything disagrees.

    \b
    jetad verify signal.scores.root signal.root
    """
    from jetad.detector import TrainedDetector
    from jetad.production.verify import verify_scores
    from jetad.runs import find_run

    detector = None if run_dir is None else TrainedDetector.from_run(find_run(run_dir), device)
    checks = verify_scores(scores, original, detector=detector, options=inputs.options)
    failed = [check for check in checks if check.passed is False]
    if as_json:
        echo(json.dumps({"verified": not failed, "checks": [check._asdict() for check in checks]}))
    else:
        words = {True: "ok", False: "FAILED", None: "unknown"}
        for check in checks:
            echo(f"{check.name:22} {words[check.passed]:8} {check.found}")
    if failed:
        raise JetadError(f"{scores} does not belong to {original}: {failed[0].found}")
