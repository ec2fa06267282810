"""jetad resubmit: the failed tasks of a job again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from jetad.errors import JetadError

from ..numbers import FiniteRange
from ..options import json_option, resource_options
from ..terminal import echo

__all__ = ["command"]


@click.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="JOB")
@resource_options
@click.option(
    "--factor",
    type=FiniteRange(1, min_open=True),
    default=2.0,
    show_default=True,
    help="More memory, or time, for tasks that ran out of it.",
)
@click.option("--force", is_flag=True, help="Also tasks that ended with an error of theirs.")
@click.option("--dry-run", is_flag=True, help="Print what would be submitted, and write nothing.")
@json_option()
def command(
    path: Path, resources: dict[str, Any], factor: float, force: bool, dry_run: bool, as_json: bool
) -> None:
    """Submit the failed tasks of a job again; those that are done, or on their way, are left alone.

    Tasks that ran out of memory or time get more; those that were preempted, killed or lost by their node
    the same. Tasks that ended with an error of their own (exit code 1 or 2) would fail again: what they
    said is printed, and they need --force.

    \b
    jetad resubmit jobs/20250101-score
    """
    from jetad.batch import BATCH_SYSTEMS, Job, job_status, render, repairs, resubmit
    from jetad.batch.options import clock, load_again
    from jetad.registry import load

    job = Job.open(path)
    system = load(BATCH_SYSTEMS, job.record["scheduler"], "scheduler")()
    settings = resources.pop("settings")
    options, given = load_again(system.options, job.record["options"], settings=settings, given=resources)
    statuses = job_status(job, system)
    chosen, refused = repairs(job, statuses, options, factor=factor, force=force, given=given)
    if dry_run:
        for repair in chosen:
            for files in render(job, system, repair.tasks, repair.options):
                for name, text in files.items():
                    echo(f"==> {job.path / name}\n{text}")
    else:
        resubmit(job, system, chosen)
    if as_json:
        echo(
            json.dumps(
                {
                    "job": str(job.path),
                    "submitted": [
                        {
                            "tasks": r.tasks,
                            "failures": r.failures,
                            "memory": r.options.memory,
                            "time": r.options.time,
                        }
                        for r in chosen
                    ],
                    "refused": [status._asdict() for status in refused],
                }
            )
        )
    else:
        for repair in chosen:
            limits = [f"memory {repair.options.memory} MB"] if repair.options.memory else []
            limits += [f"time {clock(repair.options.time)}"] if repair.options.time else []
            for number, failure in zip(repair.tasks, repair.failures, strict=True):
                echo(f"{number}: {failure}; again{' with ' if limits else ''}{', '.join(limits)}")
        for status in refused:
            echo(f"{status.task}: {status.failure}: {status.reason}; not again")
        if not chosen and not refused:
            echo("nothing to submit again")
    if refused:
        raise JetadError(
            f"{len(refused)} tasks would fail again; repair the cause and pass --force to submit them, too"
        )
