"""jetad merge: parts of a score file in, the whole out."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..options import force_option, json_option
from ..terminal import echo

__all__ = ["command"]


@click.command()
@click.argument("parts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Score file to make.")
@force_option
@json_option("Print the account as JSON.")
def command(parts: tuple[Path, ...], output: Path, force: bool, as_json: bool) -> None:
    """Join the parts that 'jetad score --part K/N' made; gaps and overlaps are refused.

    \b
    jetad merge signal.scores.part-*.root -o signal.scores.root
    """
    from jetad.production.merging import merge_scores

    account = merge_scores(parts, output, force=force)
    if as_json:
        echo(json.dumps(account._asdict()))
    else:
        echo(f"{account.output}: {account.read} jets")
