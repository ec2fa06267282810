"""Blocks of jets, cut or joined to the length asked for, through the faults of servers."""

from __future__ import annotations

from collections.abc import Iterator

from ..jets import Jets
from .base import Reader, check_momenta_in_gev
from .containers.remote import Attempts, UnansweredError
from .paths import PathLike, reading

__all__ = ["reopened", "resized"]


def _rows(reader: Reader, path: PathLike, step: int, start: int, stop: int | None) -> Iterator[Jets]:
    """Blocks of a reader, cut to the rows ``start`` to ``stop``."""
    if start == 0 and stop is None:
        yield from reader.iterate(path, step=step)
        return
    if start and getattr(reader, "seeks", False):
        row, blocks = start, reader.iterate(path, step=step, start=start)  # type: ignore[call-arg]
    else:
        row, blocks = 0, reader.iterate(path, step=step)
    for block in blocks:
        first, last = max(start - row, 0), len(block) if stop is None else min(stop - row, len(block))
        row += len(block)
        if first < last:
            yield block if last - first == len(block) else block[first:last]
        del block  # or it would stay in memory while the next one is read
        if stop is not None and row >= stop:
            return


def reopened(reader: Reader, path: PathLike, step: int, start: int, stop: int | None) -> Iterator[Jets]:
    """The blocks of ``_rows``; when a server goes away, the file is opened again where it was."""
    row, attempts = start, Attempts(path)
    while True:
        try:
            for block in _guarded(_rows(reader, path, step, row, stop), path):
                attempts.success()
                row += len(block)
                yield block
                del block  # or it would stay in memory while the next one is read
            return
        except UnansweredError as error:
            if not attempts.wait(error):
                raise


def _guarded(blocks: Iterator[Jets], path: PathLike) -> Iterator[Jets]:
    """The blocks; what a reader did not expect of a broken file is one sentence, too."""
    while True:
        with reading(path):
            block = next(blocks, None)
        if block is None:
            return
        yield block
        del block


def resized(
    blocks: Iterator[Jets], path: PathLike, step: int, check_units: bool, *, converted: bool
) -> Iterator[Jets]:
    """Cut or join blocks to exactly ``step`` jets."""
    held: list[Jets] = []
    n_held = 0
    checked = not check_units
    for block in blocks:
        if not checked and len(block):
            check_momenta_in_gev(block, path, converted=converted)
            checked = True
        start = 0
        while start < len(block):
            stop = min(start + step - n_held, len(block))
            held.append(block if stop - start == len(block) else block[start:stop])
            n_held += stop - start
            start = stop
            if n_held == step:
                piece, held, n_held = Jets.concatenate(held), [], 0
                yield piece
                del piece
        del block  # or it would stay in memory while the next one is read
    if held:
        yield Jets.concatenate(held)
