"""Columns with one row per jet or event, read piece by piece: HDF5, ``.npy``, ``.npz``, Parquet, trees."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..paths import nearest, reading, split_path
from .branches import BranchSource, is_bookkeeping
from .hdf5 import check_dataset, open_hdf5
from .jagged import NUMBERS
from .numpyfile import open_arrays
from .pandasframes import Frame, check_frame, find_frames
from .parquet import ParquetSource, open_parquet
from .root import find_trees, open_root

__all__ = ["Array", "ArraySource", "Source", "is_number", "open_source", "tree_names"]


class Source(Protocol):
    """Columns of a file, by name."""

    name: str  # tree, group or "" for the file itself
    kind: str  # "ROOT TTree", "HDF5", ...

    def columns(self) -> dict[str, str]:
        """Name -> type and shape of a row, such as ``float32`` or ``float32[200]`` or ``float32[]``."""

    def n_rows(self, names: list[str]) -> int:
        """Rows of these columns, after checking that all are there."""

    def read(self, names: list[str], start: int, stop: int) -> dict[str, Any]:
        """Rows of some columns: NumPy arrays, or awkward arrays where rows differ in length."""


@contextlib.contextmanager
def open_source(
    path: str | Path,
    container: str,
    tree: str | None = None,
    *,
    external: bool = False,
    needed: Iterable[str] = (),
) -> Iterator[Source]:
    """The columns of a file of any container.

    Arguments:
        path: The file; ``file:name`` names a tree or group.
        container: As ``container_of`` says.
        tree: Tree or group, where the path does not say.
        external: Whether parts of an HDF5 file may lie in other files.
        needed: Columns that choose among several trees.
    """
    file, inside = split_path(path)
    where = inside or tree
    if container == "root":
        with open_root(path) as handle:
            yield BranchSource(handle, path, where, needed)
    elif container == "hdf5":
        with open_hdf5(path, external) as handle:
            arrays = _datasets(handle, where or "", path)
            frames = {} if where else _frame_columns(handle, path)
            yield ArraySource(arrays, path, where or "", "HDF5", frames)
    elif container == "numpy":
        with open_arrays(path) as arrays:
            yield ArraySource(arrays, path, "", "NumPy")
    elif container == "parquet":
        with open_parquet(file) as handle:
            yield ParquetSource(handle, path)
    elif container == "csv":
        from .csv import CsvSource

        yield CsvSource(path)
    else:
        raise InputError(f"{path}: a mapping needs a ROOT, HDF5, NumPy, Parquet or CSV file")


def tree_names(path: str | Path, container: str) -> list[str | None]:
    """Trees of a file that may hold jets, the usual one first; ``[None]`` for files without trees."""
    if container != "root" or split_path(path)[1] is not None:
        return [None]
    with open_root(path) as handle:
        trees = find_trees(handle, path)
    names = [t.name for t in trees if not is_bookkeeping(t)] or [t.name for t in trees]
    return sorted(names, key=lambda name: name != "Events") or [None]


# --- arrays of fixed shape -------------------------------------------------------------------------


class Array(Protocol):
    """A dataset, a memory map, or a member of an ``.npz``: sliced along its rows."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, rows: slice) -> NDArray[Any]: ...


