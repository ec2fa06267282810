"""The table of scores: one row per jet, in the order of the input file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..shown import html_table
from .columns import COLUMNS
from .writing import ScoreWriter

__all__ = ["Scores"]

_SHOWN = 5  # rows in a notebook


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Scores:
    """Scores of ``n`` jets and the bookkeeping that ties each to its input; immutable, rows keep their order.

    Only ``score`` is required; a jet that could not be scored has ``score = NaN`` and keeps its row.

    Arguments:
        score: Raw anomaly score, higher = more anomalous, ``(n,)`` float32.
        entry: Row or event in the input file, ``(n,)`` int64; 0, 1, ... by default.
        jet: Position of the jet inside that entry, ``(n,)`` int32; 0 by default.
        background_efficiency: Fraction of held-out background at least as anomalous, ``(n,)`` float32;
            NaN where there was no calibration.
        label: 0 background, 1 signal, -1 unknown (the default), ``(n,)`` int8.
        jet_pt: Transverse momentum of the scored jet [GeV], ``(n,)`` float32; NaN by default, as below.
        jet_eta: Pseudorapidity.
        jet_phi: Azimuth [rad].
        jet_mass: Invariant mass [GeV].
        extra: Kept columns by name, each a numeric or boolean ``(n,)``; ``weight`` is the event weight.
        metadata: Where the scores come from: run name, model hash, method, input file, counts.

    Raises:
        InputError: if the columns do not fit together.
    """

    score: NDArray[np.float32]
    entry: NDArray[np.int64] = None  # type: ignore[assignment]
    jet: NDArray[np.int32] = None  # type: ignore[assignment]
    background_efficiency: NDArray[np.float32] = None  # type: ignore[assignment]
    label: NDArray[np.int8] = None  # type: ignore[assignment]
    jet_pt: NDArray[np.float32] = None  # type: ignore[assignment]
    jet_eta: NDArray[np.float32] = None  # type: ignore[assignment]
    jet_phi: NDArray[np.float32] = None  # type: ignore[assignment]
    jet_mass: NDArray[np.float32] = None  # type: ignore[assignment]
    extra: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)
    metadata: Mapping[str, str | int | float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "score", np.asarray(self.score, dtype=COLUMNS["score"]))
        if self.score.ndim != 1:
            raise InputError(f"'score' must have one number per jet, found shape {self.score.shape}")
        for name, dtype in COLUMNS.items():
            value = getattr(self, name)
            put(self, name, self._default(name) if value is None else self._column(name, value, dtype))
        clash = sorted(set(self.extra) & set(COLUMNS))
        if clash:
            raise InputError(f"the extra column '{clash[0]}' has the name of a standard column")
        put(self, "extra", {name: self._column(name, value, None) for name, value in self.extra.items()})
        put(self, "metadata", dict(self.metadata))

    def _default(self, name: str) -> NDArray[Any]:
        n, dtype = len(self), COLUMNS[name]
        if name == "entry":
            return np.arange(n, dtype=dtype)
        fill: float = {"jet": 0, "label": -1}.get(name, np.nan)
        return np.full(n, fill, dtype=dtype)

    def _column(self, name: str, value: ArrayLike, dtype: Any) -> NDArray[Any]:
        array = np.asarray(value)
        if array.shape != (len(self),):
            raise InputError(f"column '{name}' has shape {array.shape}, but there are {len(self)} jets")
        if array.dtype.kind not in "biuf":
            raise InputError(f"column '{name}' is of type {array.dtype}; only numbers can be kept")
        if dtype is None:
            # what every format can hold: half and extended floats become 4 and 8 bytes, in native byte order
            native = array.dtype.newbyteorder("=")
            dtype = {"f2": np.dtype(np.float32), "f16": np.dtype(np.float64)}.get(native.str[1:], native)
        return array.astype(dtype, copy=False)

    # --- rows ------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return int(np.shape(self.score)[0])

    def __repr__(self) -> str:
        failed = int(np.isnan(self.score).sum())
        parts = [f"{len(self)} jets", f"{failed} not scored" if failed else "", ", ".join(self.extra)]
        return f"Scores({', '.join(p for p in parts if p)})"

    def _repr_html_(self) -> str:
        columns = {name: value[:_SHOWN] for name, value in self.columns().items()}
        n = min(len(self), _SHOWN)
        rows = [[i, *(f"{value[i]:.6g}" for value in columns.values())] for i in range(n)]
        more = [["...", *([""] * len(columns))]] if len(self) > n else []
        run = self.metadata.get("run")
        title = repr(self) + (f" of run {run}" if run else "")
        return html_table(title, [*rows, *more], ["", *columns])

    def __getitem__(self, rows: slice | NDArray[Any] | list[int]) -> Scores:
        """Rows of a slice, a boolean mask or an index array, in the asked order."""
        if isinstance(rows, (int, np.integer)):
            raise TypeError("use scores[i:i + 1] for one jet")
        index = np.arange(len(self))[rows]
        return Scores(
            **{name: getattr(self, name)[index] for name in COLUMNS},
            extra={name: value[index] for name, value in self.extra.items()},
            metadata=self.metadata,
        )

    @staticmethod
    def concatenate(parts: Iterable[Scores]) -> Scores:
        """One table from several, in order.

        Extra columns stay where all parts have them, metadata where all parts agree.
        """
        parts = list(parts)
        if not parts:
            return Scores(score=np.zeros(0, dtype=np.float32))
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        kept = [name for name in first.extra if all(name in part.extra for part in parts)]
        agreed = {k: v for k, v in first.metadata.items() if all(part.metadata.get(k) == v for part in parts)}
        return Scores(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS},
            extra={name: np.concatenate([part.extra[name] for part in parts]) for name in kept},
            metadata=agreed,
        )

    # --- columns ---------------------------------------------------------------------------------

    @property
    def weight(self) -> NDArray[np.float64] | None:
        """Event weights ``(n,)`` float64 where the file has them, else ``None``."""
        value = self.extra.get("weight")
        return None if value is None else np.asarray(value, dtype=np.float64)

    def columns(self) -> dict[str, NDArray[Any]]:
        """All columns by name, the standard ones first."""
        return {**{name: getattr(self, name) for name in COLUMNS}, **self.extra}

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write one file (``.h5``, ``.root``, ``.csv`` or ``.parquet`` by suffix) with the metadata in it."""
        with ScoreWriter(path, force=force) as writer:
            writer.append(self)
            writer.finish(self.metadata)
