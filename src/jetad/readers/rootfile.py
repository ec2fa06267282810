"""ROOT without surprises: opening, finding trees (TTree and RNTuple), and jagged columns as flat arrays."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .base import nearest, reading, split_path
from .remote import remote_url, require_client

__all__ = [
    "NUMBERS",
    "Jagged",
    "Outline",
    "Tree",
    "choose_tree",
    "element_type",
    "find_trees",
    "flatten",
    "n_entries",
    "open_root",
    "outlines",
]

_KINDS = {
    "TTree": "ROOT TTree",
    "ROOT::RNTuple": "ROOT RNTuple",
    "TNtuple": "ROOT TTree",
    "TNtupleD": "ROOT TTree",
}

#: C++ names of numbers
NUMBERS = {
    *("bool", "char", "signed char", "unsigned char", "short", "unsigned short", "int", "unsigned int"),
    *("float", "double", "long", "unsigned long", "Float16_t", "Double32_t", "Long64_t", "ULong64_t"),
    *(f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *(f"std::{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}


class Outline(NamedTuple):
    """Name and branches of a tree, found without keeping it."""

    name: str
    kind: str
    branches: tuple[str, ...]


class Tree(NamedTuple):
    """A TTree or RNTuple of a file."""

    name: str  # path inside the file, without cycle
    kind: str  # "ROOT TTree" or "ROOT RNTuple"
    data: Any  # uproot's object
    branches: tuple[str, ...]  # names

    def types(self, prefix: str = "") -> dict[str, str]:
        """C++ types of the branches whose name begins so; parsing all of a wide tree takes a second."""
        if not prefix:
            return dict(self.data.typenames(recursive=False))
        return {name: self.data[name].typename for name in self.branches if name.startswith(prefix)}

    def arrays(self, names: list[str], start: int, stop: int, path: str | Path) -> Any:
        """Entries ``start`` to ``stop`` of some branches, as an awkward record array."""
        with reading(f"{path}: entries {start} to {stop} of '{self.name}'"):
            if self.kind == "ROOT RNTuple":  # one by one: uproot walks every field of the file otherwise
                import awkward as ak

                fields = {name: self.data[name] for name in names}
                return ak.zip(
                    {k: v.array(entry_start=start, entry_stop=stop) for k, v in fields.items()}, depth_limit=1
                )
            wanted = set(names).__contains__
            return self.data.arrays(filter_name=wanted, entry_start=start, entry_stop=stop, library="ak")


class Jagged(NamedTuple):
    """One list of numbers per entry."""

    offsets: NDArray[np.int64]  # (n + 1,)
    content: NDArray[Any]  # (offsets[-1],)


@contextlib.contextmanager
def open_root(path: str | Path) -> Iterator[Any]:
    """The ROOT file, without uproot's caches (they would grow with the file)."""
    import uproot

    file, _ = split_path(path)
    url = remote_url(path)
    require_client(path)
    with reading(file):
        handle = uproot.open(url or str(file), object_cache=None, array_cache=None)
    with handle:
        yield handle


def _kind(data: Any) -> str:
    return _KINDS[data.classname.partition("_v")[0]]


def outlines(path: str | Path) -> list[Outline]:
    """What trees a file holds, for finding its format; several readers may ask, it is read once.

    Raises:
        InputError: as ``find_trees``.
    """
    file, _ = split_path(path)
    if remote_url(path) is not None:
        return list(_outlines(str(path), 0, 0))
    with reading(file):
        state = file.stat()
    return list(_outlines(str(path), state.st_mtime_ns, state.st_size))


@functools.lru_cache(maxsize=16)
def _outlines(path: str, modified: int, size: int) -> tuple[Outline, ...]:
    with open_root(path) as handle:
        return tuple(Outline(t.name, t.kind, t.branches) for t in find_trees(handle, path))


