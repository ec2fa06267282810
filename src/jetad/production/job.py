"""From files of jets to score files: in parts that survive an interruption, by one or several processes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .. import __version__
from ..checks.jets import same_selection
from ..detector import TrainedDetector
from ..detector.training import Training
from ..errors import ConfigError, InputError, Interrupted, JetadError, OutputError, encodable, without_secrets
from ..files import check_output, publish, refuse_inputs
from ..interrupts import StopRequest
from ..jets import Jets
from ..readers import count, describe, hint_of_no_jets, iterate
from ..readers.containers.remote import remote_url
from ..readers.paths import split_path
from ..runs import Run
from ..scores import ScoreWriter
from .event_lists import write_events
from .input_identity import Stamp, content_of, stamp_of
from .ledger import Account, Digest, ledger_path, read_ledger, write_ledger
from .request import Request, run_names, score_jets
from .tree_copy import check_copy, copy_with_scores
from .workspace import PartRange, Workspace

__all__ = ["Job", "check_files", "prepare", "score_range"]

logger = logging.getLogger("jetad.scoring")

Progress = Callable[[str, int, int | None], None]
T = TypeVar("T")


class Job(NamedTuple):
    """One score file to make, with all that decides whether finished parts belong to it."""

    source: Path
    output: Path
    workspace: Workspace
    request: Request
    first_row: int
    last_row: int  # exclusive
    n_rows_in_file: int
    fingerprint: str
    stamp: Stamp  # of the input
    facts: dict[str, str | int]  # of the input file and the runs, for metadata and ledger
    trainings: Mapping[str, Training] = {}  # of the detectors
    force: bool = False  # replace the output if it is there in the end

    @property
    def n_parts(self) -> int:
        return -(-(self.last_row - self.first_row) // self.request.chunk)


def refuse_overwriting(runs: Sequence[Run], outputs: Mapping[Path, Path], request: Request) -> None:
    """Refuse score files, or their ledgers, that are one of the inputs, or of the files of a run.

    Raises:
        OutputError: naming both.
    """
    read = [split_path(path)[0] for path in outputs if remote_url(path) is None]
    read += [file for run in runs for file in run.files]
    if "mapping" in request.options:
        read.append(Path(request.options["mapping"]))
    refuse_inputs((made for output in outputs.values() for made in (output, ledger_path(output))), read)


def check_stop(stop: StopRequest | None) -> None:
    """Raise Interrupted after a signal."""
    if stop:
        raise Interrupted("stopped by a signal; finished parts are kept, the same command goes on from there")


# --- one file --------------------------------------------------------------------------------------


def prepare(
    detectors: Mapping[str, TrainedDetector],
    source: Path,
    output: Path,
    request: Request,
    *,
    share: tuple[int, int] = (0, 1),
    force: bool = False,
    alone: bool = True,
) -> Job | Account:
    """What is left to do for one file, or its account if nothing is.

    Raises:
        InputError: if the file cannot be read or holds no jets.
        OutputError: if the output exists and is not the complete result of the same call.
    """
    n_rows, n_wanted, first_row, last_row = _rows_of_share(source, request, share)
    ledger = _known_ledger(output, force=force) if output.exists() else None
    stamp = stamp_of(source)
    first, *_ = detectors.values()
    facts: dict[str, str | int] = {
        **first.metadata,
        "jetad": __version__,
        "input": encodable(without_secrets(remote_url(source) or str(source))),
        "input_size": stamp.size,
        **content_of(source, stamp, ledger),
        "n_rows_in_file": n_wanted,
        "first_row": first_row,
    }
    if len(detectors) > 1:
        facts["runs"] = json.dumps({name: d.metadata for name, d in detectors.items()}, sort_keys=True)
    if request.select:
        facts["selection"] = request.select
    trainings = {name: detector.training for name, detector in detectors.items()}
    if facts.get("input_sha256") in first.training.inputs:
        facts["input_trained_on"] = 1
    workspace = Workspace(output)
    # a detector without weights on disk cannot be recognised again
    known = all("model_hash" in d.metadata for d in detectors.values())
    fingerprint = hashlib.sha256(
        repr(
            [
                sorted((key, value) for key, value in facts.items() if key != "input"),  # may be renamed
                last_row,
                request,
                None if known else os.urandom(8),
            ]
        ).encode()
    ).hexdigest()

    if output.exists():
        same = (
            ledger is not None
            and ledger.get("fingerprint") == fingerprint
            and ledger.get("output_size") == output.stat().st_size
        )
        if ledger is not None and same and (workspace.exists or (not alone and not force)):
            workspace.remove()  # killed after the last rename
            return _account(source, output, ledger, reused=True)
        if same and not force:
            raise OutputError(
                f"{output}: exists already and is complete; nothing is left to do (--force scores it again)"
            )
    check_output(output, force=force)
    _check_kind(source, output, request, share)
    if workspace.open(fingerprint):
        logger.info("%s: going on with %d parts that are there already", output, len(workspace.done()))
    return Job(
        source, output, workspace, request, first_row, last_row, n_rows, fingerprint, stamp, facts,
        trainings, force,
    )  # fmt: skip


def _known_ledger(output: Path, *, force: bool) -> dict[str, Any] | None:
    """The account of an output that is there; a damaged one counts for nothing where all is made anew."""
    try:
        return read_ledger(output)
    except InputError:
        if not force:
            raise
        return None


def _rows_of_share(source: Path, request: Request, share: tuple[int, int]) -> tuple[int, int, int, int]:
    """Rows in the file, rows asked for, and the first and (exclusive) last of the share."""
    k, n_shares = share
    if not 0 <= k < n_shares:
        raise ConfigError(f"share {k} of {n_shares} does not exist")
    n_rows = count(source, **request.options)
    if n_rows == 0:
        if hint := hint_of_no_jets(source, **request.options):
            raise InputError(f"{source}: holds zero jets{hint}, there is nothing to score")
        logger.warning("warning: %s: holds zero jets: the score file has no rows", source)
        return 0, 0, 0, 0
    n_wanted = n_rows if request.max_jets is None else min(n_rows, request.max_jets)
    first_row, last_row = k * n_wanted // n_shares, (k + 1) * n_wanted // n_shares
    if first_row == last_row:
        raise InputError(f"{source}: has only {n_rows} jets, share {k + 1} of {n_shares} is empty")
    return n_rows, n_wanted, first_row, last_row


def check_files(
    runs: Sequence[Run],
    outputs: Mapping[Path, Path],
    request: Request,
    *,
    share: tuple[int, int] = (0, 1),
    force: bool = False,
) -> None:
    """Find what would go wrong in ``score_files``, but for jets: the first ten of the first file are scored.

    Raises:
        JetadError: the same as there.
    """
    refuse_overwriting(runs, outputs, request)
    names = run_names([run.path.resolve().name for run in runs])
    detectors = {name: TrainedDetector.from_run(run, "cpu") for name, run in zip(names, runs, strict=True)}
    for source, output in outputs.items():
        _rows_of_share(source, request, share)
        done = len(outputs) > 1 and output.exists() and read_ledger(output) is not None
        if output.parent.is_dir():  # or it will be made
            check_output(output, force=force or done)
        _check_kind(source, output, request, share)
    first = next(iter(outputs))
    jets = next(iterate(first, **request.options, step=10))
    score_jets(detectors, jets, request, first)


def _check_kind(source: Path, output: Path, request: Request, share: tuple[int, int]) -> None:
    """Refuse what the kind of a file does not allow."""
    if request.copy:
        check_copy(source, output)
        if share != (0, 1):
            raise ConfigError("--copy copies whole files: leave out --part")
    if request.layout == "events":
        if output.suffix != ".root":
            raise ConfigError(f"{output}: --layout events needs a ROOT file as output (-o NAME.root)")
        if share != (0, 1):
            raise ConfigError("--layout events takes whole files: leave out --part")
    if request.rntuple and output.suffix != ".root":
        raise ConfigError(f"{output}: an RNTuple needs a ROOT file as output")


def score_range(
    detectors: Mapping[str, TrainedDetector], job: Job, parts: PartRange, *, ahead: bool = False
) -> Iterator[int]:
    """Score consecutive parts of a file and keep each; yields the number of each finished part.

    Arguments:
        detectors: By name.
        job: The file.
        parts: Which.
        ahead: Read the next part in a thread while one is scored.

    Raises:
        InputError: if the file is broken or ends early.
    """
    chunk = job.request.chunk
    start, stop = job.first_row + parts.first * chunk, min(job.first_row + parts.last * chunk, job.last_row)
    chunks = iterate(job.source, **job.request.options, step=chunk, start=start, stop=stop)
    number = parts.first
    with contextlib.closing(_read_ahead(chunks) if ahead else chunks) as pieces:  # type: ignore[type-var]
        for jets in pieces:
            expected = min(chunk, job.last_row - job.first_row - number * chunk)
            part = score_jets(detectors, jets, job.request, job.source)
            if number == 0:
                _say_of_the_first(job, jets)
            if part.n_read == expected:
                job.workspace.save(number, part)
                yield number
                number += 1
                continue
            break
    if number != parts.last:
        raise InputError(
            f"{job.source}: promises {job.n_rows_in_file} jets, but ends early in rows "
            f"{job.first_row + number * chunk} to {stop}; the file is broken or is being written"
        )


def finish(job: Job) -> Account:
    """Join the parts to the output, write its ledger, and remove the parts.

    Raises:
        InputError: if the input was changed meanwhile.
        OutputError: if the output cannot be written.
    """
    if stamp_of(job.source) != job.stamp:
        job.workspace.remove()
        raise InputError(f"{job.source}: was changed while it was scored; score it again")
    merged = job.workspace.path / f"merged{job.output.suffix}"
    digest = Digest()
    n_read = n_selected_out = n_failed = n_rows = 0
    outside = dict.fromkeys(job.trainings, 0)
    try:
        for part in job.workspace.parts(range(job.n_parts)):
            digest.add(part.scores)
            n_rows += len(part.scores)
            for name, training in job.trainings.items():
                if training.jets is not None:
                    outside[name] += training.jets.n_outside(part.scores.jet_pt)
            n_read, n_failed = n_read + part.n_read, n_failed + part.n_failed
            n_selected_out += part.n_selected_out
        counts = {
            "n_read": n_read,
            "n_scored": n_rows - n_failed,
            "n_selected_out": n_selected_out,
            "n_failed": n_failed,
        }
        metadata = {**job.facts, **counts, "digest": digest.hexdigest()}
        tables = (part.scores for part in job.workspace.parts(range(job.n_parts)))
        if job.request.copy:
            text = json.dumps(metadata, sort_keys=True)
            summary = describe(job.source, **job.request.options)
            copy_with_scores(
                job.source, merged, tables,
                dataset=summary.dataset, per_event=_has_events(job), provenance=text,
            )  # fmt: skip
        elif job.request.layout == "events":
            summary = describe(job.source, **job.request.options)
            write_events(
                job.source, merged, tables,
                n_entries=summary.n_entries or summary.n_jets, rntuple=job.request.rntuple,
                provenance=json.dumps(metadata, sort_keys=True),
            )  # fmt: skip
        else:
            with ScoreWriter(merged, force=True, rntuple=job.request.rntuple) as writer:
                for table in tables:
                    writer.append(table)
                writer.finish(metadata)
        ledger = {
            "status": "complete",
            **job.facts,
            **counts,
            "digest": digest.hexdigest(),
            "n_parts": job.n_parts,
            "fingerprint": job.fingerprint,
            "input_mtime_ns": job.stamp.mtime_ns,
            "output": str(job.output),
            "output_size": merged.stat().st_size,
        }
        if not job.force:
            check_output(job.output)  # before the ledger of a file that has appeared is replaced
        write_ledger(job.output, ledger)
        publish(merged, job.output, force=job.force)
    except OutputError as error:
        raise OutputError(str(error).replace(str(merged), str(job.output))) from error
    except OSError as error:
        raise OutputError(f"{job.output}: cannot be written ({error.strerror or error})") from error
    job.workspace.remove()
    if n_failed:
        logger.warning(
            "%s: %d of %d jets could not be scored (no constituents, non-finite values, or nothing inside "
            "the window of their image); score = NaN",
            job.source,
            n_failed,
            n_read,
        )
    for sentence in _remarks(job, n_read, n_rows, outside):
        logger.warning("warning: %s: %s", job.source, sentence)
    return _account(job.source, job.output, ledger)


def _say_of_the_first(job: Job, jets: Jets) -> None:
    """What the constituents of the first jets tell."""
    for training in job.trainings.values():
        sentence = None if training.jets is None else training.jets.remark_on_radius(jets)
        if sentence:
            logger.warning("warning: %s: %s", job.source, sentence)


def _remarks(job: Job, n_read: int, n_rows: int, outside: Mapping[str, int]) -> Iterator[str]:
    """What a user should know of these scores before using them."""
    select = job.request.select
    if n_read and not n_rows:
        yield f"none of {n_read} jets passes '{select}': the score file has no rows"
        return
    for name, training in job.trainings.items():
        of = "" if len(job.trainings) == 1 else f"{name}: "
        sentence = None if training.jets is None else training.jets.remark(outside[name], n_rows)
        if sentence:
            yield of + sentence
        if job.facts.get("input_sha256") in training.inputs:
            yield f"{of}the detector was trained on this file: its jets look more normal than unseen ones"
        for known, what in (
            (training.select, "trained on"),
            (training.calibration_select, "calibrated with"),
        ):
            if known and not same_selection(known, select):
                now = f"with '{select}'" if select else "without it"
                yield (
                    f"{of}the detector was {what} jets of --select '{known}', and these are scored {now}: "
                    "their background efficiencies are those of other jets"
                )


def _has_events(job: Job) -> bool:
    """Whether an entry of the input is not always one jet."""
    row = job.first_row
    for part in job.workspace.parts(range(job.n_parts)):
        n = len(part.scores)
        if part.scores.jet.any() or (part.scores.entry != np.arange(row, row + n)).any():
            return True
        row += n
    return False


def failure(source: Path, output: Path, error: JetadError, job: Any = None, *, alone: bool) -> Account:
    """The account of a file that could not be scored; the only file raises its error instead."""
    if isinstance(job, Job):
        if job.stamp.remote:  # its server may answer again
            job.workspace.close()
        else:
            job.workspace.remove()
    if alone:
        raise error
    if not output.exists():
        write_ledger(output, {"status": "failed", "input": without_secrets(str(source)), "error": str(error)})
    logger.error("jetad: error: %s", error)
    return Account(str(source), str(output), "failed", error=str(error))


def _account(source: Path, output: Path, ledger: Mapping[str, Any], *, reused: bool = False) -> Account:
    return Account(
        input=str(source),
        output=str(output),
        status="complete",
        read=int(ledger["n_read"]),
        scored=int(ledger["n_scored"]),
        selected_out=int(ledger["n_selected_out"]),
        failed=int(ledger["n_failed"]),
        reused=reused,
    )


def _read_ahead(chunks: Iterator[T]) -> Iterator[T]:
    """The same items, each fetched in a thread while the one before is used."""
    items: queue.Queue[Any] = queue.Queue(maxsize=1)
    end, left = object(), threading.Event()

    def put(item: Any) -> None:
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                items.put(item, timeout=0.1)
                return

    def fetch() -> None:
        try:
            for item in chunks:
                put((item, None))
                if left.is_set():
                    return
            put((end, None))
        except BaseException as error:  # shown in the thread that waits
            put((end, error))

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    try:
        while True:
            item, error = items.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
    finally:
        left.set()
        thread.join()
