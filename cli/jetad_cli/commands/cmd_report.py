"""jetad report: one self-contained page about a detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from jetad.registry import parted

from ..options import ManyValues, allow_option, device_option, figure_label, force_option, label_options
from ..overwriting import keep_inputs
from ..terminal import echo, tell

__all__ = ["command", "named_inputs"]


def named_inputs(values: tuple[str, ...]) -> dict[str, list[Path]]:
    """Files of jets by name, from ``[NAME=]FILE...``; a name is the stem of the file by default."""
    from jetad.readers import expand

    found: dict[str, list[Path]] = {}
    for value in values:
        name, equals, rest = parted(value)
        named = bool(equals and name and not Path(value).exists())
        for path in expand([rest if named else value]):
            found.setdefault(name if named else path.stem, []).append(path)
    return found


@click.command(cls=ManyValues)
@click.option(
    "--run",
    "run_dirs",
    metavar="[NAME=]DIR...",
    multiple=True,
    help="Run directories; others are compared with the first.  [default: $JETAD_RUN, runs/latest]",
)
@click.option(
    "--background", "-b", multiple=True, required=True, metavar="FILE...", help="Background jets to score."
)
@click.option("--signal", "-s", multiple=True, metavar="[NAME=]FILE...", help="Signal jets to score.")
@click.option(
    "--study", "study_paths", metavar="PATH...", multiple=True,
    help="Results of 'jetad two-way', 'robustness' or 'contamination' to show: JSON files or their folders.",
)  # fmt: skip
@click.option("--output", "-o", default="report.html", show_default=True, help="The page.")
@click.option("--pdf", metavar="FILE", help="Print the page to PDF, too (needs Chromium or Chrome).")
@click.option(
    "--max-jets", type=click.IntRange(min=10), default=20_000, show_default=True, help="Jets of each sample."
)
@allow_option("labels", "overlap", "range")
@device_option
@label_options
@force_option
def command(
    run_dirs: tuple[str, ...],
    background: tuple[str, ...],
    signal: tuple[str, ...],
    study_paths: tuple[str, ...],
    output: str,
    pdf: str | None,
    max_jets: int,
    allow: tuple[str, ...],
    device: str,
    force: bool,
    **label_values: Any,
) -> None:
    """Write one HTML page about a detector, figures inside, to read, mail or print.

    It scores the given jets and shows: table of AUC, rejections, SIC; ROC curves; scores; what cuts do to
    mass, pT and multiplicity; mean images; the most anomalous background; reconstructions and negatives;
    the training; what distorted measurements change (on the first 2000 jets of each sample); studies made
    before (--study); cut flow, configuration, provenance, and the papers to cite.

    \b
    jetad report --run runs/latest --background qcd_test.h5 --signal top.h5 svj.h5
    jetad report --run jetad-demo/nae jetad-demo/ae -b qcd_test.h5 -s top.h5 -o nae_ae.html --pdf nae_ae.pdf
    jetad report -b qcd_test.h5 -s top.h5 --study two-way contamination --experiment CMS --com 13.6
    """
    from jetad.errors import ConfigError
    from jetad.files import check_output, same_file
    from jetad.runs import Run, find_run
    from jetad.studies.saved import load_studies, study_files

    label = figure_label(label_values)
    read = (background, signal, [study_files(path) for path in study_paths], run_dirs or find_run(None))
    keep_inputs([output, pdf], read)
    if pdf is not None and same_file(output, pdf):
        raise ConfigError(f"--pdf {pdf}: is the page itself; give another name")
    for path in (output, pdf):
        if path is not None:
            check_output(path, force=force)
    runs = {}
    for value in run_dirs:
        name, equals, rest = parted(value)
        named = bool(equals and name and not Path(value).exists())
        run = Run.open(rest if named else value)
        key = name if named else run.path.resolve().name
        if key in runs:
            raise ConfigError(f"--run {value}: the name '{key}' is given twice; use NAME=DIR")
        runs[key] = run
    if not runs:
        run = find_run(None)
        runs[run.path.resolve().name] = run
    names = named_inputs(background)
    signals = named_inputs(signal)
    shown = next(iter(names)) if len(names) == 1 else "background"
    if shown in signals:
        shown = "background"

    import torch

    from jetad.report import collect_report, to_pdf, write_page

    torch.set_num_threads(1)
    studies = load_studies(study_paths)
    report = collect_report(
        runs,
        [path for paths in names.values() for path in paths],
        signals,
        background_name=shown,
        studies=studies,
        label=label,
        max_jets=max_jets,
        allow=allow,
        device=device,
        say=tell,
    )
    write_page(report, output, force=force)
    if pdf is not None:
        to_pdf(output, pdf, force=force)
    echo("\n".join(path for path in (output, pdf) if path is not None))
