"""Options and parameter types shared by several commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = [
    "ManyValues",
    "device_option",
    "figure_label",
    "force_option",
    "json_option",
    "label_options",
    "seed_option",
]

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def json_option(help: str = "Print JSON instead of a table.") -> Decorator:
    return click.option("--json", "as_json", is_flag=True, help=help)


force_option: Decorator = click.option("--force", is_flag=True, help="Replace outputs that exist.")
seed_option: Decorator = click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Random seed."
)
device_option: Decorator = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)


def label_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--experiment``, ``--label``, ``--com``, ``--lumi``; made into one by ``figure_label``."""
    for decorate in (
        click.option("--lumi", type=float, metavar="FB", help="Integrated luminosity to show [fb^-1]."),
        click.option("--com", type=float, metavar="TEV", help="Centre-of-mass energy to show [TeV]."),
        click.option("--label", metavar="TEXT", help="Text above the figure, after the experiment."),
        click.option(
            "--experiment",
            type=click.Choice(["none", "CMS", "ATLAS", "LHCb", "ALICE"], case_sensitive=False),
            default="none",
            show_default=True,
            help="Experiment named above the figure.",
        ),
    ):
        function = decorate(function)
    return function


def figure_label(options: dict[str, Any]) -> Any:
    """Take the values of ``label_options`` out of ``options``; a :class:`jetad.plots.FigureLabel`."""
    from jetad.plots import FigureLabel

    return FigureLabel(**{name: options.pop(name) for name in ("experiment", "label", "com", "lumi")})


class ManyValues(click.Command):
    """A command whose repeatable options take all words up to the next option, as shells expand patterns.

    ``--background a.h5 b.h5 -o roc`` is read as ``--background a.h5 --background b.h5 -o roc``.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        many = {name for p in self.params if isinstance(p, click.Option) and p.multiple for name in p.opts}
        spelled_out: list[str] = []
        option, first = "", False
        for i, word in enumerate(args):
            if word == "--":
                spelled_out += args[i:]
                break
            if word.startswith("-") and word != "-":
                name, _, value = word.partition("=")
                option = name if name in many else ""
                first = bool(option) and not value
            elif option and not first:
                spelled_out.append(option)
            else:
                first = False
            spelled_out.append(word)
        return super().parse_args(ctx, spelled_out)
