"""Scores in lists, one row per event: a friend of a tree of events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..scores import PREFIX, Scores

__all__ = ["ByEntry", "write_events"]

_STEP = 20_000


class ByEntry:
    """Rows of consecutive parts, handed out by ranges of entries."""

    def __init__(self, parts: Iterator[Scores]) -> None:
        self._parts = parts
        self._held: list[Scores] = []
        self._none = Scores.concatenate([])
        self._ended = False

    def until(self, stop: int) -> Scores:
        """Rows of entries below ``stop`` that were not given before."""
        while not self._ended and not (self._held and self._held[-1].entry[-1] >= stop):
            part = next(self._parts, None)
            if part is None:
                self._ended = True
            elif len(part):
                self._held.append(part)
                self._none = part[:0]
        rows = Scores.concatenate(self._held or [self._none])
        n = int(np.searchsorted(rows.entry, stop))
        self._held = [rows[n:]] if n < len(rows) else []
        return rows[:n]

    def n_left(self) -> int:
        return sum(map(len, self._held)) + sum(map(len, self._parts))


def write_events(
    source: Path, path: Path, parts: Iterator[Scores], *, n_entries: int, rntuple: bool, provenance: str
) -> None:
    """Write the tree ``jetad`` with one row per event: ``entry``, and lists ``jetad_score`` and so on.

    Lists are in the order of the jets of an event; an event without jets has empty ones. A TTree has one
    counter for all of them, ``njetad``.

    Arguments:
        source: File of jets, for messages.
        path: The file to write.
        parts: Scores of all jets, in order.
        n_entries: Events of the file of jets.
        rntuple: Write an RNTuple instead of a TTree.
        provenance: Goes into ``jetad_provenance``.

    Raises:
        InputError: if there are scores beyond the events.
    """
    import awkward as ak
    import uproot

    with uproot.recreate(path.absolute()) as file:
        rows = ByEntry(parts)
        written = None
        for start in range(0, n_entries, _STEP):
            stop = min(start + _STEP, n_entries)
            scores = rows.until(stop)
            counts = np.bincount(scores.entry - start, minlength=stop - start)
            columns = {k: v for k, v in scores.columns().items() if k != "entry"}
            entry = np.arange(start, stop, dtype=np.int64)
            lists = {name: ak.unflatten(values, counts) for name, values in columns.items()}
            if rntuple:
                data = {f"{PREFIX}{name}": values for name, values in lists.items()}
            else:
                data = {PREFIX.rstrip("_"): ak.zip(lists)}
            if written is None:
                types = {"entry": entry.dtype, **{name: v.type.content for name, v in data.items()}}
                make = file.mkrntuple if rntuple else file.mktree
                written = make("jetad", types)
            written.extend({"entry": entry, **data})
        if rows.n_left():
            raise InputError(f"{source}: has fewer events than there are scores for")
        file["jetad_provenance"] = provenance
