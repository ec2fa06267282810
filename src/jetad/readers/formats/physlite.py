"""ATLAS PHYSLITE: large-radius jets of every event with their substructure, at jet level."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ..containers.root import Outline, Tree
from ..events import EventReader, Plan, event_columns, jet_columns, missing

__all__ = ["PhysliteReader"]

_COLLECTIONS = ("AnalysisLargeRJets", "AnalysisJets")
_PER_EVENT = ("runNumber", "lumiBlock", "eventNumber", "mcChannelNumber", "averageInteractionsPerCrossing")


class PhysliteReader(EventReader):
    """Reader of ATLAS PHYSLITE.

    Tree ``CollectionTree`` (or the RNTuple ``EventData``) with ``<collection>AuxDyn.pt, .eta, .phi, .m``,
    by default of ``AnalysisLargeRJets``, or else ``AnalysisJets``. The format stores MeV, so jet momenta are
    divided by 1000; all other columns stay as they are (``Split12``, ``ECF1``, ... in MeV). Constituents are
    links to objects that PHYSLITE does not keep, so jets are at jet level.

    Observables: every decoration with one number a jet, ``AnalysisLargeRJetsAuxDyn.D2`` under the name
    ``AnalysisLargeRJets_D2``, and run and event numbers. Weights are the nominal, first of
    ``mcEventWeights``.
    """

    name = "physlite"
    summary = "ATLAS PHYSLITE ROOT (TTree or RNTuple): AnalysisLargeRJetsAuxDyn.*, MeV, jet-level features"
    units = "MeV"
    usual_tree = "CollectionTree"
    options: ClassVar[Mapping[str, Any]] = {"collection": ""}

    def _momenta(self, branches: set[str]) -> tuple[str, ...] | None:
        chosen = self.settings["collection"]
        for collection in (chosen,) if chosen else _COLLECTIONS:
            for dot in (".", ":"):  # fields of an RNTuple cannot have dots
                names = tuple(f"{collection}AuxDyn{dot}{k}" for k in ("pt", "eta", "phi", "m"))
                if set(names) <= branches:
                    return names
        return None

    def recognises(self, tree: Outline) -> bool:
        return self._momenta(set(tree.branches)) is not None

    def others(self, tree: Tree, plan: Plan) -> list[str]:
        names = (b[: -len("AuxDyn.pt")] for b in tree.branches if re.search(r"JetsAuxDyn[.:]pt$", b))
        return sorted(n for n in names if n != plan.collection and not re.search("Truth|Tau", n))

    def needs(self) -> str:
        return f"{self.settings['collection'] or _COLLECTIONS[0]}AuxDyn.pt, .eta, .phi, .m"

    def plan(self, tree: Tree, path: str | Path) -> Plan:
        momenta = self._momenta(set(tree.branches))
        if momenta is None:
            missing(tree, [f"{self.settings['collection'] or _COLLECTIONS[0]}AuxDyn.pt"], path)
            raise AssertionError
        prefix = momenta[0][: -len("pt")]
        collection = prefix[: -len("AuxDyn.")]
        small = not self.settings["collection"] and collection != _COLLECTIONS[0]
        dot = prefix[-1]
        event = [f"EventInfoAuxDyn{dot}{k}" for k in _PER_EVENT]
        weight = f"EventInfoAuxDyn{dot}mcEventWeights"
        return Plan(
            collection=collection,
            momenta=momenta,
            per_jet=tuple(n for n in jet_columns(tree, prefix) if n not in momenta),
            per_event=tuple(event_columns(tree, event)),
            weight=weight if weight in tree.branches else None,
            notes=(
                *((f"the file has no {_COLLECTIONS[0]}",) if small else ()),
                "PHYSLITE is in MeV: jet pt and mass are divided by 1000, other columns stay as stored",
                "PHYSLITE keeps no constituents: jets have only features",
            ),
        )

    def column(self, branch: str) -> str:
        name = branch.replace(":", ".").removeprefix("EventInfoAuxDyn.").replace("AuxDyn.", "_")
        return super().column(name.replace(".", "_"))
