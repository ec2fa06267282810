"""Aspen Open Jets: particles whose columns are named by an attribute, or follow from their sums."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...jets.kinematics import delta_phi
from ..columnmap import ColumnMap
from ..containers.arrays import ArraySource, Source
from .layouts import LayoutReader, first_rows, shape_of

__all__ = ["AspenReader"]

_AXIS = 0.5  # between a jet and the sum of its constituents [rad]

# what the columns of Aspen Open Jets are, where the file does not say
_ASPEN = ("px", "py", "pz", "E", "d0", "d0Err", "dz", "dzErr", "charge", "pdgId", "puppiWeight")
_ASPEN_TAGGING = (
    "nConstituents", "tau1", "tau2", "tau3", "tau4", "particleNet_H4qvsQCD", "particleNet_HbbvsQCD",
    "particleNet_HccvsQCD", "particleNet_QCD", "particleNet_TvsQCD", "particleNet_WvsQCD",
    "particleNet_ZvsQCD", "particleNet_mass",
)  # fmt: skip


class AspenReader(LayoutReader):
    """Reader of Aspen Open Jets.

    HDF5 with ``PFCands (n, 150, 11)``: px, py, pz, E [GeV], impact parameters and their errors, charge, PDG
    id, PUPPI weight, padded with zeros, and ``jet_kinematics (n, 4)``: pt, eta, phi, soft-drop mass. Copies
    with other columns say so in the attribute ``columns`` of ``PFCands``; pt, eta, phi, E are read, too.
    Columns whose sums do not point along the stored jets are not taken. Constituents are multiplied with the
    PUPPI weight where their sum comes closer to the jet so. There is no truth: the jets are data.

    References:
        Amram et al., "Aspen Open Jets", 2024, arXiv:2412.10504; https://github.com/OzAmram/AOJProcessing
    """

    name = "aspen"
    summary = "Aspen Open Jets HDF5: PFCands (n, 150, 11) and jet_kinematics (n, 4)"
    container = "hdf5"

    def lacks(self, path: str | Path) -> str:
        return "no datasets PFCands (n, particles, features) and jet_kinematics that are their sums"

    def find(self, source: Source, path: str | Path) -> ColumnMap | None:
        shape, jets = shape_of(source, "PFCands"), shape_of(source, "jet_kinematics")
        if len(shape) != 3 or shape[2] < 4 or len(jets) != 2 or jets[1] < 3 or jets[0] != shape[0]:
            return None
        names = _attribute_names(source, "PFCands", shape[2]) or _ASPEN[: shape[2]]
        place = {k.lower(): i for i, k in reversed(list(enumerate(names)))}
        orders = (("px", "py", "pz", "E"), ("pt", "eta", "phi", "E"))
        momenta = next((m for m in orders if {k.lower() for k in m} <= set(place)), None)
        if momenta is None:
            return None
        four = {k: f"PFCands[{place[k.lower()]}]" for k in momenta}
        kinematics = {k: f"jet_kinematics[{i}]" for i, k in enumerate(("pt", "eta", "phi"))}
        if shape[0]:
            values, stored = first_rows(source, "PFCands"), first_rows(source, "jet_kinematics")
            # files cut to fewer columns are filled with what is no charge
            charge = values[..., place["charge"]] if "charge" in place else np.zeros(1)
            if charge.any() and np.isin(charge, (-1, 0, 1)).all():
                four["charge"] = f"PFCands[{place['charge']}]"
            weights = [np.ones_like(values[..., 0])]
            if "puppiweight" in place:
                weights.append(values[..., place["puppiweight"]])
            sums = [_transverse(values, momenta, place, w) for w in weights]
            off = [np.median(np.abs(np.hypot(*s) / stored[:, 0] - 1)) for s in sums]
            if len(off) > 1 and off[1] < off[0]:
                four["weight"] = f"PFCands[{place['puppiweight']}]"
            turned = np.abs(delta_phi(np.arctan2(sums[0][1], sums[0][0]), stored[:, 2]))
            if not (turned < _AXIS).mean() > 0.7:  # also where they are no numbers
                return None
        observables = {"jet_softdrop_mass": "jet_kinematics[3]"} if jets[1] > 3 else {}
        tagging = shape_of(source, "jet_tagging")
        if len(tagging) == 2:
            known = _attribute_names(source, "jet_tagging", tagging[1]) or _ASPEN_TAGGING
            if tagging[1] != len(known):
                known = tuple(f"jet_tagging_{i}" for i in range(tagging[1]))
            observables |= {n: f"jet_tagging[{i}]" for i, n in enumerate(known)}
        return ColumnMap(**{"constituents": four, "jets": kinematics, "observables": observables})


def _transverse(
    values: NDArray[np.float64],
    momenta: tuple[str, ...],
    place: Mapping[str, int],
    weight: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of px and of py, ``(n,)`` each, of particles ``(n, slots, features)``."""
    if "px" in momenta:
        px, py = values[..., place["px"]], values[..., place["py"]]
    else:
        pt, phi = values[..., place["pt"]], values[..., place["phi"]]
        px, py = pt * np.cos(phi), pt * np.sin(phi)
    return (px * weight).sum(axis=1), (py * weight).sum(axis=1)


def _attribute_names(source: Source, name: str, n: int) -> tuple[str, ...]:
    """What the attribute ``columns`` of a dataset says of its last axis; nothing if it does not fit."""
    assert isinstance(source, ArraySource)
    found = getattr(source.arrays[name], "attrs", {}).get("columns")
    if isinstance(found, bytes):
        found = found.decode(errors="replace")
    names = found.split(",") if isinstance(found, str) else [] if found is None else np.ravel(found).tolist()
    words = tuple(w.decode(errors="replace") if isinstance(w, bytes) else str(w).strip() for w in names)
    return words if len(words) == n else ()
