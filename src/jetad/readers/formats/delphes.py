"""Delphes: jets of every event, with the constituents that they refer to, or particle flow near them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...jets.kinematics import delta_phi
from ..base import StoredJet
from ..containers.jagged import Jagged, flatten
from ..containers.root import Outline, Tree
from ..events import (
    Constituents,
    EventReader,
    Plan,
    event_columns,
    jagged_columns,
    jet_columns,
)
from ..trees import check_same_lengths

__all__ = ["DelphesReader"]

_COLLECTIONS = ("FatJet", "JetPUPPIAK8", "JetAK8", "ParticleFlowJet08", "Jet", "JetPUPPI")
_KINEMATICS = ("PT", "Eta", "Phi", "Mass")
# particle-flow output: charged particles, photons, neutral hadrons, with their transverse momentum
_FLOW = {"EFlowTrack": "PT", "EFlowPhoton": "ET", "EFlowNeutralHadron": "ET"}
# what else jets may refer to, looked at in this order
_OTHERS = {"ParticleFlowCandidate": "PT", "Track": "PT", "Tower": "ET", "Particle": "PT"}
_PT = {**_FLOW, **_OTHERS}
# of those that do not store them; others have neither mass nor charge
_MASS_AND_CHARGE = {
    "EFlowTrack": (0.13957, 1.0), "Track": (0.13957, 1.0),
    "ParticleFlowCandidate": (0.0, np.nan), "Particle": (0.0, np.nan),
}  # fmt: skip

_COTANGENT = "CtgTheta"  # of the polar angle of the momentum, where it is stored

_N_TRIED = 100  # events whose references are looked up before all are trusted
_UID = 0xFFFFFF  # the rest of ROOT's unique identifier says which process wrote the object

logger = logging.getLogger(__name__)


class DelphesReader(EventReader):
    """Reader of Delphes output, tree ``Delphes``.

    Jets are ``FatJet``, ``JetAK8``, ... or else ``Jet``, unless ``collection`` says otherwise. Their
    constituents are those that they refer to (``FatJet.Constituents``), where the file holds them:
    particle flow (``EFlowTrack``, ``EFlowPhoton``, ``EFlowNeutralHadron``), or other tracks, towers and
    particles. Else, or if ``radius`` is given, particle-flow objects go to the nearest jet within that
    radius (0.8 for large jets, 0.5 for others), which differs from the clustering at the edges of a jet;
    ``jetad inspect`` compares the sums. ``ParticleFlowCandidate`` is taken where there is no ``EFlow*``.
    Momenta along the beam are PT * CtgTheta where CtgTheta is stored (``Eta`` may be that of a point at the
    calorimeter). Tracks have the charged-pion mass and, as their sign is not known, charge +1 unless stored;
    photons, neutral hadrons and towers neither. Without any of these branches jets are at jet level.
    """

    name = "delphes"
    summary = "Delphes ROOT: FatJet or Jet, their constituents by reference or EFlow* by angle"
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

    def others(self, tree: Tree, plan: Plan) -> list[str]:
        branches = set(tree.branches)
        names = {b.partition(".")[0] for b in branches if b.endswith(".PT") and "Jet" in b}
        there = [c for c in names if {f"{c}.{k}" for k in _KINEMATICS} <= branches]
        return sorted((c for c in there if c != plan.collection), key=lambda c: ("Gen" in c, c))

    def needs(self) -> str:
        return " or ".join(f"{c}.PT" for c in self._collections())

    def plan(self, tree: Tree, path: str | Path) -> Plan:
        branches = set(tree.branches)
        name = self._collection(branches)
        if name is None:
            raise InputError(f"{path}: {self.lacks(path)}")
        large = any(word in name for word in ("Fat", "AK8", "08"))
        radius = self.settings["radius"] or (0.8 if large else 0.5)
        followed = [] if self.settings["radius"] else _referred_to(tree, name, path)
        flow = followed or [c for c in _FLOW if _has(branches, c)]
        if not flow:
            flow = [c for c in ("ParticleFlowCandidate",) if _has(branches, c)]
        kinds = ("Eta", "Phi", "Mass", _COTANGENT, *(["fUniqueID"] if followed else []))
        particles = [f"{c}.{k}" for c in flow for k in (_PT[c], *kinds) if f"{c}.{k}" in branches]
        particles += jagged_columns(tree, [f"{c}.Charge" for c in flow])
        if followed:
            particles.append(_references(name))
            notes = f"constituents are those in {', '.join(flow)} that jets refer to"
        elif flow:
            notes = f"constituents are {', '.join(flow)} within {radius:g} of the nearest jet"
            notes += "; Delphes' own references are not followed"
        else:
            notes = "no particle-flow branches: jets have only features"
        return Plan(
            collection=name,
            momenta=tuple(f"{name}.{k}" for k in _KINEMATICS),
            constituents=tuple(particles),
            per_jet=tuple(jet_columns(tree, f"{name}.")),
            per_event=tuple(event_columns(tree, [])),
            notes=(notes,),
            stored=StoredJet(f"{name}.PT", f"{name}.Eta", f"{name}.Mass"),
            extra={"radius": radius, "flow": flow, "references": _references(name) if followed else None},
        )

    def column(self, branch: str) -> str:
        return super().column(branch.replace(".", "_"))

    def constituents(
        self, arrays: Any, plan: Plan, jets: Jagged, path: str | Path, first_entry: int
    ) -> Constituents:
        eta_name, phi_name = plan.momenta[1:3]
        jet_eta, jet_phi = (flatten(arrays[n], n, path) for n in (eta_name, phi_name))
        parts: list[list[NDArray[Any]]] = []
        branch = plan.extra["references"]
        links = None if branch is None else _Links(arrays[branch], jets, branch, path)
        for collection in plan.extra["flow"]:
            kinds = (_PT[collection], "Eta", "Phi", "Mass", "Charge", _COTANGENT)
            names = {k: f"{collection}.{k}" for k in kinds if f"{collection}.{k}" in plan.constituents}
            flat = {k: flatten(arrays[n], n, path) for k, n in names.items()}
            check_same_lengths(list(flat.values()), list(names.values()), path, first_entry)
            found = {k: column.content.astype(np.float32) for k, column in flat.items()}
            pt, eta, phi = (found[k] for k in kinds[:3])
            if _COTANGENT in found:
                eta = _of_the_momentum(found[_COTANGENT], eta)
            default_mass, default_charge = _MASS_AND_CHARGE.get(collection, (0.0, 0.0))
            mass = found.get("Mass", np.full_like(pt, default_mass))
            charge = found.get("Charge", np.full_like(pt, default_charge))
            if links is None:
                jet = nearest_jet(jets, jet_eta, jet_phi, flat[kinds[0]], eta, phi, plan.extra["radius"])
            else:
                jet = links.jets_of(flatten(arrays[f"{collection}.fUniqueID"], collection, path))
            # what a jet refers to is in it, also a particle at rest; without references that is nowhere
            inside = (jet >= 0) & (pt != 0 if links is None else True)
            eta = np.where(pt == 0, np.float32(0), eta)
            parts.append([values[inside] for values in (pt, eta, phi, mass, jet, charge)])
        if links is not None and links.n_left:
            logger.warning("%s: %d constituents that jets refer to are not in the file", path, links.n_left)
        columns = [np.concatenate(values) for values in zip(*parts, strict=True)]
        order = np.argsort(columns[4], kind="stable")
        return Constituents(*(values[order] for values in columns))


def _of_the_momentum(cotangent: NDArray[np.float32], eta: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pseudorapidity of the momentum, pz = PT * CtgTheta; ``Eta`` where the cotangent was not filled.

    ``Eta`` of a ``ParticleFlowCandidate`` is that of the point where it meets the calorimeter in Delphes
    before May 2022.
    """
    with np.errstate(all="ignore"):
        return np.where(cotangent == 0, eta, np.arcsinh(cotangent))


