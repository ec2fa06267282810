"""ROOT files of events: several jets per entry, as collections of jagged branches."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..jets import Jets
from .base import StoredJet, column_name
from .containers.jagged import NUMBERS, Jagged, element_type, flatten
from .containers.root import Outline, Tree, choose_tree, n_entries
from .paths import nearest, reading, require_container
from .rows import RowReader
from .trees import check_same_lengths, fetch, open_trees, outlines_of

__all__ = [
    "Constituents",
    "EventReader",
    "Plan",
    "event_columns",
    "gather_links",
    "jagged_columns",
    "jet_columns",
    "missing",
]

_STORED = ("jet_pt_file", "jet_eta_file", "jet_phi_file", "jet_mass_file")

# Entries fetched at once: with all particles of an event, 2500 take some 50 MB; jets alone much less.
_ENTRIES_WITH_CONSTITUENTS, _ENTRIES_OF_JETS = 2_500, 20_000


@dataclass(frozen=True)
class Plan:
    """Which branches of a tree are read, and as what."""

    collection: str
    momenta: tuple[str, ...]  # jet pt, eta, phi, mass (mass may be missing: massless)
    constituents: tuple[str, ...] = ()  # whatever the reader needs for them; none: jet level only
    per_jet: tuple[str, ...] = ()  # observables, one number a jet
    per_event: tuple[str, ...] = ()  # observables, one number an event
    weight: str | None = None  # branch with one weight an event
    truth: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    stored: StoredJet = field(default_factory=StoredJet)  # branches; `column` makes observables of them
    keep_momenta: bool = False  # as observables jet_pt_file, ..., beside constituents
    extra: Mapping[str, Any] = field(default_factory=dict)  # of the reader

    @property
    def names(self) -> list[str]:
        everything = (*self.momenta, *self.constituents, *self.per_jet, *self.per_event, *self.truth)
        return list(dict.fromkeys([*everything, *([self.weight] if self.weight else [])]))


class Constituents(NamedTuple):
    """Constituents of all jets, each ``(n_total,)``, sorted by jet."""

    pt: NDArray[Any]
    eta: NDArray[Any]
    phi: NDArray[Any]
    mass: NDArray[Any]
    jet: NDArray[np.int64]  # the jet each belongs to
    charge: NDArray[Any] | None = None  # where the file says


class EventReader(RowReader[tuple[Tree, Plan]]):
    """Base of readers of event files; ``entry`` is the event, ``position`` the jet inside it.

    A reader says which trees are its own (``recognises``), what to read (``plan``), and how constituents
    are found (``constituents``); the rest is the same for all.
    """

    container = "root"
    usual_tree = "Events"

    # --- what a reader says ------------------------------------------------------------------------

    @abc.abstractmethod
    def recognises(self, tree: Outline) -> bool:
        """Whether a tree is of this format, from its name and branches."""

    @abc.abstractmethod
    def needs(self) -> str:
        """What a tree of this format has, for a message."""

    @abc.abstractmethod
    def plan(self, tree: Tree, path: str | Path) -> Plan:
        """What to read; InputError if something needed is missing."""

    def momenta(self, arrays: Any, plan: Plan, path: str | Path) -> tuple[Jagged, NDArray[np.float32]]:
        """Where the jets of each event are, and their (pt, eta, phi, mass), ``(n_jets, 4)``."""
        columns = [flatten(arrays[name], name, path) for name in plan.momenta]
        check_same_lengths(columns, plan.momenta, path)
        values = np.zeros((len(columns[0].content), 4), dtype=np.float32)
        with np.errstate(all="ignore"):
            for k, column in enumerate(columns):
                values[:, k] = column.content
        return columns[0], values

    def constituents(
        self, arrays: Any, plan: Plan, jets: Jagged, path: str | Path, first_entry: int
    ) -> Constituents:
        """The constituents of the jets."""
        raise NotImplementedError

    def labels(self, arrays: Any, plan: Plan, jets: Jagged, path: str | Path) -> NDArray[np.int8] | None:
        """Truth per jet, or ``None``."""
        return None

    def column(self, branch: str) -> str:
        """Name of a branch among the observables."""
        return column_name(branch)

    def others(self, tree: Tree, plan: Plan) -> list[str]:
        """Other collections of jets of the tree, for who finds this one empty."""
        return []

    def other_jets(self, path: str | Path) -> tuple[str, dict[str, int]]:
        """The collection that is read, and other ones of the file that hold jets, with how many."""
        found = {}
        with self.opened(path) as (tree, plan):
            for name in self.others(tree, plan):
                reader = type(self)(collection=name)
                found[name] = reader.n_jets((tree, reader.plan(tree, path)), path)
        return plan.collection, {name: n for name, n in found.items() if n}

    def collection_of(self, path: str | Path) -> str:
        """Name of the collection that is read."""
        with self.opened(path) as (_, plan):
            return plan.collection

    # --- the protocol ------------------------------------------------------------------------------

    def matches(self, path: str | Path) -> bool:
        require_container(path, self.containers, self.name)
        return any(self.recognises(tree) for tree in outlines_of(path))

    def lacks(self, path: str | Path) -> str:
        return f"no tree has {self.needs()}"

    def n_rows(self, table: tuple[Tree, Plan], path: str | Path) -> int:
        tree, plan = table
        return n_entries(tree, plan.names, path)

    def rows_at_once(self, table: tuple[Tree, Plan], step: int) -> int:
        return _ENTRIES_WITH_CONSTITUENTS if table[1].constituents else _ENTRIES_OF_JETS

    def contents(self, table: tuple[Tree, Plan], path: str | Path) -> dict[str, Any]:
        tree, plan = table
        columns = map(self.column, (*plan.per_jet, *plan.per_event))
        return {
            "container": tree.kind,
            "dataset": tree.name,
            "columns": tree.types(),
            "truth": plan.truth,
            "observables": (*columns, *(_STORED if plan.keep_momenta else ())),
            "notes": (f"jets are the collection '{plan.collection}'", *plan.notes),
            "n_entries": n_entries(tree, plan.momenta[:1], path),
            "stored": StoredJet(*(n if n is None or n in _STORED else self.column(n) for n in plan.stored)),
        }

    @contextlib.contextmanager
    def opened(self, path: str | Path) -> Iterator[tuple[Tree, Plan]]:
        require_container(path, self.containers, self.name)
        found = [t for t in outlines_of(path) if self.recognises(t)]
        chosen = choose_tree(found, path, usual=self.usual_tree)
        if chosen is None:
            raise InputError(f"{path}: {self.lacks(path)}")
        with open_trees(path, only=chosen.name) as trees:
            tree = trees[0]
            with reading(path):
                plan = self.plan(tree, path)
            yield tree, plan

    def n_jets(self, table: tuple[Tree, Plan], path: str | Path) -> int:
        tree, plan = table
        first = plan.momenta[0]
        n_events, n_jets = n_entries(tree, [first], path), 0
        for start in range(0, n_events, _ENTRIES_OF_JETS):
            arrays = fetch(tree, [first], start, min(start + _ENTRIES_OF_JETS, n_events), path)
            n_jets += int(flatten(arrays[first], first, path, "fiub").offsets[-1])
        return n_jets

    def jets(self, table: tuple[Tree, Plan], start: int, stop: int, path: str | Path) -> Jets:
        tree, plan = table
        arrays = fetch(tree, plan.names, start, stop, path)
        jets, momenta = self.momenta(arrays, plan, path)
        counts = np.diff(jets.offsets)
        event = np.repeat(np.arange(len(counts)), counts)
        n_jets = len(event)
        observables = {}
        for name in plan.per_jet:
            column = flatten(arrays[name], name, path, "fiub")
            check_same_lengths([jets, column], [plan.momenta[0], name], path, start)
            observables[self.column(name)] = _native(column.content)
        for name in plan.per_event:
            observables[self.column(name)] = _native(np.asarray(arrays[name]))[event]
        if plan.keep_momenta:
            observables |= dict(zip(_STORED, momenta.T, strict=True))
        fields: dict[str, Any] = {
            "labels": self.labels(arrays, plan, jets, path),
            "weights": None if plan.weight is None else _weights(arrays[plan.weight])[event],
            "entry": start + event,
            "position": np.arange(n_jets) - jets.offsets[event],
            "observables": observables,
        }
        if not plan.constituents:
            return Jets.without_constituents(n_jets, jet_momenta=momenta, **fields)
        found = self.constituents(arrays, plan, jets, path, start)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(found.jet, minlength=n_jets))])
        with np.errstate(all="ignore"):
            return Jets(found.pt, found.eta, found.phi, found.mass, offsets, charge=found.charge, **fields)


def _native(values: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))


def _weights(array: Any) -> NDArray[np.float64]:
    """One weight an event; of a list of weights the first, which is the nominal one."""
    import awkward as ak

    if array.ndim > 1:
        array = ak.fill_none(ak.firsts(array), 1.0)
    return np.asarray(array, dtype=np.float64)


def gather_links(
    jet_of_link: Jagged,
    target_of_link: Jagged,
    jets: Jagged,
    targets: Jagged,
    names: tuple[str, str, str, str],
    path: str | Path,
    first_entry: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Follow (jet, particle) index pairs of each event; a negative index is no link.

    Arguments:
        jet_of_link: Position of the jet in its event, one list of links per event.
        target_of_link: Position of the particle in its event.
        jets: The jets, one list per event.
        targets: The particles, one list per event.
        names: Branches of these four, for messages.
        path: The file, for messages.
        first_entry: The first event, for messages.

    Returns:
        Flat index of the jet and of the particle of every link, sorted by jet, links of a jet in file order.

    Raises:
        InputError: if an index points behind the end of its collection.
    """
    check_same_lengths([jet_of_link, target_of_link], names[:2], path, first_entry)
    for name, links in zip(names[:2], (jet_of_link, target_of_link), strict=True):
        if links.content.dtype.kind not in "iu":
            raise InputError(f"{path}: '{name}' holds {links.content.dtype}, expected positions (integers)")
    if len(jets.offsets) != len(jet_of_link.offsets) or len(targets.offsets) != len(jet_of_link.offsets):
        raise InputError(
            f"{path}: '{names[0]}', '{names[2]}' and '{names[3]}' differ in their number of events"
        )
    event = np.repeat(np.arange(len(jets.offsets) - 1), np.diff(jet_of_link.offsets))
    jet, target = jet_of_link.content.astype(np.int64), target_of_link.content.astype(np.int64)
    kept = (jet >= 0) & (target >= 0)
    event, jet, target = event[kept], jet[kept], target[kept]
    for index, collection, name, of in (
        (jet, jets, names[0], names[2]),
        (target, targets, names[1], names[3]),
    ):
        n = np.diff(collection.offsets)[event]
        if (index >= n).any():
            i = int(np.flatnonzero(index >= n)[0])
            raise InputError(
                f"{path}: entry {first_entry + event[i]}: '{name}' points to number {index[i]}, "
                f"but '{of}' has {n[i]}; the links do not belong to these collections"
            )
    flat_jet, flat_target = jet + jets.offsets[event], target + targets.offsets[event]
    order = np.argsort(flat_jet, kind="stable")
    return flat_jet[order], flat_target[order]


def jet_columns(tree: Tree, prefix: str) -> list[str]:
    """Branches with that prefix that hold one number per jet."""
    return [name for name, kind in tree.types(prefix).items() if element_type(kind)]


def jagged_columns(tree: Tree, names: Sequence[str]) -> list[str]:
    """Those of the named branches that are there and hold a list of numbers per event."""
    return [n for n in names if n in tree.branches and element_type(tree.typename(n))]


def event_columns(tree: Tree, names: Sequence[str]) -> list[str]:
    """Those of the named branches that are there and hold one number per event."""
    return [n for n in names if n in tree.branches and tree.typename(n) in NUMBERS]


def missing(tree: Tree, names: Sequence[str], path: str | Path) -> None:
    """Raise InputError for the first branch that is not there."""
    for name in names:
        if name not in tree.branches:
            raise InputError(
                f"{path}: tree '{tree.name}' has no branch '{name}'; closest: {nearest(name, tree.branches)}"
            )
