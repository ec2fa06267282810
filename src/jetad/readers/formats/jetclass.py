"""JetClass ROOT and Parquet: one jet per entry with jagged part_px, part_py, part_pz, part_energy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...jets import Jets
from ..base import (
    BaseReader,
    FileSummary,
    StoredJet,
    build_jets,
    column_name,
    container_of,
    nearest,
    reading,
    require_container,
)
from ..containers.root import (
    NUMBERS,
    Outline,
    Tree,
    choose_tree,
    element_type,
    find_trees,
    flatten,
    n_entries,
    open_root,
)
from ..trees import open_trees, outlines_of

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


class JetClassReader(BaseReader):
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

    def count(self, path: str | Path) -> int:
        require_container(path, self.containers, self.name)
        with open_trees(path) as trees:
            return n_entries(self._tree(trees, path), _MOMENTA, path)

    def describe(self, path: str | Path) -> FileSummary:
        require_container(path, self.containers, self.name)
        with open_trees(path) as trees:
            tree = self._tree(trees, path)
            n_jets = n_entries(tree, _MOMENTA, path)
            with reading(path):
                labels, observables, columns = _labels(tree), _observables(tree), tree.types()
        return FileSummary(
            path=Path(path),
            reader=self.name,
            container=tree.kind,
            dataset=tree.name,
            n_jets=n_jets,
            columns=columns,
            n_slots=None,
            truth=tuple(labels),
            observables=tuple(map(column_name, observables)),
            warnings=() if labels else ("no branch label_*: jets have no truth",),
            stored=StoredJet("jet_pt_file", "jet_eta_file", "jet_mass_file", "jet_energy"),
        )

    def iterate(self, path: str | Path, *, step: int, start: int = 0) -> Iterator[Jets]:
        require_container(path, self.containers, self.name)
        with open_trees(path) as trees:
            tree = self._tree(trees, path)
            with reading(path):
                labels, observables = _labels(tree), _observables(tree)
                particles = _particles(tree)
            names = [*particles, *labels, *observables]
            n_jets = n_entries(tree, particles, path)
            n_fetched = max(_MIN_ENTRIES, min(step, _MAX_ENTRIES))
            for first in range(start, n_jets, n_fetched):
                stop = min(first + n_fetched, n_jets)
                arrays = tree.arrays(names, first, stop, path)
                if len(arrays) != stop - first:
                    raise InputError(
                        f"{path}: '{tree.name}' promises {n_jets} entries, but of {first} to {stop} "
                        f"only {len(arrays)} are there; the file is broken"
                    )
                with reading(path):
                    jets = _jets(arrays, particles, labels, observables, first, path)
                yield jets

    def _tree(self, trees: list[Tree], path: str | Path) -> Tree:
        tree = choose_tree([t for t in trees if _is_jetclass(t)], path, usual="tree")
        if tree is None:
            raise InputError(f"{path}: {self.lacks(path)}")
        return tree


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


def _jets(
    arrays: Any,
    particles: list[str],
    labels: list[str],
    observables: list[str],
    first_entry: int,
    path: str | Path,
) -> Jets:
    flat = [flatten(arrays[name], name, path) for name in particles]
    offsets = flat[0].offsets
    for name, other in zip(particles[1:], flat[1:], strict=True):
        if not np.array_equal(other.offsets, offsets):
            i = int(np.flatnonzero(np.diff(other.offsets) != np.diff(offsets))[0])
            raise InputError(
                f"{path}: entry {first_entry + i} has {np.diff(offsets)[i]} values in '{_MOMENTA[0]}', "
                f"but {np.diff(other.offsets)[i]} in '{name}'"
            )
    energy, px, py, pz, *charge = (jagged.content for jagged in flat)
    return build_jets(
        (energy, px, py, pz),
        offsets,
        first_entry=first_entry,
        labels=_truth(arrays, labels) if labels else None,
        observables={name: np.asarray(arrays[name]) for name in observables},
        charge=charge[0] if charge else None,
    )


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
    return np.select([signal & ~background, background & ~signal], [1, 0], default=-1).astype(np.int8)
