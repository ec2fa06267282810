"""jetad inspect: what is in a file, before anything is trained on it."""

from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING

import click

from jetad_cli.options import Inputs, force_option, input_options, json_option
from jetad_cli.overwriting import keep_inputs

from ..tables import hanging
from ..terminal import echo, tell

if TYPE_CHECKING:
    from jetad.readers.inspection import Inspection

__all__ = ["command"]

_MAX_FAMILIES = 40  # column names shown

_ROWS = {
    "jet_pt": "jet pT [GeV]",
    "jet_eta": "jet eta",
    "jet_phi": "jet phi [rad]",
    "jet_mass": "jet mass [GeV]",
    "n_constituents": "constituents",
}


@click.command("inspect")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--plot", metavar="FIG", help="Draw the mean jet image of each file (.png, .pdf, .svg).")
@click.option("--suggest-mapping", is_flag=True, help="Print a first --mapping for the file and stop.")
@input_options
@force_option
@json_option()
def command(
    files: tuple[str, ...],
    plot: str | None,
    suggest_mapping: bool,
    inputs: Inputs,
    force: bool,
    as_json: bool,
) -> None:
    """Show what is in files of jets: format, counts, columns, units, ranges, and what could go wrong.

    FILE may be a pattern, name a tree or dataset (file.root:tree), or be a list of files (@files.txt).
    With several files, jets that stand in two of them are reported. With --select, what is shown is of the
    jets that pass, with the cut flow.
    """
    from jetad.files import check_output
    from jetad.plots.mean_images import save_mean_images
    from jetad.readers import expand
    from jetad.readers.inspection import find_overlaps, inspect_file

    if plot:
        keep_inputs([plot], files, inputs.files)
        check_output(plot, force=force)
    paths = expand(files)
    if suggest_mapping:
        from jetad.readers.suggest import suggest_mapping as suggest

        if len(paths) > 1:
            raise click.UsageError("--suggest-mapping takes one file")
        echo(suggest(paths[0]), nl=False)
        return
    selections = [inputs.selection() for _ in paths]
    found = [
        inspect_file(path, select=selection, max_jets=inputs.max_jets, **inputs.options)
        for path, selection in zip(paths, selections, strict=True)
    ]
    overlaps = find_overlaps(found)
    if plot:
        save_mean_images(paths, plot, force=force, **inputs.options)
        tell(f"wrote {plot}")
    if as_json:
        files_found = [f.to_dict() for f in found]
        for entry, selection in zip(files_found, selections, strict=True):
            if selection is not None:
                entry["cut_flow"] = [step._asdict() for step in selection.flow.steps]
        result = {"files": files_found, "overlaps": [o._asdict() for o in overlaps]}
        echo(json.dumps(result, indent=2, allow_nan=False))
        return
    pages = []
    for f, selection in zip(found, selections, strict=True):
        flow = "" if selection is None else "\n" + textwrap.indent(str(selection.flow), "  ")
        pages.append(_text(f) + flow)
    echo("\n\n".join(pages))
    if len(found) > 1:
        echo("\njets in two files")
        for first, second, n_jets in overlaps:
            echo(hanging("  ", f"{n_jets} distinct jets stand in both {first} and {second}", 4))
        if not overlaps:
            echo("  none")


def _text(found: Inspection) -> str:
    """A readable page about one file."""
    from jetad.readers.containers.remote import remote_url

    summary = found.summary
    facts = {
        "format": f"{summary.reader}, {summary.container}, '{summary.dataset}'",
        "jets": str(found.n_jets)
        if summary.n_entries is None
        else f"{found.n_jets} in {summary.n_entries} events",
        "units": f"{summary.units} (guessed from the jet pT)"
        if summary.units in ("GeV", "GeV?", "MeV?")
        else summary.units,
        "columns": _collapsed(summary.columns),
    }
    if found.labels is not None:
        counts = ", ".join(f"{found.labels[k]} {k}" for k in ("background", "signal", "unknown"))
        facts["truth"] = f"{counts} (from {', '.join(summary.truth)})"
    else:
        facts["truth"] = "none"
    if summary.n_slots is not None:
        padding = "" if found.padding_fraction is None else f", {100 * found.padding_fraction:.1f}% padding"
        facts["slots"] = f"{summary.n_slots} constituents per jet{padding}, {found.n_full} jets fill all"
    if found.has_constituents:
        fraction = found.charged_fraction
        facts["charges"] = "none" if fraction is None else f"{100 * fraction:.1f}% of the pT is charged"
    if found.stored is not None:
        part = found.stored.n_agree / found.stored.n_compared
        facts["stored jets"] = f"{100 * part:.1f}% are the sum of their constituents (pT, eta, mass)"
    facts["NaN or inf"] = f"{found.n_not_finite} jets"
    facts["empty"] = f"{found.n_empty} jets"
    facts["duplicates"] = f"{found.n_duplicates} jets"
    facts["unsorted"] = f"{found.n_unsorted} jets"
    lines = [_flat(remote_url(summary.path) or str(summary.path))]
    lines += [hanging(f"  {key:<14}  ", _flat(value)) for key, value in facts.items()]
    lines.append(f"  {'':<14}  {'min':>11} {'mean':>11} {'max':>11}")
    for name, title in _ROWS.items():
        lines.append(f"  {title:<14}  " + " ".join(f"{value:>11.5g}" for value in found.spreads[name]))
    lines += [hanging("  note: ", _flat(text), 4) for text in summary.notes]
    lines += [hanging("  warning: ", _flat(text), 4) for text in found.warnings]
    return "\n".join(lines)


def _flat(text: str) -> str:
    """A text in which a newline is written out: names in a file may hold one."""
    return text.replace("\n", "\\n")


def _collapsed(columns: dict[str, str]) -> str:
    """Column names, numbered families as one: ``E_0 ... E_199``."""
    families: dict[str, list[str]] = {}
    for name in columns:
        families.setdefault(re.sub(r"\d+$", "#", name) if re.search(r"_\d+$", name) else name, []).append(
            name
        )
    shown = [names[0] if len(names) < 3 else f"{names[0]} ... {names[-1]}" for names in families.values()]
    if len(shown) > _MAX_FAMILIES:
        shown = [*shown[:_MAX_FAMILIES], f"... ({len(shown) - _MAX_FAMILIES} more; --json lists all)"]
    return f"{len(columns)}: {', '.join(shown)}"
