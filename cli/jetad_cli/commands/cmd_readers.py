"""jetad readers: the file formats that can be read."""

from __future__ import annotations

import json

import click

from jetad_cli.options import json_option

from ..tables import hanging
from ..terminal import echo

__all__ = ["command"]


@click.command("readers")
@json_option()
def command(as_json: bool) -> None:
    """List the file formats that can be read; the format of a file is found from its content."""
    from jetad.readers import READERS
    from jetad.registry import working

    summaries = {name: reader.summary for name, reader in working(READERS, "reader").items()}
    if as_json:
        echo(json.dumps([{"name": name, "summary": text} for name, text in summaries.items()], indent=2))
        return
    width = max(map(len, summaries))
    for name, text in summaries.items():
        echo(hanging(f"{name:<{width}}  ", text))
