"""CMS TreeMaker ntuples: jets of every event as Lorentz vectors, with features, at jet level."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..containers.jagged import Jagged, flatten
from ..containers.root import Outline, Tree
from ..events import EventReader, Plan, event_columns, jet_columns
from ..trees import check_same_lengths

__all__ = ["TreeMakerReader"]

_COLLECTIONS = ("JetsAK8", "Jets", "JetsAK15")
_COORDINATES = ("fPt", "fEta", "fPhi", "fE")
_PER_EVENT = ("RunNum", "LumiBlockNum", "EvtNum")


class TreeMakerReader(EventReader):
    """Reader of CMS TreeMaker.

    A tree (usually ``PreSelection``) where ``JetsAK8`` or another ``collection`` holds Lorentz vectors as
    (pt, eta, phi, E) [GeV] and ``JetsAK8_*`` their features. Jets are at jet level. Weights come from
    ``Weight``, truth from none.
    """

    name = "treemaker"
    summary = "CMS TreeMaker ROOT (TTree or RNTuple): JetsAK8 as Lorentz vectors and JetsAK8_*, jet level"
    usual_tree = "PreSelection"
    options: ClassVar[Mapping[str, Any]] = {"collection": ""}

    def _collections(self) -> tuple[str, ...]:
        chosen = self.settings["collection"]
        return (chosen,) if chosen else _COLLECTIONS

    def _collection(self, tree: Outline | Tree) -> str | None:
        branches = set(tree.branches)
        for name in self._collections():
            split = {f"{name}.fCoordinates.{k}" for k in _COORDINATES} <= branches
            whole = tree.kind == "ROOT RNTuple" and name in branches
            # features beside: a plain list called 'Jets' is not enough
            if (split or whole) and any(b.startswith(f"{name}_") for b in branches):
                return name
        return None

    def recognises(self, tree: Outline) -> bool:
        return self._collection(tree) is not None

    def others(self, tree: Tree, plan: Plan) -> list[str]:
        names = (name for name in _COLLECTIONS if name != plan.collection)
        return [n for n in names if type(self)(collection=n)._collection(tree)]

    def needs(self) -> str:
        return f"Lorentz vectors {self._collections()[0]} with {self._collections()[0]}_*"

    def plan(self, tree: Tree, path: str | Path) -> Plan:
        name = self._collection(tree)
        if name is None:
            raise InputError(f"{path}: {self.lacks(path)}")
        split = tuple(f"{name}.fCoordinates.{k}" for k in _COORDINATES)
        return Plan(
            collection=name,
            momenta=split if tree.kind == "ROOT TTree" else (name,),
            # subjets are a collection of their own, with more rows
            per_jet=tuple(n for n in jet_columns(tree, f"{name}_") if not n.startswith(f"{name}_subjets")),
            per_event=tuple(event_columns(tree, _PER_EVENT)),
            weight="Weight" if event_columns(tree, ["Weight"]) else None,
            notes=("TreeMaker keeps no constituents: jets have only features",),
        )

    def momenta(self, arrays: Any, plan: Plan, path: str | Path) -> tuple[Jagged, NDArray[np.float32]]:
        names, columns = plan.momenta, []
        for k, coordinate in enumerate(_COORDINATES):
            array = arrays[names[0]].fCoordinates[coordinate] if len(names) == 1 else arrays[names[k]]
            columns.append(flatten(array, names[min(k, len(names) - 1)], path))
        check_same_lengths(columns, [f"{plan.collection} {k}" for k in _COORDINATES], path)
        pt, eta, phi, energy = (column.content.astype(np.float64) for column in columns)
        with np.errstate(all="ignore"):
            mass = np.sqrt(np.maximum(energy**2 - (pt * np.cosh(eta)) ** 2, 0.0))
            return columns[0], np.stack([pt, eta, phi, mass], axis=1).astype(np.float32).reshape(-1, 4)

    def n_jets(self, table: tuple[Tree, Plan], path: str | Path) -> int:
        tree, plan = table
        if len(plan.momenta) > 1:
            return super().n_jets(table, path)
        per_jet = next((n for n in plan.per_jet), None)
        if per_jet is None:
            raise InputError(f"{path}: '{plan.collection}' has no feature with one number a jet")
        return super().n_jets((tree, Plan(plan.collection, (per_jet,))), path)
