"""How efficiencies at a fixed cut change when the jets are measured differently."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..evaluation import roc_curve
from ..evaluation.intervals import finite_or_none, nan_if_none
from ..jets import Jets
from .distortions import DISTORTIONS, distort

__all__ = ["Change", "DistortionResult", "Robustness", "change_of", "robustness"]


class _Scorer(Protocol):
    def score(self, jets: Jets) -> NDArray[np.float32]: ...


class Change(NamedTuple):
    """Efficiency of one cut before and after a distortion of the same jets.

    ``error`` is that of the difference: only jets that change sides count.
    """

    before: float
    after: float
    error: float

    @property
    def relative(self) -> float:
        """(after - before)/before; NaN if nothing passed before."""
        return (self.after - self.before) / self.before if self.before > 0 else math.nan

    @property
    def relative_error(self) -> float:
        """Error of ``relative``, with the efficiency before taken as given."""
        return self.error / self.before if self.before > 0 else math.nan

    def to_dict(self) -> dict[str, float | None]:
        """Plain numbers for JSON."""
        return {
            **{name: finite_or_none(value) for name, value in self._asdict().items()},
            "relative": finite_or_none(self.relative),
            "relative_error": finite_or_none(self.relative_error),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, float | None]) -> Change:
        """What ``to_dict`` gave."""
        return cls(*(nan_if_none(values[name]) for name in cls._fields))


@dataclasses.dataclass(frozen=True)
class DistortionResult:
    """One distortion: change of the efficiencies of each sample at each cut, and AUC with both distorted."""

    description: str
    efficiencies: Mapping[float, Mapping[str, Change]]  # by cut (background efficiency) and sample
    auc: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "description": self.description,
            "efficiencies": {
                f"{cut:.12g}": {name: change.to_dict() for name, change in samples.items()}
                for cut, samples in self.efficiencies.items()
            },
            "auc": {name: finite_or_none(value) for name, value in self.auc.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DistortionResult:
        """What ``to_dict`` gave."""
        efficiencies = {
            float(cut): {name: Change.from_dict(change) for name, change in samples.items()}
            for cut, samples in values["efficiencies"].items()
        }
        return cls(values["description"], efficiencies, _numbers(values["auc"]))


@dataclasses.dataclass(frozen=True)
class Robustness:
    """All distortions of a background and its signals."""

    background: str
    n_jets: Mapping[str, int]
    cuts: tuple[float, ...]
    auc: Mapping[str, float]  # undistorted
    distortions: Mapping[str, DistortionResult]

    def changes(self, cut: float) -> dict[str, dict[str, tuple[float, float]]]:
        """Relative change and its error at one cut, by distortion and sample."""
        return {
            name: {s: (c.relative, c.relative_error) for s, c in result.efficiencies[cut].items()}
            for name, result in self.distortions.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "study": "robustness",
            "background": self.background,
            "n_jets": dict(self.n_jets),
            "cuts": list(self.cuts),
            "auc": {name: finite_or_none(value) for name, value in self.auc.items()},
            "distortions": {name: result.to_dict() for name, result in self.distortions.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Robustness:
        """What ``to_dict`` gave."""
        results = {name: DistortionResult.from_dict(v) for name, v in values["distortions"].items()}
        cuts = tuple(float(cut) for cut in values["cuts"])
        return cls(values["background"], dict(values["n_jets"]), cuts, _numbers(values["auc"]), results)


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: nan_if_none(value) for name, value in values.items()}


def change_of(passed: NDArray[np.bool_], passes: NDArray[np.bool_]) -> Change:
    """Two cuts on the same n jets: with a in and b out, Δε = (a - b)/n ± √(a + b - (a - b)²/n)/n.

    References:
        Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
        percentages", Psychometrika 12 (1947) 153.
    """
    n = len(passed)
    if n == 0:
        return Change(math.nan, math.nan, math.nan)
    won, lost = int(np.sum(~passed & passes)), int(np.sum(passed & ~passes))
    variance = max(won + lost - (won - lost) ** 2 / n, 0.0)
    return Change(float(np.mean(passed)), float(np.mean(passes)), math.sqrt(variance) / n)


def robustness(
    detector: _Scorer,
    background: Jets,
    signals: Mapping[str, Jets],
    *,
    background_name: str = "background",
    cuts: Sequence[float] = (0.1, 0.01),
    names: Sequence[str] | None = None,
    seed: int = 1,
    say: Callable[[str], None] = lambda text: None,
) -> Robustness:
    """Score the jets again after each distortion, at cuts fixed on the undistorted background.

    Arguments:
        detector: Anything with ``score(jets)``.
        background: Background jets the detector was not trained on.
        signals: Signal jets by name; may be empty.
        background_name: What the background is called.
        cuts: Background efficiencies of the cuts.
        names: Of ``DISTORTIONS``; all by default.
        seed: Of the random distortions.
        say: Called with a line of progress.

    Raises:
        InputError: if the background is too small for a cut.
    """
    samples = {background_name: background, **signals}
    nominal = {name: detector.score(jets).astype(np.float64) for name, jets in samples.items()}
    usable = nominal[background_name][~np.isnan(nominal[background_name])]
    thresholds = {}
    for cut in cuts:
        k = int(cut * len(usable) + 1e-9)
        if k < 1:
            raise InputError(f"{len(usable)} background jets are too few for a cut at efficiency {cut:g}")
        thresholds[cut] = float(np.sort(usable)[-k])
    results = {}
    for name in DISTORTIONS if names is None else names:
        say(f"scoring with {DISTORTIONS[name].description}")
        scores = {
            sample: detector.score(distort(jets, name, seed)).astype(np.float64)
            for sample, jets in samples.items()
        }
        efficiencies: dict[float, dict[str, Change]] = {}
        for cut, threshold in thresholds.items():
            efficiencies[cut] = {}
            for sample, score in scores.items():
                before = nominal[sample]
                good = ~np.isnan(before)  # a jet that the distortion made unscorable passes no cut
                efficiencies[cut][sample] = change_of(before[good] >= threshold, score[good] >= threshold)
        results[name] = DistortionResult(
            DISTORTIONS[name].description, efficiencies,
            {s: roc_curve(scores[background_name], scores[s]).auc for s in signals},
        )  # fmt: skip
    return Robustness(
        background_name,
        {name: len(jets) for name, jets in samples.items()},
        tuple(cuts),
        {s: roc_curve(nominal[background_name], nominal[s]).auc for s in signals},
        results,
    )