class ArraySource:
    """Arrays of the same number of rows; ``name.field`` is a field of a compound one.

    ``frames`` are columns of pandas tables, ``key.column``; the datasets that they are stored in are not
    listed.
    """

    def __init__(
        self,
        arrays: Mapping[str, Any],
        path: str | Path,
        name: str,
        kind: str,
        frames: Mapping[str, _FrameColumn] | None = None,
    ) -> None:
        self.arrays, self.path, self.name, self.kind = {**arrays, **(frames or {})}, path, name, kind
        self._inside = tuple({f"{column.frame.key}/" for column in (frames or {}).values()})

    def columns(self) -> dict[str, str]:
        found = {}
        for name, array in self.arrays.items():
            if not isinstance(array, _FrameColumn) and name.startswith(self._inside):
                continue
            shape = f"[{', '.join(map(str, array.shape[1:]))}]" if len(array.shape) > 1 else ""
            for field in array.dtype.names or [None]:
                dtype = array.dtype if field is None else array.dtype[field]
                found[name if field is None else f"{name}.{field}"] = f"{dtype}{shape}"
        return found

    def _find(self, name: str) -> tuple[Any, str | None]:
        if name in self.arrays:
            return self.arrays[name], None
        head, _, field = name.rpartition(".")
        if head in self.arrays and field in (self.arrays[head].dtype.names or ()):
            return self.arrays[head], field
        raise InputError(f"{self.path}: has no dataset '{name}'; closest: {nearest(name, self.columns())}")

    def n_rows(self, names: list[str]) -> int:
        lengths = {}
        for name in names:
            array, _ = self._find(name)
            if not array.shape:
                raise InputError(f"{self.path}: '{name}' is one number, expected one row per jet")
            if isinstance(dict(array.dtype.metadata or {}).get("vlen"), np.dtype):
                raise InputError(
                    f"{self.path}: '{name}' holds lists of any length, which are not read from HDF5 "
                    "(a damaged one is read for ever); write them as ROOT or Parquet, or padded with zeros"
                )
            if isinstance(array, _FrameColumn):
                array.check()
            elif hasattr(array, "id"):
                with reading(self.path):
                    check_dataset(self.path, array)
            lengths[name] = int(array.shape[0])
        if len(set(lengths.values())) > 1:
            raise InputError(
                f"{self.path}: columns differ in length: {', '.join(f'{k} {v}' for k, v in lengths.items())}"
            )
        return next(iter(lengths.values()), 0)

    def read(self, names: list[str], start: int, stop: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        done: dict[int, NDArray[Any]] = {}
        with reading(f"{self.path}: rows {start} to {stop}"):
            for name in names:
                array, field = self._find(name)
                if id(array) not in done:  # fields of a compound dataset come from one read
                    done[id(array)] = array[start:stop]
                rows = done[id(array)]
                if len(rows) != stop - start:
                    raise InputError(f"{self.path}: '{name}' ends before row {stop}; the file is broken")
                found[name] = rows if field is None else rows[field]
        return found


class _FrameColumn:
    """One column of a pandas table; columns of one table share the rows that were read last."""

    def __init__(self, handle: Any, frame: Frame, name: str, held: dict[str, Any]) -> None:
        self.handle, self.frame, self._held = handle, frame, held
        self._block, self._place = frame.columns[name]
        self.shape, self.dtype = (frame.n_rows,), self._block.dtype

    def check(self) -> None:
        """Raise InputError if not all rows can be read; once a table."""
        if "checked" not in self._held:
            check_frame(self.handle, self.frame)
            self._held["checked"] = True

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(self.frame.n_rows)
        if self._held.get("rows") != (start, stop):
            self._held["blocks"] = self.frame.rows(self.handle, start, stop)
            self._held["rows"] = (start, stop)
        return np.asarray(self._held["blocks"][self._block.key][:, self._place])


def _frame_columns(handle: Any, path: str | Path) -> dict[str, _FrameColumn]:
    """Columns of all pandas tables of a file that hold numbers, as ``key.column``."""
    found: dict[str, _FrameColumn] = {}
    for frame in find_frames(handle, path):
        held: dict[str, Any] = {}
        for name, (block, _) in frame.columns.items():
            if block.dtype.kind in "fiub":
                found[f"{frame.key}.{name}" if frame.key else name] = _FrameColumn(handle, frame, name, held)
    return found


def _datasets(handle: Any, prefix: str, path: str | Path) -> dict[str, Any]:
    """All datasets below a group, by their path from there."""
    import h5py

    found: dict[str, Any] = {}
    with reading(path):
        prefix = prefix.strip("/")
        if prefix and prefix not in handle:
            groups: list[str] = []
            handle.visit(groups.append)
            raise InputError(f"{path}: no dataset or group '{prefix}'; there are: {nearest(prefix, groups)}")
        group = handle[prefix] if prefix else handle
        if isinstance(group, h5py.Dataset):
            return {prefix.rpartition("/")[2]: group}

        def visit(name: str, node: Any) -> None:
            if isinstance(node, h5py.Dataset) and node.shape:
                found[name] = node

        group.visititems(visit)
    return found


# --- ROOT ------------------------------------------------------------------------------------------


def is_number(kind: str) -> bool:
    """Whether a type of ``columns()`` is a number or boolean, of any shape."""
    element = re.sub(r"\[.*", "", kind)
    return (
        element in NUMBERS
        or re.fullmatch(r"[<>|=]?(float|int|uint|double|bool|f|i|u|halffloat)\d*", element) is not None
    )
