"""From files of jets to score files: in parts that survive an interruption, by one or several processes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .. import __version__
from ..detector import TrainedDetector
from ..detector.training import Training
from ..errors import ConfigError, InputError, Interrupted, OutputError, encodable, without_secrets
from ..files import check_output, refuse_inputs
from ..interrupts import StopRequest
from ..readers import count, hint_of_no_jets, iterate
from ..readers.containers.remote import remote_url
from ..readers.paths import split_path
from ..runs import Run
from .fingerprint import fingerprint_of
from .input_identity import Stamp, content_of, stamp_of
from .ledger import Account, account_of, ledger_path, read_ledger
from .request import Request, run_names, score_jets
from .tree_copy import check_copy
from .workspace import Workspace

__all__ = ["Job", "check_files", "prepare"]

logger = logging.getLogger("jetad.scoring")

Progress = Callable[[str, int, int | None], None]


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
    fingerprint = fingerprint_of(facts, last_row, request, known=known)
    if output.exists():
        same = (
            ledger is not None
            and fingerprint.is_of(ledger.get("fingerprint"))
            and ledger.get("output_size") == output.stat().st_size
        )
        if ledger is not None and same and (workspace.exists or (not alone and not force)):
            workspace.remove()  # killed after the last rename
            return account_of(source, output, ledger, reused=True)
        if same and not force:
            raise OutputError(
                f"{output}: exists already and is complete; nothing is left to do (--force scores it again)"
            )
    check_output(output, force=force)
    _check_kind(source, output, request, share)
    if workspace.open(fingerprint.written, fingerprint.before):
        logger.info("%s: going on with %d parts that are there already", output, len(workspace.done()))
    return Job(
        source, output, workspace, request, first_row, last_row, n_rows, fingerprint.written, stamp,
        facts,
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
