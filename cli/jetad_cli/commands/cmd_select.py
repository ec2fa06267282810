"""jetad select: from scores to a spectrum with its background, histograms and limits."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import click

from ..numbers import FiniteFloat, FiniteRange
from ..options import ManyValues, allow_option, figure_label, force_option, label_options
from ..overwriting import keep_inputs
from ..tables import aligned, hanging
from ..terminal import echo, tell

if TYPE_CHECKING:
    from jetad.scores import Scores
    from jetad.spectra import Limit, SelectedSample, Spectrum

__all__ = ["command"]

_SECTIONS = {
    "What is selected": ("--signal", "--working-point", "--threshold", "--on", "--variable", "--bins",
                         "--window", "--expect"),
    "What is written": ("--output", "--json", "--histograms", "--workspace", "--limit", "--force"),
    "Figure": ("--experiment", "--label", "--com", "--lumi"),
}  # fmt: skip


@click.command("select", cls=ManyValues, sections=_SECTIONS)
@click.argument("files", metavar="SCORES...", nargs=-1, required=True)
@click.option(
    "--signal", "-s", "signal_files", metavar="[NAME=]SCORES...", multiple=True,
    help="Score files of signal jets; files of one NAME are one sample.",
)  # fmt: skip
@click.option(
    "--working-point", type=FiniteRange(0, 1, min_open=True, max_open=True), metavar="EFF",
    help="Select jets with at most this background efficiency.  [default: 0.01]",
)  # fmt: skip
@click.option(
    "--threshold", type=FiniteFloat(), metavar="X", help="Select jets with at least this score instead."
)
@click.option(
    "--on", metavar="COLUMN",
    help="Column that --threshold cuts on.  [default: score_decorrelated if there, else score]",
)  # fmt: skip
@click.option(
    "--variable",
    metavar="COLUMN",
    default="jet_mass",
    show_default=True,
    help="Column to take the spectrum of.",
)
@click.option("--bins", metavar="N|EDGES", help="About how many bins, or their edges: 50,100,150,200.")
@click.option(
    "--window", metavar="LOW,HIGH",
    help="Where a signal may be. The transfer factor is then measured outside of it.",
)  # fmt: skip
@click.option(
    "--expect", metavar="NAME=JETS...", multiple=True,
    help="Signal jets in the data before the cut, such as top=100.  [default: the weights of the file]",
)  # fmt: skip
@click.option("--output", "-o", metavar="FIG", help="Draw the spectrum: FIG.pdf and FIG.png.")
@click.option(
    "--json", "json_path", metavar="FILE", is_flag=False, flag_value="-",
    help="Write all numbers as JSON; '-' prints them instead of the table.",
)  # fmt: skip
@click.option("--histograms", metavar="FILE.root", help="Write all spectra as ROOT TH1D.")
@click.option(
    "--workspace", metavar="FILE.json", help="Write the window as a workspace of pyhf; needs one --signal."
)
@click.option("--limit", is_flag=True, help="Limit on each signal, by pyhf (extra [stats]).")
@allow_option("labels", "overlap")
@label_options
@force_option
def command(
    files: tuple[str, ...],
    signal_files: tuple[str, ...],
    working_point: float | None,
    threshold: float | None,
    on: str | None,
    variable: str,
    bins: str | None,
    window: str | None,
    expect: tuple[str, ...],
    output: str | None,
    json_path: str | None,
    histograms: str | None,
    workspace: str | None,
    limit: bool,
    allow: tuple[str, ...],
    force: bool,
    **label_values: Any,
) -> None:
    """Select jets by their score, and estimate the background among them.

    The background comes from the jets that are not selected, times the transfer factor: selected over other
    jets outside of the window. That holds if the cut does not depend on the variable, so calibrate with
    --decorrelate first. Prints the jets before and after the cut, the count in the window with its errors and
    significance, and whether the estimate closes outside of the window.

    \b
    jetad select data.scores.h5 --working-point 0.01 -o spectrum.pdf
    jetad select data.scores.h5 --window 150,195 --histograms spectra.root --json -
    jetad select data.scores.h5 -s top=top.scores.h5 --window 150,195 --expect top=100 --workspace limit.json
    """
    if threshold is not None and working_point is not None:
        raise click.UsageError("--working-point and --threshold are two ways to cut; give one")
    if on is not None and threshold is None:
        raise click.UsageError("--on says what --threshold cuts on; give --threshold as well")
    for name, wanted in (("--limit", limit), ("--workspace", workspace is not None)):
        if wanted and not (window and signal_files):
            raise click.UsageError(f"{name} needs --window LOW,HIGH and --signal SCORES")
    edges = None if bins is None else _bins(bins)
    span = None if window is None else _window(window)
    expected = dict(_expected(text) for text in expect)
    label = figure_label(label_values)
    read = (files, signal_files)
    to_stdout = json_path == "-"
    written = [None if to_stdout else json_path, histograms, workspace]
    _check_outputs(written, output, read, force)
    _check_suffix("--histograms", histograms, ".root")
    _check_suffix("--workspace", workspace, ".json")

    from jetad.evaluation import gather_data
    from jetad.spectra import Cut, select, upper_limit
    from jetad.spectra import workspace as workspace_of

    data, signals = gather_data(files, signal_files, allow)
    if workspace is not None and len(signals) > 1:
        raise click.UsageError(
            f"--workspace holds one signal, and there are {', '.join(signals)}; give one --signal"
        )
    if threshold is None:
        cut = Cut("background_efficiency", 0.01 if working_point is None else working_point)
    else:
        cut = Cut.at(data, threshold, on)
    spectrum = select(data, signals, cut=cut, variable=variable, bins=edges, window=span, expected=expected)
    for sentence in remarks(spectrum, data):
        tell(f"warning: {sentence}")
    model = None if workspace is None else workspace_of(spectrum, next(iter(signals)))
    limits = {name: upper_limit(spectrum, name) for name in signals} if limit else {}

    found = spectrum.to_dict()
    if limits:
        found["limits"] = {name: value.to_dict() for name, value in limits.items()}
    text = json.dumps(found, indent=1, allow_nan=False)
    _write(spectrum, data, text, json_path, histograms, workspace, model, force=force)
    if output is not None:
        from jetad.plots import add_label, plot_spectrum, save

        paths = save(add_label(plot_spectrum(spectrum), label), output, force=force)
        tell(f"wrote {', '.join(map(str, paths))}")
    echo(text if to_stdout else "\n".join(_table(spectrum, limits)))


def _check_outputs(written: list[str | None], output: str | None, read: Any, force: bool) -> None:
    """Refuse outputs that exist, are read, or are named twice, before anything is read."""
    from pathlib import Path

    from jetad.files import check_output

    paths: list[str | Path] = [path for path in written if path is not None]
    if output is not None:
        from jetad.plots import figure_paths

        paths += figure_paths(output)
    keep_inputs(paths, read)
    for i, path in enumerate(paths):
        check_output(path, force=force)
        keep_inputs([path], [str(other) for other in paths[:i]])


def _check_suffix(option: str, path: str | None, suffix: str) -> None:
    if path is not None and not path.lower().endswith(suffix):
        raise click.BadParameter(f"{path}: end the name in {suffix}", param_hint=option)


def _write(
    spectrum: Spectrum,
    data: Scores,
    text: str,
    json_path: str | None,
    histograms: str | None,
    workspace: str | None,
    model: dict[str, Any] | None,
    *,
    force: bool,
) -> None:
    from jetad.files import atomic_output

    texts = {json_path: text, workspace: None if model is None else json.dumps(model, indent=1)}
    for path, content in texts.items():
        if path is not None and path != "-" and content is not None:
            with atomic_output(path, force=force) as temporary:
                temporary.write_text(content + "\n", encoding="utf-8")
            tell(f"wrote {path}")
    if histograms is not None:
        from jetad import __version__
        from jetad.spectra import write_histograms

        about = {
            "jetad": __version__,
            "cut": str(spectrum.cut),
            "variable": spectrum.variable,
            "transfer_factor": spectrum.transfer.to_dict(),
            **{key: data.metadata[key] for key in ("run", "model_hash", "method") if key in data.metadata},
        }
        write_histograms(spectrum.histograms(), histograms, metadata=about, force=force)
        tell(f"wrote {histograms}")


def remarks(spectrum: Spectrum, data: Scores) -> list[str]:
    """What a reader of the numbers should know of them, in sentences."""
    found = []
    variable, cut, transfer = spectrum.variable, spectrum.cut, spectrum.transfer
    known = str(data.metadata.get("independent_of", "")).split(", ")
    decorrelated = cut.column == "score_decorrelated" or (
        cut.column == "background_efficiency" and (variable in known or "score_decorrelated" in data.extra)
    )
    if known != [""] and variable not in known:
        decorrelated = False
    if not decorrelated:
        found.append(
            f"the cut {cut} is not made independent of {variable}, so the jets that fail need not have the "
            f"{variable} of those that pass; calibrate with 'jetad calibrate --run RUN --background FILE "
            f"--decorrelate {variable}' and score again"
        )
    if transfer.p_value < 0.01:
        found.append(
            f"the share of selected jets depends on {variable} (chi2 / ndf = {transfer.chi2:.1f} / "
            f"{transfer.ndf}, p = {transfer.p_value:.1g}), and the estimate carries an error of "
            f"{transfer.closure:.0%} for it; calibrate with more jets, cut less hard, or leave the ends of "
            "the spectrum out with --bins"
        )
    for name, sample in {"the data": spectrum.data, **spectrum.signals}.items():
        if sample.without:
            n = sample.without + sample.all.entries
            found.append(
                f"{name}: {sample.without} of {n} jets have no {cut.column} or no {variable} and are left out"
            )
    weight = data.weight
    if weight is not None and (weight < 0).any():
        found.append(
            f"{int((weight < 0).sum())} of {len(weight)} weights are below zero; sums and errors count them"
        )
    if spectrum.n_signal:
        found.append(f"{spectrum.n_signal} jets of the data are signal by their labels; they stay in")
    return found


def _table(spectrum: Spectrum, limits: dict[str, Limit]) -> list[str]:
    """The numbers for reading."""
    rows = [["sample", "jets", "selected", "share [68 %]"]]
    for name, sample in {"data": spectrum.data, **spectrum.signals}.items():
        value, low, high = sample.share
        share = f"{value:.3g} [{low:.3g}, {high:.3g}]" if math.isfinite(value) else "-"
        rows.append([name, *(_yield(*_sums(sample, part)) for part in ("all", "selected")), share])
    lines = [f"selected: {spectrum.cut}", "", *aligned(rows)]
    transfer = spectrum.transfer
    lines += ["", f"transfer factor {transfer.value:.4g} ± {transfer.value * transfer.statistical:.2g}"]
    if transfer.ndf:
        where = "in all bins" if spectrum.window is None else "outside of the window"
        lines.append(
            f"closure {where}: chi2 / ndf = {transfer.chi2:.1f} / {transfer.ndf}, p = {transfer.p_value:.2g}"
        )
        if transfer.closure > 0:
            lines.append(f"spread of the factor beyond statistics: {transfer.closure:.1%}")
    else:
        lines.append("closure: too few selected jets to test it")
    if spectrum.sculpting is not None:
        shape = spectrum.sculpting
        lines.append(
            f"sculpting: divergence {shape.divergence[0]:.2g} bits, {shape.divergence_floor[0]:.2g} by "
            f"chance; rank correlation {shape.correlation:+.3f}"
        )
    if spectrum.window is not None:
        lines += _in_window(spectrum)
    for name, found in limits.items():
        low, middle, high = found.expected[1:4]
        lines += [
            "",
            hanging("", f"{name}: at most {found.observed:.3g} jets before the cut (95 % CLs)", 2),
            f"  expected {middle:.3g}, 68 %: {low:.3g} to {high:.3g}; significance {found.significance:.2f}",
        ]
    return lines


def _in_window(spectrum: Spectrum) -> list[str]:
    counts = spectrum.counts
    low, high = spectrum.window or (0.0, 0.0)
    rows = [
        ("observed", f"{counts.observed:.6g}"),
        (
            "background",
            f"{counts.background:.4g} ± {counts.statistical:.2g} (anti-selected) ± "
            f"{counts.transfer:.2g} (factor) ± {counts.closure:.2g} (closure)",
        ),
        ("excess", f"{counts.observed - counts.background:+.4g}, significance {counts.significance:+.2f}"),
    ]
    for name, sample in spectrum.signals.items():
        total, variance = sample.selected.total(spectrum.inside)
        net = spectrum.net(name).total(spectrum.inside)[0]
        rows.append(
            (name, f"{_yield(total, math.sqrt(variance))}, net of what it adds to the background {net:.4g}")
        )
    width = max(len(name) for name, _ in rows)
    lines = [hanging(f"  {name:{width}}  ", text) for name, text in rows]
    return ["", f"{low:g} <= {spectrum.variable} < {high:g}:", *lines]


def _sums(sample: SelectedSample, part: str) -> tuple[float, float]:
    histogram = getattr(sample, part)
    return float(histogram.contents.sum()), math.sqrt(float(histogram.squares.sum()))


def _yield(value: float, error: float) -> str:
    return f"{value:.6g} ± {error:.2g}"


def _bins(text: str) -> int | list[float]:
    """``20`` as a number of bins, ``50,100,150`` as edges."""
    if "," not in text:
        try:
            number = int(text)
        except ValueError:
            number = 0
        if not 1 <= number <= 1000:
            raise click.BadParameter(
                f"'{text}': expected a number of bins or EDGE,EDGE,...", param_hint="--bins"
            )
        return number
    return _numbers(text, "--bins", "EDGE,EDGE,...")


def _window(text: str) -> tuple[float, float]:
    numbers = _numbers(text, "--window", "LOW,HIGH")
    if len(numbers) != 2 or not numbers[0] < numbers[1]:
        raise click.BadParameter(f"'{text}': expected LOW,HIGH with LOW below HIGH", param_hint="--window")
    return numbers[0], numbers[1]


def _numbers(text: str, option: str, form: str) -> list[float]:
    try:
        found = [float(word) for word in text.split(",")]
    except ValueError:
        found = [math.nan]
    if not all(map(math.isfinite, found)):
        raise click.BadParameter(f"'{text}': expected {form} with numbers", param_hint=option)
    return found


def _expected(text: str) -> tuple[str, float]:
    name, equals, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (equals and name and 0 < value < math.inf):
        raise click.BadParameter(f"'{text}': expected NAME=JETS, such as top=100", param_hint="--expect")
    return name, value
