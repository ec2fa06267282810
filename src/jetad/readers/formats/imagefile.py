"""Ready-made jet images: HDF5 or NumPy arrays, and the flattened ``img_0, img_1, ...`` table."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError, InputError
from ...jets import Jets
from ..base import build_columns, column_name, labels_of
from ..containers.arrays import ArraySource, open_source
from ..containers.numpyfile import open_arrays
from ..containers.pandasframes import Frame
from ..paths import require_container
from ..rows import FrameReader, OpenFrame, RowReader

__all__ = ["ImageTableReader", "ImagesReader", "NumpyImagesReader"]

_LABELS = ("is_signal_new", "is_signal", "signal", "labels", "label", "truth", "target", "y")
_USUAL = ("images", "image", "jet_images", "jetimages", "x", "data")
_MIN_PIXELS = 8  # along a side; fewer numbers are particles and their coordinates
_MAX_CHANNELS = 4
_BLOCK_BYTES = 32 << 20
_N_TRIED = 64  # rows that must look like images


class _Images(NamedTuple):
    """The arrays of an open file: images, labels, and what else has one number a jet."""

    source: ArraySource
    key: str
    label: str | None
    others: list[str]

    @property
    def array(self) -> Any:
        return self.source.arrays[self.key]

    @property
    def names(self) -> list[str]:
        return [self.key, *([self.label] if self.label else []), *self.others]


class ImagesReader(RowReader[_Images]):
    """Reader of arrays of images in HDF5.

    One dataset ``(n, h, w)``, ``(n, c, h, w)`` or ``(n, h, w, c)`` with at least 8 pixels a side and at
    most 4 channels; ``file.h5:name`` picks one of several. Rows of pixels are eta', columns phi', unless
    ``axes`` is ``phi,eta``. Labels come from a dataset of the same length called ``is_signal_new``,
    ``label``, ``y``, ...; further ones with one number a jet are observables.

    An array is taken for images if its first rows behave so: no negative numbers, not all zero, and no lists
    of particles (rows of numbers of different kinds, filled from the top). ``--reader images`` takes any.
    """

    name = "images"
    summary = "jet images in HDF5: (n, h, w), (n, c, h, w) or (n, h, w, c) with labels"
    container = "hdf5"
    options: ClassVar[Mapping[str, Any]] = {"axes": "eta,phi", "external": False}

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        if self.settings["axes"] not in ("eta,phi", "phi,eta"):
            raise ConfigError(
                f"reader '{self.name}': axes are 'eta,phi' or 'phi,eta', found '{self.settings['axes']}'"
            )

    @contextlib.contextmanager
    def _source(self, path: str | Path) -> Iterator[Any]:
        with open_source(path, self.container, external=self.settings["external"]) as source:
            yield source

    def matches(self, path: str | Path) -> bool:
        require_container(path, self.container, self.name)
        with self._source(path) as source:
            return any(_behaves(source.arrays[n]) for n in _image_arrays(source))

    def lacks(self, path: str | Path) -> str:
        return "no array (n, h, w) of images"

    @contextlib.contextmanager
    def opened(self, path: str | Path) -> Iterator[_Images]:
        with self._source(path) as source:
            yield self._plan(source, path)

    def n_rows(self, table: _Images, path: str | Path) -> int:
        return table.source.n_rows(table.names)

    def rows_at_once(self, table: _Images, step: int) -> int:
        row_bytes = 8 * int(np.prod(table.array.shape[1:], dtype=object))
        return max(1, _BLOCK_BYTES // max(row_bytes, 1))

    def contents(self, table: _Images, path: str | Path) -> dict[str, Any]:
        channels, n_eta, n_phi = _layout(table.array.shape, self.settings["axes"])[1]
        return {
            "container": table.source.kind,
            "dataset": table.key,
            "columns": table.source.columns(),
            "truth": (table.label,) if table.label else (),
            "observables": tuple(map(column_name, table.others)),
            "notes": (f"ready-made images, {channels} x {n_eta} x {n_phi} (channels, eta, phi)",),
        }

    def jets(self, table: _Images, start: int, stop: int, path: str | Path) -> Jets:
        rows = table.source.read(table.names, start, stop)
        order, shape = _layout(table.array.shape, self.settings["axes"])
        with np.errstate(all="ignore"):
            # float16 and integers, too
            pixels = rows[table.key].reshape(len(rows[table.key]), *table.array.shape[1:])
            if pixels.ndim == 3:
                pixels = pixels[:, None]
            images = np.transpose(pixels, (0, *order)).astype(np.float32)
        return _jets_of_images(
            images.reshape(len(images), *shape),
            None if table.label is None else rows[table.label],
            {name: rows[name] for name in table.others},
            start,
        )

    def _plan(self, source: ArraySource, path: str | Path) -> _Images:
        shaped = _image_arrays(source)
        found = [n for n in shaped if _behaves(source.arrays[n])] or shaped
        usual = [n for n in found if n.rpartition("/")[2].lower() in _USUAL]
        if not found:
            shapes = (
                ", ".join(f"{n} {tuple(a.shape)}" for n, a in list(source.arrays.items())[:6]) or "nothing"
            )
            raise InputError(f"{path}: {self.lacks(path)}; the file holds {shapes}")
        if len(found) > 1 and len(usual) != 1:
            raise InputError(
                f"{path}: several arrays could be images ({', '.join(found)}); name one: '{path}:{found[0]}'"
            )
        key = usual[0] if len(usual) == 1 else found[0]
        n_jets = source.arrays[key].shape[0]
        singles = [
            n
            for n, a in source.arrays.items()
            if n != key and a.dtype.kind in "fiub" and a.shape in ((n_jets,), (n_jets, 1))
        ]
        label = next((n for w in _LABELS for n in singles if n.rpartition("/")[2].lower() == w), None)
        return _Images(source, key, label, [n for n in singles if n != label])


class NumpyImagesReader(ImagesReader):
    """Reader of images in ``.npz`` (any key) or ``.npy``; otherwise as :class:`ImagesReader`."""

    name = "npz"
    summary = "jet images in .npz or .npy: (n, h, w), (n, c, h, w) or (n, h, w, c) with labels"
    container = "numpy"

    @contextlib.contextmanager
    def _source(self, path: str | Path) -> Iterator[Any]:
        with open_arrays(path) as arrays:
            yield ArraySource(arrays, path, "", "NumPy")


def _image_arrays(source: Any) -> list[str]:
    return [n for n, a in source.arrays.items() if a.dtype.kind in "fiu" and _is_image(a.shape)]


def _behaves(array: Any) -> bool:
    """Whether the first rows of an array look like images, not like weights or lists of particles."""
    rows = np.asarray(array[: min(_N_TRIED, array.shape[0])])
    if not rows.size:
        return True  # nothing speaks against it
    with np.errstate(all="ignore"):
        known = rows[np.isfinite(rows)]
    if not known.size or (known < 0).any() or not (known > 0).any():
        return not known.size
    pixels = rows if rows.ndim == 3 else rows[:, 0] if rows.shape[1] <= _MAX_CHANNELS else rows[..., 0]
    return not any(_is_list(p) for p in (pixels, np.swapaxes(pixels, 1, 2)))


def _is_list(rows: NDArray[Any]) -> bool:
    """Whether ``(n, particles, features)`` are particles: filled from the top, padded with zeros below.

    A picture is as empty at its top as at its bottom.
    """
    filled = (rows != 0).any(axis=2)
    counts = filled.sum(axis=1)
    from_the_top = filled == (np.arange(filled.shape[1]) < counts[:, None])
    return bool(from_the_top.all() and len(set(counts.tolist())) > 1 and (counts < filled.shape[1]).any())


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) in (3, 4) and _layout(shape, "eta,phi", check=True) is not None


def _layout(shape: tuple[int, ...], axes: str, check: bool = False) -> Any:
    """How to turn the last three axes to (channels, eta, phi), and their sizes then."""
    sizes = (1, *shape[1:]) if len(shape) == 3 else tuple(shape[1:])
    if sizes[0] <= _MAX_CHANNELS and min(sizes[1:]) >= _MIN_PIXELS:
        order = (1, 2, 3)
    elif sizes[2] <= _MAX_CHANNELS and min(sizes[:2]) >= _MIN_PIXELS:
        order = (3, 1, 2)
    elif check:
        return None
    else:
        raise InputError(f"an array of shape {shape} holds no images")
    if axes == "phi,eta":
        order = (order[0], order[2], order[1])
    return order, tuple(sizes[i - 1] for i in order)


def _jets_of_images(
    images: NDArray[np.float32], truth: NDArray[Any] | None, others: dict[str, NDArray[Any]], first: int
) -> Jets:
    """Jets of images ``(n, channels, eta, phi)``, of which the first is row ``first`` of the file."""
    labels = None
    if truth is not None:
        flat = truth.reshape(len(truth))
        labels = labels_of(flat == 1, flat == 0)
    return Jets.without_constituents(
        len(images),
        images=images,
        labels=labels,
        entry=np.arange(first, first + len(images)),
        observables=build_columns(others),
    )


# --- the table of pixels ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pixels:
    places: list[tuple[Any, int]]  # block and position of img_0, img_1, ...
    label: str | None
    others: dict[str, tuple[Any, int]]

    @property
    def side(self) -> int:
        return math.isqrt(len(self.places))


class ImageTableReader(FrameReader[_Pixels]):
    """Reader of the image tables of the Heidelberg group.

    A pandas frame (*table* or *fixed* layout) with columns ``img_0 ... img_1599`` (any square number of
    pixels), the image row by row along eta', and ``is_signal_new``; further columns, such as the jet
    mass, become observables.

    References:
        Heimel, Kasieczka, Plehn, Thompson, "QCD or What?", 2018, arXiv:1808.08979
    """

    name = "imagetable"
    summary = "table of jet images in HDF5 (pandas): img_0 ... img_1599, is_signal_new"
    seeks = True

    def recognises(self, frame: Frame) -> bool:
        return _pixels(frame) is not None

    def plan(self, frame: Frame) -> _Pixels:
        pixels = _pixels(frame)
        assert pixels is not None
        if pixels.side**2 != len(pixels.places):
            raise InputError(
                f"{frame.path}: '{frame.key}' has {len(pixels.places)} columns img_*, "
                "which is no square image"
            )
        return pixels

    def lacks(self, path: str | Path) -> str:
        return "no pandas table with img_0, img_1, ..."

    def contents(self, table: OpenFrame[_Pixels], path: str | Path) -> dict[str, Any]:
        pixels = table.plan
        return {
            **super().contents(table, path),
            "truth": (pixels.label,) if pixels.label else (),
            "observables": tuple(map(column_name, pixels.others)),
            "notes": (f"ready-made images, 1 x {pixels.side} x {pixels.side} (channels, eta, phi)",),
        }

    def rows_at_once(self, table: OpenFrame[_Pixels], step: int) -> int:
        return max(1, _BLOCK_BYTES // max(2 * table.frame.row_bytes, 1))

    def convert(self, blocks: dict[str, NDArray[Any]], table: OpenFrame[_Pixels], first: int) -> Jets:
        pixels, n_rows = table.plan, len(next(iter(blocks.values())))
        images = np.empty((n_rows, len(pixels.places)), dtype=np.float32)
        keys = [block.key for block, _ in pixels.places]
        index = np.array([i for _, i in pixels.places])
        with np.errstate(all="ignore"):
            for key in dict.fromkeys(keys):
                here = np.array([k == key for k in keys])
                images[:, here] = blocks[key][:, index[here]]
        truth = None
        if pixels.label:
            block, i = table.frame.columns[pixels.label]
            truth = blocks[block.key][:, i]
        others = {n: blocks[b.key][:, i] for n, (b, i) in pixels.others.items()}
        return _jets_of_images(images.reshape(n_rows, 1, pixels.side, pixels.side), truth, others, first)


def _pixels(frame: Frame) -> _Pixels | None:
    numbered = {int(m[1]): p for n, p in frame.columns.items() if (m := re.fullmatch(r"img_(\d{1,6})", n))}
    if len(numbered) < _MIN_PIXELS**2 or sorted(numbered) != list(range(len(numbered))):
        return None
    if any(block.dtype.kind not in "fiu" for block, _ in numbered.values()):
        return None
    others = {
        n: p
        for n, p in frame.columns.items()
        if not re.fullmatch(r"img_\d+", n) and p[0].dtype.kind in "fiub"
    }
    label = next((n for n in _LABELS if n in others), None)
    others.pop(label or "", None)
    return _Pixels([numbered[i] for i in range(len(numbered))], label, others)
