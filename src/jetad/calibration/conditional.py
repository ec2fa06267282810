"""Background efficiencies that hold in every range of pT or mass, so that a cut does not sculpt it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError, InputError
from ..files.fields import Fields
from .efficiency import BackgroundEfficiency, Surprise

__all__ = [
    "QUANTITIES",
    "BinnedEfficiency",
    "Calibration",
    "DecorrelatedEfficiency",
    "calibration_from_dict",
    "quantile_edges",
]

#: What calibrations can depend on.
QUANTITIES = ("jet_pt", "jet_eta", "jet_mass")

_MIN_PER_BIN = 20
_MIN_PER_NODE = 200


class Calibration(Protocol):
    """What maps scores to background efficiencies.

    ``columns`` names the jet quantities it needs besides the score.
    """

    columns: tuple[str, ...]
    n: int

    @property
    def smallest(self) -> float: ...

    def __call__(
        self, scores: ArrayLike, columns: Mapping[str, ArrayLike] | None = None
    ) -> NDArray[np.float32]: ...

    def to_dict(self) -> dict[str, Any]: ...


def quantile_edges(values: ArrayLike, n_bins: int) -> list[float]:
    """Inner edges of ``n_bins`` bins that hold the same number of jets."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        raise InputError("no calibration jet has a finite value to make bins of")
    return [float(q) for q in np.unique(np.quantile(finite, np.arange(1, n_bins) / n_bins))]


def _needed(columns: Mapping[str, ArrayLike] | None, name: str) -> NDArray[np.float64]:
    if columns is None or name not in columns:
        raise InputError(f"this calibration depends on '{name}', which the jets do not have")
    return np.asarray(columns[name], dtype=np.float64)


class BinnedEfficiency:
    """One calibration per bin of jet quantities: in each bin p <= a holds for a fraction a of background.

    The outermost bins are open. Jets without a finite quantity get NaN.

    Arguments:
        edges: Inner edges, rising, by quantity (``jet_pt``, ``jet_mass``).
        cells: Calibrations of all bins, the last quantity running fastest.
    """

    def __init__(self, edges: Mapping[str, Sequence[float]], cells: Sequence[BackgroundEfficiency]) -> None:
        self.edges = {name: np.asarray(values, dtype=np.float64) for name, values in edges.items()}
        for name, values in self.edges.items():
            if np.any(np.diff(values) <= 0):
                raise ConfigError(f"the edges of the bins of {name} do not rise: {values.tolist()}")
        self.columns: tuple[str, ...] = tuple(self.edges)
        self.shape = tuple(len(values) + 1 for values in self.edges.values())
        self.cells = list(cells)
        if len(self.cells) != int(np.prod(self.shape)):
            raise InputError(f"{len(self.cells)} calibrations do not fill the {self.shape} bins")
        self.n = sum(cell.n for cell in self.cells)

    def __repr__(self) -> str:
        return (
            f"BinnedEfficiency({' x '.join(f'{len(e) + 1} {n}' for n, e in self.edges.items())}, n={self.n})"
        )

    @classmethod
    def fit(
        cls,
        scores: ArrayLike,
        columns: Mapping[str, ArrayLike],
        edges: Mapping[str, Sequence[float]],
        weights: ArrayLike | None = None,
    ) -> BinnedEfficiency:
        """Measure on held-out background.

        Raises:
            InputError: if a bin holds too few jets.
        """
        s = np.asarray(scores, dtype=np.float64)
        empty = cls(
            edges, [BackgroundEfficiency([0.0, 1.0])] * int(np.prod([len(e) + 1 for e in edges.values()]))
        )
        cell, valid = empty._cell(columns)
        cells = []
        for i in range(len(empty.cells)):
            inside = valid & (cell == i) & np.isfinite(s)
            if inside.sum() < _MIN_PER_BIN:
                raise InputError(
                    f"bin {empty.describe(i)} holds {int(inside.sum())} background jets, at least "
                    f"{_MIN_PER_BIN} are needed; use fewer bins or more background"
                )
            w = None if weights is None else np.asarray(weights, dtype=np.float64)[inside]
            cells.append(BackgroundEfficiency(s[inside], w))
        return cls(edges, cells)

    def _cell(self, columns: Mapping[str, ArrayLike] | None) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        index: list[NDArray[np.int64]] = []
        valid = np.ones((), dtype=bool)
        for name, edges in self.edges.items():
            values = _needed(columns, name)
            valid = valid & np.isfinite(values)
            index.append(np.searchsorted(edges, values, side="right"))
        return np.ravel_multi_index(tuple(index), self.shape), valid

    def describe(self, cell: int) -> str:
        """The range of a bin in words."""
        words = []
        for (name, edges), i in zip(self.edges.items(), np.unravel_index(cell, self.shape), strict=True):
            low = f"{edges[i - 1]:.4g} <= " if i > 0 else ""
            high = f" < {edges[i]:.4g}" if i < len(edges) else ""
            words.append(f"{low}{name}{high}")
        return ", ".join(words)

    @property
    def smallest(self) -> float:
        """The smallest efficiency that every bin can state."""
        return max(cell.smallest for cell in self.cells)

    def __call__(
        self, scores: ArrayLike, columns: Mapping[str, ArrayLike] | None = None
    ) -> NDArray[np.float32]:
        """Background efficiencies of scores among jets of the same bin, ``(m,)``."""
        s = np.asarray(scores, dtype=np.float64)
        cell, valid = self._cell(columns)
        p = np.full(s.shape, np.nan, dtype=np.float32)
        for i in np.unique(cell[valid]):
            inside = valid & (cell == i)
            p[inside] = self.cells[i](s[inside])
        return p

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "bins",
            "edges": {name: values.tolist() for name, values in self.edges.items()},
            "cells": [cell.to_dict() for cell in self.cells],
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> BinnedEfficiency:
        """The inverse of ``to_dict``; an InputError names what is missing or makes no sense."""
        fields = Fields(state)
        found = fields.part("edges")
        edges = {name: found.numbers(name, rising=True).tolist() for name in found.values}
        _require_quantities(edges)
        return cls(edges, [BackgroundEfficiency.from_dict(cell.values) for cell in fields.parts("cells")])


