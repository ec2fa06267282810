"""jetad submit: a training or scoring in, a job of the cluster out."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jetad.batch.systems import BATCH_SYSTEMS
from jetad.errors import ConfigError

from ..options import json_option, resource_options
from ..terminal import echo, tell

if TYPE_CHECKING:
    from jetad.batch import Job
    from jetad.batch.tasks import Footprint

__all__ = ["command"]

_COMMANDS = ("train", "score")


@click.command()
@click.argument("scheduler", type=click.Choice(list(BATCH_SYSTEMS)))
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- train|score ...")
@click.option("--name", help="Of the job.  [default: DATE-train or DATE-score]")
@click.option(
    "--jobs-dir",
    type=click.Path(path_type=Path),
    default="jobs",
    show_default=True,
    help="Folder of all jobs.",
)
@click.option("--site", type=click.Path(path_type=Path), help="Site settings instead of your site.yaml.")
@click.option("--profile", help="Which of them.  [default: the first of this scheduler]")
@resource_options
@click.option("--seeds", type=click.IntRange(min=1), help="Train with so many seeds.")
@click.option(
    "--scan",
    "scans",
    multiple=True,
    metavar="KEY=A,B,...",
    help="Train with each value of a setting; repeat for all combinations.",
)
@click.option(
    "--parts",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Score each file in so many tasks.",
)
@click.option("--files-per-task", type=click.IntRange(min=1), help="Score so many of the files in each task.")
@click.option("--dry-run", is_flag=True, help="Print what would be submitted, and write nothing.")
@json_option("Print the record of the job as JSON.")
def command(
    scheduler: str,
    words: tuple[str, ...],
    name: str | None,
    jobs_dir: Path,
    site: Path | None,
    profile: str | None,
    resources: dict[str, Any],
    seeds: int | None,
    scans: tuple[str, ...],
    parts: int,
    files_per_task: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run 'jetad train ...' or 'jetad score ...' as a job of SLURM or HTCondor.

    The command stands after --, as you would type it; it is checked before anything is submitted. What
    is submitted, where, and what becomes of it stands in jobs/NAME.

    \b
    jetad submit slurm --seeds 5 -- train --background qcd.h5
    jetad submit htcondor --parts 20 --dry-run -- score big.root --run runs/latest -o scores
    """
    from jetad.batch import Job, load_options, render, submit
    from jetad.registry import load, resolve

    kind, *rest = words
    resolve(dict.fromkeys(_COMMANDS, ""), kind, "command to submit")
    if kind == "train" and (parts > 1 or files_per_task):
        raise ConfigError("--parts and --files-per-task are of 'score'; a training takes --seeds and --scan")
    if kind == "score" and (seeds or scans):
        raise ConfigError("--seeds and --scan are of 'train'; a scoring takes --parts and --files-per-task")
    system = load(BATCH_SYSTEMS, scheduler, "scheduler")()
    options, source = load_options(
        system.options, scheduler, profile=profile, file=site,
        settings=resources.pop("settings"), given=resources,
    )  # fmt: skip
    tell(f"using {source}")
    path = _job_folder(jobs_dir, name, kind)
    merging: dict[str, list[str]] = {}
    if kind == "train":
        tasks, footprint = _trainings(rest, path.name, seeds, scans)
    else:
        tasks, footprint, merging = _scorings(rest, parts, files_per_task)
    if options.cpus is None:
        options = options.model_copy(update={"cpus": footprint.cpus})
    job = Job.new(
        path, scheduler=scheduler, kind=kind, words=words, tasks=tasks, options=options, site=source,
        prefix=_prefix(options), merges=merging,
    )  # fmt: skip
    numbers = [task.number for task in tasks]
    rendered = render(job, system, numbers, options)
    if dry_run:
        _show(job, rendered)
        return
    job.create()
    submit(job, system, numbers, options)
    if as_json:
        echo(json.dumps({"job": str(job.path), **job.record}))
        return
    for made in job.submissions:
        echo(f"{job.path}: {scheduler} job {made.job_id}, {len(made.tasks)} tasks")
    for task in tasks:
        if task.settings:
            about = ", ".join(f"{key}={value}" for key, value in task.settings.items())
            echo(f"  {task.number}: {about} -> {' '.join(task.outputs)}")
    tell(f"'jetad status {job.path}' says how it goes")


def _job_folder(jobs_dir: Path, name: str | None, kind: str) -> Path:
    if name is not None:
        if not name or not name.isprintable() or any(c in name for c in "/ ,%\\"):
            raise ConfigError(f"--name {name if name.isprintable() else repr(name)}: is not a plain word")
        if (jobs_dir / name).exists():
            raise ConfigError(f"{jobs_dir / name}: exists already; choose another --name")
        return jobs_dir / name
    base = f"{datetime.date.today():%Y%m%d}-{kind}"
    name, k = base, 1
    while (jobs_dir / name).exists() or (kind == "train" and Path("runs", name).exists()):
        k += 1
        name = f"{base}-{k}"
    return jobs_dir / name


