"""jetad plan: how long scoring will take, from a few seconds of it."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path

import click

from ..numbers import FiniteRange
from ..options import Inputs, device_option, input_options, json_option
from ..terminal import echo, tell

__all__ = ["command"]


def _since_start() -> float:
    """Seconds since this process began."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        import os

        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return time.process_time()


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--run",
    "run_dirs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Run directory; repeatable.  [default: $JETAD_RUN, runs/latest]",
)
@click.option("--jobs", "-j", type=click.IntRange(1, 4096), default=1, show_default=True, help="Processes.")
@click.option(
    "--threads",
    type=click.IntRange(1, 4096),
    default=1,
    show_default=True,
    help="CPU threads of each process.",
)
@click.option(
    "--target-hours",
    type=FiniteRange(0, min_open=True),
    help="Wall time of one batch job; gives the number of parts.",
)
@click.option(
    "--seconds",
    type=FiniteRange(0, min_open=True),
    default=5.0,
    show_default=True,
    help="How long to measure.",
)
@click.option(
    "--chunk",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    help="Jets in memory at once, as 'jetad score' takes it.",
)
@input_options
@device_option
@json_option()
def command(
    files: tuple[str, ...],
    run_dirs: tuple[Path, ...],
    jobs: int,
    threads: int,
    target_hours: float | None,
    seconds: float,
    chunk: int,
    inputs: Inputs,
    device: str,
    as_json: bool,
) -> None:
    """Predict wall time, memory, output size and number of batch jobs of scoring FILES.

    Some jets of the files are really read and scored for a few seconds; nothing is kept.

    \b
    jetad plan *.h5 --jobs 8
    jetad plan *.root --target-hours 2
    """
    from jetad.detector import TrainedDetector
    from jetad.readers import expand
    from jetad.runs import find_run

    runs = [find_run(path) for path in run_dirs or (None,)]
    paths = expand(files)
    if not run_dirs:
        tell(f"using {runs[0].path}")

    from jetad.production import Request
    from jetad.production.planning import plan_scoring

    for run in runs:
        TrainedDetector.from_run(run, device)  # so that loading counts as start
    request = Request(
        select=inputs.select, max_jets=inputs.max_jets, options=dict(inputs.options), chunk=chunk
    )
    plan = plan_scoring(
        runs, paths, request, jobs=jobs, threads=threads, device=device, seconds=seconds,
        target_hours=target_hours, startup=_since_start(),
    )  # fmt: skip
    words = ["jetad", "score", *files, *(w for path in run_dirs for w in ("--run", str(path)))]
    if inputs.select:
        words += ["--select", inputs.select]
    words += [] if jobs == 1 else ["--jobs", str(jobs)]
    score = shlex.join(words)
    batch = f"{shlex.join(words)} --part $K/{plan.parts}" if plan.parts > 1 else None
    if as_json:
        echo(json.dumps({**plan.to_dict(), "command": score, "batch_command": batch}))
        return
    echo(
        f"measured: {plan.measured_jets} jets in {plan.measured_seconds:.3g} s, {plan.rate:.4g} jets/s with "
        f"{jobs} process{'es' if jobs > 1 else ''} ({plan.rate_low:.3g} to {plan.rate_high:.3g} by pieces)"
    )
    echo(f"to score: {plan.n_jets} jets in {plan.n_files} files")
    echo(
        f"wall time: {_duration(plan.seconds)} ({_duration(plan.seconds_low)} to "
        f"{_duration(plan.seconds_high)}), {_duration(plan.startup_seconds)} of it to start"
    )
    echo(f"peak memory: {plan.memory_mb:.0f} MB; output: {plan.output_mb:.3g} MB")
    echo(f"command: {score}")
    if batch is not None:
        echo(
            f"batch: {plan.parts} jobs of {_duration(plan.part_seconds)}, for K in 1..{plan.parts}: {batch}; "
            "then 'jetad merge'"
        )
    elif target_hours is not None:
        echo(f"batch: one job, {_duration(plan.part_seconds)}")
