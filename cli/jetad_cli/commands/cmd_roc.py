"""jetad roc: how well scores separate signal from background, as table, JSON and figure."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from jetad_cli.options import ManyValues, force_option

if TYPE_CHECKING:
    from jetad.evaluation import Evaluation, Interval

__all__ = ["command", "evaluation_of", "score_inputs"]


def score_inputs(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which score files are background and signal, for ``evaluation_of``."""

    for decorate in (
        click.option(
            "--min-background", type=click.IntRange(min=1), default=10, show_default=True,
            help="Background jets that must pass for a point to count as the largest SIC.",
        ),
        click.option(
            "--signal", "-s", metavar="[NAME=]SCORES...", multiple=True,
            help="Score files of signal jets; files of one NAME are one sample.",
        ),
        click.option(
            "--background", "-b", metavar="SCORES...", multiple=True, help="Score files of background jets."
        ),
        click.argument("labelled", metavar="[FILE]...", nargs=-1),
    ):  # fmt: skip
        function = decorate(function)
    return function


def evaluation_of(
    labelled: tuple[str, ...], background: tuple[str, ...], signal: tuple[str, ...], min_background: int
) -> Evaluation:
    """Read the score files and compare their classes.

    Raises:
        click.UsageError: if there is nothing to be the background.
    """
    check_inputs(labelled, background, signal)
    from jetad.evaluation import evaluate, gather

    samples = gather(background=background, signal=signal, labelled=labelled)
    return evaluate(samples.background, samples.signals, min_background=min_background)


def check_inputs(labelled: tuple[str, ...], background: tuple[str, ...], signal: tuple[str, ...]) -> None:
    """Refuse a command line that names no background."""
    if not labelled and not background:
        missing = "--background SCORES" if signal else "--background SCORES and --signal SCORES"
        raise click.UsageError(f"give {missing}, or one file with truth labels")


@click.command("roc", cls=ManyValues)
@score_inputs
@click.option("--output", "-o", metavar="FIG", help="Draw the ROC curves: FIG.pdf and FIG.png.")
@click.option(
    "--json",
    "json_path",
    metavar="FILE",
    is_flag=False,
    flag_value="-",
    help="Write all numbers and the curves as JSON; '-' prints them instead of the table.",
)
@force_option
def command(
    labelled: tuple[str, ...],
    background: tuple[str, ...],
    signal: tuple[str, ...],
    min_background: int,
    output: str | None,
    json_path: str | None,
    force: bool,
) -> None:
    """Compare the scores of signal and background jets.

    Prints AUC, background rejection at signal efficiencies 0.3 and 0.5, and the largest significance
    improvement (SIC), each with its 68 % interval, and beside them the AUC that jet pT or mass alone would
    give (either direction). FILEs with truth labels are split by label.

    \b
    jetad roc --background qcd.scores.h5 --signal top.scores.h5 -o roc.pdf
    jetad roc test.scores.root --json numbers.json
    jetad roc -b 'qcd_*.scores.h5' -s top='top_*.scores.h5' svj.scores.h5
    """
    from jetad.files import atomic_output, check_output

    check_inputs(labelled, background, signal)
    to_stdout = json_path == "-"
    if json_path is not None and not to_stdout:
        check_output(json_path, force=force)
    if output is not None:
        from jetad.plots import figure_paths

        for path in figure_paths(output):
            check_output(path, force=force)
    evaluation = evaluation_of(labelled, background, signal, min_background)
    if json_path is not None and not to_stdout:
        with atomic_output(json_path, force=force) as temporary:
            temporary.write_text(evaluation.to_json() + "\n", encoding="utf-8")
        click.echo(f"wrote {json_path}", err=True)
    if output is not None:
        from jetad.plots import plot_roc, save

        written = save(plot_roc(evaluation), output, force=force)
        click.echo(f"wrote {', '.join(str(path) for path in written)}", err=True)
    click.echo(evaluation.to_json() if to_stdout else table(evaluation))


def table(evaluation: Evaluation) -> str:
    """The numbers of an evaluation for reading, one line per signal."""
    from jetad.evaluation import either_way

    at = list(next(iter(evaluation.signals.values())).background_rejection)
    header = ["signal", "jets", "AUC", *(f"1/eff_B at eff_S {x:g}" for x in at)]
    header += ["max SIC (at eff_S)", "pT alone", "mass alone"]
    rows = [header]
    notes = []
    for name, result in evaluation.signals.items():
        curve, best = result.curve, result.max_sic
        rows.append(
            [
                name,
                str(curve.n_signal),
                f"{curve.auc:.4f} ± {_number(curve.auc_error, '.4f')}",
                *(_rejection(result.background_rejection[x]) for x in at),
                "-" if math.isnan(best.value) else f"{best.value:.2f} ({best.signal_efficiency:.2f})",
                _number(either_way(result.pt_only_auc), ".3f"),
                _number(either_way(result.mass_only_auc), ".3f"),
            ]
        )
        if curve.n_excluded_signal:
            notes.append(f"{name}: {curve.n_excluded_signal} jets without a score are left out")
    if evaluation.n_excluded_background:
        notes.insert(0, f"background: {evaluation.n_excluded_background} jets without a score are left out")
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = [f"background: {evaluation.n_background} jets", ""]
    for row in rows:
        cells = (
            text.ljust(w) if i == 0 else text.rjust(w)
            for i, (text, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, "", *notes] if notes else lines)


def _rejection(interval: Interval) -> str:
    if math.isinf(interval.value):
        return f"> {interval.low:.3g}"
    high = "inf" if math.isinf(interval.high) else f"{interval.high:.3g}"
    return f"{interval.value:.3g} [{interval.low:.3g}, {high}]"


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"