class DecorrelatedEfficiency:
    r"""The score made independent of one jet quantity on background, and its background efficiency.

    ``d(s, m) = -ln p(s | m)``: at nodes along m the distribution of the score is measured on the
    background nearest to the node (with an exponential tail, as in :class:`~jetad.calibration.Surprise`)
    and d is interpolated between neighbouring nodes; unlike in bins it has no steps. On background d is
    the same at every m, so a cut on it keeps the shape of the m spectrum. The background efficiency is
    measured on d of other jets, so it stays exact however well or badly the nodes describe p(s | m).

    Arguments:
        column: The quantity, ``jet_mass`` or ``jet_pt``.
        nodes: Its values, rising, ``(k,)``; outside the first and last hold.
        scales: ``-ln p`` of the score at each node.
        efficiency: Background efficiency of d.

    References:
        Dolen et al., "Thinking outside the ROCs: designing decorrelated taggers", 2016, arXiv:1603.00027
        (the same for one working point); Kasieczka, Shih, 2020, arXiv:2001.05310 (why)
    """

    def __init__(
        self,
        column: str,
        nodes: ArrayLike,
        scales: Sequence[Surprise],
        efficiency: BackgroundEfficiency,
    ) -> None:
        self.column = column
        self.columns: tuple[str, ...] = (column,)
        self.nodes = np.asarray(nodes, dtype=np.float64)
        self.scales = list(scales)
        self.efficiency = efficiency
        self.n = efficiency.n

    def __repr__(self) -> str:
        return f"DecorrelatedEfficiency({self.column}, {len(self.nodes)} nodes, n={self.n})"

    @classmethod
    def fit(
        cls, scores: ArrayLike, columns: Mapping[str, ArrayLike], column: str, *, n_nodes: int = 20
    ) -> DecorrelatedEfficiency:
        """Measure on held-out background: every other jet for p(s | m), the rest for the efficiency of d.

        Raises:
            InputError: for too few jets.
        """
        s, m = np.asarray(scores, dtype=np.float64), _needed(columns, column)
        good = np.isfinite(s) & np.isfinite(m)
        s, m = s[good], m[good]
        first, second = slice(0, None, 2), slice(1, None, 2)
        order = np.argsort(m[first], kind="stable")
        s_sorted, m_sorted = s[first][order], m[first][order]
        n = len(s_sorted)
        n_nodes = min(n_nodes, n // _MIN_PER_NODE)
        if n_nodes < 2:
            raise InputError(
                f"{len(s)} background jets are too few to decorrelate; {4 * _MIN_PER_NODE} are needed"
            )
        width = max(_MIN_PER_NODE, n // n_nodes)
        nodes: list[float] = []
        scales: list[Surprise] = []
        for centre in np.linspace(width // 2, n - (width + 1) // 2, n_nodes).astype(int):
            window = slice(max(centre - width // 2, 0), centre + (width + 1) // 2)
            node = float(m_sorted[window].mean())
            if nodes and node <= nodes[-1]:  # many jets of one value
                continue
            nodes.append(node)
            scales.append(Surprise(s_sorted[window]))
        if len(nodes) < 2:
            raise InputError(f"'{column}' has nearly the same value in all background jets")
        new = cls(column, nodes, scales, BackgroundEfficiency([0.0, 1.0]))
        new.efficiency = BackgroundEfficiency(new.transform(s[second], {column: m[second]}))
        new.n = new.efficiency.n
        return new

    @property
    def smallest(self) -> float:
        """The smallest efficiency that can be stated."""
        return self.efficiency.smallest

    def transform(
        self, scores: ArrayLike, columns: Mapping[str, ArrayLike] | None = None
    ) -> NDArray[np.float32]:
        """Decorrelated scores d, ``(m,)`` float32, higher = more anomalous; NaN for NaN."""
        s, m = np.asarray(scores, dtype=np.float64), _needed(columns, self.column)
        right = np.clip(np.searchsorted(self.nodes, m, side="right"), 1, len(self.nodes) - 1)
        left = right - 1
        u = np.clip((m - self.nodes[left]) / (self.nodes[right] - self.nodes[left]), 0.0, 1.0)
        d = np.zeros(s.shape)
        for k, scale in enumerate(self.scales):
            near = (left == k) | (right == k)
            if near.any():
                d[near] += np.where(left[near] == k, 1 - u[near], u[near]) * scale(s[near])
        return np.where(np.isfinite(m), d, np.nan).astype(np.float32)

    def __call__(
        self, scores: ArrayLike, columns: Mapping[str, ArrayLike] | None = None
    ) -> NDArray[np.float32]:
        """Background efficiencies of the decorrelated scores, ``(m,)``."""
        return self.efficiency(self.transform(scores, columns))

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "decorrelated",
            "column": self.column,
            "nodes": self.nodes.tolist(),
            "scales": [scale.to_dict() for scale in self.scales],
            "efficiency": self.efficiency.to_dict(),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> DecorrelatedEfficiency:
        """The inverse of ``to_dict``; an InputError names what is missing or makes no sense."""
        fields = Fields(state)
        column = fields.text("column")
        _require_quantities([column])
        scales = [Surprise.from_dict(scale.values) for scale in fields.parts("scales")]
        nodes = fields.numbers("nodes", length=len(scales), at_least=2)
        if np.any(np.diff(nodes) <= 0):
            raise InputError("the numbers of 'nodes' do not rise")
        return cls(column, nodes, scales, BackgroundEfficiency.from_dict(fields.part("efficiency").values))


def _require_quantities(names: Iterable[str]) -> None:
    for name in names:
        if name not in QUANTITIES:
            raise InputError(
                f"{name!r} is no quantity of a jet to calibrate in; there are {', '.join(QUANTITIES)}"
            )


def calibration_from_dict(state: Any) -> Calibration:
    """The calibration that ``to_dict`` wrote (``calibration.json`` of a run).

    Raises:
        InputError: naming what is missing or makes no sense.
    """
    state = Fields(state, "background").values
    kind = state.get("kind", "plain")
    if kind == "bins":
        return BinnedEfficiency.from_dict(state)
    if kind == "decorrelated":
        return DecorrelatedEfficiency.from_dict(state)
    if kind == "plain":
        return BackgroundEfficiency.from_dict(state)
    raise InputError(f"the calibration is of an unknown kind {kind!r}; was it made by a newer jetad?")