def _has(branches: set[str], collection: str, *more: str) -> bool:
    return {f"{collection}.{k}" for k in (_PT[collection], "Eta", "Phi", *more)} <= branches


def _references(jets: str) -> str:
    return f"{jets}.Constituents"


def _referred_to(tree: Tree, jets: str, path: str | Path) -> list[str]:
    """Collections with what the first jets refer to; empty unless the file holds all of that."""
    branches, name = set(tree.branches), _references(jets)
    stored = [c for c in _PT if _has(branches, c, "fUniqueID")]
    if name not in branches or tree.typename(name) != "TRefArray[]" or not stored:
        return []
    pt = f"{jets}.PT"
    identifiers = {c: f"{c}.fUniqueID" for c in stored}
    n_tried = min(_N_TRIED, int(tree.num_entries))
    arrays = tree.arrays([pt, name, *identifiers.values()], 0, n_tried, path)
    links = _Links(arrays[name], flatten(arrays[pt], pt, path), name, path)
    used = {
        collection
        for collection, identifier in identifiers.items()
        if (links.jets_of(flatten(arrays[identifier], identifier, path)) >= 0).any()
    }
    if used & set(_FLOW) or not used:  # one of them may be rare
        used |= set(_FLOW)
    return [] if links.n_left else [c for c in stored if c in used]


class _Links:
    """Which jet refers to an object of its event, by the identifier of the object."""

    def __init__(self, references: Any, jets: Jagged, branch: str, path: str | Path) -> None:
        import awkward as ak

        identifiers = references["refs"]
        counts = np.asarray(ak.num(identifiers, axis=1))
        if not np.array_equal(counts, np.diff(jets.offsets)):
            raise InputError(f"{path}: '{branch}' has not as many jets as the other branches in every event")
        per_jet = np.asarray(ak.flatten(ak.num(identifiers, axis=2), axis=None))
        event = np.repeat(np.repeat(np.arange(len(counts)), counts), per_jet)
        identifier = np.asarray(ak.flatten(identifiers, axis=None)).astype(np.int64) & _UID
        keys = event << 24 | identifier
        order = np.argsort(keys[identifier != 0], kind="stable")
        self._keys = keys[identifier != 0][order]
        self._jets = np.repeat(np.arange(len(per_jet)), per_jet)[identifier != 0][order]
        self._left = np.ones(len(self._keys), dtype=bool)

    @property
    def n_left(self) -> int:
        """References that none of the objects shown so far has answered."""
        return int(self._left.sum())

    def jets_of(self, identifiers: Jagged) -> NDArray[np.int64]:
        """Flat index of the jet of each object, ``(n_objects,)``, -1 for those of none.

        Collections may share objects, so a reference is followed once.
        """
        event = np.repeat(np.arange(len(identifiers.offsets) - 1), np.diff(identifiers.offsets))
        keys = event << 24 | identifiers.content.astype(np.int64) & _UID
        jets = np.full(len(keys), -1, dtype=np.int64)
        if len(self._keys):
            place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            found = (self._keys[place] == keys) & self._left[place]
            jets[found] = self._jets[place[found]]
            self._left[place[found]] = False
        return jets


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
