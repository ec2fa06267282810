"""How a detector suffers when some of what it looks for is in its training data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import ConfigError, InputError
from ..evaluation import Interval, evaluate
from ..evaluation.intervals import finite_or_none, nan_if_none
from ..files import refuse_url
from ..jets import Jets
from ..readers import read
from .trainings import TrainingOptions, check_distinct, hold_out, train_in_study

__all__ = ["Contamination", "ContaminationPoint", "contamination", "mix"]


class ContaminationPoint(NamedTuple):
    """One share of signal in the training data; several seeds are averaged.

    The errors are the larger of the statistical one of the test jets and, with several seeds, the spread.
    """

    fraction: float
    n_signal: int
    auc: Interval
    max_sic: Interval
    aucs: tuple[float, ...]  # by seed

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "fraction": self.fraction,
            "n_signal": self.n_signal,
            "auc": self.auc.to_dict(),
            "max_sic": self.max_sic.to_dict(),
            "aucs": [finite_or_none(a) for a in self.aucs],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ContaminationPoint:
        """What ``to_dict`` gave."""
        auc, max_sic = (Interval.from_dict(values[name]) for name in ("auc", "max_sic"))
        aucs = tuple(nan_if_none(a) for a in values["aucs"])
        return cls(float(values["fraction"]), values["n_signal"], auc, max_sic, aucs)


@dataclasses.dataclass(frozen=True)
class Contamination:
    """The scan: points by rising share of signal."""

    background: str
    signal: str
    n_train: int
    points: tuple[ContaminationPoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "study": "contamination",
            "background": self.background,
            "signal": self.signal,
            "n_train": self.n_train,
            "points": [p.to_dict() for p in self.points],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Contamination:
        """What ``to_dict`` gave."""
        points = tuple(ContaminationPoint.from_dict(p) for p in values["points"])
        return cls(values["background"], values["signal"], values["n_train"], points)


def mix(background: Jets, signal: Jets, fraction: float, n: int, seed: int) -> Jets:
    """``n`` jets, of which the share ``fraction`` is signal, in random order and without truth.

    The same seed gives nested samples: what is signal at 1 % is signal at 5 %, too.

    Raises:
        InputError: if there is not enough of one class.
    """
    n_signal = round(n * fraction)
    for name, jets, needed in (("background", background, n - n_signal), ("signal", signal, n_signal)):
        if needed > len(jets):
            raise InputError(
                f"a share of {fraction:g} in {n} jets needs {needed} {name} jets for training, "
                f"there are {len(jets)}; use fewer jets or smaller shares"
            )
    generator = np.random.default_rng([seed, 104729])
    rows = generator.permutation(len(background))[: n - n_signal]
    injected = generator.permutation(len(signal))[:n_signal]
    parts = [dataclasses.replace(j, labels=None) for j in (background[rows], signal[injected])]
    together = Jets.concatenate([part for part in parts if len(part)])
    return together[generator.permutation(n)]


def contamination(
    background: tuple[str, Sequence[Path]],
    signal: tuple[str, Sequence[Path]],
    folder: Path,
    options: TrainingOptions,
    *,
    fractions: Sequence[float] = (0.0, 0.01, 0.03, 0.1),
    n_train: int | None = None,
    n_seeds: int = 1,
    test_fraction: float = 0.5,
    max_jets: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Contamination:
    """Train with each share of signal in the data, always on equally many jets, and test on the same others.

    Arguments:
        background: Name and files.
        signal: Name and files.
        folder: Gets one run directory a training.
        options: Configuration (its seed is the first) and device.
        fractions: Shares of signal among the training jets.
        n_train: Training jets; by default as many as all shares allow.
        n_seeds: Trainings per share, with seeds counted up.
        test_fraction: Share of the signal that is kept for the test; of the background a quarter is.
        max_jets: Jets read of each class.
        say: Called with a line of progress.

    Raises:
        ConfigError: for shares outside [0, 1).
        InputError: if there are too few jets.
    """
    shares = sorted(set(fractions))
    if not shares or shares[0] < 0 or shares[-1] >= 1:
        raise ConfigError("shares of signal must be from 0 to below 1")
    seed = options.config.seed
    b_name, b_files = background
    s_name, s_files = signal
    check_distinct({b_name: b_files, s_name: s_files})
    b = hold_out(read(list(b_files), max_jets=max_jets), 0.25, seed)
    s = hold_out(read(list(s_files), max_jets=max_jets), test_fraction, seed)
    largest = shares[-1]
    if n_train is None:
        allowed = [len(b.train) / (1 - shares[0])] + ([len(s.train) / largest] if largest > 0 else [])
        n_train = int(min(allowed))
    refuse_url(folder)
    folder.mkdir(parents=True, exist_ok=True)
    points = []
    for share in shares:
        found = []
        for k in range(n_seeds):
            config = options.config.model_copy(update={"seed": seed + k})
            jets = mix(b.train, s.train, share, n_train, seed)
            say(f"training on {n_train} jets, {100 * share:g} % of them {s_name} (seed {seed + k})")
            detector = train_in_study(
                jets, [*b_files, *s_files], folder / f"share-{share:g}-seed-{seed + k}",
                options._replace(config=config),
                {"kind": "contamination", "fraction": share, "first_seed": seed,
                 "test_fraction": test_fraction, "max_jets": max_jets},
            )  # fmt: skip
            scores = {b_name: detector.evaluate(b.test), s_name: detector.evaluate(s.test)}
            found.append(evaluate(scores[b_name], {s_name: scores[s_name]}).signals[s_name])
        aucs = np.array([r.curve.auc for r in found])
        error = max(_spread(aucs), float(np.max([r.curve.auc_error for r in found])))
        sics = np.array([r.max_sic.value for r in found])
        sic, wide = float(np.mean(sics)), _spread(sics)
        down = max(wide, float(np.mean([r.max_sic.value - r.max_sic.low for r in found])))
        up = max(wide, float(np.mean([r.max_sic.high - r.max_sic.value for r in found])))
        auc = float(np.mean(aucs))
        points.append(
            ContaminationPoint(
                share, round(n_train * share), Interval(auc, auc - error, auc + error),
                Interval(sic, sic - down, sic + up), tuple(aucs.tolist()),
            )
        )  # fmt: skip
    return Contamination(b_name, s_name, n_train, tuple(points))


def _spread(values: np.ndarray) -> float:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return 0.0 if math.isnan(spread) else spread