def _check(kind: str, words: list[str]) -> tuple[dict[str, Any], Footprint]:
    """Values of the command's options, and what it says of itself with ``--check``."""
    command = _command(kind)
    with contextlib.redirect_stdout(io.StringIO()):
        values = command.make_context(f"jetad {kind}", list(words)).params
        footprint = command.main(["--check", *words], prog_name=f"jetad {kind}", standalone_mode=False)
    if footprint is None or values["check"]:
        raise ConfigError(
            f"'{kind} {' '.join(words)}' prints something and stops; there is nothing to submit"
        )
    return values, footprint


def _command(kind: str) -> click.Command:
    from .cmd_score import command as score
    from .cmd_train import command as train

    return {"train": train, "score": score}[kind]


def _trainings(
    words: list[str], name: str, seeds: int | None, scans: tuple[str, ...]
) -> tuple[list[Any], Footprint]:
    import dataclasses

    from jetad.batch import train_tasks
    from jetad.batch.tasks import parse_scans
    from jetad.training.run_folder import check_run_folder

    axes = parse_scans(scans)
    values = _command("train").make_context("jetad train", list(words)).params
    output = values["output"]
    tasks = train_tasks(
        ["train", *words],
        name=name,
        output=None if output is None else str(output),
        seeds=seeds,
        first_seed=values["seed"] or 1,
        scans=axes,
    )
    first, *others = tasks
    values, footprint = _check("train", first.words[1:])
    for task in others:  # of the same files
        check_run_folder(Path(task.folder), force=values["force"])
        with contextlib.redirect_stdout(io.StringIO()):
            _command("train").main(
                [*task.words[1:], "--print-config"], prog_name="jetad train", standalone_mode=False
            )
    inputs = [str(path) for path in footprint.inputs]
    return [dataclasses.replace(task, inputs=inputs) for task in tasks], footprint


def _scorings(
    words: list[str], parts: int, files_per_task: int | None
) -> tuple[list[Any], Footprint, dict[str, list[str]]]:
    from jetad.batch import score_tasks
    from jetad.batch.tasks import merges
    from jetad.files import check_output
    from jetad.runs import find_run

    own = _command("score").make_context("jetad score", list(words)).params
    if parts > 1 and own["share"] != (0, 1):
        raise ConfigError("--parts makes the shares itself: leave out --part")
    share = [] if parts == 1 else ["--part", f"1/{parts}"]
    values, footprint = _check("score", [*share, *words])
    if parts > 1 and not all(f".part-1-of-{parts}" in path.name for path in footprint.outputs):
        raise ConfigError(f"-o {values['output']}: is one file for {parts} parts; give a folder")
    run = None
    if not values["run_dirs"]:  # the latest one may change meanwhile
        run = Path(os.path.relpath(find_run(None).path.resolve()))
        run = run.resolve() if ".." in run.parts else run
    files = None
    if files_per_task is not None:
        words = _without_arguments(_command("score"), words)
        files = [str(path) for path in footprint.inputs[: len(footprint.outputs)]]
    tasks = score_tasks(
        ["score", *words], footprint, files=files, parts=parts, files_per_task=files_per_task, run=run
    )
    merging = merges(footprint.outputs, parts)
    for path in [*(output for task in tasks for output in task.outputs if parts > 1), *merging]:
        if Path(path).parent.is_dir():
            check_output(Path(path), force=values["force"])
    return tasks, footprint, merging


def _without_arguments(command: click.Command, words: list[str]) -> list[str]:
    """The options of a command, without its positional words."""
    takes_value = {
        name: not p.is_flag for p in command.params if isinstance(p, click.Option) for name in p.opts
    }
    kept: list[str] = []
    position = 0
    while position < len(words) and words[position] != "--":
        word = words[position]
        if word.startswith("-") and word != "-":
            name, equals, _ = word.partition("=") if word.startswith("--") else (word[:2], word[2:], "")
            alone = bool(equals) or not takes_value.get(name, False)
            kept += words[position : position + (1 if alone else 2)]
            position += 1 if alone else 2
        else:
            position += 1
    return kept


def _prefix(options: Any) -> list[str]:
    """The words that start jetad on a node."""
    import shlex

    command = shlex.split(options.command) if options.command else [sys.executable, "-m", "jetad_cli.main"]
    words = shlex.split(options.launcher) if options.launcher else []
    if options.container:
        if not options.command:
            command = ["jetad"]
        gpu = ["--nv"] if options.gpus else []
        more = [word for line in options.container_options for word in shlex.split(line)]
        words += ["apptainer", "exec", *gpu, *more, options.container]
    return [*words, *command]


def _show(job: Job, submissions: list[dict[str, str]]) -> None:
    for files in submissions:
        for name, text in files.items():
            echo(f"==> {job.path / name}\n{text}")
    echo(f"==> {job.path / 'commands.txt'}\n{job.commands()}", nl=False)
