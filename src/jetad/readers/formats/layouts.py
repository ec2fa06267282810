"""Published layouts of columns that a mapping describes: known by their content, read in one command."""

from __future__ import annotations

import abc
import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..columnmap import ColumnMap, plain_name_of
from ..containers.arrays import ArraySource, Source, is_number, open_source
from ..guessing.numbers import on_shell
from ..mapped import Mapped
from ..paths import container_of, require_container
from .mapping import MappingReader

__all__ = [
    "AtlasTopReader", "EnergyFlowReader", "FlavourTaggingReader",
    "Hls4mlReader", "OlympicsFeaturesReader",
]  # fmt: skip

_N_TRIED = 200
_MAX_OBSERVABLES = 100
_MEV_ABOVE = 5_000.0  # median pT; jets of these layouts have less than 5 TeV


class LayoutReader(MappingReader, abc.ABC):
    """Base of readers that know the columns of a published layout, ``find`` says which."""

    options: ClassVar[Mapping[str, Any]] = {"external": False}
    said: ClassVar[tuple[str, ...]] = ()  # notes on choices

    def __init__(self, **given: Any) -> None:
        super().__init__(None, **given)
        self._maps: dict[str, ColumnMap] = {}

    @abc.abstractmethod
    def find(self, source: Source, path: str | Path) -> ColumnMap | None:
        """The columns, or ``None`` if the file is of another layout."""

    @abc.abstractmethod
    def lacks(self, path: str | Path) -> str: ...

    @contextlib.contextmanager
    def _source(self, path: str | Path) -> Iterator[Source]:
        require_container(path, self.containers, self.name)
        with open_source(path, container_of(path), external=self.settings.get("external", False)) as source:
            yield source

    def matches(self, path: str | Path) -> bool:
        with self._source(path) as source:
            return self.find(source, path) is not None

    def prepare(self, path: str | Path) -> None:
        """Find the columns and the units of a file; a file is looked at once."""
        with self._source(path) as source:
            self.units = self.mapping_of(source, path).units

    def mapping_of(self, source: Source, path: str | Path) -> ColumnMap:
        if str(path) not in self._maps:
            found = self.find(source, path)
            if found is None:
                held = ", ".join(list(source.columns())[:8]) or "nothing"
                raise InputError(f"{path}: {self.lacks(path)}; the file holds {held}")
            self._maps = {str(path): found}
        return self._maps[str(path)]

    def notes(self, mapped: Mapped) -> tuple[str, ...]:
        return self.said


def shape_of(source: Source, name: str) -> tuple[int, ...]:
    array = source.arrays.get(name) if isinstance(source, ArraySource) else None
    return () if array is None else tuple(map(int, array.shape))


def first_rows(source: Source, name: str) -> NDArray[np.float64]:
    """The first rows of an array."""
    assert isinstance(source, ArraySource)
    array = source.arrays[name]
    return np.asarray(array[: min(_N_TRIED, array.shape[0])], dtype=np.float64)


class EnergyFlowReader(LayoutReader):
    """Reader of the quark and gluon jets of EnergyFlow.

    ``.npz`` with ``X (n, particles, 4)``: pt [GeV], rapidity, phi and PDG id, padded with zeros, and ``y``:
    1 for a quark (signal), 0 for a gluon. Masses and charges follow from the ids.

    References:
        Komiske, Metodiev, Thaler, "Energy flow networks", 2019, arXiv:1810.05165
    """

    name = "energyflow"
    summary = "EnergyFlow quark and gluon jets, .npz: X (n, particles, 4) of pt, rapidity, phi, PDG id, and y"
    container = "numpy"
    options: ClassVar[Mapping[str, Any]] = {}
    said = ("y: quarks (1) are signal, gluons (0) background; masses and charges follow from the ids",)

    def lacks(self, path: str | Path) -> str:
        return "no arrays X (n, particles, 4) of pt, rapidity, phi, PDG id, and y"

    def find(self, source: Source, path: str | Path) -> ColumnMap | None:
        shape = shape_of(source, "X")
        if len(shape) != 3 or shape[2] != 4 or shape_of(source, "y") != shape[:1] or not shape[0]:
            return None
        values = first_rows(source, "X")
        pt, y, phi, pid = (values[..., k][values[..., 0] > 0] for k in range(4))
        ids = np.isin(np.abs(pid), (11, 13, 22, 130, 211, 310, 321, 2112, 2212))
        if not len(pt) or ids.mean() < 0.9 or (np.abs(y) > 8).any() or (np.abs(phi) > 13).any():
            return None
        four = {"pt": "X[0]", "y": "X[1]", "phi": "X[2]", "pid": "X[3]"}
        return ColumnMap(**{"constituents": four, "label": "y"})


