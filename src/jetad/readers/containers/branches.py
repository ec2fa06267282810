"""Branches of a ROOT tree as columns, with the members of its Lorentz vectors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..paths import nearest, reading, split_path
from .jagged import element_type
from .root import Tree, choose_tree, find_trees, n_entries

__all__ = ["BranchSource", "is_bookkeeping"]


# members of a Lorentz vector as ROOT keeps them
_LORENTZ = {"TLorentzVector": ("fP.fX", "fP.fY", "fP.fZ", "fE")}
_OBJECTS = re.compile(r"(?:std::)?vector<(\w+)>|(\w+)(\[\])?")


class BranchSource:
    """Branches of a tree, and the members of its Lorentz vectors (``jetp4.fE``).

    Of several trees it is the one of the usual name, or the only one that has the needed columns, or the
    only one that holds numbers at all.
    """

    def __init__(self, handle: Any, path: str | Path, wanted: str | None, needed: Iterable[str] = ()) -> None:
        trees = find_trees(handle, path, only=None if split_path(path)[1] else wanted)
        if not trees:
            names = nearest(wanted or "tree", [t.name for t in find_trees(handle, path)])
            raise InputError(
                f"{path}: no tree '{wanted}'; there are: {names}" if wanted else f"{path}: no tree"
            )
        needed = {name for name in needed if "#" not in name}
        holding = [t for t in trees if needed <= set(_members(t))] if needed else []
        holding = holding or [t for t in trees if not is_bookkeeping(t)]
        tree = choose_tree(holding or trees, path, usual="Events")
        assert tree is not None
        self.tree: Tree = tree
        self.path, self.name, self.kind = path, tree.name, tree.kind
        self._parts = _members(tree)

    def columns(self) -> dict[str, str]:
        with reading(self.path):
            found = {}
            for name, (branch, member) in self._parts.items():
                typename = self.tree.typename(branch)
                element = element_type(typename)
                if member:
                    found[name] = "double[]" if _is_list(typename) else "double"
                else:
                    found[name] = f"{element}[]" if element else typename
            return found

    def n_rows(self, names: list[str]) -> int:
        for name in names:
            if name not in self._parts:
                raise InputError(
                    f"{self.path}: tree '{self.name}' has no branch '{name}'; "
                    f"closest: {nearest(name, self._parts)}"
                )
        return n_entries(self.tree, {self._parts[name][0] for name in names}, self.path)

    def read(self, names: list[str], start: int, stop: int) -> dict[str, Any]:
        branches = list(dict.fromkeys(self._parts[name][0] for name in names))
        arrays = self.tree.arrays(branches, start, stop, self.path)
        found = {}
        for name in names:
            branch, member = self._parts[name]
            found[name] = arrays[branch]
            for part in member.split(".") if member else ():
                found[name] = found[name][part]
        return found


def _is_list(typename: str) -> bool:
    return "vector<" in typename or typename.endswith("[]")


def _members(tree: Tree) -> dict[str, tuple[str, str]]:
    """Column -> branch, and the member of it ("" for the branch itself)."""
    found = {name: (name, "") for name in tree.branches}
    for name in tree.branches:
        if tree.kind == "ROOT TTree" and tree.branch(name).branches:
            continue  # it is split: its members are branches
        match = _OBJECTS.fullmatch(tree.typename(name))
        for member in _LORENTZ.get((match[1] or match[2]) if match else "", ()):
            found[f"{name}.{member}"] = (name, member)
    return found


def is_bookkeeping(tree: Tree) -> bool:
    """Whether a tree holds no jets for sure: what describes the file, its runs or blocks of luminosity."""
    last = tree.name.rpartition("/")[2].lower()
    return bool(re.search(r"meta|^runs?$|lumi|parameter|^file|config|bookkeep|cutflow|version", last))
