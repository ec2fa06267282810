"""Parts of a file, scored one after the other and kept."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from ..checks.jets import remark_on_azimuth
from ..detector import TrainedDetector
from ..errors import InputError
from ..jets import Jets
from ..readers import collection_of, iterate
from .job import Job
from .request import score_jets
from .workspace import PartRange

__all__ = ["score_range"]

logger = logging.getLogger("jetad.scoring")
T = TypeVar("T")


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


def _say_of_the_first(job: Job, jets: Jets) -> None:
    """What the first jets tell, and where they come from."""
    asked = any(training.collection for training in job.trainings.values())
    collection = collection_of(job.source, **job.request.options) if asked else None
    sentences = [remark_on_azimuth(jets.jet_phi)]
    for training in job.trainings.values():
        sentences.append(training.remark_on_collection(collection))
        sentences.append(None if training.jets is None else training.jets.remark_on_radius(jets))
    for sentence in filter(None, sentences):
        logger.warning("warning: %s: %s", job.source, sentence)


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
