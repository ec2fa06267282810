"""Readers of files with one jet or event a row: opened and checked once, read in blocks of rows."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from numpy.typing import NDArray

from ..errors import InputError
from ..jets import Jets
from .base import BaseReader, FileSummary
from .containers.hdf5 import open_hdf5
from .containers.pandasframes import Frame, check_frame, choose_frame, find_frames
from .paths import reading, require_container

__all__ = ["FrameReader", "OpenFrame", "RowReader"]

TableT = TypeVar("TableT")
PlanT = TypeVar("PlanT")


class RowReader(BaseReader, abc.ABC, Generic[TableT]):
    """Base of readers of rows: a reader says how a file is opened, what it holds, and how rows become jets.

    What ``opened`` gives is whatever the other methods need: the file, and where its columns are.
    """

    @abc.abstractmethod
    def opened(self, path: str | Path) -> AbstractContextManager[TableT]:
        """The file, open and its columns found; InputError if it is of another layout."""

    @abc.abstractmethod
    def n_rows(self, table: TableT, path: str | Path) -> int:
        """Number of rows; InputError if not all of them can be read."""

    @abc.abstractmethod
    def rows_at_once(self, table: TableT, step: int) -> int:
        """Length of the blocks that suits the file; the caller cuts or joins them to ``step`` jets."""

    @abc.abstractmethod
    def jets(self, table: TableT, start: int, stop: int, path: str | Path) -> Jets:
        """The jets of the rows ``start`` to ``stop``."""

    @abc.abstractmethod
    def contents(self, table: TableT, path: str | Path) -> dict[str, Any]:
        """Fields of the :class:`FileSummary`, without the path, the reader and the number of jets."""

    def n_jets(self, table: TableT, path: str | Path) -> int:
        """Number of jets, where a row may hold several."""
        return self.n_rows(table, path)

    def count(self, path: str | Path) -> int:
        with self.opened(path) as table:
            return self.n_jets(table, path)

    def describe(self, path: str | Path) -> FileSummary:
        with self.opened(path) as table, reading(path):
            n_jets = self.n_jets(table, path)
            return FileSummary(Path(path), self.name, n_jets=n_jets, **self.contents(table, path))

    def iterate(self, path: str | Path, *, step: int, start: int = 0) -> Iterator[Jets]:
        with self.opened(path) as table:
            n_rows, n_fetched = self.n_rows(table, path), self.rows_at_once(table, step)
            # blocks begin at multiples of their length, as chunks of a file do
            for block in range(start // n_fetched, -(-n_rows // n_fetched)):
                first, stop = max(start, block * n_fetched), min((block + 1) * n_fetched, n_rows)
                # no name for the jets here: they would stay in memory during the next turn
                yield self._block(table, first, stop, path)

    def _block(self, table: TableT, start: int, stop: int, path: str | Path) -> Jets:
        with reading(path):
            return self.jets(table, start, stop, path)


@dataclass(frozen=True)
class OpenFrame(Generic[PlanT]):
    """A frame of an open file, and what its columns are."""

    handle: Any  # h5py.File
    frame: Frame
    plan: PlanT


class FrameReader(RowReader[OpenFrame[PlanT]]):
    """Base of readers of frames: ``recognises`` says which frames are meant, ``plan`` what their columns are.

    Where a file holds several such frames, ``file.h5:key`` names one.
    """

    container = "hdf5"
    options: ClassVar[Mapping[str, Any]] = {"external": False}

    @abc.abstractmethod
    def lacks(self, path: str | Path) -> str: ...

    @abc.abstractmethod
    def recognises(self, frame: Frame) -> bool:
        """Whether a frame is of this layout."""

    @abc.abstractmethod
    def plan(self, frame: Frame) -> PlanT:
        """What the columns of a recognised frame are; InputError if something needed is missing."""

    @abc.abstractmethod
    def convert(self, blocks: dict[str, NDArray[Any]], table: OpenFrame[PlanT], first: int) -> Jets:
        """The jets of rows of the blocks, of which the first is row ``first`` of the file."""

    def not_found(self, path: str | Path, frames: list[Frame]) -> str:
        """What to say of a file in which no frame is meant."""
        return self.lacks(path)

    @contextlib.contextmanager
    def opened(self, path: str | Path) -> Iterator[OpenFrame[PlanT]]:
        with self._frames(path) as (handle, frames):
            with reading(path):
                frame = choose_frame([f for f in frames if self.recognises(f)], path)
                if frame is None:
                    raise InputError(f"{path}: {self.not_found(path, frames)}")
                check_frame(handle, frame)
                table = OpenFrame(handle, frame, self.plan(frame))
            yield table

    @contextlib.contextmanager
    def _frames(self, path: str | Path) -> Iterator[tuple[Any, list[Frame]]]:
        require_container(path, self.container, self.name)
        with open_hdf5(path, self.settings["external"]) as handle:
            yield handle, find_frames(handle, path)

    def matches(self, path: str | Path) -> bool:
        with self._frames(path) as (_, frames):
            return any(map(self.recognises, frames))

    def n_rows(self, table: OpenFrame[PlanT], path: str | Path) -> int:
        return table.frame.n_rows

    def jets(self, table: OpenFrame[PlanT], start: int, stop: int, path: str | Path) -> Jets:
        return self.convert(table.frame.rows(table.handle, start, stop), table, start)

    def contents(self, table: OpenFrame[PlanT], path: str | Path) -> dict[str, Any]:
        columns = {name: str(block.dtype) for name, (block, _) in table.frame.columns.items()}
        container = f"HDF5 (pandas {table.frame.layout})"
        return {"container": container, "dataset": table.frame.key, "columns": columns}
