"""Train A and look for B, train B and look for A: a tagger of anomalies must do both."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluation import Evaluation, evaluate, rank_correlation, roc_curve
from ..evaluation.intervals import finite_or_none, nan_if_none
from ..files import refuse_url
from ..jets import Jets
from ..preprocessing.images import ImageConfig, JetImages
from ..readers import read
from .trainings import Halves, TrainingOptions, check_distinct, hold_out, train_in_study

__all__ = ["Complexity", "Direction", "TwoWay", "n_pixels", "two_way"]


@dataclasses.dataclass(frozen=True)
class Complexity:
    """A plain count of how much is in a jet, as if it were the detector.

    Arguments:
        auc: Chance that a jet of the second class has the larger count, without any training.
        correlation: Rank correlation of the score with the count over the test jets of both classes.
    """

    auc: float
    correlation: float


@dataclasses.dataclass(frozen=True, eq=False)
class Direction:
    """One of the two trainings: what it was trained on, what it looked for, and how well that went."""

    background: str
    signal: str
    evaluation: Evaluation
    complexity: dict[str, Complexity]

    @property
    def auc(self) -> float:
        """Area under the ROC curve."""
        return self.evaluation.signals[self.signal].curve.auc

    @property
    def auc_error(self) -> float:
        """Statistical error of the AUC."""
        return self.evaluation.signals[self.signal].curve.auc_error


@dataclasses.dataclass(frozen=True, eq=False)
class TwoWay:
    """Both directions with one configuration."""

    directions: tuple[Direction, Direction]

    @property
    def worst(self) -> Direction:
        """The direction with the smaller AUC: what the method may be quoted with."""
        return min(self.directions, key=lambda d: d.auc)

    def complexity_bias(self, count: str = "multiplicity") -> float:
        """Mean rank correlation of the score with a count, over both directions.

        A detector that finds the other class each way has correlations of opposite sign, which cancel: 0.
        One that calls complex jets anomalous whatever it was trained on has +1; simple ones, -1.
        """
        return float(np.mean([d.complexity[count].correlation for d in self.directions]))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "study": "two-way",
            "directions": [
                {
                    "background": d.background,
                    "signal": d.signal,
                    "auc": d.auc,
                    "auc_error": finite_or_none(d.auc_error),
                    "complexity": {
                        name: {
                            "auc": finite_or_none(c.auc),
                            "rank_correlation": finite_or_none(c.correlation),
                        }
                        for name, c in d.complexity.items()
                    },
                    "evaluation": d.evaluation.to_dict(max_points=500),
                }
                for d in self.directions
            ],
            "worst": {
                "background": self.worst.background,
                "signal": self.worst.signal,
                "auc": self.worst.auc,
            },
            "complexity_bias": {
                name: finite_or_none(self.complexity_bias(name)) for name in self.directions[0].complexity
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TwoWay:
        """What ``to_dict`` gave."""
        first, second = (
            Direction(
                d["background"],
                d["signal"],
                Evaluation.from_dict(d["evaluation"]),
                {
                    name: Complexity(nan_if_none(c["auc"]), nan_if_none(c["rank_correlation"]))
                    for name, c in d["complexity"].items()
                },
            )
            for d in values["directions"]
        )
        return cls((first, second))


def n_pixels(jets: Jets, *, chunk: int = 5000) -> NDArray[np.float64]:
    """Pixels of the jet image that are not empty, ``(n_jets,)``; NaN for jets that cannot be imaged."""
    imager = JetImages(ImageConfig(sigma=0))
    parts = []
    for start in range(0, len(jets), chunk):
        images = imager.transform(jets[start : start + chunk])
        count = np.sum(images > 0, axis=(1, 2, 3)).astype(np.float64)
        parts.append(np.where(np.isfinite(images).all(axis=(1, 2, 3)), count, np.nan))
    return np.concatenate(parts) if parts else np.zeros(0)


def two_way(
    first: tuple[str, Sequence[Path]],
    second: tuple[str, Sequence[Path]],
    folder: Path,
    options: TrainingOptions,
    *,
    test_fraction: float = 0.25,
    max_jets: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> TwoWay:
    """Train on each class with the same configuration and test both on the same held-out jets.

    Arguments:
        first: Name and files of one class.
        second: Name and files of the other.
        folder: Gets one run directory a direction, ``FIRST`` and ``SECOND``.
        options: Configuration and device.
        test_fraction: Share of each class that neither training sees.
        max_jets: Jets read of each class; both get equally many with it.
        say: Called with a line of progress.

    Raises:
        InputError: for files that cannot be read or are too small.
        OutputError: if ``folder`` holds other trainings.
    """
    seed = options.config.seed
    check_distinct(dict((first, second)))
    classes: dict[str, tuple[Sequence[Path], Halves]] = {}
    for name, files in (first, second):
        jets = read(list(files), max_jets=max_jets)
        # the truth of the files must not reach the training, and its warnings would be about nothing
        classes[name] = (files, hold_out(dataclasses.replace(jets, labels=None), test_fraction, seed))
    names = list(classes)
    counts = {
        name: {
            "multiplicity": halves.test.n_constituents.astype(np.float64),
            "pixels": n_pixels(halves.test),
        }
        for name, (_, halves) in classes.items()
    }
    refuse_url(folder)
    folder.mkdir(parents=True, exist_ok=True)
    directions = []
    for background, signal in (names, names[::-1]):
        files, halves = classes[background]
        say(f"training on {len(halves.train)} {background} jets, looking for {signal}")
        study = {"kind": "two-way", "test_fraction": test_fraction, "max_jets": max_jets}
        detector = train_in_study(halves.train, files, folder / background, options, study)
        scores = {name: detector.evaluate(part.test) for name, (_, part) in classes.items()}
        pooled = np.concatenate([scores[background].score, scores[signal].score])
        complexity = {}
        for count in ("multiplicity", "pixels"):
            b, s = counts[background][count], counts[signal][count]
            auc = roc_curve(b, s).auc if np.isfinite(b).any() and np.isfinite(s).any() else math.nan
            complexity[count] = Complexity(auc, rank_correlation(pooled, np.concatenate([b, s])))
        evaluation = evaluate(scores[background], {signal: scores[signal]}, name=f"trained on {background}")
        directions.append(Direction(background, signal, evaluation, complexity))
    return TwoWay((directions[0], directions[1]))
