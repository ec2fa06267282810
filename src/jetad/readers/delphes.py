"""Delphes: jets of every event, with particle-flow constituents matched by angle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..kinematics import delta_phi
from .events import (
    Constituents,
    EventReader,
    Plan,
    check_same_lengths,
    event_columns,
    jagged_columns,
    jet_columns,
)
from .rootfile import Jagged, Outline, Tree, flatten

__all__ = ["DelphesReader"]

_COLLECTIONS = ("FatJet", "JetPUPPIAK8", "JetAK8", "ParticleFlowJet08", "Jet", "JetPUPPI")
_KINEMATICS = ("PT", "Eta", "Phi", "Mass")
# particle-flow output: charged particles, photons, neutral hadrons, with their transverse momentum
_TRACKS = "EFlowTrack"
_FLOW = {_TRACKS: "PT", "EFlowPhoton": "ET", "EFlowNeutralHadron": "ET"}


class DelphesReader(EventReader):
    """Reader of Delphes output, tree ``Delphes``.

    Jets are ``FatJet``, ``JetAK8``, ... or else ``Jet``, unless ``collection`` says otherwise. Their
    references to constituents are not followed: the particle-flow objects (``EFlowTrack``,
    ``EFlowPhoton``, ``EFlowNeutralHadron``) go to the nearest jet within ``radius`` (0.8 for large jets,
    0.5 for others), tracks with the charged-pion mass unless stored, towers without mass and charge. Tracks
    without stored charge have +1, as their sign is not known. Matching by angle differs from
    the clustering at the edges of a jet; ``jetad inspect`` compares the sums. Without particle-flow
    branches jets are at jet level.
    """

    name = "delphes"
    summary = "Delphes ROOT: FatJet or Jet, constituents from EFlow* matched by angle"
    usual_tree = "Delphes"
    options: ClassVar[Mapping[str, Any]] = {"collection": "", "radius": 0.0}

    def _collections(self) -> tuple[str, ...]:
        chosen = self.settings["collection"]
        return (chosen,) if chosen else _COLLECTIONS

    def _collection(self, branches: set[str]) -> str | None:
        found = (c for c in self._collections() if {f"{c}.{k}" for k in _KINEMATICS} <= branches)
        return next(found, None)

    def recognises(self, tree: Outline) -> bool:
        return self._collection(set(tree.branches)) is not None

    def needs(self) -> str:
        return " or ".join(f"{c}.PT" for c in self._collections())

    def plan(self, tree: Tree, path: str | Path) -> Plan:
        branches = set(tree.branches)
        name = self._collection(branches)
        if name is None:
            raise InputError(f"{path}: {self.lacks(path)}")
        large = any(word in name for word in ("Fat", "AK8", "08"))
        radius = self.settings["radius"] or (0.8 if large else 0.5)
        flow = [c for c, pt in _FLOW.items() if {f"{c}.{pt}", f"{c}.Eta", f"{c}.Phi"} <= branches]
        particles = [
            f"{c}.{k}" for c in flow for k in (_FLOW[c], "Eta", "Phi", "Mass") if f"{c}.{k}" in branches
        ]
        particles += jagged_columns(tree, [f"{_TRACKS}.Charge"]) if _TRACKS in flow else []
        notes = (
            f"constituents are {', '.join(flow)} within {radius:g} of the nearest jet; "
            "Delphes' own references are not followed"
            if flow
            else "no particle-flow branches: jets have only features"
        )
        return Plan(
            collection=name,
            momenta=tuple(f"{name}.{k}" for k in _KINEMATICS),
            constituents=tuple(particles),
            per_jet=tuple(jet_columns(tree, f"{name}.")),
            per_event=tuple(event_columns(tree, [])),
            notes=(notes,),
            reference_pt=f"{name}_PT",
            extra={"radius": radius, "flow": flow},
        )

    def column(self, branch: str) -> str:
        return super().column(branch.replace(".", "_"))

    def constituents(
        self, arrays: Any, plan: Plan, jets: Jagged, path: str | Path, first_entry: int
    ) -> Constituents:
        eta_name, phi_name = plan.momenta[1:3]
        jet_eta, jet_phi = (flatten(arrays[n], n, path) for n in (eta_name, phi_name))
        parts: list[list[NDArray[Any]]] = []
        for collection in plan.extra["flow"]:
            kinds = (_FLOW[collection], "Eta", "Phi", "Mass", "Charge")
            names = {k: f"{collection}.{k}" for k in kinds if f"{collection}.{k}" in plan.constituents}
            flat = {k: flatten(arrays[n], n, path) for k, n in names.items()}
            check_same_lengths(list(flat.values()), list(names.values()), path, first_entry)
            found = {k: column.content.astype(np.float32) for k, column in flat.items()}
            pt, eta, phi = (found[k] for k in kinds[:3])
            track = collection == _TRACKS
            mass = found.get("Mass", np.full_like(pt, 0.13957 if track else 0.0))
            charge = found.get("Charge", np.full_like(pt, 1.0 if track else 0.0))
            jet = nearest_jet(jets, jet_eta, jet_phi, flat[kinds[0]], eta, phi, plan.extra["radius"])
            inside = (jet >= 0) & (pt != 0)
            parts.append([values[inside] for values in (pt, eta, phi, mass, jet, charge)])
        columns = [np.concatenate(values) for values in zip(*parts, strict=True)]
        order = np.argsort(columns[4], kind="stable")
        return Constituents(*(values[order] for values in columns))


def nearest_jet(
    jets: Jagged,
    jet_eta: Jagged,
    jet_phi: Jagged,
    particles: Jagged,
    eta: NDArray[Any],
    phi: NDArray[Any],
    radius: float,
) -> NDArray[np.int64]:
    """Flat index of the nearest jet of the same event, ``(n_particles,)``; -1 beyond ``radius``."""
    n_jets, n_particles = np.diff(jets.offsets), np.diff(particles.offsets)
    event = np.repeat(np.arange(len(n_jets)), n_particles)
    best = np.full(len(event), -1, dtype=np.int64)
    distance = np.full(len(event), radius**2)
    for k in range(int(n_jets.max(initial=0))):  # the k-th jet of all events at once
        rows = np.flatnonzero(n_jets[event] > k)
        jet = jets.offsets[:-1][event[rows]] + k
        with np.errstate(all="ignore"):
            d2 = (eta[rows] - jet_eta.content[jet]) ** 2 + delta_phi(phi[rows], jet_phi.content[jet]) ** 2
            closer = d2 < distance[rows]
        best[rows[closer]], distance[rows[closer]] = jet[closer], d2[closer]
    return best
