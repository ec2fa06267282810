"""Columns of Parquet files, read row by row."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...extras import needing
from ...files.unpacking import check_unpacked
from ..paths import nearest, reading

__all__ = ["ParquetSource", "open_parquet", "parquet_sizes"]


@contextlib.contextmanager
def open_parquet(file: Path) -> Iterator[Any]:
    """A Parquet file that is open inside the ``with`` block.

    Arguments:
        file: Path of the file.

    Raises:
        MissingPackageError: if pyarrow is not installed.
        InputError: if the file is broken.
    """
    with needing("parquet", f"{file}: Parquet needs pyarrow"):
        import pyarrow.parquet
    with contextlib.ExitStack() as stack:
        with reading(file):  # pyarrow opens no file whose name is no UTF-8
            stream = stack.enter_context(file.open("rb"))
            handle = stack.enter_context(pyarrow.parquet.ParquetFile(stream, pre_buffer=False))
        yield handle


class ParquetSource:
    """Columns of a Parquet file; ``Jet.pt`` is a field of a struct."""

    kind, name = "Parquet", ""

    def __init__(self, handle: Any, path: str | Path) -> None:
        self.handle, self.path = handle, path
        self._batches: Any = None
        self._names: list[str] = []
        self._row = 0
        self._left: Any = None

    def columns(self) -> dict[str, str]:
        found: dict[str, str] = {}
        with reading(self.path):
            for field in self.handle.schema_arrow:
                _add_arrow(field.name, field.type, "", found)
        return found

    def n_rows(self, names: list[str]) -> int:
        known = self.columns()
        for name in names:
            if name not in known:
                raise InputError(f"{self.path}: has no column '{name}'; closest: {nearest(name, known)}")
        with reading(self.path):
            check_unpacked(self.path, *self.sizes(names))
            return int(self.handle.metadata.num_rows)

    def sizes(self, names: Iterable[str]) -> tuple[int, int]:
        """Bytes of columns in the file and unpacked; equal numbers take next to none in it."""
        return parquet_sizes(self.handle.metadata, {name.split(".")[0] for name in names})

    def read(self, names: list[str], start: int, stop: int) -> dict[str, Any]:
        import awkward as ak
        import pyarrow as pa

        with reading(f"{self.path}: rows {start} to {stop}"):
            top = list(dict.fromkeys(name.split(".")[0] for name in names))
            if self._batches is None or start != self._row or names != self._names:
                self._batches = self.handle.iter_batches(
                    use_threads=False, batch_size=max(stop - start, 1), columns=top
                )
                self._row, self._left, self._names = 0, None, names
                self._take(start)
            table = pa.Table.from_batches(self._take(stop - start))
            if len(table) != stop - start:
                raise InputError(f"{self.path}: ends before row {stop}; the file is broken")
            records = ak.from_arrow(table)
            found = {}
            for name in names:
                array = records
                for part in name.split("."):
                    array = array[part]
                found[name] = _without_none(array) if "?" in str(array.type) else array
        return found

    def _take(self, n: int) -> list[Any]:
        """The next ``n`` rows as batches."""
        taken: list[Any] = []
        while n > 0:
            batch = self._left if self._left is not None else next(self._batches, None)
            if batch is None:
                break
            taken.append(batch[:n])
            self._left = batch[n:] if len(batch) > n else None
            n -= len(taken[-1])
            self._row += len(taken[-1])
        return taken


def parquet_sizes(metadata: Any, names: Collection[str]) -> tuple[int, int]:
    """Bytes of columns of a Parquet file, and those of the numbers that they stand for.

    Arguments:
        metadata: pyarrow's description of the file.
        names: The columns.
    """
    packed = unpacked = 0
    places = [i for i in range(metadata.num_columns) if metadata.schema.column(i).path.split(".")[0] in names]
    for group in map(metadata.row_group, range(metadata.num_row_groups) if places else ()):
        for column in map(group.column, places):
            packed += column.total_compressed_size
            unpacked += 8 * column.num_values
    return packed, unpacked


def _without_none(array: Any) -> Any:
    """Missing numbers as NaN; where none is missing, numbers keep their type."""
    import awkward as ak

    if any(ak.any(ak.is_none(array, axis=axis), axis=None) for axis in range(array.ndim)):
        return ak.fill_none(array, np.nan, axis=None)

    def bare(layout: Any, **_: Any) -> Any:
        return layout.project() if layout.is_option else None

    for _ in range(array.ndim):  # one level at a time
        array = ak.transform(bare, array)
    return array


def _add_arrow(name: str, kind: Any, suffix: str, found: dict[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.types as types

    while isinstance(kind, pa.BaseExtensionType):  # awkward registers its own, once it was used
        kind = kind.storage_type
    if types.is_struct(kind):
        for field in kind:
            _add_arrow(f"{name}.{field.name}", field.type, suffix, found)
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        _add_arrow(name, kind.value_type, suffix + "[]", found)
    else:
        found[name] = f"{kind}{suffix}"
