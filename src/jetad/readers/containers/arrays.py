"""Columns with one row per jet or event, read piece by piece: HDF5, ``.npy``, ``.npz``, Parquet, trees."""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, MissingPackageError
from ...files.unpacking import check_unpacked
from ..base import nearest, reading, split_path
from .hdf5 import Frame, check_dataset, check_frame, find_frames, open_hdf5
from .root import NUMBERS, Tree, choose_tree, element_type, find_trees, flatten, n_entries, open_root

__all__ = ["Source", "open_arrays", "open_source", "parquet_sizes", "tree_names"]

_MAX_NPY_HEADER = 1 << 16


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
            yield _RootSource(handle, path, where, needed)
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
    names = [t.name for t in trees if not _bookkeeping(t)] or [t.name for t in trees]
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
            arrays = {name[: -len(".npy")]: _Member(archive, name) for name in names}
        stack.pop_all()
    try:
        yield arrays
    finally:
        if not is_npy:
            archive.close()


class _Member:
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


# --- Parquet ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_parquet(file: Path) -> Iterator[Any]:
    """A Parquet file that is open inside the ``with`` block.

    Arguments:
        file: Path of the file.

    Raises:
        MissingPackageError: if pyarrow is not installed.
        InputError: if the file is broken.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError(f"{file}: Parquet needs pyarrow: pip install 'jetad[parquet]'") from error
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


# --- ROOT ------------------------------------------------------------------------------------------


# members of a Lorentz vector as ROOT keeps them
_LORENTZ = {"TLorentzVector": ("fP.fX", "fP.fY", "fP.fZ", "fE")}
_OBJECTS = re.compile(r"(?:std::)?vector<(\w+)>|(\w+)(\[\])?")


class _RootSource:
    """Branches of a tree, and the members of its Lorentz vectors (``jetp4.fE``).

    Of several trees it is the one of the usual name, or the only one that has the needed columns, or the
    only one that holds numbers at all.
    """

    def __init__(self, handle: Any, path: str | Path, wanted: str | None, needed: Iterable[str] = ()) -> None:
        trees = find_trees(handle, path, only=None if split_path(path)[1] else wanted)
        if not trees:
            names = nearest(wanted or "tree", [t.name for t in find_trees(handle, path)])
            raise InputError(
                f"{path}: no tree '{wanted}'; there are: {names}" if wanted else f"{path}: no tree"
            )
        needed = {name for name in needed if "#" not in name}
        holding = [t for t in trees if needed <= set(_members(t))] if needed else []
        holding = holding or [t for t in trees if not _bookkeeping(t)]
        tree = choose_tree(holding or trees, path, usual="Events")
        assert tree is not None
        self.tree: Tree = tree
        self.path, self.name, self.kind = path, tree.name, tree.kind
        self._parts = _members(tree)

    def columns(self) -> dict[str, str]:
        with reading(self.path):
            found = {}
            for name, (branch, member) in self._parts.items():
                typename = self.tree.typename(branch)
                element = element_type(typename)
                if member:
                    found[name] = "double[]" if _is_list(typename) else "double"
                else:
                    found[name] = f"{element}[]" if element else typename
            return found

    def n_rows(self, names: list[str]) -> int:
        for name in names:
            if name not in self._parts:
                raise InputError(
                    f"{self.path}: tree '{self.name}' has no branch '{name}'; "
                    f"closest: {nearest(name, self._parts)}"
                )
        return n_entries(self.tree, {self._parts[name][0] for name in names}, self.path)

    def read(self, names: list[str], start: int, stop: int) -> dict[str, Any]:
        branches = list(dict.fromkeys(self._parts[name][0] for name in names))
        arrays = self.tree.arrays(branches, start, stop, self.path)
        found = {}
        for name in names:
            branch, member = self._parts[name]
            found[name] = arrays[branch]
            for part in member.split(".") if member else ():
                found[name] = found[name][part]
        return found


def _is_list(typename: str) -> bool:
    return "vector<" in typename or typename.endswith("[]")


def _members(tree: Tree) -> dict[str, tuple[str, str]]:
    """Column -> branch, and the member of it ("" for the branch itself)."""
    found = {name: (name, "") for name in tree.branches}
    for name in tree.branches:
        if tree.kind == "ROOT TTree" and tree.branch(name).branches:
            continue  # it is split: its members are branches
        match = _OBJECTS.fullmatch(tree.typename(name))
        for member in _LORENTZ.get((match[1] or match[2]) if match else "", ()):
            found[f"{name}.{member}"] = (name, member)
    return found


def _bookkeeping(tree: Tree) -> bool:
    """Whether a tree holds no jets for sure: what describes the file, its runs or blocks of luminosity."""
    last = tree.name.rpartition("/")[2].lower()
    return bool(re.search(r"meta|^runs?$|lumi|parameter|^file|config|bookkeep|cutflow|version", last))


def is_number(kind: str) -> bool:
    """Whether a type of ``columns()`` is a number or boolean, of any shape."""
    element = re.sub(r"\[.*", "", kind)
    return (
        element in NUMBERS
        or re.fullmatch(r"[<>|=]?(float|int|uint|double|bool|f|i|u|halffloat)\d*", element) is not None
    )


__all__ += ["ArraySource", "ParquetSource", "flatten", "is_number", "open_parquet"]
