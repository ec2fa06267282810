"""jetad score: files of jets in, score files out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from jetad.errors import JetadError

from ..numbers import FiniteRange
from ..options import (
    READING_OPTIONS,
    Inputs,
    Sections,
    allow_option,
    check_option,
    device_option,
    force_option,
    input_options,
    json_option,
    show_check,
)
from ..overwriting import keep_inputs
from ..terminal import echo, tell

if TYPE_CHECKING:
    from jetad.batch.tasks import Footprint

__all__ = ["command"]


def _share(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int]:
    """``2/10`` is the second of ten shares."""
    if value is None:
        return 0, 1
    number, slash, total = value.partition("/")
    if not (slash and number.isdigit() and total.isdigit() and 1 <= int(number) <= int(total)):
        raise click.BadParameter(f"'{value}' is not K/N, the K-th of N shares, for example 1/10")
    return int(number) - 1, int(total)


_SECTIONS = {
    "Run and output": (
        "--run", "--output", "--keep", "--working-point", "--layout", "--copy", "--output-format", "--force",
    ),
    "Reading files": (*READING_OPTIONS, "--allow"),
    "Computing": ("--jobs", "--dask", "--threads", "--device", "--part", "--chunk"),
}  # fmt: skip


@click.command(cls=Sections, sections=_SECTIONS)
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--run",
    "run_dirs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Run directory; repeat for scores of several runs side by side.  [default: $JETAD_RUN, runs/latest]",
)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Score file, or folder for several.")
@click.option(
    "--keep", multiple=True, metavar="COLUMN", help="Column of the input to carry along; repeatable."
)
@input_options
@click.option(
    "--working-point",
    "working_points",
    multiple=True,
    type=FiniteRange(0, 1, min_open=True, max_open=True),
    metavar="EPS",
    help="Flag jets that pass this background efficiency: 0.001 makes the column pass_0p001. Repeatable.",
)
@click.option("--jobs", "-j", type=click.IntRange(1, 4096), default=1, show_default=True, help="Processes.")
@click.option(
    "--dask",
    "cluster",
    metavar="ADDRESS",
    help="Let the workers of a dask.distributed cluster do it: tcp://host:port, or its scheduler file.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 4096),
    default=1,
    show_default=True,
    help="CPU threads of each process.",
)
@click.option(
    "--part",
    "share",
    metavar="K/N",
    callback=_share,
    help="Score only the K-th of N shares of each file, for batch arrays; see 'jetad merge'.",
)
@click.option(
    "--chunk",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    help="Jets in memory at once; an interrupted run loses at most so many.",
)
@click.option("--copy", is_flag=True, help="Copy the whole ROOT tree, with the scores as branches jetad_...")
@click.option(
    "--layout",
    type=click.Choice(["jets", "events"]),
    default="jets",
    show_default=True,
    help="Of a ROOT score file: one row per jet, or one per event with lists jetad_score and so on.",
)
@click.option(
    "--output-format",
    type=click.Choice(["ttree", "rntuple"]),
    help="What a ROOT score file holds.  [default: ttree]",
)
@allow_option("range")
@device_option
@force_option
@check_option
@json_option("Print the account of all files as JSON.")
def command(
    files: tuple[str, ...],
    run_dirs: tuple[Path, ...],
    output: Path | None,
    keep: tuple[str, ...],
    inputs: Inputs,
    working_points: tuple[float, ...],
    jobs: int,
    cluster: str | None,
    threads: int,
    share: tuple[int, int],
    chunk: int,
    copy: bool,
    layout: Literal["jets", "events"],
    output_format: str | None,
    allow: tuple[str, ...],
    device: str,
    force: bool,
    check: bool,
    as_json: bool,
) -> Footprint | None:
    """Score every jet of every file; higher is more anomalous.

    signal.root gives signal.scores.root in the current folder, and signal.scores.root.ledger.json with
    the account of its jets. Jets that cannot be scored keep their row with score = NaN and are counted.
    An interrupted command goes on where it was when it is given again.

    \b
    jetad score signal.root
    jetad score *.h5 --run runs/latest -o scores/ --jobs 8
    jetad score *.h5 -o scores/ --dask tcp://scheduler:8786
    """
    from jetad.errors import InputError
    from jetad.readers import check_format, expand
    from jetad.runs import find_run
    from jetad.scores.naming import score_outputs

    runs = [find_run(path) for path in run_dirs or (None,)]
    broken: dict[Path, InputError] = {}
    paths = expand(files, broken=broken)
    if len(broken) == 1 and not paths:
        raise next(iter(broken.values()))
    outputs = score_outputs([*paths, *broken], output, share, make_folder=not check)
    keep_inputs(outputs.values(), files, runs)
    if not run_dirs:
        tell(f"using {runs[0].path}")

    if len(paths) == 1 and not broken:
        check_format(paths[0], **inputs.options)  # before torch, which takes seconds to load

    import torch

    from jetad.interrupts import stop_signals
    from jetad.production import Account, Request, check_files, score_files

    from ..progress import ScoringProgress

    torch.set_num_threads(threads)
    request = Request(
        keep=keep,
        select=inputs.select,
        max_jets=inputs.max_jets,
        working_points=working_points,
        options=dict(inputs.options),
        copy=copy,
        rntuple=output_format == "rntuple",
        layout=layout,
        chunk=chunk,
        allow=allow,
    )
    if check:
        if broken:
            raise next(iter(broken.values()))
        check_files(runs, outputs, request, share=share, force=force)
        read = [*paths, *(run.path for run in runs), *inputs.files]
        return show_check(read, list(outputs.values()), jobs * threads)

    def report(account: Account) -> None:
        if as_json:
            return
        if account.status == "failed":
            echo(f"{account.input}: failed")
            return
        lost = f", {account.failed} failed" if account.failed else ""
        cut = f", {account.selected_out} selected out" if account.selected_out else ""
        done = " (complete before)" if account.reused else ""
        echo(f"{account.output}: {account.scored} of {account.read} jets scored{lost}{cut}{done}")

    with stop_signals() as stop, ScoringProgress() as progress:
        accounts = score_files(
            runs, outputs, request, jobs=jobs, cluster=cluster, threads=threads, device=device, share=share,
            force=force, stop=stop, progress=progress, report=report,
        )  # fmt: skip
    failures = [account.error for account in accounts if account.status == "failed"]
    if as_json:
        echo(
            json.dumps(
                {
                    "run": str(runs[0].path),
                    "runs": [str(run.path) for run in runs],
                    "files": [a._asdict() for a in accounts if a.status == "complete"],
                    "errors": failures,
                }
            )
        )
    if failures:
        raise JetadError(f"{len(failures)} of {len(outputs)} files could not be scored")
    return None
