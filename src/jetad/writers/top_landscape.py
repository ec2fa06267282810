"""The layout of the top-tagging reference set (1902.09914): a pandas table in HDF5, by h5py alone."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..jets import Jets
from ..jets.kinematics import cartesian

__all__ = ["COLUMNS", "N_CONSTITUENTS", "write"]

N_CONSTITUENTS = 200
_MOMENTA = [f"{name}_{i}" for i in range(N_CONSTITUENTS) for name in ("E", "PX", "PY", "PZ")]
_TRUTH = ["truthE", "truthPX", "truthPY", "truthPZ"]
_INTEGERS = ["ttv", "is_signal_new"]
COLUMNS = [*_MOMENTA, *_TRUTH, *_INTEGERS]

_ROW = np.dtype(
    [
        ("index", "<i8"),
        ("values_block_0", "<f4", (len(_MOMENTA) + len(_TRUTH),)),
        ("values_block_1", "<i8", (len(_INTEGERS),)),
    ]
)
_ROWS_PER_CHUNK = 256


def write(jets: Jets, path: Path, metadata: dict[str, str]) -> None:
    """Write jets so that ``pandas.read_hdf(path, "table")`` and plain h5py read them.

    Constituents beyond the 200 hardest are dropped and counted in the attribute ``dropped_constituents``;
    unknown truth is ``is_signal_new`` -1, unknown parton momenta and ``ttv`` are 0.
    """
    dropped = int(np.maximum(jets.n_constituents - N_CONSTITUENTS, 0).sum())
    with h5py.File(path, "w", libver="earliest") as file:
        _set(file, CLASS="GROUP", PYTABLES_FORMAT_VERSION="2.1", TITLE="", VERSION="1.0")
        for name, value in metadata.items():
            file.attrs[name] = value
        file.attrs["dropped_constituents"] = str(dropped)
        group = file.create_group("table")
        _set(group, **_group_attributes())
        table = group.create_dataset(
            "table",
            shape=(len(jets),),
            maxshape=(None,),
            dtype=_ROW,
            chunks=(_ROWS_PER_CHUNK,),
            compression="gzip",  # zlib: blosc, PyTables' favourite, needs a plugin in plain h5py
            compression_opts=6,
            shuffle=True,
            track_times=False,  # the same jets give the same bytes
        )
        _set(table, **_table_attributes(len(jets)))
        for start in range(0, len(jets), _ROWS_PER_CHUNK):
            stop = min(start + _ROWS_PER_CHUNK, len(jets))
            table[start:stop] = _rows(jets[start:stop], start)


def _rows(jets: Jets, start: int) -> np.ndarray:
    padded, mask = jets.padded(N_CONSTITUENTS)
    momenta = np.stack(cartesian(*np.moveaxis(padded, 2, 0)), axis=2)  # (n, 200, 4): E, px, py, pz
    rows = np.zeros(len(jets), dtype=_ROW)
    rows["index"] = np.arange(start, start + len(jets))
    floats = rows["values_block_0"]
    floats[:, : len(_MOMENTA)] = np.where(mask[:, :, None], momenta, 0).reshape(len(jets), len(_MOMENTA))
    for k, name in enumerate(_TRUTH):
        if name in jets.observables:
            floats[:, len(_MOMENTA) + k] = jets.observables[name]
    integers = rows["values_block_1"]
    if "ttv" in jets.observables:
        integers[:, 0] = jets.observables["ttv"]
    integers[:, 1] = -1 if jets.labels is None else jets.labels
    return rows


# --- what pandas and PyTables look for ----------------------------------------------------------------------
# Attributes as PyTables 3.11 writes them for a pandas 3 DataFrame; lists are pickled with protocol 0.


def _set(node: Any, **attributes: Any) -> None:
    for name, value in attributes.items():
        if value == "":
            node.attrs[name] = h5py.Empty("S1")
        elif isinstance(value, str):
            # fixed-length UTF-8, which PyTables gives back as str (ASCII as bytes, which pandas refuses)
            node.attrs.create(name, value.encode(), dtype=h5py.string_dtype("utf-8", len(value.encode())))
        else:
            node.attrs[name] = value


def _pickled(value: Any) -> np.bytes_:
    return np.bytes_(pickle.dumps(value, protocol=0))


def _group_attributes() -> dict[str, Any]:
    return {
        "CLASS": "GROUP",
        "TITLE": "",
        "VERSION": "1.0",
        "pandas_type": "frame_table",
        "table_type": "appendable_frame",
        "encoding": "UTF-8",
        "errors": "strict",
        "levels": np.int64(1),
        "nan_rep": np.bytes_(b"nan"),
        "data_columns": _pickled([]),
        "index_cols": _pickled([(0, "index")]),
        "values_cols": _pickled(["values_block_0", "values_block_1"]),
        "non_index_axes": _pickled([(1, COLUMNS)]),
        "info": _pickled({1: {"names": [None], "type": "Index"}, "index": {}}),
    }


def _table_attributes(n_rows: int) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for k, name in enumerate(_ROW.names or ()):
        fields[f"FIELD_{k}_NAME"] = name
        fields[f"FIELD_{k}_FILL"] = np.zeros((), dtype=_ROW[name].base)[()]
    return {
        "CLASS": "TABLE",
        "TITLE": "",
        "VERSION": "2.7",
        "NROWS": np.int64(n_rows),
        **fields,
        "index_kind": "integer",
        "values_block_0_dtype": "float32",
        "values_block_0_kind": _pickled([*_MOMENTA, *_TRUTH]),
        "values_block_0_meta": _pickled(None),
        "values_block_1_dtype": "int64",
        "values_block_1_kind": _pickled(_INTEGERS),
        "values_block_1_meta": _pickled(None),
    }
