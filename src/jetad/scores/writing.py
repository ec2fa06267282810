"""Score files, written in a stream: memory stays constant however many jets there are."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, InputError, OutputError, encodable
from ..extras import needing
from ..files import atomic_output
from .columns import COLUMNS

if TYPE_CHECKING:
    from .table import Scores

__all__ = ["SCORE_SUFFIXES", "ScoreWriter"]

Metadata = Mapping[str, str | int | float]
Columns = dict[str, NDArray[Any]]


class _Sink(Protocol):
    """One open file of one format."""

    def write(self, columns: Columns) -> None: ...

    def close(self, metadata: Metadata) -> None: ...

    def abort(self) -> None: ...


class _Hdf5:
    """One resizable 1-D dataset a column at the root, metadata as attributes of the root."""

    def __init__(self, path: Path, types: dict[str, np.dtype[Any]]) -> None:
        import h5py

        self.file = h5py.File(path, "w")
        for name, dtype in types.items():
            self.file.create_dataset(
                name, shape=(0,), maxshape=(None,), chunks=(16384,), dtype=dtype, compression="gzip",
                compression_opts=1, shuffle=True,
            )  # fmt: skip

    def write(self, columns: Columns) -> None:
        for name, values in columns.items():
            dataset = self.file[name]
            start = dataset.shape[0]
            dataset.resize((start + len(values),))
            dataset[start:] = values

    def close(self, metadata: Metadata) -> None:
        for key, value in metadata.items():
            self.file.attrs[key] = value
        self.file.close()

    def abort(self) -> None:
        self.file.close()


class _Root:
    """Tree ``jetad``, one branch a column; the metadata as JSON in the TObjString ``jetad_provenance``."""

    title = "jetad scores, one entry per jet"

    def __init__(self, path: Path, types: dict[str, np.dtype[Any]]) -> None:
        import uproot

        self.file = uproot.recreate(path.absolute())
        self.tree = self._make(dict(types))

    def _make(self, types: dict[str, np.dtype[Any]]) -> Any:
        # explicit: since uproot 5.7 an assignment would make an RNTuple, which older readers do not know
        return self.file.mktree("jetad", types, title=self.title)

    def write(self, columns: Columns) -> None:
        self.tree.extend(columns)

    def close(self, metadata: Metadata) -> None:
        self.file["jetad_provenance"] = json.dumps(dict(metadata), sort_keys=True)
        self.file.close()

    def abort(self) -> None:
        self.file.close()


class _RNTuple(_Root):
    """The same as an RNTuple, which ROOT reads since 6.34."""

    def _make(self, types: dict[str, np.dtype[Any]]) -> Any:
        return self.file.mkrntuple("jetad", types, description=self.title)


class _Csv:
    """A header and one line per jet, floats in the shortest form that reads back the same; no metadata.

    A comment line would stop spreadsheets and ``pandas.read_csv`` without options, so there is none.
    """

    def __init__(self, path: Path, types: dict[str, np.dtype[Any]]) -> None:
        self.file = path.open("w", encoding="utf-8", newline="")
        self.file.write(",".join(types) + "\n")

    def write(self, columns: Columns) -> None:
        text = [(v.view(np.uint8) if v.dtype == bool else v).astype(str).tolist() for v in columns.values()]
        self.file.writelines(",".join(row) + "\n" for row in zip(*text, strict=True))

    def close(self, metadata: Metadata) -> None:
        self.file.close()

    def abort(self) -> None:
        self.file.close()


class _Parquet:
    """One row group a chunk, metadata as JSON under the key ``jetad_provenance``."""

    def __init__(self, path: Path, types: dict[str, np.dtype[Any]]) -> None:
        self.pa, parquet = _pyarrow()
        self.schema = self.pa.schema([(name, self.pa.from_numpy_dtype(t)) for name, t in types.items()])
        self.stream = path.open("wb")  # pyarrow opens no file whose name is no UTF-8
        self.file = parquet.ParquetWriter(self.stream, self.schema)

    def write(self, columns: Columns) -> None:
        self.file.write_table(self.pa.table(columns, schema=self.schema))

    def close(self, metadata: Metadata) -> None:
        if hasattr(self.file, "add_key_value_metadata"):  # since pyarrow 16
            self.file.add_key_value_metadata({"jetad_provenance": json.dumps(dict(metadata), sort_keys=True)})
        self.file.close()
        self.stream.close()

    def abort(self) -> None:
        with self.stream:
            self.file.close()


def _pyarrow() -> tuple[Any, Any]:
    with needing("parquet", "Parquet score files need pyarrow"):
        import pyarrow
        import pyarrow.parquet
    return pyarrow, pyarrow.parquet


_SINKS: dict[str, Callable[[Path, dict[str, np.dtype[Any]]], _Sink]] = {
    ".h5": _Hdf5,
    ".hdf5": _Hdf5,
    ".root": _Root,
    ".csv": _Csv,
    ".parquet": _Parquet,
}

#: Suffixes that a score file can have.
SCORE_SUFFIXES = tuple(_SINKS)


class _Abandoned(Exception):
    """Told to the output when the caller's block failed, so that nothing is renamed."""


