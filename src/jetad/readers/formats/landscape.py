"""Top-landscape HDF5: a pandas table of zero-padded (E, px, py, pz) columns, one jet per row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...jets import Jets
from ..base import BaseReader, FileSummary, build_jets, nearest, reading, require_container
from ..containers.hdf5 import Block, Frame, check_frame, choose_frame, find_frames, open_hdf5

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


class LandscapeReader(BaseReader):
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
    container = "hdf5"
    options: ClassVar[Mapping[str, Any]] = {"external": False}

    def matches(self, path: str | Path) -> bool:
        require_container(path, self.container, self.name)
        with open_hdf5(path, self.settings["external"]) as handle:
            return any(_is_landscape(frame) for frame in find_frames(handle, path))

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

    def count(self, path: str | Path) -> int:
        require_container(path, self.container, self.name)
        with open_hdf5(path, self.settings["external"]) as handle:
            return self._frame(handle, path)[0].n_rows

    def describe(self, path: str | Path) -> FileSummary:
        require_container(path, self.container, self.name)
        with open_hdf5(path, self.settings["external"]) as handle:
            frame, columns = self._frame(handle, path)
        warnings = () if columns.label else ("no column is_signal_new or is_signal: jets have no truth",)
        return FileSummary(
            path=Path(path),
            reader=self.name,
            container=f"HDF5 (pandas {frame.layout})",
            dataset=frame.key,
            n_jets=frame.n_rows,
            columns={name: str(block.dtype) for name, (block, _) in _named(frame).items()},
            n_slots=columns.n_slots,
            truth=(columns.label,) if columns.label else (),
            observables=tuple(n for n in columns.others if n != columns.label),
            warnings=warnings,
        )

    def iterate(self, path: str | Path, *, step: int, start: int = 0) -> Iterator[Jets]:
        require_container(path, self.container, self.name)
        with open_hdf5(path, self.settings["external"]) as handle:
            frame, columns = self._frame(handle, path)
            n_rows = frame.rows_at_once(_BLOCK_BYTES)
            for block in range(start // n_rows, -(-frame.n_rows // n_rows)):
                first, stop = max(start, block * n_rows), min((block + 1) * n_rows, frame.n_rows)
                # no name for the rows or the jets here: they would stay in memory during the next turn
                yield _jets(frame.rows(handle, first, stop), columns, first, path)

    def _frame(self, handle: Any, path: str | Path) -> tuple[Frame, _Columns]:
        frames = find_frames(handle, path)
        with reading(path):
            frame = choose_frame([f for f in frames if _is_landscape(f)], path)
            if frame is None:
                raise InputError(f"{path}: {self.lacks(path)}")
            check_frame(handle, frame)
            return frame, _locate(frame)


def _named(frame: Frame) -> dict[str, Place]:
    """Columns by name; the published names for a frame of that size without any."""
    if frame.columns:
        return frame.columns
    places = [(block, i) for block in frame.blocks for i in range(block.width)]
    return dict(zip(_PUBLISHED, places, strict=True)) if len(places) == len(_PUBLISHED) else {}


def _is_landscape(frame: Frame) -> bool:
    found = {match[1].upper() for match in map(_COLUMN.fullmatch, _named(frame)) if match}
    return found == set(_COMPONENTS)


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


def _jets(blocks: dict[str, NDArray[Any]], columns: _Columns, first_row: int, path: str | Path) -> Jets:
    with reading(path):
        return _convert(blocks, columns, first_row)


def _convert(blocks: dict[str, NDArray[Any]], columns: _Columns, first_row: int) -> Jets:
    components = [_gather(blocks, places) for places in columns.components]
    energy, px, py, pz = components
    filled = (energy != 0) | (px != 0) | (py != 0) | (pz != 0)
    labels = None
    if columns.label:
        truth = _column(blocks, columns.others[columns.label])
        labels = np.select([truth == 1, truth == 0], [1, 0], default=-1).astype(np.int8)
    take = _picker(filled, by_column=energy.strides[0] < energy.strides[1])
    return build_jets(
        (take(energy), take(px), take(py), take(pz)),
        np.concatenate([[0], np.cumsum(filled.sum(axis=1))]),
        first_entry=first_row,
        labels=labels,
        observables={n: _column(blocks, p) for n, p in columns.others.items() if n != columns.label},
    )


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
