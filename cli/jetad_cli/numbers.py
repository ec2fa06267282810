"""Numbers as options: those of click, without nan and infinity, which pass through every range."""

from __future__ import annotations

import math
from typing import Any

import click

__all__ = ["FiniteFloat", "FiniteRange"]


class FiniteRange(click.FloatRange):
    """``click.FloatRange`` for finite numbers."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class FiniteFloat(FiniteRange):
    """Any finite number."""

    name = "float"

    def _describe_range(self) -> str:
        return ""  # for the help of click
