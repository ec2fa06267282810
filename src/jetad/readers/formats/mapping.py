"""Any file, with a mapping that says which columns are what."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator
from typing_extensions import Self

from ...errors import ConfigError, InputError
from ...files.yamlfiles import YAMLError, load_yaml, read_text
from ...jets import Jets
from ...jets.kinematics import cylindrical, delta_phi
from ...settings import Strict
from ..base import BaseReader, FileSummary, StoredJet, column_name, container_of, nearest, reading, split_path
from ..containers.arrays import Source, open_source
from ..particles import charge_of, masses_of

__all__ = [
    "ColumnMap", "Four", "LabelMap", "Mapped", "MappingReader", "is_filling", "load_mapping", "plain_name_of",
]  # fmt: skip

# bytes of numbers fetched at once
_BLOCK_BYTES = 16 << 20
_MAX_ROWS = 20_000
# of the momentum, where columns are right but rounded; and the part of the particles that may have less
_LEAST_ENERGY, _FEW_WRONG = 0.98, 0.2

_CYLINDRICAL, _CARTESIAN = ("pt", "eta", "phi"), ("px", "py", "pz", "E")
_COLUMNS = (
    *(*_CYLINDRICAL, *_CARTESIAN, "mass", "y", "pid", "deta", "dphi", "pt_fraction"),
    *("mask", "jet", "charge", "weight"),
)


class Four(Strict):
    """Columns of four-momenta: pt, eta, phi and mass or E (massless without), or px, py, pz and E or mass.

    Instead of pt, eta and phi, constituents may have what is relative to their jet (``pt_fraction``,
    ``deta``, ``dphi``), and a rapidity ``y`` may stand for eta. Jets may lack phi; it is 0 then.
    """

    pt: str | None = None
    eta: str | None = None
    phi: str | None = None
    mass: str | float = 0.0
    px: str | None = None
    py: str | None = None
    pz: str | None = None
    E: str | None = None
    y: str | None = Field(None, description="rapidity, instead of eta")
    pid: str | None = Field(None, description="PDG ids: masses and charges follow, unless they are given")
    pt_fraction: str | None = Field(None, description="of constituents: pt / pt of the jet")
    deta: str | None = Field(None, description="of constituents: eta - eta of the jet")
    dphi: str | None = Field(None, description="of constituents: phi - phi of the jet")
    mask: str | None = Field(
        None, description="true where a slot holds a constituent; pt = 0 is padding anyway"
    )
    jet: str | None = Field(
        None, description="of constituents: position of their jet in the event; -1 is none"
    )
    charge: str | None = Field(None, description="of constituents; 0 is neutral")
    weight: str | None = Field(None, description="of constituents: their momentum is multiplied with it")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        cylindrical_names = [self.pt or self.pt_fraction, self.eta or self.y or self.deta]
        angles = [self.phi, self.dphi, self.eta, self.y, self.deta, self.pt, self.pt_fraction]
        cartesian_names = [self.px, self.py, self.pz]
        doubled = [
            ("eta", "y"), ("eta", "deta"), ("y", "deta"), ("phi", "dphi"), ("pt", "pt_fraction"),
        ]  # fmt: skip
        if (self.E is None or self.mass == 0.0) and not any(
            getattr(self, a) and getattr(self, b) for a, b in doubled
        ):
            if all(cylindrical_names) and not any(cartesian_names):
                return self
            if all(cartesian_names) and not any(angles) and (self.E or self.mass != 0.0 or self.pid):
                return self
        raise ValueError("give pt, eta, phi and perhaps mass or E, or px, py, pz and E or mass")

    @property
    def names(self) -> list[str]:
        values = [getattr(self, k) for k in _COLUMNS]
        return [v for v in values if isinstance(v, str)]

    @property
    def momentum_names(self) -> list[str]:
        """Columns of the momentum alone."""
        values = [getattr(self, k) for k in _COLUMNS if k not in ("pid", "mask", "jet", "charge", "weight")]
        return [v for v in values if isinstance(v, str)]

    @property
    def is_relative(self) -> bool:
        """Whether something is relative to the jet."""
        return bool(self.deta or self.dphi or self.pt_fraction)


class LabelMap(Strict):
    """Truth from the values of a column; values in neither list are unknown.

    ``signal_columns`` and ``background_columns`` are columns of which one is set instead, as in one-hot
    truth; where only one of them is given, the other class is all the rest. ``file`` is another file with
    the same rows, next to the first unless its name has a folder.
    """

    column: str | None = None
    signal: tuple[float, ...] = (1,)
    background: tuple[float, ...] = (0,)
    signal_columns: tuple[str, ...] = ()
    background_columns: tuple[str, ...] = ()
    file: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.column) == bool(self.signal_columns or self.background_columns):
            raise ValueError("give a 'column', or 'signal_columns' and 'background_columns'")
        return self

    @property
    def names(self) -> list[str]:
        return [*([self.column] if self.column else []), *self.signal_columns, *self.background_columns]


class ColumnMap(Strict):
    """Which columns of a file are what; the YAML file of ``--mapping`` has these keys.

    A column is a branch, a dataset (``group/name``), a field of a compound dataset or struct
    (``jets.pt``), a member of an object (``jetp4.fE``) or a column of a pandas table (``df.pxj1``);
    ``name[2]`` is the third entry along its last axis, ``name[2, :]`` along the one before, and ``pxj#`` is
    pxj1, pxj2, ... side by side.
    With ``constituents`` alone every row is a jet; where they are lists of lists, or ``jets`` are lists,
    every row is an event. Without ``constituents`` jets are at jet level.
    """

    tree: str | None = Field(None, description="tree or group, where the file has several")
    units: Literal["GeV", "MeV"] | None = None
    constituents: Four | None = None
    jets: Four | None = None
    label: str | LabelMap | None = None
    weight: str | None = None
    observables: dict[str, str] = Field(default_factory=dict, description="name -> column")

    @model_validator(mode="before")
    @classmethod
    def _list_of_observables(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("observables"), (list, tuple)):
            return {**values, "observables": {plain_name_of(str(n)): str(n) for n in values["observables"]}}
        return values

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.constituents is None and self.jets is None:
            raise ValueError("give the columns of 'constituents' or of 'jets'")
        if self.constituents is not None and not (
            self.constituents.px or self.constituents.phi or self.constituents.dphi
        ):
            raise ValueError(
                "give pt, eta, phi and perhaps mass or E of the 'constituents', or px, py, pz and E"
            )
        if self.jets is not None and self.jets.is_relative:
            raise ValueError("'jets' cannot be relative to themselves: give pt, eta and phi")
        if self.constituents is not None and self.constituents.jet and self.jets is None:
            raise ValueError("'constituents.jet' points to jets: give the columns of 'jets', too")
        if self.constituents is not None and self.constituents.pt_fraction and self.jets is None:
            raise ValueError("'constituents.pt_fraction' is a part of the pt of the jet: give that of 'jets'")
        if self.jets is not None and self.jets.charge:
            raise ValueError("'jets.charge' has no use: name the charges of the 'constituents'")
        return self

    @property
    def truth(self) -> LabelMap | None:
        return LabelMap(column=self.label) if isinstance(self.label, str) else self.label

    @property
    def names(self) -> list[str]:
        names = [
            *(self.constituents.names if self.constituents else []),
            *(self.jets.names if self.jets else []),
        ]
        names += self.truth.names if self.truth and not self.truth.file else []
        names += [self.weight] if self.weight else []
        return list(dict.fromkeys([*names, *self.observables.values()]))


def load_mapping(mapping: str | Path | Mapping[str, Any] | ColumnMap) -> ColumnMap:
    """A mapping from a YAML file or its keys.

    Raises:
        ConfigError: if the file cannot be read or a key is wrong; the sentence names it.
    """
    if isinstance(mapping, ColumnMap):
        return mapping
    where = "mapping"
    if not isinstance(mapping, Mapping):
        where = f"--mapping {mapping}"
        try:
            mapping = load_yaml(read_text(Path(mapping).expanduser()))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{where}: cannot be read ({error})") from error
        except YAMLError as error:
            raise ConfigError(f"{where}: is no YAML ({' '.join(str(error).split())[:200]})") from error
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{where}: must have keys such as 'constituents' and 'label'")
    try:
        return ColumnMap(**{str(k): v for k, v in mapping.items()})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the mapping"
        valid = ", ".join(ColumnMap.model_fields)
        hint = f"; keys are {valid}" if first["type"] == "extra_forbidden" and len(first["loc"]) == 1 else ""
        raise ConfigError(f"{where}: {place}: {first['msg'].removeprefix('Value error, ')}{hint}") from error


class MappingReader(BaseReader):
    """Reader of any tree, HDF5, ``.npz``, Parquet or CSV file whose columns a :class:`ColumnMap` names."""

    name = "mapping"
    summary = (
        "any TTree, RNTuple, HDF5, .npz, Parquet or CSV with a YAML file that names its columns (--mapping)"
    )
    container = "any"
    options: ClassVar[Mapping[str, Any]] = {"mapping": None, "external": False}

    def __init__(
        self, mapping: str | Path | Mapping[str, Any] | ColumnMap | None = None, **given: Any
    ) -> None:
        super().__init__(**given)
        self._map = None if mapping is None else load_mapping(mapping)
        if self._map is not None:
            self.units = self._map.units
            self.settings["mapping"] = self._map

    @property
    def map(self) -> ColumnMap:
        """The mapping; ConfigError if none was given."""
        if self._map is None:
            raise ConfigError(
                "reader 'mapping' needs a mapping of columns: --mapping FILE "
                "('jetad inspect --suggest-mapping' writes a first one)"
            )
        return self._map

    def matches(self, path: str | Path) -> bool:
        return False  # never by itself

    def lacks(self, path: str | Path) -> str:
        return "needs --mapping"

    @contextlib.contextmanager
    def _mapped(self, path: str | Path) -> Iterator[Mapped]:
        """The file with its mapping; readers of a published layout know their own."""
        container = container_of(path)
        needed = [_base(name) for name in self.map.names]
        with open_source(
            path, container, self.map.tree, external=self.settings["external"], needed=needed
        ) as source:
            yield Mapped(self.map, source, path)

    def notes(self, mapped: Mapped) -> tuple[str, ...]:
        """What to say about how the columns were found."""
        return ("columns are named by the mapping",)

    def count(self, path: str | Path) -> int:
        with self._mapped(path) as mapped:
            return mapped.count()

    def describe(self, path: str | Path) -> FileSummary:
        with self._mapped(path) as mapped:
            n_rows, n_jets = mapped.n_rows(), mapped.count()
            columns, source, truth = mapped.source.columns(), mapped.source, mapped.map.truth
            return FileSummary(
                path=Path(path),
                reader=self.name,
                container=source.kind,
                dataset=source.name,
                n_jets=n_jets,
                columns=columns,
                n_slots=None,
                truth=tuple(truth.names) if truth else (),
                observables=mapped.observables,
                notes=self.notes(mapped),
                n_entries=n_rows if n_rows != n_jets else None,
                stored=mapped.stored,
            )

    def iterate(self, path: str | Path, *, step: int) -> Iterator[Jets]:
        with self._mapped(path) as mapped:
            yield from mapped.iterate()


class Mapped:
    """A file whose columns are known: from rows to jets.

    Arguments:
        columns: Which of them are what.
        source: The open file.
        path: For messages.
    """

    def __init__(self, columns: ColumnMap, source: Source, path: str | Path) -> None:
        self.map, self.source, self.path = columns, source, path
        self._known: dict[str, str] | None = None

    @property
    def _lead(self) -> Four:
        four = self.map.jets or self.map.constituents
        assert four is not None
        return four

    @property
    def _stored_names(self) -> tuple[str, ...]:
        """Observables of the stored momenta, where jets have constituents, too."""
        if self.map.jets is None or self.map.constituents is None:
            return ()
        taken = {column_name(n) for n in self.map.observables}
        return tuple(
            n for n in ("jet_pt_file", "jet_eta_file", "jet_phi_file", "jet_mass_file") if n not in taken
        )

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
        for name in map(_base, self.map.names if names is None else names):
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

    def n_rows(self) -> int:
        """Rows of the file, after checking its columns."""
        n = self.source.n_rows(self._columns())
        truth = self.map.truth
        if truth and truth.file:
            with self._labels() as labels:
                n_labels = labels.source.n_rows(labels._columns(truth.names))
            if n_labels != n:
                raise InputError(
                    f"{self.path}: has {n} rows, but {truth.file} with their truth has {n_labels}"
                )
        return n

    @contextlib.contextmanager
    def _labels(self) -> Iterator[Mapped]:
        """The second file that holds the truth."""
        truth = self.map.truth
        assert truth is not None
        assert truth.file is not None
        beside = split_path(self.path)[0].parent / Path(truth.file).expanduser()
        with open_source(beside, container_of(beside), needed=truth.names) as source:
            yield Mapped(self.map, source, beside)

    def _rows_at_once(self, names: list[str]) -> int:
        kinds, total = self.source.columns(), 0
        for name in names:
            sizes = [int(n) for n in re.findall(r"\d+", kinds.get(name, "[]").partition("[")[2])]
            total += 8 * (int(np.prod(sizes, dtype=object)) if sizes else 60)
        return int(max(1, min(_MAX_ROWS, _BLOCK_BYTES // max(total, 1))))

    def count(self) -> int:
        """Rows, or the jets in them where a row is an event."""
        import awkward as ak

        name = self._lead.names[0]
        n_rows = self.n_rows()
        one_jet_depth = 1 if self.map.jets else 2
        n_jets = 0
        for start in range(0, n_rows, _MAX_ROWS):
            rows = self._read([name], start, min(start + _MAX_ROWS, n_rows))
            with reading(self.path):
                array = _values(rows, name)
                if array.ndim <= one_jet_depth:
                    return n_rows
                n_jets += int(ak.sum(ak.num(array, axis=1)))
        return n_jets

    def iterate(self, stop: int | None = None) -> Iterator[Jets]:
        """Jets in pieces, in file order, of the first ``stop`` rows."""
        names = self._columns()
        n_rows = self.n_rows()
        n_rows = n_rows if stop is None else min(n_rows, stop)
        n_fetched = self._rows_at_once(names)
        with contextlib.ExitStack() as stack:
            truth = self.map.truth
            other = stack.enter_context(self._labels()) if truth and truth.file else None
            for start in range(0, n_rows, n_fetched):
                last = min(start + n_fetched, n_rows)
                rows = self._read(self.map.names, start, last)
                labels = rows if other is None or truth is None else other._read(truth.names, start, last)
                with reading(self.path):
                    jets = self._jets(rows, labels, start)
                yield jets
                del rows, jets

    def _read(self, names: Iterable[str], start: int, stop: int) -> dict[str, Any]:
        """Rows of columns of the mapping, numbered ones side by side."""
        names = list(names)
        rows = self.source.read(self._columns(names), start, stop)
        for name in map(_base, names):
            if "#" in name and name not in rows:
                parts = [np.asarray(rows[n]) for n in self._numbered(name)]
                if any(part.ndim != 1 for part in parts):
                    raise InputError(f"{self.path}: columns '{name}' must hold one number a row")
                rows[name] = np.stack(parts, axis=1)
        return rows

    def _jets(self, rows: dict[str, Any], label_rows: dict[str, Any], first_row: int) -> Jets:
        import awkward as ak

        path, four = self.path, self._lead
        lead = _values(rows, four.names[0])
        n_rows = len(lead)
        events = lead.ndim > (1 if self.map.jets else 2)
        counts = np.asarray(ak.num(lead, axis=1)) if events else np.ones(n_rows, dtype=np.int64)
        row = np.repeat(np.arange(n_rows), counts)
        starts = np.concatenate([[0], np.cumsum(counts)])

        def per_jet(name: str, rows: dict[str, Any] = rows) -> NDArray[Any]:
            array = _values(rows, name)
            if array.ndim == 1:
                return _number(np.asarray(array)[row], name, path)
            if array.ndim != 2 or not events or not np.array_equal(np.asarray(ak.num(array, axis=1)), counts):
                raise InputError(f"{path}: column '{name}' holds {array.type}, expected one number per jet")
            return _number(np.asarray(ak.flatten(array, axis=1)), name, path)

        fields: dict[str, Any] = {
            "entry": first_row + row,
            "position": np.arange(len(row)) - starts[row],
            "observables": {column_name(key): per_jet(name) for key, name in self.map.observables.items()},
        }
        if self.map.weight:
            fields["weights"] = per_jet(self.map.weight)
        if self.map.truth:
            fields["labels"] = _truth(self.map.truth, lambda name: per_jet(name, label_rows))
        with np.errstate(all="ignore"):
            stored: NDArray[Any] | None = None
            if self.map.jets is not None:
                columns = {n: per_jet(n) for n in self.map.jets.names}
                _require_energies(self.map.jets, columns, path)
                stored = np.stack(_momenta(self.map.jets, columns, len(row)), axis=1).astype(np.float32)
            if self.map.constituents is None:
                return Jets.without_constituents(len(row), jet_momenta=stored, **fields)
            if stored is not None:
                values = dict(
                    zip(
                        ("jet_pt_file", "jet_eta_file", "jet_phi_file", "jet_mass_file"),
                        stored.T,
                        strict=True,
                    )
                )
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
            array = _values(rows, name)
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
            flat[name] = _number(np.asarray(ak.flatten(array, axis=None)), name, path)
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
        _require_energies(four, flat, path)
        pt, eta, phi, mass = _momenta(four, flat, len(jet), of_jet)
        kept &= pt != 0
        if isinstance(
            rows[_base(four.momentum_names[0])], np.ndarray
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


def _momenta(
    four: Four, columns: Mapping[str, NDArray[Any]], n: int, jet: NDArray[Any] | None = None
) -> tuple[NDArray[Any], ...]:
    """(pt, eta, phi, mass), each ``(n,)``, from columns by name.

    Arguments:
        four: Which columns are what.
        columns: Name -> ``(n,)``.
        n: How many.
        jet: (pt, eta, phi, mass) of the jet of each, for relative columns.
    """

    def column(name: str | None) -> NDArray[np.float64] | None:
        return None if name is None else columns[name].astype(np.float64)

    weight = column(four.weight)
    scale: Any = 1.0 if weight is None else weight
    mass = column(four.mass) if isinstance(four.mass, str) else np.full(n, float(four.mass))
    assert mass is not None
    if four.pid is not None and four.mass == 0.0:
        mass = masses_of(columns[four.pid])
    energy = column(four.E)
    if four.px is not None:
        px, py, pz = (columns[str(name)].astype(np.float64) for name in (four.px, four.py, four.pz))
        if energy is None:
            energy = np.sqrt(px**2 + py**2 + pz**2 + mass**2)
        return cylindrical(energy * scale, px * scale, py * scale, pz * scale)
    pt, eta, phi, rapidity = (column(name) for name in (four.pt, four.eta, four.phi, four.y))
    if pt is None or (eta is None and rapidity is None) or phi is None:
        jet_pt, jet_eta, jet_phi = np.zeros((3, n)) if jet is None else jet[:, :3].T.astype(np.float64)
        if pt is None:
            pt = columns[str(four.pt_fraction)] * jet_pt
        if eta is None and rapidity is None:
            eta = columns[str(four.deta)] + jet_eta.astype(np.float64)
        if phi is None:
            phi = np.zeros(n)
            if four.dphi:
                phi = delta_phi(columns[four.dphi] + jet_phi, 0.0).astype(np.float64)
    if rapidity is not None:
        eta = np.arcsinh(np.sinh(rapidity) * np.sqrt(1 + (mass / np.where(pt == 0, 1, pt)) ** 2))
    if energy is not None:
        mass = np.sqrt(np.maximum(energy**2 - (pt * np.cosh(eta)) ** 2, 0))  # type: ignore[arg-type]
    return pt * scale, eta, phi, mass * scale  # type: ignore[return-value]


def _require_energies(four: Four, columns: Mapping[str, NDArray[Any]], path: str | Path) -> None:
    """Refuse energies that are smaller than the momenta: the columns must be exchanged.

    Raises:
        InputError: if more than a fifth of the particles have such a one.
    """
    if four.E is None or not (four.px or (four.pt and four.eta)):
        return
    with np.errstate(all="ignore"):
        energy = columns[four.E].astype(np.float64)
        if four.px:
            parts = [columns[str(name)].astype(np.float64) for name in (four.px, four.py, four.pz)]
            names, momentum = f"{four.px}, {four.py}, {four.pz}", np.sqrt(sum(part**2 for part in parts))
        else:
            names = f"{four.pt}, {four.eta}"
            momentum = columns[str(four.pt)].astype(np.float64) * np.cosh(
                columns[str(four.eta)].astype(np.float64)
            )
        known = (momentum > 0) & np.isfinite(momentum) & np.isfinite(energy)
        wrong = known & (energy < _LEAST_ENERGY * momentum)
    n, n_wrong = int(known.sum()), int(wrong.sum())
    if n_wrong > _FEW_WRONG * n:
        raise InputError(
            f"{path}: the energy '{four.E}' is smaller than the momentum ({names}) of {n_wrong} of {n} "
            "particles: columns are exchanged in the mapping, or in other units"
        )


def _truth(truth: LabelMap, per_jet: Callable[[str], NDArray[Any]]) -> NDArray[np.int8]:
    """0 background, 1 signal, -1 unknown."""
    if truth.column:
        values = per_jet(truth.column)
        is_signal, is_background = np.isin(values, truth.signal), np.isin(values, truth.background)
    else:
        one_hot = [
            np.any([per_jet(n) == 1 for n in names], axis=0) if names else None
            for names in (truth.signal_columns, truth.background_columns)
        ]
        is_signal = ~one_hot[1] if one_hot[0] is None else one_hot[0]  # type: ignore[operator]
        is_background = ~is_signal if one_hot[1] is None else one_hot[1]
    labels = np.select([is_signal & ~is_background, is_background & ~is_signal], [1, 0], default=-1)
    return labels.astype(np.int8)


_INDEX = re.compile(r"\[(\d+)(, *:)?\]$")


def _base(name: str) -> str:
    return _INDEX.sub("", name)


def is_filling(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether slots ``(..., features)`` are only filled up: all NaN, or all one negative number, as -999."""
    first = values[..., :1]
    with np.errstate(invalid="ignore"):
        same = (values == first) & (first < 0)
    filling: NDArray[np.bool_] = (same | ((values != values) & (first != first))).all(axis=-1)
    return filling


def plain_name_of(name: str) -> str:
    """A column as a name for an observable: ``jets.tau1`` and ``group/tau1`` become jets_tau1, group_tau1."""
    return re.sub(r"\W+", "_", name).strip("_")


def _values(rows: Mapping[str, Any], name: str) -> Any:
    """A column as an awkward array; ``name[2]`` takes along the last axis, ``name[2, :]`` the one before."""
    import awkward as ak

    array = rows[_base(name)]
    match = _INDEX.search(name)
    if match and name not in rows:
        array = array[..., int(match[1]), :] if match[2] else array[..., int(match[1])]
    if isinstance(array, np.ndarray):
        array = ak.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False), regulararray=True)
        return ak.from_regular(array, axis=None)
    return ak.from_regular(array, axis=None)


def _number(values: NDArray[Any], name: str, path: str | Path) -> NDArray[Any]:
    if values.dtype.kind not in "fiub":
        raise InputError(f"{path}: column '{name}' holds {values.dtype}, expected numbers")
    return np.array(values)
