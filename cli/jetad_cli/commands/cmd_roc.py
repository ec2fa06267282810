"""jetad roc: how well scores separate signal from background, as table, JSON and figure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from jetad_cli.numbers import FiniteRange
from jetad_cli.options import ManyValues, allow_option, figure_label, force_option, label_options
from jetad_cli.overwriting import files_meant, keep_inputs

from ..roc_tables import comparison_table, remarks, spread_table, table
from ..terminal import echo, tell

if TYPE_CHECKING:
    from jetad.evaluation import Evaluation, PairedComparison, Samples, Spread

__all__ = ["command", "curves_of", "score_inputs"]


def score_inputs(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which score files are background and signal, for ``curves_of``."""
    for decorate in (
        allow_option("labels", "overlap"),
        click.option(
            "--min-background", type=click.IntRange(min=1), default=10, show_default=True,
            help="Background jets that must pass for a point to count as the largest SIC.",
        ),
        click.option(
            "--by", type=click.Choice(["run", "folder"]),
            help="One curve per detector, told apart by the run that score files name, or by folder.",
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


class Curves(NamedTuple):
    """The evaluations of a command line, with the scores they come from."""

    evaluations: list[Evaluation]
    samples: list[Samples]


def curves_of(
    labelled: tuple[str, ...],
    background: tuple[str, ...],
    signal: tuple[str, ...],
    min_background: int,
    by: str | None = None,
    allow: tuple[str, ...] = (),
    **more: Any,
) -> Curves:
    """Read the score files and compare their classes; one evaluation, or one a detector with ``by``.

    Raises:
        click.UsageError: if there is nothing to be the background.
    """
    check_inputs(labelled, background, signal)
    from jetad.evaluation import evaluate, gather, gather_runs

    if by is None:
        groups = {"": gather(background=background, signal=signal, labelled=labelled, allow=allow)}
    else:
        groups = gather_runs(background=background, signal=signal, labelled=labelled, by=by, allow=allow)
    evaluations = [
        evaluate(s.background, s.signals, min_background=min_background, name=_marked(name, s.method), **more)
        for name, s in groups.items()
    ]
    return Curves(evaluations, list(groups.values()))


def _marked(name: str, method: str) -> str:
    """The name of a curve; one of a supervised reference is never taken for an anomaly detector."""
    from jetad.models import METHODS

    if method in METHODS and METHODS[method].signal:
        return f"{name or method} (supervised)"
    return name


def check_inputs(labelled: tuple[str, ...], background: tuple[str, ...], signal: tuple[str, ...]) -> None:
    """Refuse a command line that names no background."""
    if not labelled and not background:
        missing = "--background SCORES" if signal else "--background SCORES and --signal SCORES"
        raise click.UsageError(f"give {missing}, or one file with truth labels")


@click.command("roc", cls=ManyValues)
@score_inputs
@click.option("--output", "-o", metavar="FIG", help="Draw the ROC curves: FIG.pdf and FIG.png.")
@click.option("--ratio", is_flag=True, help="Add a panel with the ratio to the first curve.")
@click.option(
    "--reference", metavar="NAME", help="With --by: the detector that the others are compared with.  [first]"
)
@click.option(
    "--band", type=click.Choice(["binomial", "bootstrap", "none"]), default="binomial", show_default=True,
    help="Intervals drawn: Clopper-Pearson (effective counts for weights), or resampled jets.",
)  # fmt: skip
@click.option(
    "--spread", is_flag=True,
    help="With --by: runs of one method are one curve, mean and standard deviation (over seeds, say).",
)  # fmt: skip
@click.option(
    "--eff-s", metavar="EFF...", type=FiniteRange(0, 1, min_open=True), multiple=True,
    default=(0.3, 0.5), show_default=True, help="Signal efficiencies at which to give the rejection.",
)  # fmt: skip
@click.option(
    "--eff-b", metavar="EFF...", type=FiniteRange(0, 1, min_open=True), multiple=True,
    default=(1e-2, 1e-3, 1e-4), show_default=True,
    help="Background efficiencies at which to give the signal efficiency.",
)  # fmt: skip
@label_options
@click.option(
    "--json",
    "json_path",
    metavar="FILE",
    is_flag=False,
    flag_value="-",
    help="Write all numbers and the curves as JSON; '-' prints them instead of the table.",
)
@click.option("--hepdata", metavar="DIR", help="Write the curves as HEPData tables (YAML) into a folder.")
@force_option
def command(
    labelled: tuple[str, ...],
    background: tuple[str, ...],
    signal: tuple[str, ...],
    by: str | None,
    min_background: int,
    allow: tuple[str, ...],
    output: str | None,
    ratio: bool,
    reference: str | None,
    band: str,
    spread: bool,
    eff_s: tuple[float, ...],
    eff_b: tuple[float, ...],
    json_path: str | None,
    hepdata: str | None,
    force: bool,
    **label_values: Any,
) -> None:
    """Compare the scores of signal and background jets.

    Prints AUC, background rejection at signal efficiencies 0.3 and 0.5, the largest significance
    improvement (SIC), and the signal efficiency at background efficiencies 1e-2, 1e-3 and 1e-4, each with
    its 68 % interval, and beside them the AUC that jet pT or mass alone would give (either direction).
    FILEs with truth labels are split by label. Several detectors (--by) on the same jets are compared in
    pairs: difference in AUC with p-value, ratio of rejections.

    \b
    jetad roc --background qcd.scores.h5 --signal top.scores.h5 -o roc.pdf
    jetad roc test.scores.root --json numbers.json
    jetad roc -b 'qcd_*.scores.h5' -s top='top_*.scores.h5' svj.scores.h5
    jetad roc --by folder -b '*/qcd.scores.h5' -s '*/top.scores.h5' --ratio -o methods
    jetad roc --by run --spread -b 'seed*/qcd.scores.h5' -s 'seed*/top.scores.h5' -o seeds
    """
    from jetad.files import atomic_output, check_output

    check_inputs(labelled, background, signal)
    if spread and by is None:
        raise click.UsageError("--spread needs --by run or --by folder, to know which scores are one run")
    label = figure_label(label_values)
    to_stdout = json_path == "-"
    read = (labelled, background, signal)
    keep_inputs([None if to_stdout else json_path], read)
    if json_path is not None and not to_stdout:
        check_output(json_path, force=force)
    if output is not None:
        from jetad.plots import figure_paths

        keep_inputs(figure_paths(output), read)
        for path in figure_paths(output):
            check_output(path, force=force)
    found = curves_of(
        labelled, background, signal, min_background, by, allow,
        signal_efficiencies=eff_s, background_efficiencies=eff_b,
    )  # fmt: skip
    if reference is not None:
        found = _beginning_with(reference, found)
    evaluations = found.evaluations
    for evaluation in evaluations:
        for sentence in remarks(evaluation):
            echo(f"warning: {sentence}", err=True)
    if band == "bootstrap":
        from jetad.evaluation import with_bootstrap_bands

        evaluations = [
            with_bootstrap_bands(e, s.background, s.signals)
            for e, s in zip(evaluations, found.samples, strict=True)
        ]
    curves: list[Evaluation | Spread] = [*evaluations]
    paired: list[PairedComparison] = []
    unpaired = ""
    if spread:
        curves = [*_spreads(evaluations, [s.method for s in found.samples])]
    elif len(evaluations) > 1:
        paired, unpaired = _pairs(found, eff_s)

    text = _as_json(curves, paired, by is not None)
    if json_path is not None and not to_stdout:
        with atomic_output(json_path, force=force) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        tell(f"wrote {json_path}")
    if hepdata is not None:
        from jetad.evaluation.hepdata import write_hepdata

        written = write_hepdata(curves, hepdata, force=force, inputs=files_meant(read))
        tell(f"wrote {written[0]} and {len(written) - 1} tables")
    if output is not None:
        from jetad.plots import add_label, plot_roc, save

        same_jets = _ratio_bands(found) if ratio and paired and band != "none" else None
        figure = plot_roc(curves, bands=band != "none", ratio=ratio, paired=same_jets)
        written = list(save(add_label(figure, label), output, force=force))
        tell(f"wrote {', '.join(str(path) for path in written)}")
    if to_stdout:
        echo(text)
        return
    blocks = [_titled(c, table(c) if not _is_spread(c) else spread_table(c)) for c in curves]  # type: ignore[arg-type]
    if paired:
        blocks.append(comparison_table(paired))
    if unpaired:
        blocks.append(unpaired)
    echo("\n\n".join(block.rstrip("\n") for block in blocks))


def _beginning_with(name: str, found: Curves) -> Curves:
    """The same curves, that of ``name`` first.

    Raises:
        click.UsageError: if there is none.
    """
    names = [evaluation.name for evaluation in found.evaluations]
    if name not in names:
        raise click.UsageError(f"--reference {name}: the detectors are {', '.join(names)}")
    i = names.index(name)
    order = [i, *(k for k in range(len(names)) if k != i)]
    return Curves([found.evaluations[k] for k in order], [found.samples[k] for k in order])


def _ratio_bands(found: Curves) -> dict[tuple[str, str], Any]:
    """Ratio of the rejections to the first detector on the same jets, by signal and detector."""
    import numpy as np

    from jetad.errors import InputError
    from jetad.evaluation import BAND_GRID, Band, compare_paired

    at = BAND_GRID[BAND_GRID >= 0.02][::3]
    bands = {}
    first = found.samples[0]
    for samples, evaluation in zip(found.samples[1:], found.evaluations[1:], strict=True):
        for signal in (name for name in first.signals if name in samples.signals):
            try:
                compared = compare_paired(
                    (samples.background, samples.signals[signal]), (first.background, first.signals[signal]),
                    names=(evaluation.name, found.evaluations[0].name), signal=signal,
                    signal_efficiencies=at.tolist(),
                )  # fmt: skip
            except InputError:
                continue  # other jets: said beside the table
            ratios = np.array([tuple(ratio) for ratio in compared.rejection_ratio.values()])
            bands[signal, evaluation.name] = Band(at, *ratios.T)
    return bands


def _is_spread(curve: Evaluation | Spread) -> bool:
    from jetad.evaluation import Spread

    return isinstance(curve, Spread)


def _spreads(evaluations: Sequence[Evaluation], methods: Sequence[str]) -> list[Evaluation | Spread]:
    """Runs of one method as one; a method with a single run stays as it is beside others."""
    from jetad.evaluation import spread_of

    by_method: dict[str, list[Evaluation]] = {}
    for evaluation, method in zip(evaluations, methods, strict=True):
        by_method.setdefault(method, []).append(evaluation)
    alone = all(len(group) == 1 for group in by_method.values())
    return [
        group[0] if len(group) == 1 and not alone else spread_of(group, name=_marked(method, method))
        for method, group in by_method.items()
    ]


def _pairs(found: Curves, eff_s: tuple[float, ...]) -> tuple[list[PairedComparison], str]:
    """Every detector against the first, where both scored the same jets; else the reason why not."""
    from jetad.errors import InputError
    from jetad.evaluation import compare_paired

    pairs: list[PairedComparison] = []
    problem = ""
    first, name = found.samples[0], found.evaluations[0].name
    for samples, evaluation in zip(found.samples[1:], found.evaluations[1:], strict=True):
        for signal in first.signals:
            if signal not in samples.signals:
                continue
            try:
                pairs.append(
                    compare_paired(
                        (first.background, first.signals[signal]),
                        (samples.background, samples.signals[signal]),
                        names=(name, evaluation.name),
                        signal=signal,
                        signal_efficiencies=eff_s,
                    )
                )
            except InputError as error:
                problem = f"no paired comparison: {error}"
    return pairs, problem


def _as_json(curves: Sequence[Evaluation | Spread], paired: Sequence[PairedComparison], several: bool) -> str:
    if not several:
        return json.dumps(curves[0].to_dict(), indent=2, allow_nan=False)
    return json.dumps(
        {"runs": {c.name: c.to_dict() for c in curves}, "paired": [p.to_dict() for p in paired]},
        indent=2,
        allow_nan=False,
    )


def _titled(curve: Evaluation | Spread, text: str) -> str:
    return text if not curve.name else f"{curve.name}: {text}"
