"""JetClass ROOT and Parquet: one jet per entry with jagged part_px, part_py, part_pz, part_energy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...jets import Jets
from ..base import StoredJet, build_jets, column_name, labels_of
from ..containers.jagged import NUMBERS, element_type, flatten
from ..containers.root import Outline, Tree, choose_tree, find_trees, n_entries, open_root
from ..paths import container_of, nearest, reading, require_container
from ..rows import RowReader
from ..trees import check_same_lengths, fetch, open_trees, outlines_of

__all__ = ["JetClassReader"]

_MOMENTA = ("part_energy", "part_px", "part_py", "part_pz")
_CHARGE = "part_charge"
_BACKGROUND = "label_QCD"
# of JetClass-II: 161 classes of resonances, then 27 of QCD
_CLASS, _FIRST_QCD, _N_CLASSES = "jet_label", 161, 188
_IS_SIGNAL = "label"  # of other sets in this layout, the top-tagging and quark-gluon jets

# Entries fetched at once: every fetch decompresses its baskets whole, so small steps are cut from larger
# pieces; the largest take about 50 MB for jets of 50 constituents.
_MIN_ENTRIES, _MAX_ENTRIES = 10_000, 50_000


class _Columns(NamedTuple):
    """A tree of an open file, and its branches."""

    tree: Tree
    particles: list[str]
    labels: list[str]
    observables: list[str]


class JetClassReader(RowReader[_Columns]):
    """Reader of JetClass and files laid out like it.

    Any TTree or RNTuple (usually called ``tree``; ``file.root:name`` picks one) or a Parquet file with jagged
    branches ``part_px, part_py, part_pz, part_energy`` [GeV], and charges in ``part_charge`` if it is there.
    Labels: ``label_QCD`` = 1 is background, any other ``label_*`` = 1 is signal; a jet with neither or both
    is unknown. JetClass-II has ``jet_label`` instead, of which 0 to 160 are resonances and 161 to 187 QCD;
    the top-tagging and quark-gluon sets in this layout have ``label``: 1 is signal, 0 background. Scalar
    branches ``jet_*`` with numbers become observables; those that jetad computes itself are called
    ``jet_pt_file`` and so on.

    References:
        Qu, Li, Qian, "Particle Transformer for jet tagging", 2022, arXiv:2202.03772
    """

    name = "jetclass"
    summary = "JetClass ROOT, Parquet: one jet per entry with part_px, part_py, part_pz, part_energy"
    container = "root"
    containers = ("root", "parquet")
    seeks = True

    def matches(self, path: str | Path) -> bool:
        require_container(path, self.containers, self.name)
        return any(_is_jetclass(tree) for tree in outlines_of(path))

    def lacks(self, path: str | Path) -> str:
        if container_of(path) == "parquet":
            return f"no columns {', '.join(_MOMENTA)}"
        with open_root(path) as handle, reading(path):
            trees = find_trees(handle, path)
            if not trees:
                objects = nearest("tree", {key.partition(";")[0] for key in handle.classnames()})
                return f"no tree with branches {', '.join(_MOMENTA)}; the file holds {objects}"
            # the most promising tree first: the one with most of the branches, then the widest
            trees.sort(key=lambda tree: (-len(set(_MOMENTA) & set(tree.branches)), -len(tree.branches)))
            missing = [name for name in _MOMENTA if name not in trees[0].branches]
            others = "" if len(trees) == 1 else f" (other trees: {', '.join(t.name for t in trees[1:6])})"
            return (
                f"tree '{trees[0].name}' lacks {', '.join(missing)}; closest of its {len(trees[0].branches)} "
                f"branches: {nearest(missing[0], trees[0].branches)}{others}"
            )

    @contextlib.contextmanager
    def opened(self, path: str | Path) -> Iterator[_Columns]:
        require_container(path, self.containers, self.name)
        with open_trees(path) as trees:
            tree = choose_tree([t for t in trees if _is_jetclass(t)], path, usual="tree")
            if tree is None:
                raise InputError(f"{path}: {self.lacks(path)}")
            with reading(path):
                columns = _Columns(tree, _particles(tree), _labels(tree), _observables(tree))
            yield columns

    def n_rows(self, table: _Columns, path: str | Path) -> int:
        return n_entries(table.tree, table.particles, path)

    def rows_at_once(self, table: _Columns, step: int) -> int:
        return max(_MIN_ENTRIES, min(step, _MAX_ENTRIES))

    def contents(self, table: _Columns, path: str | Path) -> dict[str, Any]:
        return {
            "container": table.tree.kind,
            "dataset": table.tree.name,
            "columns": table.tree.types(),
            "truth": tuple(table.labels),
            "observables": tuple(map(column_name, table.observables)),
            "warnings": () if table.labels else ("no branch label_*: jets have no truth",),
            "stored": StoredJet("jet_pt_file", "jet_eta_file", "jet_mass_file", "jet_energy"),
        }

    def jets(self, table: _Columns, start: int, stop: int, path: str | Path) -> Jets:
        tree, particles, labels, observables = table
        arrays = fetch(tree, [*particles, *labels, *observables], start, stop, path)
        flat = [flatten(arrays[name], name, path) for name in particles]
        check_same_lengths(flat, particles, path, start)
        energy, px, py, pz, *charge = (jagged.content for jagged in flat)
        return build_jets(
            (energy, px, py, pz),
            flat[0].offsets,
            first_entry=start,
            labels=_truth(arrays, labels) if labels else None,
            observables={name: np.asarray(arrays[name]) for name in observables},
            charge=charge[0] if charge else None,
        )


def _is_jetclass(tree: Tree | Outline) -> bool:
    return set(_MOMENTA) <= set(tree.branches)


def _labels(tree: Tree) -> list[str]:
    found = [name for name, kind in tree.types("label_").items() if kind in NUMBERS]
    others = (name for name in (_CLASS, _IS_SIGNAL) if tree.types(name).get(name) in NUMBERS)
    return found or list(others)[:1]


def _observables(tree: Tree) -> list[str]:
    return [name for name, kind in tree.types("jet_").items() if kind in NUMBERS]


def _particles(tree: Tree) -> list[str]:
    """Branches of constituents: their momenta, and their charge where the file has it."""
    kind = tree.types(_CHARGE).get(_CHARGE)
    return [*_MOMENTA, *([_CHARGE] if kind is not None and element_type(kind) else [])]


def _truth(arrays: Any, labels: list[str]) -> NDArray[np.int8]:
    """0 where only ``label_QCD`` is set, 1 where only others are, -1 where none or both are."""
    first = np.asarray(arrays[labels[0]])
    if labels == [_CLASS]:
        signal = (first >= 0) & (first < _FIRST_QCD)
        background = (first >= _FIRST_QCD) & (first < _N_CLASSES)
    elif labels == [_IS_SIGNAL]:
        signal, background = first == 1, first == 0
    else:
        background = np.zeros(len(arrays), dtype=bool)
        signal = np.zeros(len(arrays), dtype=bool)
        for name in labels:
            is_set = np.asarray(arrays[name]) == 1
            if name == _BACKGROUND:
                background |= is_set
            else:
                signal |= is_set
    return labels_of(signal, background)
