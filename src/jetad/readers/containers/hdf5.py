"""HDF5 without surprises: opening, filters, and pandas frames read without pandas and without unpickling."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError, MissingPackageError
from ...files.unpacking import check_unpacked
from ..paths import reading, split_path
from .remote import open_remote, remote_url

if TYPE_CHECKING:
    import h5py

__all__ = ["check_dataset", "open_hdf5", "refuse_external"]

# HDF5 filters that the package hdf5plugin brings: blosc, lz4, bitshuffle, zstd, blosc2, bzip2, ...
_PLUGIN_FILTERS = {
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32015: "zstd",
    32026: "blosc2",
    307: "bzip2",
}


@contextlib.contextmanager
def open_hdf5(path: str | Path, external: bool = False) -> Iterator[h5py.File]:
    """The file, open for reading and not locked (locks fail on many network file systems).

    Arguments:
        path: The file.
        external: Whether parts of it may lie in other files.

    Raises:
        InputError: if it cannot be opened, or parts of it lie in other files and must not.
    """
    import h5py

    file, _ = split_path(path)
    with contextlib.ExitStack() as stack:
        with reading(file):
            if remote_url(path) is None:
                handle = h5py.File(file, "r", locking=False)
            else:
                handle = h5py.File(stack.enter_context(open_remote(path, in_blocks=True)), "r")
            stack.enter_context(handle)
            if not external:
                refuse_external(handle, path)
        yield handle


def refuse_external(handle: h5py.File, path: str | Path) -> None:
    """Refuse a file that takes data from other files: links, raw storage, virtual datasets.

    Nothing is followed: what they name may be a secret, or a pipe that hangs.

    Raises:
        InputError: naming the dataset and the other file.
    """
    import h5py

    # no visit of HDF5: what a server says would get lost in its callback
    groups, seen = [(handle.id, b"")], {h5py.h5o.get_info(handle.id).addr}
    while groups:
        group, above = groups.pop()
        for name in group:
            info = group.links.get_info(name)
            other = None
            if info.type == h5py.h5l.TYPE_EXTERNAL:
                other = _text(group.links.get_val(name)[0])
            elif info.type not in (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT):
                other = "something unknown"
            elif info.type == h5py.h5l.TYPE_HARD:
                found = h5py.h5o.open(group, name)
                address = h5py.h5o.get_info(found).addr
                if isinstance(found, h5py.h5g.GroupID) and address not in seen:
                    groups.append((found, above + name + b"/"))
                elif isinstance(found, h5py.h5d.DatasetID):
                    other = _source(found.get_create_plist())
                seen.add(address)
            if other is not None:
                raise InputError(
                    f"{path}: '{_text(above + name)}' lies in another file ({other}), which is not read; "
                    "copy it into this one (h5repack, or h5copy -f ext), or allow it with --reader-option "
                    "external=true"
                )


def _source(properties: Any) -> str | None:
    """The first other file that a dataset with these properties takes its numbers from."""
    import h5py

    others = [properties.get_external(i)[0] for i in range(properties.get_external_count())]
    if properties.get_layout() == h5py.h5d.VIRTUAL:
        sources = range(properties.get_virtual_count())
        others += [name for name in map(properties.get_virtual_filename, sources) if name not in (".", b".")]
    return _text(others[0]) if others else None


def _text(name: str | bytes) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name


# --- the two layouts -----------------------------------------------------------------------------


def check_dataset(path: str | Path, dataset: h5py.Dataset) -> None:
    """Its rows are all stored and its filters known.

    A damaged header may promise any number of rows, and HDF5 would invent zeros for those not stored.
    """
    if dataset.is_virtual:
        raise InputError(
            f"{path}: '{dataset.name}' is a virtual dataset, and HDF5 invents its rows where a source is "
            "missing; write it as a plain one"
        )
    n_rows = dataset.shape[0]
    row_bytes = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:], dtype=np.int64))
    if dataset.chunks:
        chunk_bytes = dataset.dtype.itemsize * int(np.prod(dataset.chunks, dtype=object))
        # a chunk is decompressed whole; HDF5 writers make them kilobytes to a few megabytes
        check_unpacked(path, None, chunk_bytes, what=f"a chunk of '{dataset.name}'", at_once=True)
        per_row = int(
            np.prod([-(-n // c) for n, c in zip(dataset.shape[1:], dataset.chunks[1:], strict=True)])
        )
        stored = dataset.id.get_num_chunks() // max(per_row, 1) * dataset.chunks[0]
    else:
        stored = dataset.id.get_storage_size() // max(row_bytes, 1)
    packed = dataset.id.get_storage_size()
    check_unpacked(path, None, row_bytes, what=f"a row of '{dataset.name}'", at_once=True)
    check_unpacked(path, packed, n_rows * row_bytes, what=f"'{dataset.name}'")
    if stored < n_rows:
        raise InputError(
            f"{path}: '{dataset.name}' claims {n_rows} rows, but only {stored} are stored; "
            "the file was not written to the end or is broken"
        )
    _check_filters(path, dataset)


def _check_filters(path: str | Path, dataset: h5py.Dataset) -> None:
    import h5py

    properties = dataset.id.get_create_plist()
    for i in range(properties.get_nfilters()):
        code, name = properties.get_filter(i)[0], properties.get_filter(i)[3]
        if h5py.h5z.filter_avail(code):
            continue
        with contextlib.suppress(ImportError):
            importlib.import_module("hdf5plugin")  # registers its filters
            if h5py.h5z.filter_avail(code):
                continue
        what = _PLUGIN_FILTERS.get(code) or f"{name.decode(errors='replace')} (filter {code})"
        if code in _PLUGIN_FILTERS:
            raise MissingPackageError(
                f"{path}: '{dataset.name}' is compressed with {what}, "
                "which needs a plugin: pip install 'jetad[hdf5]'"
            )
        raise InputError(
            f"{path}: '{dataset.name}' is compressed with {what}, which cannot be read here; "
            "rewrite it with gzip (ptrepack --complib=zlib --complevel=5 in.h5:/ out.h5:/)"
        )
