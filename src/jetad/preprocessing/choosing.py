"""Features for jets without constituents: what of their file says something about their inside."""

from __future__ import annotations

import re

import numpy as np

from ..jets import Jets
from .features import COLUMN

__all__ = ["choose_features"]

# substructure by the names that the experiments give it; scores of taggers and truth are none
_SUBSTRUCTURE = re.compile(
    r"(^|[_.])(tau[1-4]([2-4]?|_?wta)|tau\d_?b\d|tau_?\d\d|n[23]b[12]|m?softdrop(mass)?|(m|mass)_?(pruned|sd|soft_?drop)"
    r"|n_?(const(ituents)?|particles?|tracks?)|[cd]2|ecf_?ratio|split(12|23)|width|girth|ptd|lsf3|qw|zcut12"
    r"|planarflow|angularity|(ch|ne)(hef|emef)|(charged|neutral)(hadron|em)(energy)?fraction)(_?wta|_?beta\d)?$",
    re.IGNORECASE,
)
_MAX_CHOSEN = 12
_MIN_FINITE = 0.99  # part of the jets


def choose_features(jets: Jets) -> tuple[str, ...]:
    """The mass and the substructure that the file has, or mass and pT where it has none.

    Arguments:
        jets: The first of a file without constituents.

    Returns:
        Names of observables, as :class:`~jetad.preprocessing.features.FeatureConfig` takes them.
    """
    columns: list[str] = []
    for name, values in jets.observables.items():
        if len(columns) + 1 < _MAX_CHOSEN and _SUBSTRUCTURE.search(name) and _varies(values):
            columns.append(f"{COLUMN}{name}")
    own = [name for name in ("mass", "pt") if _varies(jets.jet_mass if name == "mass" else jets.jet_pt)]
    return (*own[:1], *columns) if columns else tuple(own)


def _varies(values: np.ndarray) -> bool:
    """Whether nearly all are finite, and not all the same."""
    with np.errstate(all="ignore"):
        finite = values[np.isfinite(values.astype(np.float64))]
    return len(finite) >= _MIN_FINITE * len(values) and len(np.unique(finite)) > 1
