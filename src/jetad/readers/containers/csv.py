"""Tables of text: a line of names, then one of numbers a row, with commas, semicolons, tabs or blanks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..paths import nearest, reading, split_path
from .delimiters import cells_of, csv_delimiter, is_number_text

__all__ = ["CsvSource"]

_MAX_LINE = 1 << 20  # characters; a longer line is no table


class CsvSource:
    """The columns of a table of text that hold numbers; empty cells are NaN.

    Raises:
        InputError: if the first line has no names, or two columns have the same.
    """

    kind, name = "CSV", ""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._file = split_path(path)[0]
        self._rows: Iterator[list[str]] | None = None
        self._next = 0
        self._n_rows: int | None = None
        with reading(path), open(self._file, encoding="utf-8", newline="") as stream:
            start = stream.read(_MAX_LINE)
        found = csv_delimiter(start)
        if found is None:
            raise InputError(f"{path}: is no table: no line of names and lines of numbers below")
        self._delimiter = found
        with reading(path):
            lines = self._lines()
            names = next(lines)
            first = next(lines, [])
        self.names = [name or f"column_{i}" for i, name in enumerate(names)]
        double = next((n for n in self.names if self.names.count(n) > 1), None)
        if double is not None:
            raise InputError(f"{path}: two columns are called '{double}'")
        self._numbers = {n: i for i, n in enumerate(self.names) if i < len(first) and _is_cell(first[i])}

    def _lines(self) -> Iterator[list[str]]:
        """The cells of the lines, those of the header first."""
        with open(self._file, encoding="utf-8", newline="") as stream:
            lines = (line for line in stream if line.strip())
            header = next(lines).lstrip("#")
            for line in itertools.chain([header], lines):
                yield cells_of(line.strip(), self._delimiter)

    def columns(self) -> dict[str, str]:
        return {name: "float64" if name in self._numbers else "text" for name in self.names}

    def n_rows(self, names: list[str]) -> int:
        for name in names:
            if name not in self._numbers:
                what = "holds text, expected numbers" if name in self.names else "is not there"
                raise InputError(
                    f"{self.path}: column '{name}' {what}; closest: {nearest(name, self._numbers)}"
                )
        if self._n_rows is None:
            with reading(self.path):
                self._n_rows = sum(1 for _ in self._lines()) - 1
        return self._n_rows

    def read(self, names: list[str], start: int, stop: int) -> dict[str, Any]:
        with reading(f"{self.path}: rows {start} to {stop}"):
            if self._rows is None or start != self._next:
                self._rows = itertools.islice(self._lines(), 1 + start, None)
            rows = list(itertools.islice(self._rows, stop - start))
            self._next = start + len(rows)
        if len(rows) != stop - start:
            raise InputError(f"{self.path}: ends before row {stop}; the file is broken")
        for i, row in enumerate(rows):
            if len(row) != len(self.names):
                raise InputError(
                    f"{self.path}: row {start + i} has {len(row)} cells under {len(self.names)} names"
                )
        return {name: self._column(rows, name, start) for name in names}

    def _column(self, rows: list[list[str]], name: str, start: int) -> NDArray[np.float64]:
        place = self._numbers[name]
        try:
            return np.array([_value(row[place]) for row in rows], dtype=np.float64)
        except ValueError:
            bad = next(i for i, row in enumerate(rows) if not _is_cell(row[place]))
            raise InputError(
                f"{self.path}: row {start + bad}: column '{name}' holds '{rows[bad][place]}', no number"
            ) from None


_WORDS = {"": float("nan"), "true": 1.0, "false": 0.0}


def _value(cell: str) -> float:
    return _WORDS[cell.lower()] if cell.lower() in _WORDS else float(cell)


def _is_cell(cell: str) -> bool:
    return cell.lower() in _WORDS or is_number_text(cell)
