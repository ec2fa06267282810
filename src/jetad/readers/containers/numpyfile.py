"""Arrays of NumPy files, read row by row."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...files.unpacking import check_unpacked
from ..paths import reading, split_path

__all__ = ["open_arrays"]


_MAX_NPY_HEADER = 1 << 16


@contextlib.contextmanager
def open_arrays(path: str | Path) -> Iterator[dict[str, Any]]:
    """The arrays of a ``.npy`` (called ``data``) or ``.npz``, read by rows; nothing is unpickled.

    Raises:
        InputError: for a broken file, and for arrays of Python objects.
    """
    file, _ = split_path(path)
    with contextlib.ExitStack() as stack, reading(path):
        with open(file, "rb") as stream:
            is_npy = stream.read(6) == b"\x93NUMPY"
        if is_npy:
            try:
                array = np.load(file, mmap_mode="r", allow_pickle=False)
            except ValueError as error:
                if "Python objects" not in str(error):
                    raise
                raise InputError(
                    f"{path}: holds pickled Python objects, which are not loaded; save it as numbers"
                ) from error
            arrays: dict[str, Any] = {"data": array}
        else:
            archive = stack.enter_context(zipfile.ZipFile(file))
            names = [n for n in archive.namelist() if n.endswith(".npy")]
            if not names:
                raise InputError(f"{path}: is a zip archive without arrays, not an .npz file")
            arrays = {name[: -len(".npy")]: _ArchiveMember(archive, name) for name in names}
        stack.pop_all()
    try:
        yield arrays
    finally:
        if not is_npy:
            archive.close()


class _ArchiveMember:
    """An array inside an ``.npz``, unpacked along its rows as they are asked for."""

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self._archive, self._name = archive, name
        self._stream: Any = None
        self._row = 0
        stream = self._open()
        self.row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=object))
        promised = self.row_bytes * int(self.shape[0] if self.shape else 1)
        stored = archive.getinfo(name).file_size - self._header
        stream.close()
        file, packed = str(archive.filename), archive.getinfo(name).compress_size
        check_unpacked(file, None, self.row_bytes, what=f"a row of '{name}'", at_once=True)
        check_unpacked(file, packed, stored, what=f"'{name}'")
        if promised != stored:
            raise InputError(
                f"'{name}' promises {promised} bytes, but {stored} are stored; the file is broken"
            )

    def _open(self) -> Any:
        from numpy.lib import format as npy

        stream = self._archive.open(self._name)
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        self.shape, fortran, self.dtype = read(stream, max_header_size=_MAX_NPY_HEADER)
        self._header = stream.tell()
        if self.dtype.hasobject or (fortran and len(self.shape) > 1):
            what = "Python objects" if self.dtype.hasobject else "columns in Fortran order"
            stream.close()
            raise InputError(f"'{self._name}' holds {what}, which cannot be read row by row")
        return stream

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(self.shape[0])
        if self._stream is None or start < self._row:
            self._stream, self._row = self._open(), 0
        self._skip((start - self._row) * self.row_bytes)
        data = self._stream.read((stop - start) * self.row_bytes)
        self._row = stop
        return np.frombuffer(data, dtype=self.dtype).reshape(-1, *self.shape[1:])

    def _skip(self, n_bytes: int) -> None:
        while n_bytes > 0:
            n_bytes -= len(self._stream.read(min(n_bytes, 1 << 20))) or n_bytes
