"""jetad cite: the papers of exactly the methods a run used."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from ..options import json_option
from ..terminal import echo

__all__ = ["command"]


@click.command()
@click.option(
    "--run",
    "run_dir",
    type=click.Path(path_type=Path),
    help="Run directory.  [default: $JETAD_RUN, runs/latest]",
)
@click.option("--text", is_flag=True, help="One line per paper in place of BibTeX.")
@json_option("Print JSON instead of BibTeX.")
def command(run_dir: Path | None, text: bool, as_json: bool) -> None:
    """Print the papers to cite for a run as BibTeX: what it was trained with, and how it is evaluated.

    \b
    jetad cite --run runs/latest > jetad.bib
    """
    from jetad.report.citations import bibtex, references_of
    from jetad.runs import find_run

    found = references_of(find_run(run_dir).config(), evaluation=True, sculpting=True)
    if as_json:
        echo(json.dumps([dataclasses.asdict(reference) for reference in found]))
    elif text:
        echo("\n".join(f"{reference.text()}  [{reference.used_for}]" for reference in found))
    else:
        echo(bibtex(found), nl=False)
