"""A file whose columns are known: from its rows to jets."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..jets import Jets
from .base import StoredJet, column_name
from .columnmap import ColumnMap, FourMomentumColumns
from .columnvalues import (
    column_of,
    is_filling,
    momenta_of,
    numbers_of,
    plain_column,
    require_energies,
    truth_of,
)
from .containers.arrays import Source, open_source
from .particles import charge_of
from .paths import container_of, nearest, reading, split_path

__all__ = ["Mapped", "with_truth"]

# bytes of numbers fetched at once
_BLOCK_BYTES = 16 << 20
_MAX_ROWS = 20_000
_STORED = ("jet_pt_file", "jet_eta_file", "jet_phi_file", "jet_mass_file")


class Mapped:
    """A file whose columns are known: from rows to jets.

    Arguments:
        columns: Which of them are what.
        source: The open file.
        path: For messages.
        other: Another file with the same rows, which holds the truth.
    """

    def __init__(
        self, columns: ColumnMap, source: Source, path: str | Path, other: Mapped | None = None
    ) -> None:
        self.map, self.source, self.path, self.other = columns, source, path, other
        self._known: dict[str, str] | None = None

    @property
    def _lead(self) -> FourMomentumColumns:
        four = self.map.jets or self.map.constituents
        assert four is not None
        return four

    @property
    def _stored_names(self) -> tuple[str, ...]:
        """Observables of the stored momenta, where jets have constituents, too."""
        if self.map.jets is None or self.map.constituents is None:
            return ()
        taken = {column_name(n) for n in self.map.observables}
        return tuple(n for n in _STORED if n not in taken)

    @property
    def observables(self) -> tuple[str, ...]:
        """Names of the observables of the jets."""
        return (*(column_name(n) for n in self.map.observables), *self._stored_names)

    @property
    def stored(self) -> StoredJet:
        """Which of them the sums of the constituents are compared with."""
        jets = self.map.jets
        if jets is None:
            return StoredJet()
        massive = bool(jets.px or jets.E or isinstance(jets.mass, str))
        return StoredJet("jet_pt_file", "jet_eta_file", "jet_mass_file" if massive else None)

    def _columns(self, names: Iterable[str] | None = None) -> list[str]:
        """The columns of the file that are read for these of the mapping."""
        found: list[str] = []
        for name in map(plain_column, self.map.names if names is None else names):
            found += self._numbered(name) if "#" in name else [name]
        return list(dict.fromkeys(found))

    def _numbered(self, name: str) -> list[str]:
        """``pxj#`` as pxj1, pxj2, ... in rising order."""
        if self._known is None:
            self._known = self.source.columns()
        if name in self._known:
            return [name]
        pattern = re.compile(re.escape(name).replace(r"\#", r"(\d+)"))
        numbers = {int(m[1]): n for n in self._known if (m := pattern.fullmatch(n))}
        if not numbers:
            raise InputError(
                f"{self.path}: has no columns '{name}' with numbers for #; "
                f"closest: {nearest(name, self._known)}"
            )
        return [numbers[i] for i in sorted(numbers)]

    @functools.cached_property
    def n_rows(self) -> int:
        """Rows of the file, after checking its columns."""
        n, truth = self.source.n_rows(self._columns()), self.map.truth
        if self.other is not None and truth is not None:
            n_labels = self.other.source.n_rows(self.other._columns(truth.names))
            if n_labels != n:
                raise InputError(
                    f"{self.path}: has {n} rows, but {truth.file} with their truth has {n_labels}"
                )
        return n

    @functools.cached_property
    def n_jets(self) -> int:
        """Rows, or the jets in them where a row is an event."""
        import awkward as ak

        name = self._lead.names[0]
        one_jet_depth = 1 if self.map.jets else 2
        n_jets = 0
        for start in range(0, self.n_rows, _MAX_ROWS):
            rows = self._read([name], start, min(start + _MAX_ROWS, self.n_rows))
            with reading(self.path):
                array = column_of(rows, name)
                if array.ndim <= one_jet_depth:
                    return self.n_rows
                n_jets += int(ak.sum(ak.num(array, axis=1)))
        return n_jets

    def rows_at_once(self) -> int:
        """Rows whose numbers fit in memory together."""
        kinds, total = self.source.columns(), 0
        for name in self._columns():
            sizes = [int(n) for n in re.findall(r"\d+", kinds.get(name, "[]").partition("[")[2])]
            total += 8 * (int(np.prod(sizes, dtype=object)) if sizes else 60)
        return int(max(1, min(_MAX_ROWS, _BLOCK_BYTES // max(total, 1))))

    def first(self, n: int) -> Jets:
        """The jets of the first ``n`` rows."""
        stop, at_once = min(n, self.n_rows), self.rows_at_once()
        return Jets.concatenate(
            [self.jets(start, min(start + at_once, stop)) for start in range(0, stop, at_once)]
        )

    def jets(self, start: int, stop: int) -> Jets:
        """The jets of the rows ``start`` to ``stop``."""
        rows, truth = self._read(self.map.names, start, stop), self.map.truth
        labels = rows if self.other is None or truth is None else self.other._read(truth.names, start, stop)
        with reading(self.path):
            return self._jets(rows, labels, start)

    def _read(self, names: Iterable[str], start: int, stop: int) -> dict[str, Any]:
        """Rows of columns of the mapping, numbered ones side by side."""
        names = list(names)
        rows = self.source.read(self._columns(names), start, stop)
        for name in map(plain_column, names):
            if "#" in name and name not in rows:
                parts = [np.asarray(rows[n]) for n in self._numbered(name)]
                if any(part.ndim != 1 for part in parts):
                    raise InputError(f"{self.path}: columns '{name}' must hold one number a row")
                rows[name] = np.stack(parts, axis=1)
        return rows

    def _jets(self, rows: dict[str, Any], label_rows: dict[str, Any], first_row: int) -> Jets:
        import awkward as ak

        path, four = self.path, self._lead
        lead = column_of(rows, four.names[0])
        n_rows = len(lead)
        events = lead.ndim > (1 if self.map.jets else 2)
        counts = np.asarray(ak.num(lead, axis=1)) if events else np.ones(n_rows, dtype=np.int64)
        row = np.repeat(np.arange(n_rows), counts)
        starts = np.concatenate([[0], np.cumsum(counts)])

        def per_jet(name: str, rows: dict[str, Any] = rows) -> NDArray[Any]:
            array = column_of(rows, name)
            if array.ndim == 1:
                return numbers_of(np.asarray(array)[row], name, path)
            if array.ndim != 2 or not events or not np.array_equal(np.asarray(ak.num(array, axis=1)), counts):
                raise InputError(f"{path}: column '{name}' holds {array.type}, expected one number per jet")
            return numbers_of(np.asarray(ak.flatten(array, axis=1)), name, path)

        fields: dict[str, Any] = {
            "entry": first_row + row,
            "position": np.arange(len(row)) - starts[row],
            "observables": {column_name(key): per_jet(name) for key, name in self.map.observables.items()},
        }
        if self.map.weight:
            fields["weights"] = per_jet(self.map.weight)
        if self.map.truth:
            fields["labels"] = truth_of(self.map.truth, lambda name: per_jet(name, label_rows))
        with np.errstate(all="ignore"):
            stored: NDArray[Any] | None = None
            if self.map.jets is not None:
                columns = {n: per_jet(n) for n in self.map.jets.names}
                require_energies(self.map.jets, columns, path)
                stored = np.stack(momenta_of(self.map.jets, columns, len(row)), axis=1).astype(np.float32)
            if self.map.constituents is None:
                return Jets.without_constituents(len(row), jet_momenta=stored, **fields)
            if stored is not None:
                values = dict(zip(_STORED, stored.T, strict=True))
                fields["observables"] |= {name: values[name] for name in self._stored_names}
            return self._with_constituents(rows, events, counts, starts, fields, stored)

    def _with_constituents(
        self,
        rows: dict[str, Any],
        events: bool,
        counts: NDArray[np.int64],
        starts: NDArray[np.int64],
        fields: dict[str, Any],
        stored: NDArray[np.float32] | None,
    ) -> Jets:
        import awkward as ak

        path, four = self.path, self.map.constituents
        assert four is not None
        by_index = four.jet is not None
        depth = 2 if by_index or not events else 3
        n_jets = int(counts.sum())
        shape: Any = None
        flat: dict[str, NDArray[Any]] = {}
        for name in four.names:
            array = column_of(rows, name)
            if array.ndim != depth:
                raise InputError(
                    f"{path}: column '{name}' holds {array.type}, expected "
                    f"{'a list of numbers' if depth == 2 else 'lists of lists of numbers'} per row"
                )
            lengths = ak.num(array, axis=1) if depth == 2 else ak.flatten(ak.num(array, axis=2), axis=1)
            lengths = np.asarray(lengths, dtype=np.int64)
            if depth == 3 and not np.array_equal(np.asarray(ak.num(array, axis=1)), counts):
                raise InputError(f"{path}: column '{name}' has not as many jets as the others in every row")
            if shape is not None and not np.array_equal(lengths, shape):
                raise InputError(
                    f"{path}: columns '{four.names[0]}' and '{name}' differ in length in some row"
                )
            shape = lengths
            flat[name] = numbers_of(np.asarray(ak.flatten(array, axis=None)), name, path)
        jet = np.repeat(np.arange(len(shape)), shape)
        kept = np.ones(len(jet), dtype=bool)
        if four.mask:
            kept &= flat[four.mask].astype(bool)
        if by_index:
            index = flat[four.jet].astype(np.int64)  # type: ignore[index]
            beyond = index >= counts[jet]
            if (beyond & kept).any():
                i = int(np.flatnonzero(beyond & kept)[0])
                raise InputError(
                    f"{path}: '{four.jet}' points to jet {index[i]} of {counts[jet[i]]} in its event"
                )
            kept &= index >= 0
            jet = np.minimum(starts[jet] + index, max(n_jets - 1, 0))
        of_jet = None
        if four.is_relative:
            known = np.zeros((n_jets, 4), dtype=np.float32) if stored is None else stored
            of_jet = known[jet] if n_jets else np.zeros((len(jet), 4), dtype=np.float32)
        require_energies(four, flat, path)
        pt, eta, phi, mass = momenta_of(four, flat, len(jet), of_jet)
        kept &= pt != 0
        if isinstance(
            rows[plain_column(four.momentum_names[0])], np.ndarray
        ):  # not of lists: they are never filled up
            kept &= ~is_filling(np.stack([flat[n] for n in four.momentum_names], axis=-1))
        order = np.flatnonzero(kept)
        order = order[np.argsort(jet[order], kind="stable")]
        offsets = np.concatenate([[0], np.cumsum(np.bincount(jet[order], minlength=n_jets))])
        if four.charge:
            fields["charge"] = flat[four.charge][order]
        elif four.pid:
            fields["charge"] = charge_of(flat[four.pid][order])
        return Jets(pt=pt[order], eta=eta[order], phi=phi[order], mass=mass[order], offsets=offsets, **fields)


@contextlib.contextmanager
def with_truth(columns: ColumnMap, path: str | Path) -> Iterator[Mapped | None]:
    """The second file that holds the truth, open, if a mapping names one; beside ``path`` by default."""
    truth = columns.truth
    if truth is None or truth.file is None:
        yield None
        return
    beside = split_path(path)[0].parent / Path(truth.file).expanduser()
    with open_source(beside, container_of(beside), needed=truth.names) as source:
        yield Mapped(columns, source, beside)
