"""Files of jets to score files, here or by workers: what ``jetad score`` calls."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ..detector import TrainedDetector
from ..errors import ConfigError, InputError
from ..interrupts import StopRequest
from ..readers import expand
from ..runs import Run, find_run
from ..scores.naming import score_outputs
from ..shown.notebook import ScoringBar, in_notebook
from .executors.base import Executor
from .executors.loop import score_by_executor
from .finishing import failure, finish
from .job import Job, Progress, check_stop, prepare, refuse_overwriting
from .ledger import Account
from .parts import score_range
from .request import Request, run_names
from .workspace import gaps

__all__ = ["score", "score_file", "score_files"]


def score_files(
    runs: Sequence[Run],
    outputs: Mapping[Path, Path],
    request: Request | None = None,
    *,
    jobs: int = 1,
    cluster: str | None = None,
    threads: int = 1,
    device: str = "auto",
    share: tuple[int, int] = (0, 1),
    force: bool = False,
    stop: StopRequest | None = None,
    progress: Progress | None = None,
    report: Callable[[Account], None] = lambda account: None,
) -> list[Account]:
    """Score every jet of every file and keep the account of each.

    Finished parts of an interrupted call are used again. Of several files, those that are complete
    (by the same runs, options and input) are left as they are, and those that cannot be read are
    accounted for while the others are scored.

    Arguments:
        runs: Trained runs; the first gives the columns ``score`` and ``background_efficiency``.
        outputs: Score file of each input file.
        request: Columns, cuts, working points.
        jobs: Processes; scores do not depend on their number.
        cluster: Address or scheduler file of a dask.distributed cluster that does the work instead.
        threads: CPU threads of each process.
        device: ``auto``, ``cpu`` or ``cuda``.
        share: ``(k, n)``: only the k-th of n equal shares of the rows of each file, from 0.
        force: Replace outputs that exist.
        stop: Set by a signal; the part that is being scored is finished first.
        progress: Called with (what, jets done, jets in all).
        report: Called with the account of each file when it is finished.

    Raises:
        InputError: if the only file cannot be read.
        OutputError: if an output exists and is not the result of the same call, or cannot be written.
        JetadError: if processes were killed, or the cluster cannot be reached or used.
        Interrupted: after a stop signal.
    """
    if cluster is not None and jobs > 1:
        raise ConfigError("--dask brings its own workers: leave out --jobs")
    request = request or Request()
    refuse_overwriting(runs, outputs, request)
    names = run_names([run.path.resolve().name for run in runs])
    here = device if cluster is None else "cpu"  # the workers may have what this machine has not
    detectors = {name: TrainedDetector.from_run(run, here) for name, run in zip(names, runs, strict=True)}
    if jobs == 1 and cluster is None:
        return _score_here(detectors, outputs, request, share, force, stop, progress, report)
    executor: Executor
    if cluster is not None:
        from .executors.dask import DaskCluster

        executor = DaskCluster(cluster, runs, threads=threads, device=device)
    else:
        from .executors.local import Processes

        executor = Processes(runs, jobs, threads=threads, device=device)
    return score_by_executor(
        executor, detectors, outputs, request,
        share=share, force=force, stop=stop, progress=progress, report=report,
    )  # fmt: skip


def score(
    files: str | Path | Iterable[str | Path],
    *,
    run: Run | str | Path | None = None,
    output: str | Path | None = None,
    request: Request | None = None,
    device: str = "auto",
    jobs: int = 1,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Account]:
    """Score files of jets into score files, as ``jetad score`` does.

    Arguments:
        files: Names and patterns of files.
        run: The trained run; by default ``$JETAD_RUN`` or the latest.
        output: The score file of a single file, or a folder; by default the current one.
        request: Columns, cuts, working points, and how files are read.
        device: ``auto``, ``cpu`` or ``cuda``.
        jobs: Processes; scores do not depend on their number.
        force: Replace outputs that exist.
        progress: Called with (what, jets done, jets in all); a bar in a notebook.

    Returns:
        The account of each file: where its scores are, and how many of its jets have one.

    Raises:
        JetadError: for files, runs or outputs that are wrong.
    """
    outputs = score_outputs(expand(files), None if output is None else Path(output))
    bar = ScoringBar() if progress is None and in_notebook() else contextlib.nullcontext(progress)
    with bar as shown:
        return score_files(
            [run if isinstance(run, Run) else find_run(run)], outputs, request,
            jobs=jobs, device=device, force=force, progress=shown,
        )  # fmt: skip


def score_file(
    detector: TrainedDetector,
    path: str | Path,
    output: str | Path,
    *,
    force: bool = False,
    request: Request | None = None,
    progress: Progress | None = None,
) -> Account:
    """Score one file with a detector in memory; as ``score_files`` otherwise."""
    name = str(detector.metadata.get("run", "detector"))
    outputs = {Path(path): Path(output)}
    refuse_overwriting([], outputs, request or Request())
    (account,) = _score_here(
        {name: detector}, outputs, request or Request(), (0, 1), force, None, progress, lambda account: None
    )
    return account


def _score_here(
    detectors: Mapping[str, TrainedDetector],
    outputs: Mapping[Path, Path],
    request: Request,
    share: tuple[int, int],
    force: bool,
    stop: StopRequest | None,
    progress: Progress | None,
    report: Callable[[Account], None],
) -> list[Account]:
    accounts = []
    for source, output in outputs.items():
        job: Job | Account | None = None
        try:
            check_stop(stop)
            job = prepare(
                detectors, source, output, request, share=share, force=force, alone=len(outputs) == 1
            )
            if isinstance(job, Job):
                with contextlib.closing(job.workspace):
                    _score_parts(detectors, job, stop, progress)
                    job = finish(job)
            account = job
        except InputError as error:
            account = failure(source, output, error, job, alone=len(outputs) == 1)
        accounts.append(account)
        report(account)
    return accounts


def _score_parts(
    detectors: Mapping[str, TrainedDetector],
    job: Job,
    stop: StopRequest | None,
    progress: Progress | None,
) -> None:
    done, total = job.workspace.done(), job.last_row - job.first_row

    def tick(n_parts: int) -> None:
        if progress is not None:
            progress(str(job.facts["input"]), min(n_parts * job.request.chunk, total), total)

    tick(len(done))
    n_done = len(done)
    for missing in gaps(done, job.n_parts, job.n_parts):
        for _ in score_range(detectors, job, missing, ahead=True):
            n_done += 1
            tick(n_done)
            if n_done < job.n_parts:
                check_stop(stop)
