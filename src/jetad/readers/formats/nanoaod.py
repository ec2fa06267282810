"""CMS NanoAOD and PFNano: jets of every event, with particle-flow constituents where they are stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...errors import InputError
from ..base import StoredJet
from ..containers.jagged import Jagged, flatten
from ..containers.root import Outline, Tree
from ..events import (
    Constituents,
    EventReader,
    Plan,
    event_columns,
    gather_links,
    jagged_columns,
    jet_columns,
    missing,
)
from ..particles import charge_of
from ..paths import nearest

__all__ = ["NanoAODReader"]

_COLLECTIONS = ("FatJet", "ScoutingFatJet", "Jet", "ScoutingPFJet")
# any other collection of jets is one where these say that it is NanoAOD
_SIGNATURE = {"run", "luminosityBlock", "event"}
_NO_JETS = re.compile(r"gen|sub|corrt1|tau|softactivity|trig|hlt|l1", re.IGNORECASE)
_KINEMATICS = ("pt", "eta", "phi", "mass")
_PER_EVENT = ("run", "luminosityBlock", "event")
_WEIGHT = "genWeight"
_CANDIDATE_INDEX = ("pFCandsIdx", "pfCandIdx", "pFCandIdx", "PFCandIdx", "pfCandsIdx")


class NanoAODReader(EventReader):
    """Reader of CMS NanoAOD, and of PFNano and NanoAOD v15 with constituents.

    Tree ``Events`` (TTree or RNTuple) with ``FatJet_pt, FatJet_eta, FatJet_phi, FatJet_mass`` [GeV], or
    another ``collection``. Constituents are followed through ``<collection>PFCands_{jetIdx,pFCandsIdx}``
    into ``PFCands_*`` (PFNano) or ``<collection>PFCand_{jetIdx,pfCandIdx}`` into ``PFCand_*`` (NanoAOD
    v15); an index of -1 is no link. Without those branches jets are at jet level: their stored momenta
    and features, no constituents.

    PUPPI weights: AK8 jets are clustered from weighted particles, so constituents of ``FatJet`` are
    multiplied by ``puppiWeight`` where the file has that branch (NanoAOD v15 stores weighted momenta and
    has none). ``Jet`` is weighted unless the file has ``Jet_puId``, which only the older jets with charged
    hadron subtraction carry. ``use_puppi`` decides otherwise. The constituents sum to the jet before the
    jet energy corrections, ``pt * (1 - rawFactor)``.

    Charges are ``PFCands_charge``, or follow from ``PFCands_pdgId``.

    Observables: every branch ``<collection>_*`` with one number a jet, and run, luminosityBlock, event.
    Weights come from ``genWeight``.
    """

    name = "nanoaod"
    summary = "CMS NanoAOD, PFNano ROOT (TTree or RNTuple): Events with FatJet_* or Jet_*, several per event"
    containers = ("root", "parquet")
    options: ClassVar[Mapping[str, Any]] = {"collection": "", "use_puppi": None}

    def recognises(self, tree: Outline) -> bool:
        return bool(self._of(tree.branches))

    def needs(self) -> str:
        chosen = self.settings["collection"]
        names = (chosen,) if chosen else ("FatJet", "Jet")
        return " or ".join(f"{c}_pt, {c}_eta, {c}_phi" for c in names)

    def _of(self, branches: Iterable[str]) -> list[str]:
        """Collections to read, the first choice first."""
        chosen, there = self.settings["collection"], set(branches)
        return [c for c in ([chosen] if chosen else _jets_of(there)) if _has_momenta(c, there)]

    def others(self, tree: Tree, plan: Plan) -> list[str]:
        return [c for c in _jets_of(set(tree.branches)) if c != plan.collection]

    def plan(self, tree: Tree, path: str | Path) -> Plan:
        branches = set(tree.branches)
        found = self._of(branches)
        if not found:
            raise InputError(f"{path}: {self.lacks(path)}")
        collection = found[0]
        momenta = tuple(f"{collection}_{k}" for k in _KINEMATICS if f"{collection}_{k}" in branches)
        links = _find_links(collection, branches)
        table, weight, charge, notes = "", None, None, []
        if links is None:
            notes.append(f"no branches {collection}PFCands_jetIdx: jets have no constituents, only features")
            constituents: tuple[str, ...] = ()
        else:
            table = "PFCands" if "PFCands_pt" in branches else "PFCand"
            missing(tree, [f"{table}_{k}" for k in _KINEMATICS[:3]], path)
            particles = [f"{table}_{k}" for k in _KINEMATICS if f"{table}_{k}" in branches]
            weight, said = self._puppi(collection, table, branches, path)
            notes.append(f"constituents from {table}_*{said}")
            charge = next(iter(jagged_columns(tree, [f"{table}_charge", f"{table}_pdgId"])), None)
            constituents = (*links, *particles, *(name for name in (weight, charge) if name))
        if not self.settings["collection"] and collection != "FatJet":
            notes.append("the file has no FatJet (AK8) jets")
        others = [c for c in _jets_of(branches) if c != collection]
        if others:
            notes.append(f"other jets of the file: {', '.join(others)} (--collection {others[0]})")
        per_jet = jet_columns(tree, f"{collection}_")
        pt, eta, mass = (f"{collection}_{k}" for k in ("pt", "eta", "mass"))
        correction = f"{collection}_rawFactor"
        return Plan(
            collection=collection,
            momenta=momenta,
            constituents=constituents,
            per_jet=tuple(n for n in per_jet),
            per_event=tuple(event_columns(tree, _PER_EVENT)),
            weight=_WEIGHT if event_columns(tree, [_WEIGHT]) else None,
            notes=tuple(notes),
            stored=StoredJet(pt, eta, mass, correction=correction if correction in per_jet else None),
            extra={"links": links, "table": table, "puppi": weight, "charge": charge},
        )

    def _puppi(
        self, collection: str, table: str, branches: set[str], path: str | Path
    ) -> tuple[str | None, str]:
        """The branch to multiply with, and what to say about it."""
        name, asked = f"{table}_puppiWeight", self.settings["use_puppi"]
        if name not in branches:
            if asked:
                raise InputError(
                    f"{path}: has no branch '{name}' to weight constituents with; "
                    f"closest: {nearest(name, branches)}"
                )
            return None, " as stored (there is no puppiWeight)"
        if asked is None:
            asked = f"{collection}_puId" not in branches
        return (name, f", weighted with {name}") if asked else (None, ", not weighted with PUPPI")

    def constituents(
        self, arrays: Any, plan: Plan, jets: Jagged, path: str | Path, first_entry: int
    ) -> Constituents:
        table, (jet_link, particle_link) = plan.extra["table"], plan.extra["links"]
        flat = {name: flatten(arrays[name], name, path) for name in plan.constituents}
        particles = flat[f"{table}_pt"]
        for name in plan.constituents[2:]:
            if not np.array_equal(flat[name].offsets, particles.offsets):
                raise InputError(f"{path}: '{name}' and '{table}_pt' differ in length; the file is broken")
        jet, particle = gather_links(
            flat[jet_link],
            flat[particle_link],
            jets,
            particles,
            (jet_link, particle_link, plan.momenta[0], f"{table}_pt"),
            path,
            first_entry,
        )
        pt, eta, phi = (flat[f"{table}_{k}"].content[particle].astype(np.float32) for k in _KINEMATICS[:3])
        mass = np.zeros_like(pt)
        with np.errstate(all="ignore"):
            if f"{table}_mass" in flat:
                mass = flat[f"{table}_mass"].content[particle].astype(np.float32)
            if plan.extra["puppi"]:
                weight = flat[plan.extra["puppi"]].content[particle].astype(np.float32)
                pt, mass = pt * weight, mass * weight
        there = pt != 0  # a particle of weight zero is not in the jet
        charge = None
        if plan.extra["charge"]:
            charge = flat[plan.extra["charge"]].content[particle][there]
            charge = charge_of(charge) if plan.extra["charge"].endswith("_pdgId") else charge
        return Constituents(pt[there], eta[there], phi[there], mass[there], jet[there], charge)


def _has_momenta(collection: str, branches: set[str]) -> bool:
    return {f"{collection}_pt", f"{collection}_eta", f"{collection}_phi"} <= branches


def _jets_of(branches: set[str]) -> list[str]:
    """Collections of jets in a tree, those of large jets first."""
    found = [c for c in _COLLECTIONS if _has_momenta(c, branches)]
    if branches >= _SIGNATURE:
        names = {b[: -len("_pt")] for b in branches if b.endswith("Jet_pt")}
        more = [c for c in names - set(found) if _has_momenta(c, branches) and not _NO_JETS.search(c)]
        found += sorted(more, key=lambda c: ("Fat" not in c and "AK8" not in c, c))
    return found


def _find_links(collection: str, branches: set[str]) -> tuple[str, str] | None:
    for table in ("PFCands", "PFCand"):
        jet = f"{collection}{table}_jetIdx"
        for index in _CANDIDATE_INDEX:
            if jet in branches and f"{collection}{table}_{index}" in branches:
                return jet, f"{collection}{table}_{index}"
    return None
