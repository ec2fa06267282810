"""jetad methods: what can be trained."""

from __future__ import annotations

import json

import click

from ..options import json_option

__all__ = ["command"]


@click.command()
@json_option()
def command(as_json: bool) -> None:
    """List the methods that 'jetad train --method' knows, the default first."""
    from jetad.models import METHODS

    if as_json:
        click.echo(json.dumps({name: info._asdict() for name, info in METHODS.items()}, indent=1))
        return
    for name, info in METHODS.items():
        click.echo(f"{name:<6} {info.kind:<15} {info.summary} [{info.reference}]")
