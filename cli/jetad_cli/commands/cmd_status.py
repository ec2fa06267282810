"""jetad status: how the jobs of a folder are."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..options import json_option
from ..tables import hanging
from ..terminal import echo

__all__ = ["command"]


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default="jobs", metavar="[JOBS-DIR|JOB]")
@click.option("--all", "everything", is_flag=True, help="List the tasks that are done, too.")
@json_option()
def command(path: Path, everything: bool, as_json: bool) -> None:
    """Say what became of the tasks of one job, or of all jobs in a folder (jobs by default).

    Asked are the scheduler, the notes that tasks leave in the folder of the job, and what they made.

    \b
    jetad status
    jetad status jobs/20250101-score --json
    """
    from jetad.batch import BATCH_SYSTEMS, job_status, open_jobs
    from jetad.batch.job import shell_word
    from jetad.batch.status import summary
    from jetad.registry import load

    found = []
    for job in open_jobs(path):
        system = load(BATCH_SYSTEMS, job.record["scheduler"], "scheduler")()
        found.append((job, job_status(job, system), system))
    if as_json:
        echo(
            json.dumps(
                [
                    {
                        "job": str(job.path),
                        "scheduler": job.record["scheduler"],
                        "kind": job.record["kind"],
                        "summary": summary(statuses),
                        "tasks": [status._asdict() for status in statuses],
                    }
                    for job, statuses, _ in found
                ]
            )
        )
        return
    for job, statuses, system in found:
        counts = ", ".join(f"{n} {state}" for state, n in summary(statuses).items())
        echo(hanging(f"{job.path}: ", counts, 2))
        for status in statuses:
            if status.state == "done" and not everything and len(statuses) > 1:
                continue
            about = ", ".join(f"{key}={value}" for key, value in status.settings.items())
            row = f"{status.task:>6}  {status.state:9}  {status.job_id:>8}  {status.node:10}  "
            echo(hanging(row, "  ".join(filter(None, [about, status.reason])), 8))
        if any(status.failure is not None for status in statuses):
            number = next(s.task for s in statuses if s.failure is not None)
            told = f"'jetad resubmit {job.path}' tries again; messages are in {system.log(job, number)}"
            echo(hanging("", told))
        elif all(status.state == "done" for status in statuses):
            for whole, parts in job.record["merges"].items():
                if not (job.folder / whole).exists():
                    before, after = parts[0].rsplit(f".part-1-of-{len(parts)}", 1)
                    before = f"./{before}" if before.startswith("-") else before
                    pattern = f"{shell_word(before)}.part-*-of-{len(parts)}{shell_word(after)}"
                    echo(f"  jetad merge {pattern} -o {shell_word(whole)}")
