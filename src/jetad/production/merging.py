"""Parts of one score file, made by ``jetad score --part K/N``, joined without gaps or overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError
from ..files import check_output, refuse_inputs
from ..scores import ScoreWriter
from .input_identity import CONTENT
from .ledger import Account, Digest, ledger_path, write_ledger
from .verify import load_with_facts, require_known

__all__ = ["merge_scores"]

_COUNTS = ("n_read", "n_scored", "n_selected_out", "n_failed")
# what all parts must agree in
_COMMON = (*CONTENT, "n_rows_in_file", "model_hash", "calibration_hash", "selection", "runs")


class _Piece(NamedTuple):
    path: Path
    facts: dict[str, Any]

    @property
    def first(self) -> int:
        return int(self.facts["first_row"])

    @property
    def last(self) -> int:
        """Exclusive."""
        return self.first + int(self.facts["n_read"])


def merge_scores(paths: Sequence[str | Path], output: str | Path, *, force: bool = False) -> Account:
    """Join parts to the score file that one ``jetad score`` would have made.

    Arguments:
        paths: The parts, in any order; ledgers that a pattern catches are passed over.
        output: Score file; its suffix chooses the format.
        force: Replace an existing output.

    Raises:
        InputError: if parts are of different inputs, runs or selections, were changed, are missing or
            overlap.
        OutputError: if the output exists, is one of the parts, or cannot be written.
    """
    output = Path(output)
    parts = [Path(path) for path in paths]
    refuse_inputs([output, ledger_path(output)], [*parts, *map(ledger_path, parts)])
    check_output(output, force=force)
    pieces = []
    for path in map(Path, paths):
        if path.name.endswith(".ledger.json"):
            continue
        facts = load_with_facts(path)[1]
        require_known(facts, path, next((name for name in CONTENT if name in facts), CONTENT[0]))
        require_known(facts, path, "n_rows_in_file", "first_row", *_COUNTS)
        pieces.append(_Piece(path, facts))
    if not pieces:
        raise InputError("no parts to merge were given")
    pieces.sort(key=lambda piece: (piece.first, piece.last))
    _check(pieces)
    digest = Digest()
    counts = {name: sum(int(piece.facts[name]) for piece in pieces) for name in _COUNTS}
    facts = {k: v for k, v in pieces[0].facts.items() if k not in (*_COUNTS, "first_row", "digest")}
    with ScoreWriter(output, force=force) as writer:
        for piece in pieces:
            scores, _ = load_with_facts(piece.path)
            own = Digest()
            own.add(scores)
            if piece.facts.get("digest") not in (None, own.hexdigest()):
                raise InputError(f"{piece.path}: was changed after it was made; score this part again")
            digest.add(scores)
            writer.append(scores)
        facts = {**facts, **counts, "first_row": 0, "digest": digest.hexdigest()}
        writer.finish(facts)
    account = {k: v for k, v in facts.items() if k not in ("fingerprint", "output", "output_size")}
    write_ledger(
        output,
        {
            **account,
            "status": "complete",
            "parts": [str(piece.path) for piece in pieces],
            "output": str(output),
            "output_size": output.stat().st_size,
        },
    )
    read, scored, selected_out, failed = (counts[name] for name in _COUNTS)
    return Account(str(facts.get("input", "")), str(output), "complete", read, scored, selected_out, failed)


def _check(pieces: Sequence[_Piece]) -> None:
    first = pieces[0]
    for piece in pieces[1:]:
        for name in _COMMON:
            if piece.facts.get(name) != first.facts.get(name):
                raise InputError(
                    f"{piece.path}: '{name}' is {piece.facts.get(name, 'missing')}, but "
                    f"{first.facts.get(name, 'missing')} in {first.path}; they are no parts of one score file"
                )
    if first.first > 0:
        raise InputError(f"rows 0 to {first.first} are missing: the first part given is {first.path}")
    for one, other in pairwise(pieces):
        if other.first < one.last:
            raise InputError(
                f"{one.path} and {other.path} overlap: both hold rows {other.first} to "
                f"{min(one.last, other.last)}"
            )
        if other.first > one.last:
            raise InputError(
                f"rows {one.last} to {other.first} are missing, between {one.path} and {other.path}"
            )
    last, total = pieces[-1], int(first.facts["n_rows_in_file"])
    if last.last != total:
        raise InputError(f"rows {last.last} to {total} are missing, after {last.path}")
