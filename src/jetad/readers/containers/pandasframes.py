"""Pandas frames in HDF5, read without pandas and without unpickling."""

from __future__ import annotations

import itertools
import pickletools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..paths import nearest, reading, split_path
from .chunks import chunked_columns
from .hdf5 import check_dataset

if TYPE_CHECKING:
    import h5py

__all__ = ["Block", "Frame", "check_frame", "choose_frame", "find_frames", "pickled_strings"]

_STRING_OPCODES = {
    f"{prefix}{name}{suffix}"
    for prefix in ("", "SHORT_", "BIN", "SHORT_BIN")
    for name in ("STRING", "UNICODE", "BYTES")
    for suffix in ("", "8")
}


@dataclass(frozen=True)
class Block:
    """Columns of one type stored together: ``(n_rows, width)``."""

    key: str  # field of the compound dataset, or path of the dataset
    dtype: np.dtype[Any]
    width: int
    names: tuple[str, ...] | None  # None where the file does not tell


@dataclass(frozen=True)
class Frame:
    """A pandas DataFrame inside an HDF5 file.

    The *table* layout is one compound dataset ``<key>/table`` with fields ``values_block_*`` and data
    columns; the *fixed* layout has one dataset ``<key>/block*_values`` a block.
    """

    path: str | Path
    key: str
    layout: str  # "table" or "fixed"
    n_rows: int
    blocks: tuple[Block, ...]
    row_bytes: int = field(repr=False)
    chunk_rows: int = field(default=1, repr=False)  # unpacked together

    def rows_at_once(self, n_bytes: int) -> int:
        """How many rows of about so many bytes to fetch at once, beginning at a multiple of their number.

        Whole chunks, so that none is unpacked twice, unless one alone is far larger.
        """
        n_rows = max(1, n_bytes // max(self.row_bytes, 1))
        if self.chunk_rows > 8 * n_rows:
            return n_rows
        return max(n_rows // self.chunk_rows, 1) * self.chunk_rows

    @property
    def columns(self) -> dict[str, tuple[Block, int]]:
        """Name -> block and position inside it."""
        return {name: (b, i) for b in self.blocks if b.names for i, name in enumerate(b.names)}

    def rows(self, handle: h5py.File, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Rows ``start`` to ``stop`` as block key -> ``(stop - start, width)``."""
        with reading(f"{self.path}: rows {start} to {stop} of '{self.key}'"):
            if self.layout == "table":
                table = handle[f"{self.key}/table"]
                names = [b.key for b in self.blocks]
                found = chunked_columns(table, start, stop, names)
                blocks = found or _columns(table[start:stop], self.blocks)
            else:
                blocks = {b.key: handle[b.key][start:stop] for b in self.blocks}
        if any(len(values) != stop - start for values in blocks.values()):
            raise InputError(f"{self.path}: '{self.key}' ends before row {stop}; the file is broken")
        return blocks


def _columns(table: NDArray[Any], blocks: tuple[Block, ...]) -> dict[str, NDArray[Any]]:
    return {b.key: table[b.key].reshape(len(table), b.width) for b in blocks}


def find_frames(handle: h5py.File, path: str | Path) -> list[Frame]:
    """All pandas frames of a file, in both layouts."""
    import h5py

    frames: list[Frame] = []
    keys: list[str] = [""]

    def visit(name: str) -> None:
        # PyTables keeps its indices in groups '_i_*': thousands of helper datasets, never jets
        if "/_i_" not in f"/{name}":
            keys.append(name)

    with reading(path):
        handle.visit(visit)
        for key in keys:
            group = handle[key] if key else handle
            if not isinstance(group, h5py.Group):
                continue
            table = group.get("table")
            if isinstance(table, h5py.Dataset) and table.dtype.names:
                frames.append(_table_frame(path, key, group, table))
            elif "block0_values" in group:
                frames.append(_fixed_frame(path, key, group))
    return frames


def choose_frame(frames: list[Frame], path: str | Path) -> Frame | None:
    """The frame named in ``file.h5:key``, or the only one, or the one called ``table``.

    Raises:
        InputError: if several could be meant, or none has the asked name.
    """
    _, wanted = split_path(path)
    if wanted is not None:
        for frame in frames:
            if wanted in (frame.key, f"{frame.key}/table"):
                return frame
        raise InputError(
            f"{path}: no table '{wanted}'; there are: {nearest(wanted, [f.key for f in frames])}"
        )
    if len(frames) > 1:
        named = [f for f in frames if f.key == "table"]
        if not named:
            keys = ", ".join(sorted(f.key for f in frames))
            raise InputError(f"{path}: several tables hold jets ({keys}); name one: '{path}:{frames[0].key}'")
        return named[0]
    return frames[0] if frames else None


def _table_frame(path: str | Path, key: str, group: h5py.Group, table: h5py.Dataset) -> Frame:
    blocks = []
    for name in table.dtype.names:
        if name == "index":
            continue
        dtype = table.dtype[name]
        width = int(np.prod(dtype.shape, dtype=np.int64))
        names: list[str] | None = pickled_strings(table.attrs.get(f"{name}_kind"))
        if names is None or len(names) != width:
            # a data column is its own field; the names of the only block stand with the axes, too
            n_blocks = sum(n.startswith("values_block_") for n in table.dtype.names)
            names = pickled_strings(group.attrs.get("non_index_axes")) if n_blocks == 1 else None
            if not name.startswith("values_block_"):
                names = [name]
        known = tuple(names) if names is not None and len(names) == width else None
        blocks.append(Block(name, dtype.base, width, known))
    n_rows = int(table.shape[0]) if table.ndim else 0
    chunk_rows = table.chunks[0] if table.chunks else 1
    return Frame(path, key, "table", n_rows, tuple(blocks), table.dtype.itemsize, chunk_rows)


def _fixed_frame(path: str | Path, key: str, group: h5py.Group) -> Frame:
    blocks = []
    n_rows: list[int] = []
    for i in itertools.takewhile(lambda i: f"block{i}_values" in group, itertools.count()):
        values, items = group[f"block{i}_values"], group.get(f"block{i}_items")
        if "shape" in values.attrs:  # pandas stores an array without rows as a placeholder, its shape beside
            n_rows.append(0)
            width = 0 if items is None else int(items.shape[0])
        elif values.ndim == 2:
            n_rows.append(int(values.shape[0]))
            width = int(values.shape[1])
        else:  # columns of text or other objects
            continue
        names = None
        if items is not None and items.shape == (width,) and items.dtype.kind in "SO":
            names = tuple(v.decode() if isinstance(v, bytes) else str(v) for v in items[:])
        blocks.append(Block(f"{key}/block{i}_values", values.dtype, width, names))
    row_bytes = sum(b.dtype.itemsize * b.width for b in blocks)
    return Frame(path, key, "fixed", min(n_rows, default=0), tuple(blocks), row_bytes)


def check_frame(handle: h5py.File, frame: Frame) -> None:
    """Raise InputError if the rows of a frame cannot all be read."""
    with reading(frame.path):
        keys = [f"{frame.key}/table"] if frame.layout == "table" else [b.key for b in frame.blocks]
        datasets = [handle[key] for key in keys if "shape" not in handle[key].attrs]
        for dataset in datasets:
            check_dataset(frame.path, dataset)
            # PyTables keeps the number of rows a second time; a damaged header would drop or invent some
            n_rows = dataset.attrs.get("NROWS", dataset.shape[0])
            if n_rows != dataset.shape[0]:
                raise InputError(
                    f"{frame.path}: '{dataset.name}' has {dataset.shape[0]} rows, "
                    f"but its attribute NROWS says {n_rows}; the file is broken"
                )
        lengths = {dataset.shape[0] for dataset in datasets}
        if len(lengths) > 1:
            raise InputError(f"{frame.path}: the blocks of '{frame.key}' differ in length: {sorted(lengths)}")


def pickled_strings(attribute: Any) -> list[str] | None:
    """The strings of a pickled list, read from its opcodes; nothing is unpickled, so nothing is run."""
    if attribute is None:
        return None
    data = attribute.tobytes() if isinstance(attribute, np.void) else attribute
    if isinstance(data, str):
        data = data.encode("latin-1", errors="replace")
    if not isinstance(data, bytes):
        return None
    try:
        found = [value for opcode, value, _ in pickletools.genops(data) if opcode.name in _STRING_OPCODES]
    except Exception:  # a damaged pickle: the names are lost, the caller may know them otherwise
        return None
    return [v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in found]
