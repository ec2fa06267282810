"""jetad plot: figures of scores, curves and trainings; one function per kind.

Long, because every kind of figure is a command with options and a help text of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from jetad.registry import parted
from jetad_cli.commands.cmd_roc import curves_of, score_inputs
from jetad_cli.numbers import FiniteRange
from jetad_cli.options import ManyValues, allow_option, figure_label, force_option, label_options
from jetad_cli.overwriting import keep_inputs

from ..terminal import tell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jetad.jets import Jets
    from jetad.scores import Scores

__all__ = ["CURVES", "Drawing", "command", "figure_command"]


class Drawing(NamedTuple):
    """What draws evaluated scores: a function of evaluations that returns a figure."""

    function: str  # "module:name"
    help: str


CURVES = {
    "roc": Drawing(
        "jetad.plots:plot_roc", "Background rejection against signal efficiency, as 'jetad roc' draws it."
    ),
    "sic": Drawing(
        "jetad.plots:plot_sic", "Significance improvement eff_S/sqrt(eff_B) against signal efficiency."
    ),
}


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
            keep_inputs([*figure_paths(output), json_path], _read(options))
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
            tell(f"wrote {', '.join(written)}")

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


def _read(options: Mapping[str, Any]) -> Any:
    """What a kind of figure reads: all words among its options, and the run that it takes by itself."""
    if "run_dir" in options and options["run_dir"] is None and not options.get("score_file"):
        from jetad.runs import find_run

        return [options, find_run(None)]
    return options


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


def _curves_command(name: str, drawing: Drawing) -> None:
    """A kind of figure that is drawn from evaluated score files."""

    def draw(**inputs: Any) -> Figure:
        from jetad.registry import imported

        figure: Figure = imported(drawing.function, f"figure '{name}'")(curves_of(**inputs).evaluations)
        return figure

    draw.__doc__ = drawing.help
    figure_command(name)(score_inputs(draw))


for _name, _drawing in CURVES.items():
    _curves_command(_name, _drawing)


@figure_command("history")
@click.argument("run", metavar="RUN_DIR", type=click.Path(exists=True))
@click.option("--all", "everything", is_flag=True, help="Draw everything that was logged.")
def history(run: str, everything: bool) -> Figure:
    """Loss and energies of a training against the step; with --all rates, norms and acceptances, too."""
    from jetad.plots import load_history, main_keys, plot_history

    records = load_history(run)
    return plot_history(records, keys=None if everything else main_keys(records))


def _blur(sigma: float) -> str:
    return "no blur" if sigma == 0 else f"blur of {sigma:g} pixel{'' if sigma == 1 else 's'}"


@figure_command("images")
@click.argument("files", metavar="[NAME=]FILE...", nargs=-1, required=True)
@click.option(
    "--max-jets", type=click.IntRange(min=1), default=5000, show_default=True, help="Jets per file."
)
@click.option(
    "--sigma", type=FiniteRange(0, 10), default=0.0, show_default=True, help="Gaussian filter [pixels]."
)
@click.option(
    "--difference/--no-difference", default=True, show_default=True, help="Show each class minus the first."
)
@click.option(
    "--channel", type=click.Choice(["pt", "charged", "neutral"]), default="pt", show_default=True,
    help="pT of all constituents, or of the charged or neutral ones alone.",
)  # fmt: skip
def images(files: tuple[str, ...], max_jets: int, sigma: float, difference: bool, channel: Any) -> Figure:
    """Mean jet image of each file of jets, and how the classes differ from the first."""
    from pathlib import Path

    from jetad.errors import of_file
    from jetad.plots import plot_images
    from jetad.preprocessing.images import ImageConfig, JetImages
    from jetad.readers import read

    imager = JetImages(ImageConfig(sigma=sigma, channels=(channel,)))
    named = {}
    for file in files:
        name, equals, path = parted(file)
        jets = read([path if equals else file], max_jets=max_jets)
        with of_file(path if equals else file):
            named[name if equals else Path(file).stem] = imager.transform(jets)
    of = "" if channel == "pt" else f", {channel} constituents"
    of += f" ({_blur(sigma)})"
    return plot_images(named, difference=difference, color_label=f"Mean pixel intensity{of}")


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
@click.option(
    "--background", metavar="FILE", help="Background jets, for methods whose chains start at them (MPDR, CD)."
)
def negatives(run_dir: str | None, count: int, background: str | None) -> Figure:
    """Jets that the density of an energy-based method thinks likely: starts and ends of its chains."""
    from jetad.detector.negatives import draw_negatives
    from jetad.errors import ConfigError
    from jetad.plots import plot_image_grid
    from jetad.readers import read
    from jetad.runs import find_run

    run = find_run(run_dir)
    members = [name for name, m in run.config().members.items() if m.preprocessing.representation == "image"]
    if not members:
        raise ConfigError(f"{run.path}: has no member trained on images to draw")
    jets = None if background is None else read([background], max_jets=10 * count)
    drawn = draw_negatives(run, members[0], count, background=jets)
    pictures, titles = drawn.pictures()
    return plot_image_grid(pictures, n_columns=len(drawn.end), row_titles=titles)


@figure_command("reconstructions")
@click.argument("file", metavar="FILE")
@click.option(
    "--run",
    "run_dir",
    metavar="RUN_DIR",
    type=click.Path(),
    help="Run directory.  [default: $JETAD_RUN, runs/latest]",
)
@click.option(
    "--row", "entries", metavar="N...", type=click.IntRange(min=0), multiple=True, default=(0, 1, 2),
    show_default=True, help="Jets to draw, counted from 0.",
)  # fmt: skip
def reconstructions(file: str, run_dir: str | None, entries: tuple[int, ...]) -> Figure:
    """Input, reconstruction and residual of jets of a file, with what is known of each."""
    import numpy as np

    from jetad.detector import TrainedDetector
    from jetad.detector.reconstructions import reconstruct
    from jetad.errors import ConfigError
    from jetad.evaluation.anomalies import Anomalies, captions
    from jetad.plots import plot_reconstructions
    from jetad.readers import read
    from jetad.runs import find_run

    run = find_run(run_dir)
    detector, jets = TrainedDetector.from_run(run, "cpu"), read([file], max_jets=max(entries) + 1)
    missing = [row for row in entries if row >= len(jets)]
    if missing:
        raise ConfigError(f"--row {missing[0]}: {file} has {len(jets)} jets; the first is row 0")
    jets = jets[np.asarray(entries)]
    pair = reconstruct(detector, jets)
    if pair is not None:
        before, after, channels = pair.pictures(most=max(4, len(entries)))
        told = captions(Anomalies(jets, detector.evaluate(jets)))
        return plot_reconstructions(
            before, after, titles=told if channels is None else channels, max_rows=len(before)
        )
    raise ConfigError(
        f"{run.path}: has no autoencoder of images to draw; train one, such as --method nae or ae"
    )


_jets_option = click.option(
    "--jets", "jet_files", metavar="[NAME=]FILE...", multiple=True,
    help="The files of jets that were scored, for the multiplicity; in the order of the score files.",
)  # fmt: skip


def _with_multiplicity(
    classes: Mapping[str, Scores], jet_files: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """Variables of every class; multiplicities are read from the files of jets, one file a class."""
    from jetad.evaluation import variables_of
    from jetad.evaluation.anomalies import paired_with_scores
    from jetad.readers import iterate

    if not jet_files:
        return {name: variables_of(scores) for name, scores in classes.items()}
    if len(jet_files) != len(classes):
        raise click.UsageError(
            f"--jets: {len(jet_files)} files for {len(classes)} classes ({', '.join(classes)}); "
            "give the scored file of each"
        )
    import numpy as np

    found = {}
    for (name, scores), file in zip(classes.items(), jet_files, strict=True):
        path = parted(file)[2] or file
        chunks = paired_with_scores(iterate(path), scores, names=(path, f"'{name}'"))
        found[name] = variables_of(scores, np.concatenate([jets.n_constituents for jets, _ in chunks]))
    return found


@figure_command("sculpting", numbers=True)
@click.argument("files", metavar="[NAME=]SCORES...", nargs=-1, required=True)
@click.option(
    "--cut", "cuts", metavar="EFF...", type=FiniteRange(0, 1, min_open=True), multiple=True,
    default=(1.0, 0.5, 0.1, 0.01), show_default=True, help="Background efficiencies of the cuts.",
)  # fmt: skip
@_jets_option
@click.option(
    "--all", "everything", is_flag=True,
    help="Draw pT and multiplicity, too, divergences, and the score against each.",
)  # fmt: skip
@allow_option("labels")
def sculpting(
    files: tuple[str, ...],
    cuts: tuple[float, ...],
    jet_files: tuple[str, ...],
    everything: bool,
    allow: tuple[str, ...],
) -> Any:
    """Mass spectrum of background after cuts on the score: what a bump hunt must know.

    With its ratio to no cut. --all adds the spectra of pT and multiplicity, the Jensen-Shannon divergence
    against background efficiency, and the score against each variable; --json writes all of it. SCORES are
    background; of labelled files the jets of label 0 are taken.

    \b
    jetad plot sculpting qcd.scores.h5 --jets qcd.h5 -o sculpting
    """
    from jetad.checks.jets import check_label_of
    from jetad.evaluation import classes_of
    from jetad.evaluation import sculpting as compute
    from jetad.plots import plot_sculpting

    classes = classes_of(files)
    name, background = next(iter(classes.items()))
    if len(classes) > 1 and not name.endswith("background"):
        raise click.UsageError(
            "give one background sample: several files as 'qcd=a.scores.h5 qcd=b.scores.h5'"
        )
    check_label_of(background.label, name, allow, role="background")
    columns = _with_multiplicity({name: background}, jet_files)[name]
    found = compute(background, columns, cuts=sorted({1.0, *cuts}, reverse=True))
    drawn = found if everything or "mass" not in found else {"mass": found["mass"]}
    return plot_sculpting(drawn, details=everything), {v: s.to_dict() for v, s in found.items()}


@figure_command("efficiency", numbers=True)
@click.argument("files", metavar="[NAME=]SCORES...", nargs=-1, required=True)
@click.option(
    "--eff-b", type=FiniteRange(0, 1, min_open=True), default=0.01, show_default=True,
    help="Background efficiency of the cut, fixed on the first class.",
)  # fmt: skip
@click.option(
    "--bins", type=click.IntRange(min=1, max=200), default=12, show_default=True, help="Bins per variable."
)
@_jets_option
def efficiency(files: tuple[str, ...], eff_b: float, bins: int, jet_files: tuple[str, ...]) -> Any:
    """Efficiency of one cut on the score against mass, pT and multiplicity, background first.

    \b
    jetad plot efficiency qcd.scores.h5 top.scores.h5 --eff-b 0.1 --jets qcd.h5 top.h5
    """
    from jetad.evaluation import classes_of, efficiency_profiles
    from jetad.plots import plot_efficiency

    classes = classes_of(files)
    profiles = efficiency_profiles(
        classes, _with_multiplicity(classes, jet_files), background_efficiency=eff_b, bins=bins
    )
    numbers: dict[str, Any] = {"background_efficiency": eff_b}
    for p in profiles:
        numbers.setdefault(p.variable, {})[p.class_name] = p.to_dict()
    return plot_efficiency(profiles, background_efficiency=eff_b), numbers


@figure_command("anomalous", numbers=True)
@click.argument("file", metavar="FILE")
@click.option("--scores", "score_file", metavar="SCORES", help="Score file of FILE.")
@click.option(
    "--run", "run_dir", metavar="RUN_DIR", type=click.Path(),
    help="Without --scores: score FILE with this run.  [default: $JETAD_RUN, runs/latest]",
)  # fmt: skip
@click.option(
    "--count", type=click.IntRange(min=1, max=100), default=12, show_default=True, help="Jets drawn."
)
@click.option(
    "--ordinary", type=click.IntRange(min=0, max=100), default=0, show_default=True,
    help="Draw so many of the least anomalous jets behind them.",
)  # fmt: skip
@click.option(
    "--sigma", type=FiniteRange(0, 10), default=0.0, show_default=True, help="Gaussian filter [pixels]."
)
@click.option(
    "--radius", type=FiniteRange(0, 5, min_open=True), help="Draw a circle of the radius of the jets."
)
def anomalous(
    file: str,
    score_file: str | None,
    run_dir: str | None,
    count: int,
    ordinary: int,
    sigma: float,
    radius: float | None,
) -> Any:
    """Gallery of the most anomalous jets of a file with pT, mass, multiplicity and event keys."""
    from jetad.evaluation.anomalies import captions, most_anomalous, paired_with_scores
    from jetad.plots import plot_gallery
    from jetad.preprocessing.images import ImageConfig, JetImages
    from jetad.readers import iterate

    if score_file is not None:
        from jetad.scores import load_scores

        chunks = paired_with_scores(iterate(file), load_scores(score_file), names=(file, score_file))
    else:
        from jetad.detector import TrainedDetector
        from jetad.runs import find_run

        detector = TrainedDetector.from_run(find_run(run_dir), "cpu")

        def evaluated(jets: Jets) -> tuple[Jets, Scores]:
            detector.training.check(jets, file)
            return jets, detector.evaluate(jets)

        chunks = (evaluated(jets) for jets in iterate(file))
    found = most_anomalous(chunks, count, n_ordinary=ordinary)
    images = JetImages(ImageConfig(sigma=sigma)).transform(found.jets)
    rows = {name: values.tolist() for name, values in found.scores.columns().items()}
    numbers = {
        name: [None if isinstance(v, float) and v != v else v for v in values]
        for name, values in {**rows, "n_constituents": found.jets.n_constituents.tolist()}.items()
    }
    figure = plot_gallery(
        images, captions(found), color_label=f"Pixel intensity ({_blur(sigma)})", radius=radius
    )
    return figure, numbers
