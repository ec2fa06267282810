"""Options and parameter types shared by several commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["device_option", "force_option", "json_option", "seed_option"]

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def json_option(help: str = "Print JSON instead of a table.") -> Decorator:
    return click.option("--json", "as_json", is_flag=True, help=help)


force_option: Decorator = click.option("--force", is_flag=True, help="Replace outputs that exist.")
seed_option: Decorator = click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Random seed."
)
device_option: Decorator = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to compute."
)
