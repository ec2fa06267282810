"""jetad plot: figures of scores, curves and trainings; one function per kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from jetad_cli.commands.cmd_roc import curves_of, score_inputs
from jetad_cli.options import ManyValues, figure_label, force_option, label_options

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["command", "figure_command"]


@click.group("plot")
def command() -> None:
    """Draw one kind of figure as PDF and PNG."""


def figure_command(name: str, *, numbers: bool = False) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a kind of figure from a function that returns it: adds ``--output`` and ``--force``, and saves.

    The outputs are checked before the function runs; without ``--output`` they are named after the kind.
    A function may return the figure with a mapping of the numbers in it: then ``--json`` writes these.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        def run(output: str, force: bool, json_path: str | None = None, **options: Any) -> None:
            from jetad.files import atomic_output, check_output
            from jetad.plots import add_label, figure_paths, save

            label = figure_label(options)
            for path in figure_paths(output):
                check_output(path, force=force)
            if json_path is not None:
                check_output(json_path, force=force)
            drawn = function(**options)
            figure, numbers = drawn if isinstance(drawn, tuple) else (drawn, None)
            written = [str(path) for path in save(add_label(figure, label), output, force=force)]
            if json_path is not None:
                with atomic_output(json_path, force=force) as temporary:
                    temporary.write_text(json.dumps(numbers, indent=1, allow_nan=False) + "\n")
                written.append(json_path)
            click.echo(f"wrote {', '.join(written)}", err=True)

        run.__doc__ = function.__doc__
        run.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        output_option = click.option(
            "--output", "-o", metavar="FIG", default=f"{name}.pdf", show_default=True,
            help="Name of the figure; .pdf and .png are written.",
        )  # fmt: skip
        if numbers:
            run = click.option(
                "--json", "json_path", metavar="FILE", help="Write the numbers of the figure as JSON."
            )(run)
        return command.command(name, cls=ManyValues)(output_option(label_options(force_option(run))))

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
def roc(**inputs: Any) -> Figure:
    """Background rejection against signal efficiency, as 'jetad roc' draws it."""
    from jetad.plots import plot_roc

    return plot_roc(curves_of(**inputs).evaluations)


@figure_command("sic")
@score_inputs
def sic(**inputs: Any) -> Figure:
    """Significance improvement eff_S/sqrt(eff_B) against signal efficiency."""
    from jetad.plots import plot_sic

    return plot_sic(curves_of(**inputs).evaluations)


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
    from jetad.models.autoencoder import Autoencoder
    from jetad.plots import plot_reconstructions
    from jetad.readers import read
    from jetad.run import find_run

    run = find_run(run_dir)
    for member in run.detector("cpu").members:
        shape = member.preprocessor.shape
        if len(shape) == 3 and isinstance(member.model, Autoencoder):
            with torch.no_grad():
                x = member.model.prepare(
                    torch.from_numpy(member.preprocessor.transform(read([file], max_jets=4)))
                )
                pair = [member.model.restore(v).numpy() for v in (x, member.model.reconstruct(x))]
            return plot_reconstructions(*pair)
    raise ConfigError(f"{run.path}: has no autoencoder of images to draw")
