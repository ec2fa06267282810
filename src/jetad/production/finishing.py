"""From finished parts to the output, its ledger, and what a user should know of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..checks.jets import same_selection
from ..errors import InputError, JetadError, OutputError, without_secrets
from ..files import check_output, publish
from ..readers import describe
from ..scores import ScoreWriter
from .event_lists import write_events
from .input_identity import stamp_of
from .job import Job
from .ledger import Account, Digest, account_of, write_ledger
from .tree_copy import copy_with_scores

__all__ = ["failure", "finish"]

logger = logging.getLogger("jetad.scoring")


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
    return account_of(job.source, job.output, ledger)


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
        if job.facts.get("input_sha256") in training.calibration_inputs:
            yield (
                f"{of}the detector was calibrated with this file: its background efficiencies are those "
                "asked for by construction, and no test of the calibration"
            )
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
