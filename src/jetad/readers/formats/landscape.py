"""Top-landscape HDF5: a pandas table of zero-padded (E, px, py, pz) columns, one jet per row."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...jets import Jets
from ..base import build_jets, labels_of
from ..containers.hdf5 import open_hdf5
from ..containers.pandasframes import Block, Frame, find_frames
from ..paths import nearest, reading
from ..rows import FrameReader, OpenFrame

__all__ = ["LandscapeReader"]

_COMPONENTS = ("E", "PX", "PY", "PZ")
_COLUMN = re.compile(r"(E|PX|PY|PZ)_(\d{1,6})", re.IGNORECASE)
_TRUTH = ("is_signal_new", "is_signal")

# the published order: 200 x (E, PX, PY, PZ), the parton, the sample it is meant for, the label
_PUBLISHED = (
    *(f"{c}_{i}" for i in range(200) for c in _COMPONENTS),
    *("truthE", "truthPX", "truthPY", "truthPZ", "ttv", "is_signal_new"),
)

# bytes of rows fetched at once: about 1000 rows of 806 columns, which stay near the cache
_BLOCK_BYTES = 7 << 19

Place = tuple[Block, int]  # a column: its block and its position inside


@dataclass(frozen=True)
class _Columns:
    """Where the columns of one frame are."""

    components: tuple[list[Place], ...]  # E, PX, PY, PZ, one place a slot
    label: str | None
    others: dict[str, Place]

    @property
    def n_slots(self) -> int:
        return len(self.components[0])


class LandscapeReader(FrameReader[_Columns]):
    """Reader of the top-tagging reference data set and files laid out like it.

    A pandas frame (*table* or *fixed* layout, any key) with columns ``E_i, PX_i, PY_i, PZ_i`` [GeV] for
    i = 0, 1, ...; slots whose four numbers are zero are padding. Labels come from ``is_signal_new`` or
    ``is_signal`` (0 background, 1 signal, others unknown); further numeric columns become observables.
    Column names are read out of the pickled attributes without unpickling; a frame of 806 columns
    without names is taken to be in the published order.

    References:
        Kasieczka et al., "The Machine Learning landscape of top taggers", 2019, arXiv:1902.09914
    """

    name = "landscape"
    summary = "top-landscape HDF5: pandas table or fixed frame with E_i, PX_i, PY_i, PZ_i, is_signal_new"
    seeks = True

    def recognises(self, frame: Frame) -> bool:
        found = {match[1].upper() for match in map(_COLUMN.fullmatch, _named(frame)) if match}
        return found == set(_COMPONENTS)

    def plan(self, frame: Frame) -> _Columns:
        return _locate(frame)

    def lacks(self, path: str | Path) -> str:
        with open_hdf5(path, self.settings["external"]) as handle, reading(path):
            frames = find_frames(handle, path)
            if frames:
                found = [f"'{f.key}' with {nearest('E_0', f.columns, 4)}" for f in frames[:4]]
                return f"no pandas table has columns E_0, PX_0, PY_0, PZ_0; there are {'; '.join(found)}"
            names: list[str] = []
            handle.visit(names.append)
            found = [nearest("table", names)]
            return f"no pandas table with columns E_0, PX_0, PY_0, PZ_0; the file holds {found[0]}"

    def contents(self, table: OpenFrame[_Columns], path: str | Path) -> dict[str, Any]:
        columns = table.plan
        return {
            **super().contents(table, path),
            "columns": {name: str(block.dtype) for name, (block, _) in _named(table.frame).items()},
            "n_slots": columns.n_slots,
            "truth": (columns.label,) if columns.label else (),
            "observables": tuple(n for n in columns.others if n != columns.label),
            "warnings": ()
            if columns.label
            else ("no column is_signal_new or is_signal: jets have no truth",),
        }

    def rows_at_once(self, table: OpenFrame[_Columns], step: int) -> int:
        return table.frame.rows_at_once(_BLOCK_BYTES)

    def convert(self, blocks: dict[str, NDArray[Any]], table: OpenFrame[_Columns], first: int) -> Jets:
        columns = table.plan
        energy, px, py, pz = (_gather(blocks, places) for places in columns.components)
        filled = (energy != 0) | (px != 0) | (py != 0) | (pz != 0)
        take = _picker(filled, by_column=energy.strides[0] < energy.strides[1])
        label = columns.label
        return build_jets(
            (take(energy), take(px), take(py), take(pz)),
            np.concatenate([[0], np.cumsum(filled.sum(axis=1))]),
            first_entry=first,
            labels=None if label is None else _truth(_column(blocks, columns.others[label])),
            observables={n: _column(blocks, p) for n, p in columns.others.items() if n != label},
        )


def _named(frame: Frame) -> dict[str, Place]:
    """Columns by name; the published names for a frame of that size without any."""
    if frame.columns:
        return frame.columns
    places = [(block, i) for block in frame.blocks for i in range(block.width)]
    return dict(zip(_PUBLISHED, places, strict=True)) if len(places) == len(_PUBLISHED) else {}


def _locate(frame: Frame) -> _Columns:
    """Find the columns of each slot.

    Raises:
        InputError: if a slot lacks one of its four columns, or a column does not hold numbers.
    """
    slots: dict[str, dict[int, Place]] = {c: {} for c in _COMPONENTS}
    others: dict[str, Place] = {}
    for name, place in _named(frame).items():
        match = _COLUMN.fullmatch(name)
        if match:
            slots[match[1].upper()][int(match[2])] = place
        elif place[0].dtype.kind in "fiub":
            others[name] = place
        if match and place[0].dtype.kind not in "fiu":
            raise InputError(
                f"{frame.path}: column '{name}' of '{frame.key}' is {place[0].dtype}, not a number"
            )
    numbers = sorted(set().union(*slots.values()))
    for component in _COMPONENTS:
        for i in numbers:
            if i not in slots[component]:
                raise InputError(
                    f"{frame.path}: '{frame.key}' has constituent {i}, but no column {component}_{i}"
                )
    label = next((name for name in _TRUTH if name in others), None)
    return _Columns(tuple([slots[c][i] for i in numbers] for c in _COMPONENTS), label, others)


def _truth(values: NDArray[Any]) -> NDArray[np.int8]:
    return labels_of(values == 1, values == 0)


def _column(blocks: dict[str, NDArray[Any]], place: Place) -> NDArray[Any]:
    return blocks[place[0].key][:, place[1]]


def _gather(blocks: dict[str, NDArray[Any]], places: list[Place]) -> NDArray[Any]:
    """One component of all slots, ``(n_rows, n_slots)``: a view where the columns are evenly spaced."""
    keys = [block.key for block, _ in places]
    index = np.array([i for _, i in places])
    if all(key == keys[0] for key in keys):
        steps = set(np.diff(index).tolist())
        if len(steps) <= 1 and (not steps or min(steps) > 0):
            return blocks[keys[0]][:, index[0] : index[-1] + 1 : (steps.pop() if steps else 1)]
        return blocks[keys[0]][:, index]
    return np.stack([_column(blocks, place) for place in places], axis=1)


def _picker(filled: NDArray[np.bool_], *, by_column: bool) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """A function that gives the values of filled slots, ``(n_rows, n_slots)``, row by row.

    ``by_column`` if the rows of a column lie together in memory.
    """
    n_rows, n_slots = filled.shape
    places = np.flatnonzero(filled)
    if not by_column:
        return lambda values: values.ravel().take(places)
    row, slot = np.divmod(places, n_slots)
    places = slot * n_rows + row
    return lambda values: values.T.ravel().take(places)
