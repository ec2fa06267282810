"""ROOT without surprises: opening, finding trees (TTree and RNTuple), and jagged columns as flat arrays."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ...errors import InputError
from ...files.unpacking import check_unpacked
from ..paths import nearest, reading, split_path
from .remote import remote_url, require_client

__all__ = ["Outline", "Tree", "choose_tree", "find_trees", "n_entries", "open_root", "outlines"]

_KINDS = {
    "TTree": "ROOT TTree",
    "ROOT::RNTuple": "ROOT RNTuple",
    "TNtuple": "ROOT TTree",
    "TNtupleD": "ROOT TTree",
}


class Outline(NamedTuple):
    """Name and branches of a tree, found without keeping it."""

    name: str
    kind: str
    branches: tuple[str, ...]


class Tree:
    """A TTree or RNTuple of a file.

    Arguments:
        name: Path inside the file, without cycle.
        kind: "ROOT TTree" or "ROOT RNTuple".
        data: uproot's object.
    """

    def __init__(self, name: str, kind: str, data: Any) -> None:
        self.name, self.kind, self.data = name, kind, data
        if kind == "ROOT TTree":
            # sub-branches of split objects are found by their own name, too ('Jet/Jet.PT' as 'Jet.PT');
            # looking one up in uproot walks the tree, which takes a second for a hundred of wide ones
            self._found: dict[str, Any] = {}
            for key, branch in data.iteritems(recursive=True, full_paths=False):
                self._found.setdefault(key, branch)
        else:
            self._found = dict.fromkeys(data.keys(recursive=False))
        self.branches = tuple(self._found)
        self._types: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Tree({self.name!r}, {self.kind!r}, {len(self.branches)} branches)"

    @property
    def num_entries(self) -> int:
        """Entries, as the header says."""
        return int(self.data.num_entries)

    def branch(self, name: str) -> Any:
        """uproot's branch or field of that name."""
        if self._found[name] is None:
            self._found[name] = self.data[name]
        return self._found[name]

    def typename(self, name: str) -> str:
        """C++ type of a branch."""
        if name not in self._types:
            self._types[name] = str(self.branch(name).typename)
        return self._types[name]

    def types(self, prefix: str = "") -> dict[str, str]:
        """C++ types of the branches whose name begins so; parsing all of a wide tree takes a second."""
        if not prefix:
            return dict(self.data.typenames(recursive=False))
        return {name: self.typename(name) for name in self.branches if name.startswith(prefix)}

    def stored_entries(self, name: str) -> int | None:
        """Entries in the baskets of a branch; ``None`` where they are not counted apart."""
        return int(self.branch(name).entry_offsets[-1]) if self.kind == "ROOT TTree" else None

    def sizes(self, names: Iterable[str]) -> tuple[int, int]:
        """Bytes of branches in the file and unpacked, as the header says; zeros where it does not."""
        if self.kind != "ROOT TTree":
            return 0, 0
        packed = unpacked = 0
        for branch in map(self.branch, dict.fromkeys(names)):
            packed += int(branch.compressed_bytes)
            unpacked += int(branch.uncompressed_bytes)
        return packed, unpacked

    def arrays(self, names: list[str], start: int, stop: int, path: str | Path) -> Any:
        """Entries ``start`` to ``stop`` of some branches, as an awkward record array."""
        import awkward as ak

        with reading(f"{path}: entries {start} to {stop} of '{self.name}'"):
            found = {}
            for name in dict.fromkeys(names):  # by branch: uproot walks the whole tree for names otherwise
                found[name] = self.branch(name).array(entry_start=start, entry_stop=stop, library="ak")
                if len(found[name]) != stop - start:
                    raise InputError(
                        f"{path}: '{self.name}' promises entries {start} to {stop}, but only "
                        f"{len(found[name])} of '{name}' are there; the file is broken"
                    )
            return ak.zip(found, depth_limit=1)


