"""Files without names that say enough: arrays and tables whose columns are guessed from their numbers."""

from __future__ import annotations

import abc
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ...errors import JetadError
from ..columnmap import ColumnMap
from ..containers.arrays import ArraySource, Source
from ..guessing import guesses
from ..guessing.names import Guess
from ..guessing.numbers import array_guesses
from ..guessing.trial import first_good, judge
from ..guessing.truth import label_of, weight_of
from ..mapped import Mapped
from .layouts import LayoutReader, single_columns

__all__ = ["ArraysReader", "TableReader"]


class GuessingReader(LayoutReader):
    """Base of readers of files without names that say enough: the first plausible guess is taken."""

    _of_truth = ""  # what to say of a column that may be the truth

    @abc.abstractmethod
    def guess(self, source: Source, path: str | Path) -> Guess | None: ...

    def find(self, source: Source, path: str | Path) -> ColumnMap | None:
        try:
            guess = self.guess(source, path)
        except JetadError:
            return None
        if guess is None:
            return None
        keys: dict[str, Any] = dict(guess.keys)
        verdict = judge(source, guess, path)
        if verdict.is_mev:
            keys["units"] = "MeV"
        columns = source.columns()
        used = {re.sub(r"\[.*", "", v) for part in guess.keys.values() for v in part.values()}
        rows_are_jets = not any("#" in name for name in guess.keys.get("jets", {}).values())
        (label, self._of_truth), weight = label_of(source), weight_of(columns)
        if label is not None:
            keys["label"] = label
        if weight is not None:
            keys["weight"] = weight
        taken = {*used, *([label] if isinstance(label, str) else []), *([weight] if weight else [])}
        patterns = [re.compile(re.escape(u).replace(r"\#", r"\d+")) for u in used if "#" in u]
        if rows_are_jets:
            singles = single_columns(columns, taken)
            keys["observables"] = {
                k: n for k, n in singles.items() if not any(p.fullmatch(n) for p in patterns)
            }
        return ColumnMap(**keys)

    def notes(self, mapped: Mapped) -> tuple[str, ...]:
        parts = {"constituents": mapped.map.constituents, "jets": mapped.map.jets}
        read = "; ".join(f"{k}: {_spelled(four)}" for k, four in parts.items() if four is not None)
        truth = (self._of_truth,) if self._of_truth else ()
        return (f"guessed from the numbers, check: {read}", *truth, *super().notes(mapped))


def _spelled(four: Any) -> str:
    given = {k: v for k, v in four.model_dump().items() if isinstance(v, str)}
    return ", ".join(f"{k} = {v}" for k, v in given.items())


class ArraysReader(GuessingReader):
    """Reader of arrays of constituents in ``.npz``, ``.npy`` and HDF5.

    ``(n, particles, features)`` or ``(n, features, particles)``, padded with zeros. Which number is which
    follows from ranges and from E^2 >= p^2: E, px, py, pz in this or px, py, pz, E in that order, or pt, eta,
    phi and perhaps mass, energy or PDG id. Truth is an array of the same length called ``y``, ``label``, ...
    """

    name = "arrays"
    summary = "arrays of constituents in .npz, .npy, HDF5: (n, particles, 4) or (n, 4, particles)"
    container = "numpy"
    containers = ("numpy", "hdf5")

    def lacks(self, path: str | Path) -> str:
        return "no array (n, particles, features) of four-momenta of jets"

    def guess(self, source: Source, path: str | Path) -> Guess | None:
        if not isinstance(source, ArraySource):
            return None
        found = (g for g in array_guesses(source) if "constituents" in g.keys)
        return first_good(source, path, found)[0]


class TableReader(GuessingReader):
    """Reader of tables of text (CSV) with a line of names.

    One jet a row, or the numbered jets of an event (``jet1_pt``, ``jet2_pt``), with features alone, or the
    constituents of a jet in numbered columns (``E_0, PX_0, PY_0, PZ_0, E_1, ...``).
    """

    name = "table"
    summary = (
        "CSV with a line of names: jet_pt, jet_eta, jet_phi, jet_mass, or E_0, PX_0, PY_0, PZ_0, E_1, ..."
    )
    container = "csv"
    options: ClassVar[Mapping[str, Any]] = {}

    def lacks(self, path: str | Path) -> str:
        return "no columns of a table are momenta of jets"

    def guess(self, source: Source, path: str | Path) -> Guess | None:
        return first_good(source, path, guesses(source))[0]
