"""Read a score file of any format back into one table."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, JetadError
from ..files import require_plain
from ..files.unpacking import check_unpacked
from ..registry import closest_first
from .columns import COLUMNS, PREFIX
from .table import Scores
from .writing import _pyarrow

__all__ = ["load_scores"]

_log = logging.getLogger(__name__)

Loaded = tuple[dict[str, NDArray[Any]], dict[str, str | int | float]]

_HINT = "is this a score file? 'jetad score' makes one"


def load_scores(path: str | Path) -> Scores:
    """Read ``.h5``, ``.root``, ``.csv`` or ``.parquet``, recognized by content; only ``score`` must be there.

    Scores of other tools can be read too: missing columns take the defaults of :class:`Scores`, further
    numeric columns become ``extra``.

    Raises:
        InputError: if the file is missing, broken, or has no scores.
        MissingPackageError: for Parquet without pyarrow.
    """
    path = Path(path)
    try:
        columns, metadata = _reader(path)(path)
    except JetadError:
        raise
    except Exception as error:  # a broken file raises about anything, in three libraries
        raise InputError(f"{path}: cannot be read, {_first_line(error)}") from error
    if "score" not in columns:
        known = [name[:60] for name in closest_first("score", columns)[:6]]
        raise InputError(f"{path}: no column 'score' (found: {', '.join(known) or 'nothing'}); {_HINT}")
    lengths = {name: len(values) for name, values in columns.items()}
    n = lengths["score"]
    for name, length in lengths.items():
        if length != n:
            raise InputError(f"{path}: column '{name}' has {length} rows, but 'score' has {n}")
    standard = {name: columns.pop(name) for name in COLUMNS if name in columns}
    try:
        return Scores(**standard, extra=columns, metadata=metadata)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _reader(path: Path) -> Callable[[Path], Loaded]:
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        raise InputError(f"{path}: is a folder, a score file is needed")
    require_plain(path)
    with path.open("rb") as file:
        head = file.read(8)
    if not head:
        raise InputError(f"{path}: the file is empty")
    if head == b"\x89HDF\r\n\x1a\n":
        return _read_hdf5
    if head[:4] == b"root":
        return _read_root
    if head[:4] == b"PAR1":
        return _read_parquet
    if path.suffix.lower() in (".csv", ".txt"):
        return _read_csv
    raise InputError(f"{path}: neither HDF5, ROOT, Parquet nor .csv (first bytes are {head[:4]!r})")


def _read_hdf5(path: Path) -> Loaded:
    import h5py

    from ..readers.containers.hdf5 import check_dataset, refuse_external

    with h5py.File(path, "r") as file:
        refuse_external(file, path)
        found = {}
        for name, item in file.items():
            if isinstance(item, h5py.Dataset) and item.ndim == 1 and item.dtype.kind in "biuf":
                check_dataset(path, item)
                found[name] = item
            else:
                _log.debug("%s: '%s' is not a column of numbers and is left out", path, name)
        packed = sum(item.id.get_storage_size() for item in found.values())
        check_unpacked(path, packed, sum(item.nbytes for item in found.values()), at_once=True)
        columns = {name: item[()] for name, item in found.items()}
        metadata = {key: _plain(value) for key, value in file.attrs.items()}
    return columns, metadata


def _read_root(path: Path) -> Loaded:
    import uproot

    with uproot.open(path) as file:
        if "jetad" not in file:
            found = ", ".join(file.keys(cycle=False)[:6]) or "nothing"
            raise InputError(f"{path}: no tree 'jetad' (found: {found}); {_HINT}")
        tree = file["jetad"]
        # an RNTuple does not say how large it is
        if hasattr(tree, "compressed_bytes"):
            check_unpacked(path, tree.compressed_bytes, tree.uncompressed_bytes, at_once=True)
        columns = _rows_of_events(tree)
        for name in [] if columns else tree.keys(recursive=False):
            values = tree[name].array(library="np")
            if values.ndim == 1 and values.dtype.kind in "biuf":
                columns[name] = values.astype(values.dtype.newbyteorder("="))
            else:
                _log.debug("%s: branch '%s' is not a column of numbers and is left out", path, name)
        text = str(file["jetad_provenance"]) if "jetad_provenance" in file else "{}"
    return columns, json.loads(text)


def _rows_of_events(tree: Any) -> dict[str, NDArray[Any]]:
    """One row per jet of a tree that has lists per event; nothing if it has none."""
    names = [name for name in tree.keys(recursive=False) if name.startswith(PREFIX)]
    if f"{PREFIX}score" not in names or "score" in tree:
        return {}
    import awkward as ak

    arrays = tree.arrays(["entry", *names], library="ak")
    counts = ak.num(arrays[f"{PREFIX}score"]).to_numpy()
    columns = {name.removeprefix(PREFIX): ak.flatten(arrays[name]).to_numpy() for name in names}
    return {"entry": np.repeat(arrays["entry"].to_numpy(), counts), **columns}


def _read_csv(path: Path) -> Loaded:
    with path.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file), [])
        names = [name.strip() for name in header]
        if "score" not in names:
            return {name: np.zeros(0) for name in names}, {}
        # text first for unknown columns: event numbers above 2^53 do not survive a float
        types = [(f"c{i}", COLUMNS.get(name, np.dtype("U40"))) for i, name in enumerate(names)]
        has_rows = bool(file.readline().strip())
        file.seek(0)
        table = (
            np.loadtxt(file, delimiter=",", dtype=np.dtype(types), skiprows=1, ndmin=1, comments=None)
            if has_rows
            else np.zeros(0, dtype=np.dtype(types))
        )
    columns = {name: table[f"c{i}"] for i, name in enumerate(names)}
    return {n: _numbers(v) for n, v in columns.items() if n in COLUMNS or _is_numeric(v)}, {}


def _is_numeric(values: NDArray[Any]) -> bool:
    try:
        values.astype(np.float64)
    except ValueError:
        return False
    return True


def _numbers(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind != "U":
        return np.ascontiguousarray(values)
    try:
        return values.astype(np.int64)
    except (ValueError, OverflowError):
        return values.astype(np.float64)


def _read_parquet(path: Path) -> Loaded:
    from ..readers.containers.parquet import parquet_sizes

    _, parquet = _pyarrow()
    # pyarrow opens no file whose name is no UTF-8
    with path.open("rb") as stream, parquet.ParquetFile(stream) as file:
        sizes = parquet_sizes(file.metadata, file.schema_arrow.names)
        check_unpacked(path, *sizes, at_once=True)
        table = file.read()
        # not table.schema.metadata: what is added when a file is closed is not repeated there
        text = (file.metadata.metadata or {}).get(b"jetad_provenance", b"{}")
    columns = {name: table[name].to_numpy() for name in table.column_names}
    return {name: v for name, v in columns.items() if v.dtype.kind in "biuf"}, json.loads(text)


def _plain(value: Any) -> str | int | float:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.generic):
        result: str | int | float = value.item()
        return result
    return value if isinstance(value, (str, int, float)) else str(value)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