class _Kept:
    """An open local file and the trees of it that were parsed, for the next reader that asks."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.trees: dict[tuple[str, int], Tree] = {}
        self.cycles: dict[str, int] | None = None
        self.users = 0
        self.dropped = False


# Parsing the header of a wide tree takes seconds: describing, counting and reading a file share one.
_MAX_KEPT = 2
_kept: OrderedDict[tuple[Any, ...], _Kept] = OrderedDict()
_lock = threading.RLock()


@contextlib.contextmanager
def open_root(path: str | Path) -> Iterator[Any]:
    """The ROOT file, without uproot's caches (they would grow with the file).

    A local file stays open for the next one who asks, until two others were opened, the file on disk
    changes, or an error comes up.
    """
    import uproot

    if importlib.util.find_spec("isal"):  # unpacks twice as fast
        import isal.isal_zlib  # noqa: F401  # uproot takes it for loaded

        for kind in uproot.ZLIB.__mro__[1:]:  # what unpacks, to which no setting gets through
            if vars(kind).get("library") == "zlib":
                kind.library = "isal"
        uproot.ZLIB.library = "zlib"  # files that are written have the same bytes on every machine
    file, _ = split_path(path)
    url = remote_url(path)
    require_client(path)
    if url is not None:
        with reading(file):
            handle = uproot.open(url, object_cache=None, array_cache=None)
        with handle:
            yield handle
        return
    with reading(file):
        state = file.stat()
        key = (
            os.getpid(),
            str(file.absolute()),
            state.st_ino,
            state.st_mtime_ns,
            state.st_ctime_ns,
            state.st_size,
        )
        with _lock:
            kept = _kept.get(key)
            if kept is None:
                kept = _kept[key] = _Kept(uproot.open(str(file), object_cache=None, array_cache=None))
            _kept.move_to_end(key)
            kept.users += 1
            for other in list(_kept)[:-_MAX_KEPT]:
                _drop(other)
    try:
        yield kept.handle
    except Exception:
        with _lock:
            if _kept.get(key) is kept:
                _drop(key)
        raise
    finally:
        with _lock:
            kept.users -= 1
            if kept.dropped and kept.users == 0:
                kept.handle.close()


def _drop(key: tuple[Any, ...]) -> None:
    """Forget a file; it is closed when nobody reads it any more."""
    kept = _kept.pop(key)
    kept.dropped = True
    if kept.users == 0:
        kept.handle.close()


@atexit.register
def close_files() -> None:
    """Close the files that are kept open for the next reader."""
    with _lock:
        for key in list(_kept):
            _drop(key)


def _of_handle(handle: Any) -> _Kept:
    """What is known of an open file; nothing yet of one on a server."""
    with _lock:
        return next((kept for kept in _kept.values() if kept.handle is handle), _Kept(handle))


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
    known = _of_handle(handle)
    with reading(path):
        if known.cycles is None:
            found: dict[str, int] = {}
            for key, kind in handle.classnames(recursive=True).items():
                name, _, cycle = key.rpartition(";")
                if kind in _KINDS:
                    found[name] = max(int(cycle), found.get(name, 0))
            known.cycles = found
        cycles = known.cycles
        if wanted is not None:
            name = wanted.partition(";")[0]
            if name not in cycles:
                raise InputError(f"{path}: no tree '{name}'; there are: {nearest(name, cycles)}")
            cycles = {name: int(wanted.partition(";")[2] or cycles[name])}
        trees = []
        for name, cycle in cycles.items():
            if only is not None and name != only:
                continue
            if (name, cycle) not in known.trees:
                data = handle[f"{name};{cycle}"]
                known.trees[name, cycle] = Tree(name, _kind(data), data)
            trees.append(known.trees[name, cycle])
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
    names = list(names)
    with reading(path):
        n = tree.num_entries
        check_unpacked(path, *tree.sizes(names), what=f"'{tree.name}'" if tree.name else "the file")
        for name in names:
            stored = tree.stored_entries(name)
            if stored not in (n, None):
                raise InputError(
                    f"{path}: '{tree.name}' has {n} entries, but branch '{name}' has {stored}; "
                    "the file was not written to the end or is broken"
                )
    return n
