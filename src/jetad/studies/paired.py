"""Differences between detectors that were tested on the same jets, with an error that knows it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ..evaluation import placements
from ..files import atomic_output

__all__ = ["Difference", "Direction", "TestScores", "Placements", "difference", "read_scores", "write_scores"]

#: (trained on, looked for)
Direction = tuple[str, str]
Floats = NDArray[np.float64]
#: Scores of the test jets, by class, as one training gives them.
TestScores = Mapping[str, NDArray[np.float32]]


class Difference(NamedTuple):
    """AUC of a detector minus that of another on the same jets, and its standard error."""

    value: float
    error: float


class Placements(NamedTuple):
    """A detector in one direction: placements of the test jets, mean over its trainings (DeLong's V).

    Arguments:
        direction: What it was trained on and looked for.
        background: 1 - placement of each background jet among the signal, ``(n_background,)``.
        signal: Placement of each signal jet among the background, ``(n_signal,)``.
        spread: Variance of the mean AUC over the trainings; 0 for one.
    """

    direction: Direction
    background: Floats
    signal: Floats
    spread: float

    @classmethod
    def of(cls, direction: Direction, trainings: list[TestScores]) -> Placements | None:
        """From the scores of the trainings with different seeds; ``None`` where jets have none."""
        trained_on, looked_for = direction
        pairs = []
        for scores in trainings:
            b, s = (np.asarray(scores[name], dtype=np.float64) for name in (trained_on, looked_for))
            if not (len(b) and len(s) and np.isfinite(b).all() and np.isfinite(s).all()):
                return None
            pairs.append((1.0 - placements(s, b), placements(b, s)))
        if not pairs or len({(len(b), len(s)) for b, s in pairs}) > 1:
            return None
        auc = [float(s.mean()) for _, s in pairs]
        spread = float(np.var(auc, ddof=1)) / len(auc) if len(auc) > 1 else 0.0
        background, signal = (np.mean([pair[i] for pair in pairs], axis=0) for i in (0, 1))
        return cls(direction, background, signal, spread)


def difference(first: Placements, second: Placements) -> Difference | None:
    """AUC of the first minus AUC of the second, which may look for another signal.

    Jets that both were tested on enter the error once, as the difference of what they add to both
    (DeLong, DeLong and Clarke-Pearson 1988); other jets and the spread over trainings are added in square.

    Returns:
        ``None`` if the numbers of jets do not agree: these are not the same jets.
    """
    parts: dict[str, Floats] = {}
    for tested, sign in ((first, 1.0), (second, -1.0)):
        for name, values in zip(tested.direction, (tested.background, tested.signal), strict=True):
            if name in parts and len(parts[name]) != len(values):
                return None
            parts[name] = parts.get(name, np.zeros(len(values))) + sign * values
    variance = sum(float(np.var(v, ddof=1)) / len(v) for v in parts.values() if len(v) > 1)
    value = float(first.signal.mean() - second.signal.mean())
    return Difference(value, math.sqrt(variance + first.spread + second.spread))


def write_scores(path: Path, scores: TestScores) -> None:
    """Scores of the test jets of one training, an array a class (``.safetensors``)."""
    with atomic_output(path, force=True) as temporary:
        save_file({name: np.asarray(x, dtype=np.float32) for name, x in scores.items()}, temporary)


def read_scores(path: Path) -> TestScores | None:
    """What ``write_scores`` wrote; ``None`` where it is not there or not whole (an older bench kept none)."""
    try:
        scores: TestScores = load_file(path)
    except (OSError, SafetensorError):
        return None
    return scores
