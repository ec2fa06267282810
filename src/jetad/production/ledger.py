"""The account of a score file, kept beside it: what was read, scored, selected out, and lost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files import atomic_output
from ..files.fields import Fields
from ..files.jsonfiles import read_object
from ..scores import Scores

__all__ = ["Account", "Digest", "account_of", "ledger_path", "read_ledger", "write_ledger"]

_FORMAT = 1
_COUNTS = ("n_read", "n_scored", "n_selected_out", "n_failed")


class Account(NamedTuple):
    """The account of one input file: ``read = scored + selected_out + failed``.

    ``status`` is ``complete``, or ``failed`` with the reason in ``error``; then there is no output.
    """

    input: str
    output: str
    status: str
    read: int = 0
    scored: int = 0
    selected_out: int = 0
    failed: int = 0
    error: str = ""
    reused: bool = False  # complete before this call, nothing was done


def ledger_path(output: str | Path) -> Path:
    """``x.scores.root`` has its account in ``x.scores.root.ledger.json``."""
    return Path(f"{output}.ledger.json")


def write_ledger(output: Path, values: dict[str, Any]) -> None:
    """Write the account of an output, atomically."""
    with atomic_output(ledger_path(output), force=True) as temporary:
        temporary.write_text(json.dumps({"format": _FORMAT, **values}, indent=1, sort_keys=True) + "\n")


def read_ledger(output: str | Path) -> dict[str, Any] | None:
    """The account of an output, or ``None`` where there is none.

    Raises:
        InputError: for one that cannot be read.
    """
    path, advice = ledger_path(output), "remove it to score the file again"
    try:
        values = read_object(path, advice)
    except FileNotFoundError:
        return None
    if values.get("status") == "complete":
        try:
            for name in _COUNTS:
                Fields(values).number(name, low=0, whole=True)
        except InputError as error:
            raise InputError(f"{path}: {error}; {advice}") from error
    return values


def account_of(source: Path, output: Path, ledger: Mapping[str, Any], *, reused: bool = False) -> Account:
    """The account of a file that is complete, from its ledger; ``reused`` if it was so before."""
    return Account(
        input=str(source),
        output=str(output),
        status="complete",
        read=int(ledger["n_read"]),
        scored=int(ledger["n_scored"]),
        selected_out=int(ledger["n_selected_out"]),
        failed=int(ledger["n_failed"]),
        reused=reused,
    )


class Digest:
    """SHA-256 of the values of some columns, the same for every format, chunk length and order of writing.

    Arguments:
        names: Columns that enter.

    Example:
        >>> whole, pieces = Digest(["score"]), Digest(["score"])
        >>> whole.update({"score": np.arange(4.0)})
        >>> for part in np.split(np.arange(4.0), 2):
        ...     pieces.update({"score": part})
        >>> whole.hexdigest() == pieces.hexdigest()
        True
    """

    def __init__(self, names: Iterable[str] = ("entry", "jet", "score", "background_efficiency")) -> None:
        self._hashes = {name: hashlib.sha256() for name in sorted(names)}

    def update(self, columns: dict[str, NDArray[Any]]) -> None:
        for name, digest in self._hashes.items():
            values = columns[name]
            if values.dtype.kind == "f":
                values = np.where(np.isnan(values), np.nan, values).astype(values.dtype)  # one NaN of many
            digest.update(np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).data)

    def add(self, scores: Scores) -> None:
        self.update(scores.columns())

    def hexdigest(self) -> str:
        joined = "".join(f"{name}:{digest.hexdigest()};" for name, digest in self._hashes.items())
        return hashlib.sha256(joined.encode()).hexdigest()
