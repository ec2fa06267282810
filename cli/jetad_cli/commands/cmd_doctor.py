"""jetad doctor: what of this machine would make jetad fail."""

from __future__ import annotations

import json
from pathlib import Path

import click

from jetad.errors import JetadError

from ..options import json_option
from ..terminal import echo

__all__ = ["command"]


@click.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path))
@json_option()
def command(folder: Path, as_json: bool) -> None:
    """Look for what would make jetad fail or slow here, in FOLDER and on this machine.

    Files are really written and locked, a process is started, the GPU computes; nothing is left behind.
    Exit code 1 if anything fails.
    """
    from jetad.doctor import examine

    findings = examine(folder)
    failed = [finding for finding in findings if finding.status == "fail"]
    if as_json:
        echo(json.dumps({"ok": not failed, "findings": [finding._asdict() for finding in findings]}))
    else:
        for finding in findings:
            echo(f"{finding.status:4}  {finding.name:<10}  {finding.found}")
            if finding.advice:
                echo(f"{'':18}-> {finding.advice}")
    if failed:
        raise JetadError(f"{failed[0].name}: {failed[0].found}; {failed[0].advice}")
