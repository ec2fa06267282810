"""Jet-level features: a few observables per jet, in units of their spread in the background."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, field_validator
from typing_extensions import Self

from ..errors import ConfigError, InputError
from ..files.fields import Fields
from ..jets import Jets
from ..registry import resolve
from ..settings import Strict
from .images import aligned
from .substructure import CLUSTERED, PAIRWISE, clustered, pairwise

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
    **CLUSTERED,
    **PAIRWISE,
}

# observables that are known for jets without constituents, too
_OF_THE_JET = ("mass", "mass_over_pt", "pt", "eta")

# of the published Wasserstein NAE
_N_QUANTILES = 1000

#: A column of the file as an observable: ``file:FatJet_tau1``.
COLUMN = "file:"


class FeatureConfig(Strict):
    """Settings of the feature representation."""

    representation: Literal["features"] = "features"
    observables: tuple[str, ...] = Field(
        ("major_axis", "minor_axis", "n_constituents"),
        min_length=1,
        description=f"any of {', '.join(OBSERVABLES)}, or file:COLUMN for a column of the file",
    )
    scaling: Literal["standard", "quantile-normal", "none"] = Field(
        "standard",
        description="to zero mean and unit spread, or each to a normal distribution, or as they are",
    )

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
    own = tuple(name for name in names if name in OBSERVABLES)
    computed: dict[str, NDArray[np.float64]] = {}
    if own and jets.has_constituents:
        computed = dict(zip(own, _from_constituents(jets, own).T, strict=True))
    return np.stack(
        [computed[name] if name in computed else _of_the_file(jets, name) for name in names], axis=1
    )


def _from_constituents(jets: Jets, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Observables of jets with constituents, ``(n_jets, len(names))``."""
    eta, phi, valid, pt, total = aligned(jets)
    summed = jets.sum_over_constituents
    z = pt / np.repeat(np.where(total > 0, total, 1), jets.n_constituents)
    r = np.hypot(eta, phi) if {"girth", "lha"} & set(names) else np.zeros(0)

    def largest_z() -> NDArray[np.float64]:
        out = np.zeros(len(jets))
        np.maximum.at(out, jets.jet_index, z)
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
    found = {name: compute[name]() for name in names if name in compute}
    for table, function in ((CLUSTERED, clustered), (PAIRWISE, pairwise)):
        asked = tuple(name for name in names if name in table)
        if asked:
            found |= function(jets, valid, asked)
    columns = np.stack([found[name] for name in names], axis=1)
    columns[~valid] = np.nan
    return columns


def _of_the_file(jets: Jets, name: str) -> NDArray[np.float64]:
    """One observable that is a column of the file or the momentum of jets without constituents."""
    if name.startswith(COLUMN):
        column = name.removeprefix(COLUMN)
        return jets.column(column, f" for the feature '{name}'").astype(np.float64)
    if name not in _OF_THE_JET or jets.jet_momenta is None:
        raise InputError(
            f"the jets have no constituents to compute '{name}' from; "
            f"take columns of the file ({COLUMN}NAME) or of: {', '.join(_OF_THE_JET)}"
        )
    pt, eta, _, mass = jets.jet_momenta.astype(np.float64).T
    with np.errstate(all="ignore"):
        result: NDArray[np.float64] = {"mass": mass, "mass_over_pt": mass / pt, "pt": pt, "eta": eta}[name]
        return result


class JetFeatures:
    """The feature representation, float32 ``(n_jets, n_observables)``: observable minus mean, over spread.

    With ``scaling: none`` they are the observables as they are.

    The scaling is linear on purpose. A density depends on the coordinates it is a density in: mapping
    each observable to a normal distribution would make the lower tail of a falling spectrum as rare as
    the upper one, and a jet of low mass as anomalous as one of high mass.

    ``scaling: quantile-normal`` does that mapping nevertheless, as published for the Wasserstein NAE: linear
    between 1000 quantiles of the training background, then to a normal. What lies beyond the range of the
    training jets is moved to its end, +-5.2: no jet is farther out in one feature than the outermost
    training jet, and a detector tells such jets apart by the other features only. So is the smallest value
    itself, however many training jets have it (a soft-drop mass of 0).

    Arguments:
        config: Which observables; the two widths of the jet and its multiplicity when left out.
        mean, std: The constants of the linear scaling, ``(n_observables,)``, measured by ``fit``.
        quantiles: The constants of the other, ``(n_quantiles, n_observables)``, rising.
    """

    def __init__(
        self,
        config: FeatureConfig | None = None,
        mean: ArrayLike | None = None,
        std: ArrayLike | None = None,
        quantiles: ArrayLike | None = None,
    ) -> None:
        self.config = config or FeatureConfig()
        n = len(self.config.observables)
        self.mean = np.zeros(n) if mean is None else np.asarray(mean, dtype=np.float64)
        self.std = np.ones(n) if std is None else np.asarray(std, dtype=np.float64)
        self.quantiles = None if quantiles is None else np.asarray(quantiles, dtype=np.float64)

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
        for name, column in zip(self.config.observables, values.T, strict=True):
            if not column.std() > 0:
                raise InputError(
                    f"observable '{name}' has the same value in every training jet; leave it out"
                )
        if self.config.scaling == "standard":
            self.mean, self.std = values.mean(axis=0), values.std(axis=0)
        elif self.config.scaling == "quantile-normal":
            self.quantiles = _to_normal(min(_N_QUANTILES, len(values))).fit(values).quantiles_
        return self

    def transform(self, jets: Jets) -> NDArray[np.float32]:
        values = observable(jets, self.config.observables)
        if self.config.scaling != "quantile-normal":
            return ((values - self.mean) / self.std).astype(np.float32)
        if self.quantiles is None:
            raise ConfigError("features scaled by quantiles must be fitted before they transform jets")
        fitted = _to_normal(len(self.quantiles))
        fitted.quantiles_, fitted.n_features_in_ = self.quantiles, self.quantiles.shape[1]
        fitted.n_quantiles_ = len(self.quantiles)
        fitted.references_ = np.linspace(0, 1, fitted.n_quantiles_)
        rows: NDArray[np.float32] = np.full(values.shape, np.nan, dtype=np.float32)
        finite = np.isfinite(values).all(axis=1)
        if finite.any():
            rows[finite] = fitted.transform(values[finite])
        return rows

    def to_dict(self) -> dict[str, Any]:
        settings = self.config.model_dump(mode="json")
        if self.quantiles is not None:
            return {**settings, "quantiles": self.quantiles.tolist()}
        return {**settings, "mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        names = ("mean", "std", "quantiles")
        config = FeatureConfig(**{k: v for k, v in state.items() if k not in names})
        fields, n = Fields(state), len(config.observables)
        if config.scaling == "quantile-normal":
            rows = Fields({str(i): row for i, row in enumerate(_rows(fields))}, "quantiles")
            return cls(config, quantiles=[rows.numbers(name, length=n) for name in rows.values])
        return cls(config, fields.numbers("mean", length=n), fields.numbers("std", length=n, low=1e-300))


def _rows(fields: Fields) -> list[Any]:
    rows = fields.any("quantiles")
    if not isinstance(rows, list) or len(rows) < 2:
        raise InputError("'quantiles' must be a list of two rows of numbers or more")
    return rows


def _to_normal(n_quantiles: int) -> Any:
    from sklearn.preprocessing import QuantileTransformer

    return QuantileTransformer(n_quantiles=n_quantiles, output_distribution="normal", subsample=None)
