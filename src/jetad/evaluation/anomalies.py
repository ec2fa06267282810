"""The most anomalous jets of a file, with what a physicist needs to find them again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..jets import Jets
from ..scores import Scores

__all__ = ["Anomalies", "captions", "most_anomalous", "paired_with_scores"]

#: Columns that name an event, as experiments spell them; those that are there are shown, in this order.
_KEYS = (
    ("run", "runNumber", "RunNumber", "run_number"),
    ("luminosityBlock", "lumi", "lumiBlock"),
    ("event", "eventNumber", "EventNumber", "event_number"),
)


class Anomalies(NamedTuple):
    """Jets with their scores, most anomalous first."""

    jets: Jets
    scores: Scores


def most_anomalous(chunks: Iterable[tuple[Jets, Scores]], n: int, *, n_ordinary: int = 0) -> Anomalies:
    """The ``n`` jets of highest score, and behind them the ``n_ordinary`` of lowest, the lowest last.

    Only these are kept in memory. A jet without a score never counts, and none is given twice.

    Raises:
        InputError: if no jet has a score.
    """
    best: Anomalies | None = None
    for jets, scores in chunks:
        found = _ends(Anomalies(jets, scores), n, n_ordinary)
        if best is not None:
            both = Anomalies(
                Jets.concatenate([best.jets, found.jets]), Scores.concatenate([best.scores, found.scores])
            )
            found = _ends(both, n, n_ordinary)
        best = found
    if best is None or not len(best.scores):
        raise InputError("no jet has a score: there is no most anomalous one")
    return best


def _ends(found: Anomalies, n: int, n_ordinary: int) -> Anomalies:
    """Both ends of the jets with a score, highest first."""
    score = found.scores.score
    rows = np.flatnonzero(~np.isnan(score))
    rows = rows[np.argsort(-score[rows], kind="stable")]
    kept = np.concatenate([rows[:n], rows[max(n, len(rows) - n_ordinary) :]])
    return Anomalies(found.jets[kept], found.scores[kept])


def paired_with_scores(
    chunks: Iterable[Jets], scores: Scores, *, names: tuple[str, str] = ("the jets", "the scores")
) -> Iterator[tuple[Jets, Scores]]:
    """Chunks of a file of jets with the rows of its score file.

    Raises:
        InputError: if entries or the number of jets differ.
    """
    start = 0
    for jets in chunks:
        part = scores[start : start + len(jets)]
        start += len(jets)
        same = (
            len(part) == len(jets)
            and np.array_equal(part.entry, jets.entry)
            and np.array_equal(part.jet, jets.position)
        )
        if not same:
            raise InputError(
                f"{names[1]}: is not the score file of {names[0]} (other entries, or fewer jets)"
            )
        yield jets, part
    if start != len(scores):
        raise InputError(
            f"{names[1]}: is not the score file of {names[0]} ({len(scores)} scores for {start} jets)"
        )


def captions(found: Anomalies) -> list[str]:
    """Score, kinematics and event keys of each jet, three or four short lines.

    The smallest background efficiency that a calibration can give is an upper end: ``≤``.
    """
    jets, scores = found
    floor = float(scores.metadata.get("smallest_background_efficiency", -1)) * (1 + 1e-6)
    lines = []
    for i in range(len(scores)):
        p = scores.background_efficiency[i]
        tail = "" if np.isnan(p) else rf"  ($\varepsilon_B$ {'≤' if p <= floor else '='} {p:.2g})"
        keys = [
            f"{names[0]} {jets.observables[name][i]:.0f}"
            for names in _KEYS
            for name in names
            if name in jets.observables
        ]
        where = f"entry {scores.entry[i]}" + (f", jet {scores.jet[i]}" if scores.jet[i] else "")
        if scores.label[i] >= 0:
            where += f", {('background', 'signal')[scores.label[i]]}"
        kinematics = (
            rf"$p_T$ = {scores.jet_pt[i]:.0f} GeV, m = {scores.jet_mass[i]:.0f} GeV",
            f"{jets.n_constituents[i]} constituents",
        )
        lines.append(
            "\n".join(
                [f"score {scores.score[i]:.3g}{tail}", *kinematics, where, *([", ".join(keys)] * bool(keys))]
            )
        )
    return lines
