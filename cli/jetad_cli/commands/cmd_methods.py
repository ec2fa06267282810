"""jetad methods: what can be trained."""

from __future__ import annotations

import json

import click

from ..options import json_option
from ..tables import hanging
from ..terminal import echo

__all__ = ["command"]


@click.command()
@json_option()
def command(as_json: bool) -> None:
    """List the methods that 'jetad train --method' knows, the default first."""
    from jetad.models import METHODS
    from jetad.presets import preset, presets

    published = {name: summary for name, summary in presets().items() if name not in METHODS}
    if as_json:
        table = {
            name: {**info.model_dump(mode="json", exclude={"model", "papers"}), "presets": []}
            for name, info in METHODS.items()
        }
        for name in published:
            table[preset(name)["method"]]["presets"].append(name)
        echo(json.dumps(table, indent=1))
        return
    width = max(map(len, [*METHODS, *published]))
    for kind in dict.fromkeys(info.kind for info in METHODS.values()):
        echo(f"{kind}:")
        for name, info in METHODS.items():
            if info.kind == kind:
                echo(hanging(f"  {name:<{width}}  ", info.summary))
                echo(hanging(f"  {'':<{width}}  ", f"{', '.join(info.inputs)} [{info.reference}]"))
    if published:
        echo("other settings of them (--preset):")
    for name, summary in published.items():
        echo(hanging(f"  {name:<{width}}  ", summary))
