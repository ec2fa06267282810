"""Readers of files with one jet or event a row: opened and checked once, read in blocks of rows."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..jets import Jets
from .base import BaseReader, FileSummary
from .paths import reading

__all__ = ["RowReader"]

TableT = TypeVar("TableT")


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
            for first in range(start, n_rows, n_fetched):
                # no name for the jets here: they would stay in memory during the next turn
                yield self._block(table, first, min(first + n_fetched, n_rows), path)

    def _block(self, table: TableT, start: int, stop: int, path: str | Path) -> Jets:
        with reading(path):
            return self.jets(table, start, stop, path)
