"""Rows of gzip-compressed tables in HDF5, unpacked chunk by chunk with a faster library than HDF5's own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import h5py

__all__ = ["chunked_columns"]

_SHUFFLE, _GZIP = 2, 1  # numbers of HDF5's filters


def chunked_columns(
    table: h5py.Dataset, start: int, stop: int, names: Sequence[str]
) -> dict[str, NDArray[Any]] | None:
    """Fields of rows ``start`` to ``stop`` of a table, each ``(stop - start, width)``.

    HDF5 spends most of its time in zlib, and then sorts the bytes of all columns back into rows, of which
    a reader picks columns again. Here another library unpacks, and the bytes of a column, which lie
    together in a shuffled chunk, become its numbers at once: of a table of jets twice as fast.

    Arguments:
        table: One dimension, of compound type.
        start: First row.
        stop: One after the last.
        names: Fields, of numbers or of arrays of numbers.

    Returns:
        Arrays by field, with the rows of a column together in memory; ``None`` where the table is stored in
        another way.

    Raises:
        ValueError: if a chunk is damaged.
    """
    filters = _filters(table)
    if filters is None or stop <= start:
        return None
    fields = {name: table.dtype.fields[name][:2] for name in names}
    out = {}
    for name, (dtype, _) in fields.items():
        width = int(np.prod(dtype.shape, dtype=np.int64))
        out[name] = np.zeros((width, stop - start), dtype=dtype.base.newbyteorder("="))
    n_rows, n_bytes = table.chunks[0], table.dtype.itemsize
    for first in range(start // n_rows * n_rows, stop, n_rows):
        unused, packed = table.id.read_direct_chunk((first,))
        if unused:  # a filter that made this chunk no smaller was left out
            return None
        data = _unpacked(packed, n_rows * n_bytes, first)
        low, high = max(start, first), min(stop, first + n_rows)
        rows, place = slice(low - first, high - first), slice(low - start, high - start)
        for name, (dtype, offset) in fields.items():
            if _SHUFFLE in filters:
                size = dtype.itemsize
                planes = data.reshape(n_bytes, n_rows)[offset : offset + size]
                _join(planes.reshape(len(out[name]), -1, n_rows)[:, :, rows], dtype.base, out[name][:, place])
            else:
                records = data.view(table.dtype)[name][rows]
                out[name][:, place] = records.reshape(high - low, len(out[name])).T
    return {name: values.T for name, values in out.items()}


def _filters(table: h5py.Dataset) -> list[int] | None:
    """The filters of a table that can be unpacked here."""
    if table.ndim != 1 or table.dtype.names is None or not table.chunks or table.is_virtual:
        return None
    kinds = [table.dtype.fields[name][0] for name in table.dtype.names]
    if any(kind.base.kind not in "iuf" or kind.base.itemsize not in (1, 2, 4, 8) for kind in kinds):
        return None
    properties = table.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    return filters if filters in ([_GZIP], [_SHUFFLE, _GZIP]) else None


def _join(planes: NDArray[np.uint8], dtype: np.dtype[Any], out: NDArray[Any]) -> None:
    """Bytes ``(width, bytes of a number, n)`` to numbers ``(width, n)``, which are zero before.

    Columns behind the last one with anything in it are left as they are: most slots of a table of jets.
    """
    used = np.flatnonzero(planes.any(axis=(1, 2)))
    if not len(used):
        return
    n_used = int(used[-1]) + 1
    step = -1 if dtype.str[0] == ">" else 1
    ordered = planes[:n_used, ::step]  # the least significant byte first
    words = out[:n_used].view(np.dtype(f"u{dtype.itemsize}"))
    words[...] = ordered[:, -1]
    for k in range(dtype.itemsize - 2, -1, -1):
        np.left_shift(words, 8, out=words)
        np.bitwise_or(words, ordered[:, k], out=words)


@functools.cache
def _library() -> Callable[[bytes, int], Any]:
    """The fastest that is there: ISA-L where it is installed, else what uproot brings."""
    try:
        from isal import isal_zlib

        # no more than a chunk may hold: a damaged one could claim any amount of memory
        return lambda packed, n_bytes: isal_zlib.decompressobj().decompress(packed, n_bytes + 1)
    except ImportError:
        import cramjam

        def unpack(packed: bytes, n_bytes: int) -> Any:
            out = np.empty(n_bytes, dtype=np.uint8)
            return out[: cramjam.zlib.decompress_into(packed, out.data)]

        return unpack


def _unpacked(packed: bytes, n_bytes: int, first: int) -> NDArray[np.uint8]:
    try:
        data = np.frombuffer(_library()(packed, n_bytes), dtype=np.uint8)
    except Exception as error:  # every library has its own
        raise ValueError(f"the chunk from row {first} on cannot be unpacked: {error}") from error
    if len(data) != n_bytes:
        raise ValueError(f"the chunk from row {first} on holds {len(data)} bytes, not {n_bytes}")
    return data