class Hls4mlReader(LayoutReader):
    """Reader of the jets of hls4ml and JEDI-net.

    HDF5 with ``jetConstituentList (n, particles, 16)``: px, py, pz, energy [GeV], ..., padded with zeros, and
    ``jets (n, 59)`` with what ``jetFeatureNames`` says. Gluons and light quarks are background, W, Z and top
    signal. The jet images of the file are read with ``--reader images`` and ``file.h5:jetImage``.

    References:
        Moreno et al., "JEDI-net: a jet identification algorithm based on interaction networks", 2020,
        arXiv:1908.05318
    """

    name = "hls4ml"
    summary = "hls4ml, JEDI-net HDF5: jetConstituentList (n, particles, 16) and jets (n, 59)"
    container = "hdf5"
    said = ("gluons and light quarks are background; W, Z and top are signal",)

    def lacks(self, path: str | Path) -> str:
        return "no datasets jetConstituentList and jets"

    def find(self, source: Source, path: str | Path) -> ColumnMap | None:
        name, shape, jets = (
            "jetConstituentList",
            shape_of(source, "jetConstituentList"),
            shape_of(source, "jets"),
        )
        if len(shape) != 3 or shape[2] < 4 or len(jets) != 2 or jets[0] != shape[0]:
            return None
        features = _names(source, "jetFeatureNames", jets[1])
        particles = _names(source, "particleFeatureNames", shape[2]) or ["j1_px", "j1_py", "j1_pz", "j1_e"]
        places = {p.lower().removeprefix("j1_"): i for i, p in reversed(list(enumerate(particles)))}
        if not {"px", "py", "pz", "e"} <= set(places):
            return None
        four = {k: f"{name}[{places[k.lower()]}]" for k in ("E", "px", "py", "pz")}
        values = first_rows(source, name)[..., [places[k.lower()] for k in four]]
        filled = values[(values != 0).any(axis=-1)]
        if len(filled) and not on_shell(filled):
            return None
        keys: dict[str, Any] = {"constituents": four}
        place = {f: f"jets[{i}]" for i, f in enumerate(features)}
        if {"j_pt", "j_eta", "j_mass"} <= set(place):
            keys["jets"] = {k: place[f"j_{k}"] for k in ("pt", "eta", "mass")}
        classes = {c: place[f"j_{c}"] for c in "gqwzt" if f"j_{c}" in place}
        if len(classes) == 5:
            keys["label"] = {
                "signal_columns": [classes[c] for c in "wzt"],
                "background_columns": [classes[c] for c in "gq"],
            }
        others = {f: c for f, c in place.items() if f not in ("j_pt", "j_eta", "j_mass")}
        keys["observables"] = dict(list(others.items())[:_MAX_OBSERVABLES])
        return ColumnMap(**keys)


def _names(source: Source, name: str, n: int) -> list[str]:
    """Names stored in a dataset of text, at most ``n``; none if there are fewer."""
    assert isinstance(source, ArraySource)
    array = source.arrays.get(name)
    if array is None or len(array.shape) != 1 or array.dtype.kind not in "SO" or array.shape[0] < n:
        return []
    return [v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in array[:n]]


class AtlasTopReader(LayoutReader):
    """Reader of the ATLAS top-tagging open data.

    HDF5 with ``fjet_clus_pt, fjet_clus_eta, fjet_clus_phi, fjet_clus_E (n, 200)`` [MeV], padded with zeros,
    the jets ``fjet_pt``, ... , ``labels`` (1 is top) and ``weights``. Other ``fjet_*`` are observables.

    References:
        ATLAS, "Constituent-based top-quark tagging with the ATLAS detector", ATL-PHYS-PUB-2022-039
    """

    name = "atlastop"
    summary = "ATLAS top-tagging open data, HDF5: fjet_clus_pt, fjet_clus_eta, ... (n, 200) in MeV, labels"
    container = "hdf5"

    def lacks(self, path: str | Path) -> str:
        return "no datasets fjet_clus_pt, fjet_clus_eta, fjet_clus_phi, fjet_clus_E"

    def find(self, source: Source, path: str | Path) -> ColumnMap | None:
        columns = source.columns()
        four = {k: f"fjet_clus_{k}" for k in ("pt", "eta", "phi", "E")}
        if not set(four.values()) <= set(columns):
            return None
        jets = {k: f"fjet_{n}" for k, n in (("pt", "pt"), ("eta", "eta"), ("phi", "phi"), ("mass", "m"))}
        if "fjet_m" not in columns and "fjet_mass" in columns:
            jets["mass"] = "fjet_mass"
        jets = {k: n for k, n in jets.items() if n in columns}
        keys: dict[str, Any] = {"units": "MeV", "constituents": four}
        if {"pt", "eta"} <= set(jets):
            keys["jets"] = jets
        for key, name in (("label", "labels"), ("weight", "weights")):
            if name in columns:
                keys[key] = name
        used = {*four.values(), *jets.values(), "labels", "weights"}
        keys["observables"] = single_columns(columns, used)
        return ColumnMap(**keys)


def single_columns(columns: Mapping[str, str], used: set[str], prefix: str = "") -> dict[str, str]:
    """Columns with one number a row that are not used otherwise, by the names of their observables."""
    found = [
        n
        for n, k in columns.items()
        if n.startswith(prefix) and is_number(k) and "[" not in k and n not in used
    ]
    return {plain_name_of(n.removeprefix(prefix)): n for n in found[:_MAX_OBSERVABLES]}


