"""From files to :class:`~jetad.jets.Jets`: the format is found from the content, whole or streamed."""

from __future__ import annotations

import dataclasses
import glob
import inspect
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..jets import Jets
from ..registry import load
from .base import FileSummary, Reader, check_momenta_in_gev, container_of, looks_like_mev, split_path

__all__ = ["READERS", "FileSummary", "count", "describe", "detect", "expand", "get_reader", "iterate", "read"]

# name -> reader class; the modules import h5py and uproot only when they open a file
READERS = {
    "landscape": "jetad.readers.landscape:LandscapeReader",
    "jetclass": "jetad.readers.jetclass:JetClassReader",
}

logger = logging.getLogger(__name__)

PathLike = str | Path


def get_reader(name: str) -> Reader:
    """The reader of that name; :class:`~jetad.errors.ConfigError` lists the valid ones."""
    reader: Reader = load(READERS, name, "reader")()
    return reader


def detect(path: PathLike) -> str:
    """Name of the reader for a file, from its magic bytes and then its trees or datasets.

    Raises:
        InputError: if the file is missing or broken, or no reader knows its content.
    """
    container = container_of(path)
    candidates = [r for r in map(get_reader, READERS) if r.container == container]
    for reader in candidates:
        if reader.matches(path):
            return reader.name
    reasons = "; ".join(f"not {reader.name}: {reader.lacks(path)}" for reader in candidates)
    raise InputError(f"{path}: unknown format ({reasons})")


def _reader_for(path: PathLike, reader: str | None) -> Reader:
    return get_reader(detect(path) if reader is None else reader)


def count(path: PathLike, *, reader: str | None = None) -> int:
    """Number of jets in a file, from its metadata."""
    return _reader_for(path, reader).count(path)


def describe(path: PathLike, *, reader: str | None = None) -> FileSummary:
    """What a file holds; only its first jets are read, to judge the units."""
    chosen = _reader_for(path, reader)
    summary = chosen.describe(path)
    first = next(chosen.iterate(path, step=1000), None)
    if first is None:
        return summary._replace(warnings=(*summary.warnings, "holds zero jets"))
    median = looks_like_mev(first)
    if median is None:
        return summary._replace(units="GeV")
    warning = f"the momenta look like MeV: the median jet pT is {median:.0f}"
    return summary._replace(units="MeV?", warnings=(*summary.warnings, warning))


def iterate(
    path: PathLike,
    *,
    reader: str | None = None,
    step: int = 20_000,
    check_units: bool = True,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[Jets]:
    """The jets of one file in pieces of exactly ``step`` (the last may be shorter), in file order.

    Every row comes out, jets without constituents or with NaN too; ``entry`` is the row in this file.
    A file with zero jets yields nothing. Memory is bounded by ``step``, not by the file.

    Arguments:
        path: A file, or ``file.root:tree``.
        reader: Name of a reader; found from the content by default.
        step: Jets per piece.
        check_units: Refuse momenta that look like MeV.
        start, stop: Only jets of these rows, counted through the file; readers that can, seek to them.

    Raises:
        InputError: at the call if the file cannot be opened, later if its content is broken.
    """
    if step < 1:
        raise InputError(f"the number of jets per step must be at least 1, found {step}")
    chosen = _reader_for(path, reader)
    return _resized(_rows(chosen, path, step, start, stop), path, step, check_units)


def _rows(reader: Reader, path: PathLike, step: int, start: int, stop: int | None) -> Iterator[Jets]:
    """Blocks of a reader, cut to the rows ``start`` to ``stop``."""
    if start == 0 and stop is None:
        yield from reader.iterate(path, step=step)
        return
    if start and "start" in inspect.signature(reader.iterate).parameters:
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


def _resized(blocks: Iterator[Jets], path: PathLike, step: int, check_units: bool) -> Iterator[Jets]:
    """Cut or join blocks to exactly ``step`` jets."""
    held: list[Jets] = []
    n_held = 0
    for number, block in enumerate(blocks):
        if number == 0 and check_units:
            check_momenta_in_gev(block, path)
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


def read(
    paths: PathLike | Iterable[PathLike], *, reader: str | None = None, max_jets: int | None = None
) -> Jets:
    """All jets of one or several files (patterns too) as one collection, in order.

    Where only some files have truth, jets of the others get label -1. Observables are kept where all
    files have them.

    Arguments:
        paths: A file, a pattern, or several of them.
        reader: Name of a reader for all files; found from the content by default.
        max_jets: Stop after that many jets.

    Raises:
        InputError: if a file cannot be read, or all files together hold zero jets.
    """
    if max_jets is not None and max_jets < 1:
        raise InputError(f"the largest number of jets must be at least 1, found {max_jets}")
    files = expand(paths)
    parts: list[Jets] = []
    n_left = np.inf if max_jets is None else max_jets
    for path in files:
        n_before = len(parts)
        step = int(min(20_000, max(n_left, 1)))
        for jets in iterate(path, reader=reader, step=step):
            parts.append(jets[: int(n_left)] if len(jets) > n_left else jets)
            n_left -= len(parts[-1])
            if n_left <= 0:
                break
        if len(parts) == n_before:
            logger.warning("%s: holds zero jets", path)
        if n_left <= 0:
            break
    if not parts:
        what = (
            f"{files[0]}: holds" if len(files) == 1 else f"{files[0]} and {len(files) - 1} more files: hold"
        )
        raise InputError(f"{what} zero jets")
    if any(p.labels is not None for p in parts):
        parts = [p if p.labels is not None else _with_unknown_truth(p) for p in parts]
    return Jets.concatenate(parts)


def _with_unknown_truth(jets: Jets) -> Jets:
    return dataclasses.replace(jets, labels=np.full(len(jets), -1, dtype=np.int8))


def expand(
    patterns: PathLike | Iterable[PathLike], *, broken: dict[Path, InputError] | None = None
) -> list[Path]:
    """Files from names and globs, in the order given, those of a glob sorted; ``:tree`` suffixes are kept.

    Arguments:
        patterns: File names and globs.
        broken: Files that cannot be opened are put here, with the reason, instead of ending the search.

    Raises:
        InputError: if a file is missing, a glob matches nothing, or a folder is named.
    """
    names = [patterns] if isinstance(patterns, (str, Path)) else list(patterns)
    if not names:
        raise InputError("no input file was given")
    files: list[Path] = []
    seen: set[tuple[Path, str | None]] = set()
    for name in names:
        file, inside = split_path(Path(name).expanduser() if "://" not in str(name) else name)
        found = [file]
        if glob.has_magic(str(file)) and not file.exists():  # a file may be named like a pattern
            found = [Path(match) for match in sorted(glob.glob(str(file), recursive=True))]
            if not found:
                raise InputError(f"{name}: no file matches this pattern")
        for match in found:
            full = Path(f"{match}:{inside}") if inside else match
            try:
                container_of(full)
            except InputError as error:
                if broken is None:
                    raise
                broken[full] = error
                continue
            if (match.resolve(), inside) in seen:
                logger.warning("%s: named twice, read once", full)
            else:
                seen.add((match.resolve(), inside))
                files.append(full)
    return files
