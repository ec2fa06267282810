"""jetad plot: figures of scores, curves and trainings; one function per kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from jetad_cli.commands.cmd_roc import ManyValues, evaluation_of, score_inputs
from jetad_cli.options import force_option

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["command", "figure_command"]


@click.group("plot")
def command() -> None:
    """Draw one kind of figure as PDF and PNG."""


def figure_command(name: str) -> Callable[[Callable[..., Figure]], click.Command]:
    """Make a kind of figure from a function that returns it: adds ``--output`` and ``--force``, and saves.

    The outputs are checked before the function runs; without ``--output`` they are named after the kind.
    """

    def decorate(function: Callable[..., Figure]) -> click.Command:
        def run(output: str, force: bool, **options: Any) -> None:
            from jetad.files import check_output
            from jetad.plots import figure_paths, save

            for path in figure_paths(output):
                check_output(path, force=force)
            written = save(function(**options), output, force=force)
            click.echo(f"wrote {', '.join(str(path) for path in written)}", err=True)

        run.__doc__ = function.__doc__
        run.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        output_option = click.option(
            "--output", "-o", metavar="FIG", default=f"{name}.pdf", show_default=True,
            help="Name of the figure; .pdf and .png are written.",
        )  # fmt: skip
        return command.command(name, cls=ManyValues)(output_option(force_option(run)))

    return decorate


@figure_command("scores")
@click.argument("files", metavar="[NAME=]SCORES...", nargs=-1, required=True)
@click.option(
    "--log-x/--linear-x", default=None, help="Scale of the score axis; by default what suits the scores."
)
def scores(files: tuple[str, ...], log_x: bool | None) -> Figure:
    """Histograms of the scores in each file, the first one filled; labelled files are split by label."""
    from jetad.evaluation import classes_of
    from jetad.plots import plot_scores

    return plot_scores(classes_of(files), log_x=log_x)


@figure_command("roc")
@score_inputs
def roc(
    labelled: tuple[str, ...], background: tuple[str, ...], signal: tuple[str, ...], min_background: int
) -> Figure:
    """Background rejection against signal efficiency, as 'jetad roc' draws it."""
    from jetad.plots import plot_roc

    return plot_roc(evaluation_of(labelled, background, signal, min_background))


@figure_command("sic")
@score_inputs
def sic(
    labelled: tuple[str, ...], background: tuple[str, ...], signal: tuple[str, ...], min_background: int
) -> Figure:
    """Significance improvement eff_S/sqrt(eff_B) against signal efficiency."""
    from jetad.plots import plot_sic

    return plot_sic(evaluation_of(labelled, background, signal, min_background))


@figure_command("history")
@click.argument("run", metavar="RUN_DIR", type=click.Path(exists=True))
def history(run: str) -> Figure:
    """Losses, energies and rates of a training against the step."""
    from jetad.plots import load_history, plot_history

    return plot_history(load_history(run))
