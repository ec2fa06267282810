"""EDM4hep: jets of every event, with the particles that they refer to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...jets.kinematics import cylindrical
from ..base import StoredJet
from ..containers.jagged import Jagged, element_type, flatten
from ..containers.root import Outline, Tree
from ..events import Constituents, EventReader, Plan, missing
from ..trees import check_same_lengths

__all__ = ["EDM4hepReader"]

_MOMENTUM = ("energy", "momentum.x", "momentum.y", "momentum.z")
_N_TRIED = 100  # events in which the collection of the constituents is found


class EDM4hepReader(EventReader):
    """Reader of EDM4hep (FCC, ILC, CEPC; podio in ROOT).

    Tree ``events`` with a collection of reconstructed particles called ``...Jets``, or another
    ``collection``. A jet refers to entries ``particles_begin`` to ``particles_end`` of
    ``_<collection>_particles`` (``<collection>#2`` in older files), which are positions in another
    collection: the one whose momenta add up to the jets. Without it jets have features only.
    """

    name = "edm4hep"
    summary = "EDM4hep ROOT: jets of an event as reconstructed particles, with those that they refer to"
    usual_tree = "events"
    options: ClassVar[Mapping[str, Any]] = {"collection": ""}

    def _found(self, branches: tuple[str, ...]) -> list[str]:
        """Collections of jets, those with the plainest name first."""
        chosen, there = self.settings["collection"], set(branches)
        names = [n for n in _collections(branches) if f"{n}.particles_begin" in there]
        found = [n for n in names if (n == chosen if chosen else "jet" in n.lower())]
        return sorted(found, key=lambda n: ("gen" in n.lower() or "mc" in n.lower(), len(n), n))

    def recognises(self, tree: Outline) -> bool:
        return bool(self._found(tree.branches))

    def needs(self) -> str:
        name = self.settings["collection"] or "...Jets"
        return f"{name}.energy, {name}.momentum.x, {name}.particles_begin"

    def others(self, tree: Tree, plan: Plan) -> list[str]:
        return [n for n in self._found(tree.branches) if n != plan.collection]

    def column(self, branch: str) -> str:
        return super().column(branch.replace(".", "_"))

    def plan(self, tree: Tree, path: str | Path) -> Plan:
        names = self._found(tree.branches)
        if not names:
            missing(tree, [f"{self.settings['collection']}.momentum.x"], path)
            raise AssertionError
        name = names[0]
        momenta = tuple(f"{name}.{k}" for k in _MOMENTUM)
        begin, end = f"{name}.particles_begin", f"{name}.particles_end"
        branches = set(tree.branches)
        relations = (f"_{name}_particles.index", f"{name}#2.index", f"_{name}_particles/index")
        index = next((r for r in relations if r in branches), None)
        source = None if index is None else _referred_to(tree, name, momenta, (begin, end, index), path)
        particles: tuple[str, ...] = ()
        note = "no particles that jets refer to were found: jets have only features"
        if index is not None and source is not None:
            charge = [f"{source}.charge"] if f"{source}.charge" in branches else []
            particles = (begin, end, index, *(f"{source}.{k}" for k in _MOMENTUM), *charge)
            note = f"constituents are those of {source} that jets refer to"
        prefix = f"{name}."
        per_jet = [b for b in tree.branches if b.startswith(prefix) and element_type(tree.typename(b))]
        left_out = ("_begin", "_end", "momentum.x", "momentum.y", "momentum.z")
        return Plan(
            collection=name,
            momenta=momenta,
            constituents=particles,
            per_jet=tuple(b for b in per_jet if not b.endswith(left_out) and "covMatrix" not in b),
            notes=(note,),
            stored=StoredJet("jet_pt_file", "jet_eta_file", "jet_mass_file"),
            keep_momenta=bool(particles),
            extra={"links": (begin, end, index), "source": source},
        )

    def momenta(self, arrays: Any, plan: Plan, path: str | Path) -> tuple[Jagged, NDArray[np.float32]]:
        columns = [flatten(arrays[name], name, path) for name in plan.momenta]
        check_same_lengths(columns, plan.momenta, path)
        with np.errstate(all="ignore"):
            values = np.stack(cylindrical(*(column.content for column in columns)), axis=1)
        return columns[0], values.astype(np.float32)

    def constituents(
        self, arrays: Any, plan: Plan, jets: Jagged, path: str | Path, first_entry: int
    ) -> Constituents:
        source = plan.extra["source"]
        names = [f"{source}.{k}" for k in _MOMENTUM]
        columns = [flatten(arrays[name], name, path) for name in names]
        check_same_lengths(columns, names, path, first_entry)
        jet, particle = _links(arrays, plan.extra["links"], jets, columns[0], path, first_entry)
        with np.errstate(all="ignore"):
            pt, eta, phi, mass = cylindrical(*(column.content[particle] for column in columns))
        charge = f"{source}.charge"
        charges = None
        if charge in plan.constituents:
            charges = flatten(arrays[charge], charge, path).content[particle]
        return Constituents(pt, eta, phi, mass, jet, charges)


def _collections(branches: tuple[str, ...]) -> list[str]:
    """Collections with momenta and energies."""
    there = set(branches)
    names = [b[: -len(".momentum.x")] for b in branches if b.endswith(".momentum.x")]
    return [n for n in names if {f"{n}.{k}" for k in _MOMENTUM} <= there]


def _links(
    arrays: Any, names: tuple[str, str, str], jets: Jagged, particles: Jagged, path: str | Path, first: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Flat index of the jet and of the particle of every reference, sorted by jet.

    Raises:
        InputError: if a reference points behind the end of a collection.
    """
    begin, end, index = (flatten(arrays[name], name, path) for name in names)
    check_same_lengths([jets, begin, end], ["energy", *names[:2]], path, first)
    event = np.repeat(np.arange(len(jets.offsets) - 1), np.diff(jets.offsets))
    low, high = begin.content.astype(np.int64), end.content.astype(np.int64)
    n_links = np.diff(index.offsets)[event]
    counts = high - low
    bad = (counts < 0) | (low < 0) | (high > n_links)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{path}: entry {first + event[i]}: a jet refers to entries {low[i]} to {high[i]} of "
            f"'{names[2]}', which has {n_links[i]}"
        )
    jet = np.repeat(np.arange(len(counts)), counts)
    inside = np.arange(len(jet)) - np.repeat(np.cumsum(counts) - counts, counts)
    target = index.content[(index.offsets[:-1][event] + low)[jet] + inside].astype(np.int64)
    n_particles = np.diff(particles.offsets)[event[jet]]
    if ((target < 0) | (target >= n_particles)).any():
        i = int(np.flatnonzero((target < 0) | (target >= n_particles))[0])
        raise InputError(
            f"{path}: entry {first + event[jet[i]]}: '{names[2]}' points to particle {target[i]} of "
            f"{n_particles[i]}"
        )
    return jet, target + particles.offsets[:-1][event[jet]]


def _referred_to(
    tree: Tree, jets: str, momenta: tuple[str, ...], links: tuple[str, str, str], path: str | Path
) -> str | None:
    """The collection whose particles add up to the jets in the first events; ``None`` if none does."""
    n_tried = min(_N_TRIED, tree.num_entries)
    arrays = tree.arrays([*momenta, *links], 0, n_tried, path)
    energy = flatten(arrays[momenta[0]], momenta[0], path)
    best: tuple[float, str] | None = None
    for name in _collections(tree.branches):
        if name == jets or not len(energy.content):
            continue
        column = f"{name}.energy"
        if element_type(tree.typename(column)) is None:
            continue
        particles = flatten(tree.arrays([column], 0, n_tried, path)[column], column, path)
        try:
            jet, particle = _links(arrays, links, energy, particles, path, 0)
        except InputError:  # they point elsewhere
            continue
        sums = np.bincount(jet, weights=particles.content[particle], minlength=len(energy.content))
        filled = sums > 0
        off = float(np.median(np.abs(sums[filled] / energy.content[filled] - 1))) if filled.any() else 1.0
        if best is None or off < best[0]:
            best = off, name
    return best[1] if best is not None and best[0] < 0.2 else None