def find_trees(handle: Any, path: str | Path, only: str | None = None) -> list[Tree]:
    """Trees of a file, in every folder, the newest cycle of each; or the one of ``file.root:tree``.

    Arguments:
        handle: From ``open_root``.
        path: The file, for ``:tree`` and for messages.
        only: Open only the tree of this name (each takes time to parse).

    Raises:
        InputError: if the named one does not exist.
    """
    _, wanted = split_path(path)
    with reading(path):
        cycles: dict[str, int] = {}
        for key, kind in handle.classnames(recursive=True).items():
            name, _, cycle = key.rpartition(";")
            if kind in _KINDS:
                cycles[name] = max(int(cycle), cycles.get(name, 0))
        if wanted is not None:
            name = wanted.partition(";")[0]
            if name not in cycles:
                raise InputError(f"{path}: no tree '{name}'; there are: {nearest(name, cycles)}")
            cycles = {name: int(wanted.partition(";")[2] or cycles[name])}
        trees = []
        for name, cycle in cycles.items():
            if only is not None and name != only:
                continue
            data = handle[f"{name};{cycle}"]
            # sub-branches of split objects are found by their own name, too ('Jet/Jet.PT' as 'Jet.PT')
            nested = {"recursive": True, "full_paths": False} if _kind(data) == "ROOT TTree" else {}
            branches = tuple(dict.fromkeys(data.keys(**{"recursive": False, **nested})))
            trees.append(Tree(name, _kind(data), data, branches))
    return trees


_AnyTree = TypeVar("_AnyTree", Tree, Outline)


def choose_tree(trees: list[_AnyTree], path: str | Path, usual: str) -> _AnyTree | None:
    """The only tree, or the one with the usual name.

    Raises:
        InputError: if several could be meant.
    """
    if len(trees) > 1:
        named = [tree for tree in trees if tree.name == usual]
        if not named:
            names = ", ".join(sorted(tree.name for tree in trees))
            raise InputError(f"{path}: several trees hold jets ({names}); name one: '{path}:{trees[0].name}'")
        return named[0]
    return trees[0] if trees else None


def n_entries(tree: Tree, names: Iterable[str], path: str | Path) -> int:
    """Entries of the tree, after checking that the baskets of these branches hold as many."""
    with reading(path):
        n = int(tree.data.num_entries)
        if tree.kind == "ROOT TTree":
            for name in names:
                stored = tree.data[name].entry_offsets[-1]
                if stored != n:
                    raise InputError(
                        f"{path}: '{tree.name}' has {n} entries, but branch '{name}' has {stored}; "
                        "the file was not written to the end or is broken"
                    )
    return n


def element_type(typename: str) -> str | None:
    """The number type of one list per entry (``float[]``, ``std::vector<float>``), ``None`` for others."""
    match = re.fullmatch(r"(?:std::)?vector<([\w: ]+)>|([\w: ]+)\[\]|ROOT::VecOps::RVec<([\w: ]+)>", typename)
    if match is None:
        return None
    inner = next(group for group in match.groups() if group)
    return inner if inner in NUMBERS else None


def flatten(array: Any, branch: str, path: str | Path, kinds: str = "fiu") -> Jagged:
    """Offsets and content of one list of numbers per entry, without a loop over entries.

    Raises:
        InputError: if the branch holds anything else.
    """
    import awkward as ak

    layout = ak.to_packed(array).layout
    if layout.is_numpy and layout.purelist_depth == 2 and layout.data.ndim == 2:
        layout = layout.to_RegularArray()
    if layout.is_list:
        layout = layout.to_ListOffsetArray64(True)
        content = layout.content
        if content.is_numpy and content.data.ndim == 1 and content.data.dtype.kind in kinds:
            offsets = np.asarray(layout.offsets, dtype=np.int64)
            return Jagged(offsets, np.asarray(content.data)[: offsets[-1]])
    raise InputError(
        f"{path}: branch '{branch}' holds {array.type}, expected a list of numbers per entry; "
        "where the file has another layout, name its columns in a mapping (jetad inspect --suggest-mapping)"
    )
