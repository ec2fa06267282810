"""Trees of ROOT files, and Parquet files as trees of one name: what readers of events and jets ask for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .containers.jagged import Jagged
from .containers.parquet import ParquetSource, open_parquet
from .containers.root import Outline, Tree, find_trees, open_root, outlines
from .paths import container_of, split_path

__all__ = ["ParquetTree", "check_same_lengths", "fetch", "open_trees", "outlines_of"]

_CPLUSPLUS = {"float": "float", "double": "double", "halffloat": "float", "bool": "bool"}


class ParquetTree(Tree):
    """A Parquet file as a tree: lists of structs ``Jet`` with ``pt`` are the branch ``Jet_pt``.

    Arguments:
        source: The columns of the file.
    """

    def __init__(self, source: ParquetSource) -> None:
        self.name, self.kind, self.data = "", "Parquet", source
        columns = source.columns()
        self._columns = {name.replace(".", "_"): name for name in columns}
        self._types = {branch: _typename(columns[name]) for branch, name in self._columns.items()}
        self.branches = tuple(self._columns)

    @property
    def num_entries(self) -> int:
        return int(self.data.n_rows([]))

    def typename(self, name: str) -> str:
        return self._types[name]

    def types(self, prefix: str = "") -> dict[str, str]:
        return {name: kind for name, kind in self._types.items() if name.startswith(prefix)}

    def stored_entries(self, name: str) -> int | None:
        return None

    def sizes(self, names: Iterable[str]) -> tuple[int, int]:
        packed, unpacked = self.data.sizes(self._columns[name] for name in names)
        return packed, unpacked

    def arrays(self, names: list[str], start: int, stop: int, path: str | Path) -> Any:
        import awkward as ak

        columns = [self._columns[name] for name in names]
        found = self.data.read(columns, start, stop)
        return ak.zip({n: _plain(found[c]) for n, c in zip(names, columns, strict=True)}, depth_limit=1)


def _typename(kind: str) -> str:
    """The C++ type of a column: ``int32[]`` is ``int32_t[]``."""
    element, bracket, rest = kind.partition("[")
    if element.startswith(("int", "uint")):
        element = f"{element}_t"
    return _CPLUSPLUS.get(element, element) + bracket + rest


def _plain(array: Any) -> Any:
    """Lists of numbers where the schema allows for missing ones, but none is missing."""
    import awkward as ak

    return ak.from_regular(array, axis=None) if isinstance(array, ak.Array) else np.asarray(array)


@contextlib.contextmanager
def open_trees(path: str | Path, only: str | None = None) -> Iterator[list[Tree]]:
    """The trees of a ROOT file, or the one of a Parquet file.

    Arguments:
        path: The file.
        only: Open only the tree of this name.
    """
    if container_of(path) == "parquet":
        file, inside = split_path(path)
        if inside is not None:
            raise InputError(f"{path}: a Parquet file has no trees to name: leave out ':{inside}'")
        with open_parquet(file) as handle:
            yield [ParquetTree(ParquetSource(handle, path))]
        return
    with open_root(path) as handle:
        yield find_trees(handle, path, only=only)


def fetch(tree: Tree, names: Sequence[str], start: int, stop: int, path: str | Path) -> Any:
    """Entries ``start`` to ``stop`` of some branches; InputError if not all of them are there."""
    arrays = tree.arrays(list(names), start, stop, path)
    if len(arrays) != stop - start:
        raise InputError(
            f"{path}: '{tree.name}' promises entries {start} to {stop}, but only {len(arrays)} are there; "
            "the file is broken"
        )
    return arrays


def check_same_lengths(
    columns: Sequence[Jagged], names: Sequence[str], path: str | Path, first_entry: int = 0
) -> None:
    """Raise InputError, naming the entry, unless all have as many values in every event as the first."""
    for name, column in zip(names[1:], columns[1:], strict=True):
        if not np.array_equal(column.offsets, columns[0].offsets):
            n, other = np.diff(columns[0].offsets), np.diff(column.offsets)
            i = int(np.flatnonzero(n != other)[0])
            raise InputError(
                f"{path}: entry {first_entry + i} has {n[i]} values in '{names[0]}', "
                f"but {other[i]} in '{name}'"
            )


def outlines_of(path: str | Path) -> list[Outline]:
    """Names and branches of the trees, for finding the format."""
    if container_of(path) != "parquet":
        return outlines(path)
    with open_trees(path) as trees:
        return [Outline(tree.name, tree.kind, tree.branches) for tree in trees]
