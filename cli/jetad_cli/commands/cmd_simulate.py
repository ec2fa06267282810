"""jetad simulate: real jets to try a detector on."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jetad.simulation.processes import PROCESSES, find_process
from jetad_cli.numbers import FiniteFloat
from jetad_cli.options import force_option, json_option, seed_option
from jetad_cli.overwriting import keep_inputs

from ..terminal import echo, live, tell

if TYPE_CHECKING:
    from jetad.simulation import Progress, Simulation

__all__ = ["command"]

logger = logging.getLogger("jetad.simulate")

_SECONDS_BETWEEN_LINES = 10.0
_HELP = "\b\nPROCESS is one of\n" + "\n".join(f"  {p.name:<11} {p.description}" for p in PROCESSES.values())


@click.command("simulate", epilog=_HELP)
@click.argument("process", metavar="PROCESS")
@click.option("-n", "n_jets", type=click.IntRange(min=1), required=True, help="Jets to write.")
@click.option(
    "-o", "--output", metavar="FILE", required=True, help=".h5 (top-landscape) or .root (JetClass)."
)
@seed_option
@click.option(
    "--jobs",
    type=click.IntRange(1, 4096),
    default=1,
    show_default=True,
    help="Processes to work with; the jets do not depend on it.",
)
@click.option("--pt-min", type=FiniteFloat(), default=550.0, show_default=True, help="Lowest jet pT [GeV].")
@click.option("--pt-max", type=FiniteFloat(), default=650.0, show_default=True, help="Highest jet pT [GeV].")
@click.option("--radius", type=FiniteFloat(), default=0.8, show_default=True, help="Anti-kT radius.")
@click.option(
    "--eta-max", type=FiniteFloat(), default=2.0, show_default=True, help="Largest |eta| of the jet."
)
@click.option("--match-pt", metavar="FILE", help="Let the jet pT spectrum follow that of the jets in FILE.")
@click.option("--mpi", is_flag=True, help="Simulate multiparton interactions (several times slower).")
@click.option(
    "--pt-hat-min",
    type=FiniteFloat(),
    help="Lowest pT-hat [GeV] of qcd, top, w, higgs.  [default: 0.45, 0.2, 0.6, 0.6 times --pt-min]",
)
@click.option("--r-inv", type=FiniteFloat(), help="Invisible fraction of svj.  [default: 0.3]")
@click.option("--mass-mediator", type=FiniteFloat(), help="Z' mass of svj [GeV].  [default: 2000]")
@click.option("--mass-dark", type=FiniteFloat(), help="Dark meson mass of svj [GeV].  [default: 20]")
@force_option
@json_option()
def command(
    process: str,
    n_jets: int,
    output: str,
    seed: int,
    jobs: int,
    pt_min: float,
    pt_max: float,
    radius: float,
    eta_max: float,
    match_pt: str | None,
    mpi: bool,
    pt_hat_min: float | None,
    r_inv: float | None,
    mass_mediator: float | None,
    mass_dark: float | None,
    force: bool,
    as_json: bool,
) -> None:
    """Simulate jets in proton collisions at 14 TeV with Pythia 8, a light detector and FastJet.

    Needs the extra: pip install 'jetad[simulate]'. Cite Pythia 8 (arXiv:2203.11601) and FastJet
    (arXiv:1111.6097, hep-ph/0512210) with results made from these jets.
    """
    from jetad.files import check_output
    from jetad.writers import check_suffix, write_jets

    find_process(process)
    check_suffix(output)
    keep_inputs([output], match_pt)
    check_output(output, force=force)
    match_to: Any = None
    if match_pt is not None:
        from jetad.readers import read

        match_to = read(match_pt).jet_pt

    from jetad.simulation import simulate

    with _progress(process) as on_progress:
        result = simulate(
            process,
            n_jets,
            seed=seed,
            jobs=jobs,
            pt_range=(pt_min, pt_max),
            radius=radius,
            eta_max=eta_max,
            mpi=mpi,
            pt_hat_min=pt_hat_min,
            match_pt_to=match_to,
            r_inv=r_inv,
            mass_mediator=mass_mediator,
            mass_dark=mass_dark,
            on_progress=on_progress,
        )
    metadata = result.metadata | {"match_pt": Path(match_pt).name if match_pt else ""}
    write_jets(result.jets, output, force=force, metadata=metadata)
    tell(f"wrote {output}")
    summary = _summary(result, process, seed, output)
    echo(json.dumps(summary, indent=2) if as_json else _text(summary))


def _summary(result: Simulation, process: str, seed: int, output: str) -> dict[str, Any]:
    jets = result.jets
    return {
        "process": process,
        "seed": seed,
        "output": output,
        "n_jets": len(jets),
        "n_events": result.n_events,
        "cross_section_pb": result.cross_section_pb,
        "mean_jet_pt": float(jets.jet_pt.mean()),
        "mean_jet_mass": float(jets.jet_mass.mean()),
        "mean_n_constituents": float(jets.n_constituents.mean()),
        "r_inv_all_events": result.r_inv[0] if result.r_inv else None,
        "r_inv_in_jets": result.r_inv[1] if result.r_inv else None,
        "slices": result.slices,
    }


def _text(summary: dict[str, Any]) -> str:
    rows = [
        ("process", summary["process"]),
        ("jets", f"{summary['n_jets']}"),
        ("events generated", f"{summary['n_events']}"),
        ("cross section [pb]", f"{summary['cross_section_pb']:.4g}"),
        ("mean jet pT [GeV]", f"{summary['mean_jet_pt']:.1f}"),
        ("mean jet mass [GeV]", f"{summary['mean_jet_mass']:.1f}"),
        ("mean constituents", f"{summary['mean_n_constituents']:.1f}"),
    ]
    if summary["r_inv_all_events"] is not None:
        rows.append(("r_inv in all events", f"{summary['r_inv_all_events']:.3f}"))
        rows.append(("r_inv in the jets", f"{summary['r_inv_in_jets']:.3f}"))
    return "\n".join(f"{name:<20}  {value}" for name, value in rows)


@contextlib.contextmanager
def _progress(process: str) -> Iterator[Callable[[Progress], None] | None]:
    """A progress bar on a terminal, a line now and then elsewhere, nothing with --quiet."""
    if not logger.isEnabledFor(logging.INFO):
        yield None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
        )
        bar = Bar(
            *columns, console=Console(stderr=True), transient=True, redirect_stdout=False,
            redirect_stderr=False,
        )  # fmt: skip
        with live(bar):
            task = bar.add_task(f"simulating {process}", total=None, rate="starting")
            yield lambda now: bar.update(task, completed=now.jets, total=now.needed, rate=_rate(now))
    else:
        last = time.monotonic()

        def line(now: Progress) -> None:
            nonlocal last
            if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                logger.info("%s: %d of about %d jets, %s", process, now.jets, now.needed, _rate(now))

        yield line


def _rate(now: Progress) -> str:
    left = "" if math.isinf(now.seconds_left) else f", {now.seconds_left:.0f} s left"
    return f"{now.jets_per_second:.1f} jets/s{left}"