class FlavourTaggingReader(LayoutReader):
    """Reader of the files of the ATLAS flavour-tagging group (umami, puma, salt).

    HDF5 with compound datasets ``jets (n)`` and ``tracks (n, slots)``; tracks have ``deta`` and ``dphi``
    relative to their jet and ``pt`` or ``ptfrac``; ``valid`` says which slots are filled. Where jets have no
    phi they stand at 0. Light jets (``HadronConeExclTruthLabelID`` 0) are background; b, c and tau (5, 4, 15)
    are signal. Tracks are massless and only the charged part of a jet. What looks like MeV is converted.
    """

    name = "ftag"
    summary = "ATLAS flavour-tagging HDF5 (puma, salt): compound jets and tracks with deta, dphi"
    container = "hdf5"
    said = ("constituents are the tracks of the jets, relative to them; without a phi jets stand at 0",)

    def lacks(self, path: str | Path) -> str:
        return "no compound datasets jets, and tracks with deta, dphi"

    def find(self, source: Source, path: str | Path) -> ColumnMap | None:
        columns = source.columns()
        jets = {n.removeprefix("jets.") for n in columns if n.startswith("jets.")}
        kinematics: dict[str, str] = {}
        for role, names in (
            ("pt", ("pt", "pt_btagJes")),
            ("eta", ("eta", "eta_btagJes", "absEta_btagJes")),
            ("phi", ("phi",)),
            ("mass", ("mass", "m")),
        ):
            name = next((n for n in names if n in jets), None)
            kinematics |= {} if name is None else {role: f"jets.{name}"}
        if "mass" not in kinematics and "energy" in jets:
            kinematics["E"] = "jets.energy"
        groups = {n.rpartition(".")[0] for n in columns if n.endswith(".deta")}
        group = next((g for g in sorted(groups, key=lambda g: (g != "tracks", g))), None)
        if not {"pt", "eta"} <= set(kinematics) or group is None or f"{group}.dphi" not in columns:
            return None
        four = {"deta": f"{group}.deta", "dphi": f"{group}.dphi"}
        for role, name in (("pt", "pt"), ("pt_fraction", "ptfrac"), ("pt_fraction", "ptFrac")):
            if f"{group}.{name}" in columns and not {"pt", "pt_fraction"} & set(four):
                four[role] = f"{group}.{name}"
        if not {"pt", "pt_fraction"} & set(four):
            return None
        for role, name in (("mask", "valid"), ("charge", "charge")):
            if f"{group}.{name}" in columns:
                four[role] = f"{group}.{name}"
        keys: dict[str, Any] = {"jets": kinematics, "constituents": four}
        label = next((n for n in jets if n in ("HadronConeExclTruthLabelID", "flavour_label")), None)
        if label == "HadronConeExclTruthLabelID":
            keys["label"] = {"column": f"jets.{label}", "signal": (4, 5, 15), "background": (0,)}
        pt = source.read([kinematics["pt"]], 0, min(_N_TRIED, source.n_rows([kinematics["pt"]])))
        if np.median(pt[kinematics["pt"]].astype(np.float64)) > _MEV_ABOVE:
            keys["units"] = "MeV"
        used = {*kinematics.values(), f"jets.{label}"}
        keys["observables"] = single_columns(columns, used, "jets.")
        return ColumnMap(**keys)


class OlympicsFeaturesReader(LayoutReader):
    """Reader of the features of the LHC Olympics 2020.

    A pandas frame, an event a row, with ``pxj1, pyj1, pzj1, mj1`` and ``pxj2``, ... of its two jets,
    ``tau1j1``, ... and ``label``. Jets have features only; the label is that of the event.

    References:
        Kasieczka et al., "The LHC Olympics 2020", 2021, arXiv:2101.08320
    """

    name = "lhcofeatures"
    summary = "LHC Olympics features, HDF5: pxj1, pyj1, pzj1, mj1, tau1j1, ... of two jets an event"
    container = "hdf5"
    containers = ("hdf5", "csv", "parquet")
    said = ("two jets an event; the file has only features of them",)

    def lacks(self, path: str | Path) -> str:
        return "no table with columns pxj1, pyj1, pzj1, mj1"

    def find(self, source: Source, path: str | Path) -> ColumnMap | None:
        columns = source.columns()
        key = next((n[: -len("pxj1")] for n in columns if re.search(r"(^|[./])pxj1$", n)), None)
        if key is None or any(
            f"{key}{k}j{i}" not in columns for k in ("px", "py", "pz", "m") for i in (1, 2)
        ):
            return None
        jets = {"mass" if k == "m" else k: f"{key}{k}j#" for k in ("px", "py", "pz", "m")}
        keys: dict[str, Any] = {"jets": jets}
        if f"{key}label" in columns:
            keys["label"] = f"{key}label"
        pairs = [
            n[:-1] + "#"
            for n in columns
            if n.startswith(key) and n.endswith("j1") and f"{n[:-1]}2" in columns
        ]
        keys["observables"] = {
            plain_name_of(n.removeprefix(key).removesuffix("j#")): n for n in pairs if n not in jets.values()
        }
        return ColumnMap(**keys)
