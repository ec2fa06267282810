"""Sums of weights in bins, with underflow and overflow: what every tool of the field can read."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..extras import needing

__all__ = ["Histogram", "bin_edges", "checked_edges"]

Floats = NDArray[np.float64]


class _Traits(NamedTuple):
    circular: bool = False
    discrete: bool = False


class _Axis:
    """The axis of a histogram, as the protocol of histograms (UHI) asks for it."""

    traits = _Traits()

    def __init__(self, edges: Floats, label: str) -> None:
        self.edges, self.label = edges, label

    def __len__(self) -> int:
        return len(self.edges) - 1

    def __getitem__(self, index: int) -> tuple[float, float]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return float(self.edges[index]), float(self.edges[index + 1])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Axis) and np.array_equal(self.edges, other.edges)

    __hash__ = None  # type: ignore[assignment]


@dataclasses.dataclass(frozen=True, eq=False)
class Histogram:
    """Sums of weights in bins and their variances, with underflow and overflow at the ends; immutable.

    It follows the protocol of histograms (UHI): ``mplhep.histplot`` draws it and ``hist.Hist`` takes it.

    Arguments:
        edges: Rising, ``(k + 1,)``; a bin holds its lower edge and not its upper one, as in ROOT.
        contents: Sums of weights, ``(k + 2,)``: underflow, the k bins, overflow.
        squares: Variances, the sums of squared weights for jets that were counted, ``(k + 2,)``.
        label: What stands at the axis.
        entries: Jets that were filled, those in underflow and overflow too; 0 for what was computed.
    """

    edges: Floats
    contents: Floats
    squares: Floats
    label: str = ""
    entries: int = 0

    @classmethod
    def of(cls, values: ArrayLike, weights: ArrayLike | None, edges: ArrayLike, label: str = "") -> Histogram:
        """Fill with values, none of them NaN.

        Arguments:
            values: ``(n,)``.
            weights: ``(n,)``, or ``None`` for one each.
            edges: Rising, ``(k + 1,)``.
            label: What stands at the axis.
        """
        x, e = np.asarray(values, dtype=np.float64), np.asarray(edges, dtype=np.float64)
        w = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=np.float64)
        place = np.searchsorted(e, x, side="right")
        contents = np.bincount(place, w, minlength=len(e) + 1).astype(np.float64)
        squares = np.bincount(place, w**2, minlength=len(e) + 1).astype(np.float64)
        return cls(e, contents, squares, label, len(x))

    def __repr__(self) -> str:
        return (
            f"Histogram({len(self.edges) - 1} bins from {self.edges[0]:g} to {self.edges[-1]:g}, "
            f"sum {self.values().sum():g})"
        )

    # --- the protocol of histograms (UHI) --------------------------------------------------------

    kind = "COUNT"

    @property
    def axes(self) -> tuple[_Axis]:
        """The one axis."""
        return (_Axis(self.edges, self.label),)

    def values(self, flow: bool = False) -> Floats:
        """Sums of weights, ``(k,)``, or ``(k + 2,)`` with underflow and overflow."""
        return self.contents if flow else self.contents[1:-1]

    def variances(self, flow: bool = False) -> Floats:
        """Variances, as ``values``."""
        return self.squares if flow else self.squares[1:-1]

    def counts(self, flow: bool = False) -> Floats:
        """Effective numbers of jets ``(sum w)^2 / sum w^2``, as ``values``."""
        value, variance = self.values(flow), self.variances(flow)
        return np.divide(value**2, variance, out=np.zeros_like(value), where=variance > 0)

    # --- others ----------------------------------------------------------------------------------

    @property
    def errors(self) -> Floats:
        """Square roots of the variances, ``(k,)``."""
        return np.sqrt(self.variances())

    def scaled(self, factor: float) -> Histogram:
        """The same times a number."""
        return dataclasses.replace(self, contents=factor * self.contents, squares=factor**2 * self.squares)

    def total(self, inside: slice = slice(None)) -> tuple[float, float]:
        """Sum and variance over some bins, without underflow and overflow."""
        return float(self.values()[inside].sum()), float(self.variances()[inside].sum())

    def cropped(self, inside: slice) -> Histogram:
        """Some neighbouring bins alone; underflow and overflow are empty."""
        edges = self.edges[slice(inside.start, inside.stop + 1)]
        contents, squares = (np.pad(x[inside], 1) for x in (self.values(), self.variances()))
        return Histogram(edges, contents, squares, self.label, self.entries)

    def to_hist(self) -> Any:
        """The same as a ``hist.Hist`` with weights.

        Raises:
            MissingPackageError: without the package.
        """
        with needing("stats", "histograms for other tools need hist"):
            import hist
        made = hist.Hist(
            hist.axis.Variable(self.edges, name="x", label=self.label), storage=hist.storage.Weight()
        )
        made.view(flow=True).value = self.contents
        made.view(flow=True).variance = self.squares
        return made

    def _to_boost_histogram_(self) -> Any:
        """What ``hist.Hist(histogram)`` asks for."""
        return self.to_hist()

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON, with underflow and overflow."""
        return {
            "edges": self.edges.tolist(),
            "values": self.contents.tolist(),
            "variances": self.squares.tolist(),
        }


def checked_edges(edges: ArrayLike, window: tuple[float, float] | None) -> Floats:
    """Edges that were asked for.

    Raises:
        InputError: if they do not rise, or the window does not begin and end at one of them.
    """
    found = np.asarray(edges, dtype=np.float64)
    if found.ndim != 1 or len(found) < 2 or not np.all(np.isfinite(found)) or np.any(np.diff(found) <= 0):
        raise InputError(f"edges of bins must be two or more rising numbers, found {found.tolist()}")
    for end in window or ():
        if end not in found:
            near = found[np.argmin(np.abs(found - end))]
            raise InputError(
                f"the window must begin and end at edges of bins: {end:g} is none, the nearest is {near:g}"
            )
    return found


def bin_edges(values: Floats, n_bins: int, window: tuple[float, float] | None) -> Floats:
    """About ``n_bins`` bins of a round width over all but 1 % of the values at either end.

    No calibration knows the few jets further out well. The window begins and ends at edges.

    Example:
        >>> bin_edges(np.linspace(0, 100, 1000), 5, (45, 60)).tolist()
        [0.0, 20.0, 45.0, 60.0, 80.0, 100.0]
    """
    low, high = np.quantile(values, [0.01, 0.99])
    low, high = min([low, *(window or ())]), max([high, *(window or ())])
    if not high > low:
        low, high = low - 0.5, high + 0.5
    width = _round_width((high - low) / n_bins)
    edges = width * np.arange(np.floor(low / width), np.ceil(high / width - 1e-9) + 1)
    if n_bins == 1:
        edges = edges[[0, -1]]
    if window is not None:
        inside = edges[(edges > window[0] + width / 2) & (edges < window[1] - width / 2)]
        left, right = edges[edges < window[0] - width / 2], edges[edges > window[1] + width / 2]
        edges = np.concatenate([left, [window[0]], inside, [window[1]], right])
    return edges


def _round_width(width: float) -> float:
    """The nearest of 1, 2, 2.5, 5 and their tens, hundreds, tenths, ..."""
    ten = 10.0 ** np.floor(np.log10(width))
    steps = ten * np.array([1.0, 2.0, 2.5, 5.0, 10.0])
    return float(steps[np.argmin(np.abs(np.log(steps / width)))])
