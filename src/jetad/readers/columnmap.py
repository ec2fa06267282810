"""Which columns of a file are what: the keys of a mapping, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator
from typing_extensions import Self

from ..errors import ConfigError
from ..files.yamlfiles import YAMLError, load_yaml, read_text
from ..settings import Strict

__all__ = ["ColumnMap", "FourMomentumColumns", "LabelMap", "load_mapping", "plain_name_of"]

_CYLINDRICAL, _CARTESIAN = ("pt", "eta", "phi"), ("px", "py", "pz", "E")
_COLUMNS = (
    *(*_CYLINDRICAL, *_CARTESIAN, "mass", "y", "pid", "deta", "dphi", "pt_fraction"),
    *("mask", "jet", "charge", "weight"),
)


class FourMomentumColumns(Strict):
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
    constituents: FourMomentumColumns | None = None
    jets: FourMomentumColumns | None = None
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


def plain_name_of(name: str) -> str:
    """A column as a name for an observable: ``jets.tau1`` and ``group/tau1`` become jets_tau1, group_tau1."""
    return re.sub(r"\W+", "_", name).strip("_")


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
