"""Any file, with a mapping that says which columns are what."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ...errors import ConfigError
from ...jets import Jets
from ..columnmap import ColumnMap, FourMomentumColumns, LabelMap, load_mapping, plain_name_of
from ..columnvalues import is_filling, plain_column
from ..containers.arrays import Source, open_source
from ..mapped import Mapped, with_truth
from ..paths import container_of
from ..rows import RowReader

__all__ = [
    "ColumnMap", "Four", "FourMomentumColumns", "LabelMap", "Mapped", "MappingReader", "is_filling",
    "load_mapping", "plain_name_of",
]  # fmt: skip

Four = FourMomentumColumns  # its name until 0.1


class MappingReader(RowReader[Mapped]):
    """Reader of any tree, HDF5, ``.npz``, Parquet or CSV file whose columns a :class:`ColumnMap` names."""

    name = "mapping"
    summary = (
        "any TTree, RNTuple, HDF5, .npz, Parquet or CSV with a YAML file that names its columns (--mapping)"
    )
    container = "any"
    options: ClassVar[Mapping[str, Any]] = {"mapping": None, "external": False}

    def __init__(
        self, mapping: str | Path | Mapping[str, Any] | ColumnMap | None = None, **given: Any
    ) -> None:
        super().__init__(**given)
        self._map = None if mapping is None else load_mapping(mapping)
        if self._map is not None:
            self.units = self._map.units
            self.settings["mapping"] = self._map

    @property
    def map(self) -> ColumnMap:
        """The mapping; ConfigError if none was given."""
        if self._map is None:
            raise ConfigError(
                "reader 'mapping' needs a mapping of columns: --mapping FILE "
                "('jetad inspect --suggest-mapping' writes a first one)"
            )
        return self._map

    def matches(self, path: str | Path) -> bool:
        return False  # never by itself

    def lacks(self, path: str | Path) -> str:
        return "needs --mapping"

    @contextlib.contextmanager
    def _source(self, path: str | Path) -> Iterator[Source]:
        names = [plain_column(name) for name in self.map.names]
        external = self.settings["external"]
        with open_source(path, container_of(path), self.map.tree, external=external, needed=names) as source:
            yield source

    def mapping_of(self, source: Source, path: str | Path) -> ColumnMap:
        """Which columns of a file are what; readers of a published layout find them."""
        return self.map

    @contextlib.contextmanager
    def opened(self, path: str | Path) -> Iterator[Mapped]:
        with self._source(path) as source:
            columns = self.mapping_of(source, path)
            with with_truth(columns, path) as other:
                yield Mapped(columns, source, path, other)

    def notes(self, mapped: Mapped) -> tuple[str, ...]:
        """What to say about how the columns were found."""
        return ("columns are named by the mapping",)

    def n_rows(self, table: Mapped, path: str | Path) -> int:
        return table.n_rows

    def n_jets(self, table: Mapped, path: str | Path) -> int:
        return table.n_jets

    def rows_at_once(self, table: Mapped, step: int) -> int:
        return table.rows_at_once()

    def jets(self, table: Mapped, start: int, stop: int, path: str | Path) -> Jets:
        return table.jets(start, stop)

    def contents(self, table: Mapped, path: str | Path) -> dict[str, Any]:
        truth = table.map.truth
        return {
            "container": table.source.kind,
            "dataset": table.source.name,
            "columns": table.source.columns(),
            "truth": tuple(truth.names) if truth else (),
            "observables": table.observables,
            "notes": self.notes(table),
            "n_entries": table.n_rows if table.n_rows != table.n_jets else None,
            "stored": table.stored,
        }
