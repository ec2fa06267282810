"""Proof that a score file belongs to its input, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..detector import TrainedDetector
from ..errors import InputError
from ..jets import Jets
from ..readers import ReadOptions, iterate
from ..readers.containers.remote import remote_url
from ..readers.paths import split_path
from ..runs.provenance import file_hash
from ..scores import Scores, load_scores
from .input_identity import CONTENT, hash_of_ends
from .ledger import Digest, ledger_path, read_ledger

__all__ = ["Check", "load_with_facts", "verify_scores"]

_QUANTITIES = ("jet_pt", "jet_eta", "jet_phi", "jet_mass")
_TOLERANCE = 1e-4  # relative; the same file read by the same reader gives the same bits
_N_RESCORED = 1000
_SAME_SCORE = 1e-3  # another machine or a GPU may differ in the last digits
_STEP = 20_000


class Check(NamedTuple):
    """One thing that was looked at. ``passed`` is ``None`` where the files do not tell."""

    name: str
    passed: bool | None
    found: str


def load_with_facts(path: Path) -> tuple[Scores, dict[str, Any]]:
    """A score file with what is known of its making: its metadata, or else its ledger (CSV has none)."""
    scores = load_scores(path)
    facts = dict(scores.metadata) or {
        k: v for k, v in (read_ledger(path) or {}).items() if isinstance(v, (str, int, float))
    }
    return scores, facts


def verify_scores(
    path: str | Path,
    original: str | Path,
    *,
    options: ReadOptions | None = None,
    detector: TrainedDetector | None = None,
) -> list[Check]:
    """Compare a score file with the file of jets it should belong to.

    Looked at: that the score file is as it was written (digest of its columns), that the input is the
    same file (SHA-256, or that of its ends where it was on a server), that the account is closed, that
    each row has the keys (``entry``, ``jet``), the kinematics and the truth of its jet, and, with a
    detector, that jets spread over the file get the scores again.

    Arguments:
        path: The score file, or one of its parts.
        original: The file of jets.
        options: How ``original`` is read, as it was when it was scored.
        detector: Scores up to 1000 jets again.

    Raises:
        InputError: if a file cannot be read.
    """
    path, original = Path(path), Path(original)
    scores, facts = load_with_facts(path)
    checks = [
        _check_digest(path, scores, facts),
        _check_input(original, facts),
        _check_account(scores, facts),
    ]
    start, n_read = int(facts.get("first_row", 0)), facts.get("n_read")
    stop = None if n_read is None else start + int(n_read)
    rows = _Rows(scores, selected=bool(facts.get("selection")))
    again = None if detector is None else _Rescored(detector, len(scores))
    for jets in iterate(original, step=_STEP, start=start, stop=stop, **(options or {})):
        matched, index = rows.match(jets)
        if again is not None and len(matched):
            again.add(matched, scores.score[index], int(index[0]))
        if rows.problem:
            break
    checks.append(rows.result())
    if again is not None:
        checks.append(again.result())
    return checks


def _check_digest(path: Path, scores: Scores, facts: dict[str, Any]) -> Check:
    ledger = read_ledger(path) or {}
    known = {str(d) for d in (facts.get("digest"), ledger.get("digest")) if d}
    if not known:
        return Check("score file as written", None, f"no digest in the file and no {ledger_path(path).name}")
    digest = Digest()
    digest.add(scores)
    passed = known == {digest.hexdigest()}
    found = "digest of entry, jet, score and background_efficiency agrees"
    return Check("score file as written", passed, found if passed else "columns were changed or cut off")


def _check_input(original: Path, facts: dict[str, Any]) -> Check:
    name = next((name for name in CONTENT if facts.get(name)), None)
    if name is None:
        return Check("same input file", None, "the score file does not know the hash of its input")
    if name == "input_sha256" and remote_url(original) is not None:
        return Check("same input file", None, "a remote file is not read whole for its SHA-256")
    if name == "input_sha256":
        found, what = file_hash(split_path(original)[0]), "SHA-256"
    else:
        found = hash_of_ends(original)[1]
        what = "size and SHA-256 of the ends"
    known = str(facts[name])
    if found == known:
        return Check("same input file", True, f"{what} {found[:16]}... agrees")
    return Check(
        "same input file",
        False,
        f"{what} is {found[:16]}..., but {facts.get('input', 'the input')} had {known[:16]}...",
    )


def _check_account(scores: Scores, facts: dict[str, Any]) -> Check:
    names = ("n_read", "n_scored", "n_selected_out", "n_failed")
    if not all(name in facts for name in names):
        return Check("account", None, "the score file has no account")
    read, scored, selected_out, failed = (int(facts[name]) for name in names)
    nan = int(np.isnan(scores.score).sum())
    passed = read == scored + selected_out + failed and len(scores) == read - selected_out and nan == failed
    return Check(
        "account",
        passed,
        f"read {read} = scored {scored} + selected out {selected_out} + failed {failed}; "
        f"{len(scores)} rows, {nan} without score",
    )


class _Rows:
    """Goes through the rows of the score file along with the jets of the input."""

    def __init__(self, scores: Scores, *, selected: bool) -> None:
        self.scores = scores
        self.selected = selected
        self.row = 0
        self.problem = ""

    def match(self, jets: Jets) -> tuple[Jets, NDArray[np.int64]]:
        """The jets that have a row, and their rows."""
        if self.selected:
            jets = jets[self._has_row(jets)]
        rows = np.arange(self.row, min(self.row + len(jets), len(self.scores)))
        if len(rows) < len(jets):
            self._say(f"the input has more jets than the {len(self.scores)} rows of the score file")
        jets = jets[: len(rows)]
        self.row += len(rows)
        for name, wanted in _keys(jets):
            found = getattr(self.scores, name)[rows]
            if wanted.dtype.kind == "f":
                same = np.isclose(found, wanted, rtol=_TOLERANCE, atol=1e-5, equal_nan=True)
            else:
                same = found == wanted
            if not same.all():
                first = int(np.flatnonzero(~same)[0])
                self._say(
                    f"row {rows[first]}: {name} is {found[first]} in the score file, {wanted[first]} in the "
                    f"input ({int((~same).sum())} rows of these {len(rows)} differ)"
                )
                break
        return jets, rows

    def _has_row(self, jets: Jets) -> NDArray[np.bool_]:
        """Which jets are among the next rows, by their keys; both files are in the same order."""
        upcoming = slice(self.row, self.row + len(jets))
        keys = _pairs(self.scores.entry[upcoming], self.scores.jet[upcoming])
        return np.isin(_pairs(jets.entry, jets.position), keys)

    def _say(self, problem: str) -> None:
        self.problem = self.problem or problem

    def result(self) -> Check:
        if not self.problem and self.row < len(self.scores):
            self.problem = f"the input ends after {self.row} of the {len(self.scores)} rows of the score file"
        found = f"{self.row} rows agree in entry, jet, pT, eta, phi, mass and truth"
        return Check("alignment of rows", not self.problem, self.problem or found)


def _pairs(entry: NDArray[Any], jet: NDArray[Any]) -> NDArray[Any]:
    result: NDArray[Any] = entry.astype(np.int64) * (1 << 20) + jet
    return result


def _keys(jets: Jets) -> Iterator[tuple[str, NDArray[Any]]]:
    yield "entry", jets.entry
    yield "jet", jets.position
    with np.errstate(all="ignore"):
        for name in _QUANTITIES:
            yield name, getattr(jets, name)
    if jets.labels is not None:
        yield "label", jets.labels


class _Rescored:
    """Scores every so many jets again."""

    def __init__(self, detector: TrainedDetector, n_rows: int) -> None:
        self.detector = detector
        self.every = max(1, n_rows // _N_RESCORED)
        self.n = 0
        self.largest = 0.0

    def add(self, jets: Jets, scores: NDArray[np.float32], first_row: int) -> None:
        chosen = np.arange(-first_row % self.every, len(jets), self.every)
        if not len(chosen):
            return
        found, wanted = self.detector.score(jets[chosen]), scores[chosen]
        both = np.isnan(found) & np.isnan(wanted)
        distance = np.where(both, 0.0, np.abs(found - wanted))
        self.n += len(chosen)
        self.largest = max(self.largest, float(np.nan_to_num(distance, nan=np.inf).max()))

    def result(self) -> Check:
        found = f"{self.n} jets scored again, largest difference {self.largest:.2g}"
        return Check("scores of this run", self.largest <= _SAME_SCORE, found)


def require_known(facts: dict[str, Any], path: Path, *names: str) -> None:
    """Refuse a score file that lacks facts.

    Raises:
        InputError: naming the first that is missing.
    """
    for name in names:
        if name not in facts:
            raise InputError(f"{path}: does not know its '{name}'; was it made by 'jetad score'?")
