"""Masses and charges of particles from their PDG ids."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["charge_of", "masses_of"]

# masses [GeV] of what detectors tell apart; others are taken for massless
_MASSES = {11: 0.000511, 13: 0.10566, 211: 0.13957, 321: 0.49368, 130: 0.49761, 310: 0.49761,
           2212: 0.93827, 2112: 0.93957}  # fmt: skip
# leptons have the charge opposite to the sign of their id, charged hadrons that sign
_LEPTONS, _CHARGED_HADRONS = (11, 13, 15), (211, 321, 2212)


def masses_of(pid: NDArray[Any]) -> NDArray[np.float64]:
    """Masses [GeV] from PDG ids; of those that are not long-lived hadrons or leptons 0."""
    kind = np.abs(np.nan_to_num(pid)).astype(np.int64)
    return np.select([kind == k for k in _MASSES], list(_MASSES.values()), default=0.0)


def charge_of(pid: NDArray[Any]) -> NDArray[np.float32]:
    """Charges [e] of particle-flow candidates from their PDG ids."""
    kind, sign = np.abs(pid), np.sign(pid)
    charge: NDArray[np.float32] = np.select(
        [np.isin(kind, _LEPTONS), np.isin(kind, _CHARGED_HADRONS)], [-sign, sign], default=0
    ).astype(np.float32)
    return charge
