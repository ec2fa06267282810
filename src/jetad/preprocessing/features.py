"""Jet-level features: a few observables per jet, in units of their spread in the background."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator
from typing_extensions import Self

from ..errors import InputError
from ..jets import Jets
from ..registry import closest_first, resolve
from .images import align

__all__ = ["COLUMN", "OBSERVABLES", "FeatureConfig", "JetFeatures", "observable"]

# name -> what it is; z = pt / sum of pt, distances to the pT-weighted centroid, (eta', phi') as in the image
OBSERVABLES = {
    "major_axis": "sqrt(sum z phi'^2), width along the principal axis",
    "minor_axis": "sqrt(sum z eta'^2), width across it",
    "n_constituents": "number of constituents",
    "mass": "invariant mass [GeV]",
    "mass_over_pt": "invariant mass / pT",
    "girth": "sum z r",
    "lha": "sum z sqrt(r / 0.8), Les Houches angularity",
    "ptd": "sqrt(sum z^2)",
    "leading_fraction": "largest z",
    "pt": "transverse momentum [GeV]",
    "eta": "pseudorapidity",
}

# observables that are known for jets without constituents, too
_OF_THE_JET = ("mass", "mass_over_pt", "pt", "eta")

#: A column of the file as an observable: ``file:FatJet_tau1``.
COLUMN = "file:"


class FeatureConfig(BaseModel):
    """Settings of the feature representation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    representation: Literal["features"] = "features"
    observables: tuple[str, ...] = Field(
        ("major_axis", "minor_axis", "n_constituents"),
        min_length=1,
        description=f"any of {', '.join(OBSERVABLES)}, or file:COLUMN for a column of the file",
    )
    standardize: bool = Field(True, description="subtract the mean and divide by the spread")

    @field_validator("observables")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name.startswith(COLUMN) and len(name) > len(COLUMN):
                continue
            resolve(OBSERVABLES, name, "observable")
        return value


def observable(jets: Jets, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Observables by name, ``(n_jets, len(names))``; NaN for jets that cannot be described.

    Raises:
        InputError: for a column that the file does not have, or an observable that needs constituents
            where there are none.
    """
    if any(name not in OBSERVABLES or not jets.has_constituents for name in names):
        return np.stack([_one(jets, name) for name in names], axis=1)
    eta, phi, valid = align(jets)
    jet, summed = jets.jet_index, jets.sum_over_constituents
    pt = np.where(valid[jet], jets.pt, 0).astype(np.float64)
    total = summed(pt)
    z = pt / np.where(total > 0, total, 1)[jet]
    r = np.hypot(eta, phi)

    def largest_z() -> NDArray[np.float64]:
        out = np.zeros(len(jets))
        np.maximum.at(out, jet, z)
        return out

    compute: dict[str, Callable[[], NDArray[Any]]] = {
        "major_axis": lambda: np.sqrt(summed(z * phi * phi)),
        "minor_axis": lambda: np.sqrt(summed(z * eta * eta)),
        "n_constituents": lambda: jets.n_constituents.astype(np.float64),
        "mass": lambda: jets.jet_mass.astype(np.float64),
        "mass_over_pt": lambda: jets.jet_mass / jets.jet_pt.astype(np.float64),
        "girth": lambda: summed(z * r),
        "lha": lambda: summed(z * np.sqrt(r / 0.8)),
        "ptd": lambda: np.sqrt(summed(z * z)),
        "leading_fraction": largest_z,
        "pt": lambda: jets.jet_pt.astype(np.float64),
        "eta": lambda: jets.jet_eta.astype(np.float64),
    }
    columns = np.stack([compute[name]() for name in names], axis=1)
    columns[~valid] = np.nan
    return columns


def _one(jets: Jets, name: str) -> NDArray[np.float64]:
    """One observable, of the file or of jets without constituents."""
    if name.startswith(COLUMN):
        column = name.removeprefix(COLUMN)
        if column not in jets.observables:
            available = ", ".join(closest_first(column, jets.observables)[:8]) or "none"
            raise InputError(
                f"the file has no column '{column}' for the feature '{name}'; closest: {available}"
            )
        return jets.observables[column].astype(np.float64)
    if jets.has_constituents:
        return observable(jets, (name,))[:, 0]
    if name not in _OF_THE_JET or jets.jet_momenta is None:
        raise InputError(
            f"the jets have no constituents to compute '{name}' from; "
            f"take columns of the file ({COLUMN}NAME) or of: {', '.join(_OF_THE_JET)}"
        )
    pt, eta, _, mass = jets.jet_momenta.astype(np.float64).T
    with np.errstate(all="ignore"):
        return {"mass": mass, "mass_over_pt": mass / pt, "pt": pt, "eta": eta}[name]


class JetFeatures:
    """The feature representation, float32 ``(n_jets, n_observables)``: observable minus mean, over spread.

    With ``standardize: false`` they are the observables as they are.

    The scaling is linear on purpose. A density depends on the coordinates it is a density in: mapping
    each observable to a normal distribution would make the lower tail of a falling spectrum as rare as
    the upper one, and a jet of low mass as anomalous as one of high mass.

    Arguments:
        config: Which observables; the two widths of the jet and its multiplicity when left out.
        mean, std: The constants, ``(n_observables,)``, measured by ``fit``.
    """

    def __init__(
        self,
        config: FeatureConfig | None = None,
        mean: NDArray[np.float64] | None = None,
        std: NDArray[np.float64] | None = None,
    ) -> None:
        self.config = config or FeatureConfig()
        n = len(self.config.observables)
        self.mean = np.zeros(n) if mean is None else np.asarray(mean, dtype=np.float64)
        self.std = np.ones(n) if std is None else np.asarray(std, dtype=np.float64)

    def __repr__(self) -> str:
        return f"JetFeatures({', '.join(self.config.observables)})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row, ``(n_observables,)``."""
        return (len(self.config.observables),)

    def fit(self, jets: Jets) -> Self:
        values = observable(jets, self.config.observables)
        values = values[np.isfinite(values).all(axis=1)]
        if len(values) < 2:
            raise InputError("fewer than two jets have finite features")
        mean, spread = values.mean(axis=0), values.std(axis=0)
        for name, std in zip(self.config.observables, spread, strict=True):
            if not std > 0:
                raise InputError(
                    f"observable '{name}' has the same value in every training jet; leave it out"
                )
        if self.config.standardize:
            self.mean, self.std = mean, spread
        return self

    def transform(self, jets: Jets) -> NDArray[np.float32]:
        values = (observable(jets, self.config.observables) - self.mean) / self.std
        return values.astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        return {**self.config.model_dump(mode="json"), "mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        settings = {k: v for k, v in state.items() if k not in ("mean", "std")}
        return cls(FeatureConfig(**settings), state["mean"], state["std"])