class ScoreWriter:
    """Write scores to one file, chunk after chunk; the file appears only when the block ends well.

    Use it as a context manager: ``append`` as often as needed, then ``finish`` with the metadata. A block
    that is left by an error leaves no file (and an older one untouched). Rows are gathered into chunks of
    ``step``, so that many small appends do not make a file of tiny pieces.

    Arguments:
        path: The file; its suffix (``.h5``, ``.hdf5``, ``.root``, ``.csv``, ``.parquet``) is the format.
        force: Replace a file that exists.
        step: Rows per chunk.
        rntuple: Write an RNTuple to a ``.root`` file, instead of a TTree.

    Raises:
        ConfigError: for an unknown suffix, or an RNTuple with another.
        MissingPackageError: for Parquet without pyarrow.
        OutputError: if the file exists and not ``force``, or cannot be written.
    """

    def __init__(
        self, path: str | Path, *, force: bool = False, step: int = 65536, rntuple: bool = False
    ) -> None:
        self.path = Path(path)
        suffix = self.path.suffix.lower()
        if suffix not in _SINKS:
            raise ConfigError(
                f"{self.path}: unknown kind of score file '{suffix}'; use one of {', '.join(SCORE_SUFFIXES)}"
            )
        if suffix == ".parquet":
            _pyarrow()
        if step < 1:
            raise ConfigError(f"step must be at least 1, found {step}")
        self.step = step
        if rntuple and suffix != ".root":
            raise ConfigError(f"{self.path}: an RNTuple needs the suffix .root")
        self._open = _RNTuple if rntuple else _SINKS[suffix]
        self._output = atomic_output(self.path, force=force)
        self._temporary: Path | None = None
        self._sink: _Sink | None = None
        self._types: dict[str, np.dtype[Any]] = {}
        self._waiting: list[Mapping[str, NDArray[Any]]] = []
        self._n_waiting = 0
        self._metadata: Metadata | None = None
        self.n_written = 0

    def __repr__(self) -> str:
        return f"ScoreWriter({self.path}, {self.n_written + self._n_waiting} jets)"

    def __enter__(self) -> ScoreWriter:
        self._temporary = self._output.__enter__()
        return self

    def append(self, scores: Scores) -> None:
        """Add rows. Every call needs the extra columns of the first one, with the same types."""
        if self._temporary is None:
            raise RuntimeError("use 'with ScoreWriter(path) as writer:' around append")
        if self._metadata is not None:
            raise RuntimeError("append after finish")
        columns = scores.columns()
        types = {name: value.dtype for name, value in columns.items()}
        if not self._types:
            self._types = types
        _check_same(self.path, self._types, types)
        self._waiting.append(columns)
        self._n_waiting += len(scores)
        if self._n_waiting >= self.step:
            self._flush(everything=False)

    def finish(self, metadata: Metadata) -> None:
        """Give the metadata, last; the file is completed when the block ends."""
        for key, value in metadata.items():
            if not isinstance(value, (str, int, float, np.integer, np.floating)):
                raise TypeError(f"metadata '{key}' must be a text or a number, found {type(value).__name__}")
        plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in metadata.items()}
        self._metadata = {k: encodable(v) if isinstance(v, str) else v for k, v in plain.items()}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._flush(everything=True)
                assert self._sink is not None
                self._sink.close(self._metadata or {})
            except BaseException as problem:
                self._abandon()
                if isinstance(problem, OSError):
                    raise OutputError(
                        f"{self.path}: cannot be written ({problem.strerror or problem})"
                    ) from problem
                raise
            self._output.__exit__(None, None, None)
        else:
            # the caller's own error goes on as it is: an OSError of an input is not one of this file
            self._abandon()

    def _flush(self, *, everything: bool) -> None:
        if self._sink is None:
            assert self._temporary is not None
            self._types = self._types or dict(COLUMNS)
            try:
                self._sink = self._open(self._temporary, self._types)
            except OSError as error:
                raise OutputError(f"{self.path}: cannot be written ({error.strerror or error})") from error
        waiting = {
            name: np.concatenate([np.zeros(0, dtype), *(part[name] for part in self._waiting)])
            for name, dtype in self._types.items()
        }
        n = self._n_waiting
        stop = n if everything else n - n % self.step
        for start in range(0, stop, self.step):
            end = min(start + self.step, stop)
            try:
                self._sink.write({name: values[start:end] for name, values in waiting.items()})
            except OSError as error:
                raise OutputError(f"{self.path}: cannot be written ({error.strerror or error})") from error
            self.n_written += end - start
        self._waiting = [{name: values[stop:] for name, values in waiting.items()}] if stop < n else []
        self._n_waiting = n - stop

    def _abandon(self) -> None:
        if self._sink is not None:
            with contextlib.suppress(Exception):
                self._sink.abort()
        with contextlib.suppress(_Abandoned):
            self._output.__exit__(_Abandoned, _Abandoned(), None)


def _check_same(path: Path, first: dict[str, np.dtype[Any]], later: dict[str, np.dtype[Any]]) -> None:
    for name in {**first, **later}:
        # compared as text: NumPy takes a dtype compared with None for one compared with float64
        was, now = str(first.get(name, "missing")), str(later.get(name, "missing"))
        if was != now:
            raise InputError(f"{path}: column '{name}' is {now} here but was {was} in the first part")
