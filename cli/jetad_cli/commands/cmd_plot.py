"""jetad plot: figures of scores, curves and trainings; one function per kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from jetad_cli.commands.cmd_roc import evaluation_of, score_inputs
from jetad_cli.options import ManyValues, force_option

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


@figure_command("images")
@click.argument("files", metavar="[NAME=]FILE...", nargs=-1, required=True)
@click.option(
    "--max-jets", type=click.IntRange(min=1), default=5000, show_default=True, help="Jets per file."
)
@click.option(
    "--sigma", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Gaussian filter [pixels]."
)
def images(files: tuple[str, ...], max_jets: int, sigma: float) -> Figure:
    """Mean jet image of each file of jets."""
    from pathlib import Path

    from jetad.plots import plot_images
    from jetad.preprocessing.images import ImageConfig, JetImages
    from jetad.readers import read

    imager = JetImages(ImageConfig(sigma=sigma))
    named = {}
    for file in files:
        name, equals, path = file.partition("=")
        named[name if equals else Path(file).stem] = imager.transform(
            read([path if equals else file], max_jets=max_jets)
        )
    return plot_images(named)


@figure_command("negatives")
@click.option(
    "--run",
    "run_dir",
    metavar="RUN_DIR",
    type=click.Path(),
    help="Run directory.  [default: $JETAD_RUN, runs/latest]",
)
@click.option(
    "--count", type=click.IntRange(min=1, max=64), default=8, show_default=True, help="Negatives drawn."
)
def negatives(run_dir: str | None, count: int) -> Figure:
    """Jets that the density of a normalized autoencoder thinks likely: starts and ends of its chains."""
    import numpy as np

    from jetad.errors import ConfigError
    from jetad.negatives import draw_negatives
    from jetad.plots import plot_image_grid
    from jetad.run import find_run

    run = find_run(run_dir)
    members = [name for name, m in run.config().members.items() if m.preprocessing.representation == "image"]
    if not members:
        raise ConfigError(f"{run.path}: has no member trained on images to draw")
    drawn = draw_negatives(run, members[0], count)
    both = np.concatenate([drawn.start, drawn.end])
    # inputs are projections on components and may undershoot zero: floor them, three decades below the peak
    both = np.maximum(both, 1e-3 * both.max())
    return plot_image_grid(both, n_columns=count, row_titles=["decoded", "negative"])


@figure_command("reconstructions")
@click.argument("file", metavar="FILE")
@click.option(
    "--run",
    "run_dir",
    metavar="RUN_DIR",
    type=click.Path(),
    help="Run directory.  [default: $JETAD_RUN, runs/latest]",
)
def reconstructions(file: str, run_dir: str | None) -> Figure:
    """Input, reconstruction and residual of the first jets of a file."""
    import torch

    from jetad.errors import ConfigError
    from jetad.plots import plot_reconstructions
    from jetad.readers import read
    from jetad.run import find_run

    run = find_run(run_dir)
    for member in run.detector("cpu").members:
        shape = member.preprocessor.shape
        reconstruct: Any = getattr(member.model, "reconstruct", None)
        if len(shape) == 3 and reconstruct is not None:
            with torch.no_grad():
                x = member.model.prepare(
                    torch.from_numpy(member.preprocessor.transform(read([file], max_jets=4)))
                )
                pair = [member.model.restore(v).numpy() for v in (x, reconstruct(x))]
            return plot_reconstructions(*pair)
    raise ConfigError(f"{run.path}: has no autoencoder of images to draw")
