"""Any file, with a mapping that says which columns are what."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator
from typing_extensions import Self

from ..errors import ConfigError, InputError
from ..files.yamlfiles import YAMLError, load_yaml, read_text
from ..jets import Jets
from ..kinematics import cylindrical
from ..settings import Strict
from .arrays import Source, is_number, open_source
from .base import BaseReader, FileSummary, column_name, container_of, reading

__all__ = ["ColumnMap", "Four", "LabelMap", "MappingReader", "load_mapping", "suggest_mapping"]

# bytes of numbers fetched at once
_BLOCK_BYTES = 16 << 20
_MAX_ROWS = 20_000

_CYLINDRICAL, _CARTESIAN = ("pt", "eta", "phi"), ("px", "py", "pz", "E")


class Four(Strict):
    """Columns of four-momenta: pt, eta, phi and mass or E (massless without), or px, py, pz and E."""

    pt: str | None = None
    eta: str | None = None
    phi: str | None = None
    mass: str | float = 0.0
    px: str | None = None
    py: str | None = None
    pz: str | None = None
    E: str | None = None
    mask: str | None = Field(
        None, description="true where a slot holds a constituent; pt = 0 is padding anyway"
    )
    jet: str | None = Field(
        None, description="of constituents: position of their jet in the event; -1 is none"
    )
    charge: str | None = Field(None, description="of constituents; 0 is neutral")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        cylindrical_names = [getattr(self, k) for k in _CYLINDRICAL]
        cartesian_names = [self.px, self.py, self.pz]
        if self.E is None or self.mass == 0.0:
            if all(cylindrical_names) and not any(cartesian_names):
                return self
            if all(cartesian_names) and self.E and not any(cylindrical_names):
                return self
        raise ValueError("give pt, eta, phi and perhaps mass or E, or px, py, pz and E")

    @property
    def names(self) -> list[str]:
        values = [getattr(self, k) for k in (*_CYLINDRICAL, *_CARTESIAN, "mass", "mask", "jet", "charge")]
        return [v for v in values if isinstance(v, str)]


class LabelMap(Strict):
    """Truth from the values of a column; values in neither list are unknown."""

    column: str
    signal: tuple[float, ...] = (1,)
    background: tuple[float, ...] = (0,)


class ColumnMap(Strict):
    """Which columns of a file are what; the YAML file of ``--mapping`` has these keys.

    A column is a branch, a dataset (``group/name``), a field of a compound dataset or struct
    (``jets.pt``); ``name[2]`` is the third entry along its last axis, ``name[2, :]`` along the one before.
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
            return {**values, "observables": {_plain(str(n)): str(n) for n in values["observables"]}}
        return values

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.constituents is None and self.jets is None:
            raise ValueError("give the columns of 'constituents' or of 'jets'")
        if self.constituents is not None and self.constituents.jet and self.jets is None:
            raise ValueError("'constituents.jet' points to jets: give the columns of 'jets', too")
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
        names += [self.truth.column] if self.truth else []
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
    """Reader of any tree, HDF5, ``.npz`` or Parquet file whose columns a :class:`ColumnMap` names."""

    name = "mapping"
    summary = "any TTree, RNTuple, HDF5, .npz or Parquet with a YAML file that names its columns (--mapping)"
    container = "any"
    options: ClassVar[Mapping[str, Any]] = {"mapping": None, "external": False}

    def __init__(
        self, mapping: str | Path | Mapping[str, Any] | ColumnMap | None = None, **given: Any
    ) -> None:
        super().__init__(**given)
        self._map = None if mapping is None else load_mapping(mapping)
        self.units = None if self._map is None else self._map.units
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

    def count(self, path: str | Path) -> int:
        with open_source(
            path, container_of(path), self.map.tree, external=self.settings["external"]
        ) as source:
            return self._count(source, path)

    def describe(self, path: str | Path) -> FileSummary:
        with open_source(
            path, container_of(path), self.map.tree, external=self.settings["external"]
        ) as source:
            n_rows = source.n_rows(self._columns())
            n_jets = self._count(source, path)
            columns = source.columns()
        truth = self.map.truth
        return FileSummary(
            path=Path(path),
            reader=self.name,
            container=source.kind,
            dataset=source.name,
            n_jets=n_jets,
            columns=columns,
            n_slots=None,
            truth=(truth.column,) if truth else (),
            observables=tuple(column_name(n) for n in self.map.observables),
            notes=("columns are named by the mapping",),
            n_entries=n_rows if n_rows != n_jets else None,
        )

    def iterate(self, path: str | Path, *, step: int) -> Iterator[Jets]:
        with open_source(
            path, container_of(path), self.map.tree, external=self.settings["external"]
        ) as source:
            names = self._columns()
            n_rows = source.n_rows(names)
            n_fetched = self._rows_at_once(source, names)
            for start in range(0, n_rows, n_fetched):
                rows = source.read(names, start, min(start + n_fetched, n_rows))
                with reading(path):
                    jets = self._jets(rows, start, path)
                yield jets
                del rows, jets

    # --- from columns to jets ----------------------------------------------------------------------

    def _columns(self) -> list[str]:
        return list(dict.fromkeys(_base(name) for name in self.map.names))

    def _rows_at_once(self, source: Source, names: list[str]) -> int:
        kinds, total = source.columns(), 0
        for name in names:
            sizes = [int(n) for n in re.findall(r"\d+", kinds[name].partition("[")[2])]
            total += 8 * (int(np.prod(sizes, dtype=object)) if sizes else 60)
        return int(max(1, min(_MAX_ROWS, _BLOCK_BYTES // max(total, 1))))

    def _count(self, source: Source, path: str | Path) -> int:
        """Rows, or the jets in them where a row is an event."""
        import awkward as ak

        four = self.map.jets or self.map.constituents
        assert four is not None
        name = four.names[0]
        n_rows = source.n_rows(self._columns())
        one_jet_depth = 1 if self.map.jets else 2
        n_jets = 0
        for start in range(0, n_rows, _MAX_ROWS):
            rows = source.read([_base(name)], start, min(start + _MAX_ROWS, n_rows))
            with reading(path):
                array = _values(rows, name)
                if array.ndim <= one_jet_depth:
                    return n_rows
                n_jets += int(ak.sum(ak.num(array, axis=1)))
        return n_jets

    def _jets(self, rows: dict[str, Any], first_row: int, path: str | Path) -> Jets:
        import awkward as ak

        four = self.map.jets or self.map.constituents
        assert four is not None
        lead = _values(rows, four.names[0])
        n_rows = len(lead)
        events = lead.ndim > (1 if self.map.jets else 2)
        counts = np.asarray(ak.num(lead, axis=1)) if events else np.ones(n_rows, dtype=np.int64)
        row = np.repeat(np.arange(n_rows), counts)
        starts = np.concatenate([[0], np.cumsum(counts)])

        def per_jet(name: str) -> NDArray[Any]:
            array = _values(rows, name)
            if array.ndim == 1:
                return np.asarray(array)[row]
            if array.ndim != 2 or not events or not np.array_equal(np.asarray(ak.num(array, axis=1)), counts):
                raise InputError(f"{path}: column '{name}' holds {array.type}, expected one number per jet")
            return np.asarray(ak.flatten(array, axis=1))

        fields: dict[str, Any] = {
            "entry": first_row + row,
            "position": np.arange(len(row)) - starts[row],
            "observables": {
                column_name(key): _number(per_jet(name), name, path)
                for key, name in self.map.observables.items()
            },
        }
        if self.map.weight:
            fields["weights"] = _number(per_jet(self.map.weight), self.map.weight, path)
        if self.map.truth:
            values = _number(per_jet(self.map.truth.column), self.map.truth.column, path)
            is_signal, is_background = (
                np.isin(values, self.map.truth.signal),
                np.isin(values, self.map.truth.background),
            )
            fields["labels"] = np.select([is_signal, is_background], [1, 0], default=-1).astype(np.int8)
        with np.errstate(all="ignore"):
            if self.map.constituents is None:
                momenta = _momenta(
                    self.map.jets or four, {n: _number(per_jet(n), n, path) for n in four.names}
                )
                return Jets.without_constituents(len(row), jet_momenta=np.stack(momenta, axis=1), **fields)
            return self._with_constituents(rows, events, counts, starts, fields, path)

    def _with_constituents(
        self,
        rows: dict[str, Any],
        events: bool,
        counts: NDArray[np.int64],
        starts: NDArray[np.int64],
        fields: dict[str, Any],
        path: str | Path,
    ) -> Jets:
        import awkward as ak

        four = self.map.constituents
        assert four is not None
        lead = _values(rows, four.names[0])
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
        del lead
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
            jet = starts[jet] + index
        pt, eta, phi, mass = _momenta(four, flat)
        kept &= pt != 0
        order = np.flatnonzero(kept)
        order = order[np.argsort(jet[order], kind="stable")]
        offsets = np.concatenate([[0], np.cumsum(np.bincount(jet[order], minlength=n_jets))])
        if four.charge:
            fields["charge"] = flat[four.charge][order]
        return Jets(pt=pt[order], eta=eta[order], phi=phi[order], mass=mass[order], offsets=offsets, **fields)


def _momenta(four: Four, columns: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """(pt, eta, phi, mass) from columns by name."""
    if four.pt is None:
        energy, px, py, pz = (columns[str(name)] for name in (four.E, four.px, four.py, four.pz))
        return cylindrical(energy, px, py, pz)
    pt, eta, phi = (columns[str(getattr(four, k))] for k in _CYLINDRICAL)
    if four.E is not None:
        momentum2 = (pt.astype(float) * np.cosh(eta.astype(float))) ** 2
        return pt, eta, phi, np.sqrt(np.maximum(columns[four.E].astype(float) ** 2 - momentum2, 0))
    mass = columns[four.mass] if isinstance(four.mass, str) else np.full(len(pt), four.mass)
    return pt, eta, phi, mass


_INDEX = re.compile(r"\[(\d+)(, *:)?\]$")


def _base(name: str) -> str:
    return _INDEX.sub("", name)


def _plain(name: str) -> str:
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


# --- a first mapping -------------------------------------------------------------------------------

_PART = re.compile(r"(?i)^(.*?)(charge|pt|eta|phi|mass|m|energy|en|e|px|py|pz)$")
_LABELS = ("is_signal_new", "is_signal", "signal", "label", "labels", "truth", "target", "y")
_WEIGHTS = ("weight", "weights", "event_weight", "mcweight", "genweight", "w")
_ROLE = {"energy": "E", "en": "E", "e": "E", "m": "mass"}


_PARTICLES = re.compile("part|cand|const|pf(?!.*jet)|(?<!iso)track|tower|clus|^p_")
# what an event holds beside jets and their particles
_OTHERS = re.compile("gen|truth|mc|ele|mu|lep|tau|phot|gamma|isotrack|trig|subjet|hit|vert|sv|met")


def _likely(family: tuple[str, int]) -> tuple[int, bool, int, str]:
    """Sorts lists of momenta: particles, those without a telling name, jets (large ones first), others."""
    prefix = family[0].rpartition("/")[2] or family[0]
    if _OTHERS.search(prefix):
        kind = 3
    elif _PARTICLES.search(prefix):
        kind = 0
    else:
        kind = 2 if "jet" in prefix else 1
    return kind, not re.search("fat|ak8|ak15|larger", prefix), len(prefix), prefix


def suggest_mapping(path: str | Path) -> str:
    """A mapping for a file, guessed from the names and shapes of its columns, as YAML to be checked by eye.

    Raises:
        InputError: if the file cannot be read.
    """
    with reading(path), open_source(path, container_of(path)) as source:
        columns = {name: kind for name, kind in source.columns().items() if is_number(kind)}
        # the counters of lists
        counted = {re.split("_", n, maxsplit=1)[0] for n, k in columns.items() if "[" in k}
        counted.update(n for n, k in columns.items() if "[" in k)
        columns = {n: k for n, k in columns.items() if not (n[:1] == "n" and n[1:] in counted)}
        tree = source.name if source.kind.startswith("ROOT") else ""
    families: dict[tuple[str, int], dict[str, str]] = {}
    for name, kind in columns.items():
        plain = re.sub(r"momentum\.([xyz])$", r"p\1", name)  # of EDM4hep
        plain = re.sub(r"^(.*)(AK\d+)$", r"\2\1", plain)  # jetPtAK8 of CMS
        match = _PART.match(plain)
        if match and (not match[1] or not match[1][-1].isalpha() or match[2][0].isupper()):
            role = match[2].lower()
            family = families.setdefault((match[1].lower(), kind.count("[")), {})
            family.setdefault(_ROLE.get(role, role), name)
    complete = {}
    for key, roles in families.items():
        if set(_CARTESIAN) <= set(roles):
            complete[key] = {k: roles[k] for k in _CARTESIAN}
        elif set(_CYLINDRICAL) <= set(roles):
            last = next(([k] for k in ("mass", "E") if k in roles), [])
            complete[key] = {k: roles[k] for k in (*_CYLINDRICAL, *last)}
        if key in complete and key[1] and "charge" in roles:
            complete[key]["charge"] = roles["charge"]
    lists = sorted((k for k in complete if k[1] > 0), key=_likely)
    single = sorted((k for k in complete if k[1] == 0), key=lambda k: ("jet" not in k[0], k))
    chosen: dict[str, Any] = {"tree": tree} if tree else {}
    of_jets: list[str] = []
    if lists and lists[0][1] == 1 and _likely(lists[0])[0] == 2:
        prefix = lists[0][0]
        chosen["jets"] = complete[lists[0]]
        of_jets = [n for n, kind in columns.items() if n.lower().startswith(prefix) and kind.endswith("[]")]
    elif lists:
        chosen["constituents"] = complete[lists[0]]
    elif single:
        chosen["jets"] = complete[single[0]]
    used = {v for part in chosen.values() if isinstance(part, dict) for v in part.values()}
    scalars = [n for n, kind in columns.items() if "[" not in kind and n not in used]
    for entry, known in (("label", _LABELS), ("weight", _WEIGHTS)):
        found = next((n for w in known for n in scalars if re.split(r"[./]", n)[-1].lower() == w), None)
        if found:
            chosen[entry] = found
            scalars.remove(found)
    scalars = [*(n for n in of_jets if n not in used), *scalars]
    if scalars:
        chosen["observables"] = {_plain(n): n for n in scalars[:50]}
    head = f"# guessed from {Path(path).name}: check every line, remove what is not wanted\n"
    if "constituents" not in chosen and "jets" not in chosen:
        head += "# no complete set of pt, eta, phi or px, py, pz, E was found: name it here\n"
        chosen["constituents"] = {"pt": "?", "eta": "?", "phi": "?", "mass": 0.0}
    elif "constituents" in chosen and any(_likely(k)[0] == 2 for k in lists):
        head += (
            "# every row is one jet so; where rows are events, name their 'jets' (below), too or instead\n"
        )
    others = [f"#   {n}: {kind}" for n, kind in columns.items() if n not in used and n not in scalars]
    tail = "# other columns:\n" + "\n".join(others[:200]) + "\n" if others else ""
    return head + "# units: MeV\n" + yaml.safe_dump(chosen, sort_keys=False) + tail
