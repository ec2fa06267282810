"""Methods side by side: each is trained on each class and looks for all others; the worst direction ranks."""

from __future__ import annotations

import dataclasses
import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..config import RunConfig, resolve_config
from ..errors import ConfigError, InputError, OutputError
from ..evaluation import roc_curve
from ..evaluation.intervals import finite_or_none
from ..files import atomic_output, own_folder, refuse_link
from ..files.jsonfiles import read_object
from ..jets import Jets
from ..models import METHODS
from ..readers import read
from .trainings import TrainingOptions, check_distinct, train_in_study

__all__ = ["DetectorSpec", "Ranking", "Row", "Standing", "rank_methods"]

_REJECTION_AT = (0.3, 0.5)


class DetectorSpec(NamedTuple):
    """A method (or preset) with settings, under a label."""

    label: str
    method: str
    settings: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> DetectorSpec:
        """From ``[LABEL=]METHOD|preset:NAME [KEY=VALUE ...]``.

        Raises:
            ConfigError: if there is nothing in it, or the label cannot name a folder.

        Example:
            >>> DetectorSpec.parse("short=nae training.epochs=2")
            DetectorSpec(label='short', method='nae', settings=('training.epochs=2',))
        """
        first, *settings = shlex.split(text) or [""]
        label, _, method = first.rpartition("=")
        label = label or method.removeprefix("preset:")
        if not label.replace("-", "_").replace(".", "_").isidentifier():
            raise ConfigError(f"'{text}' is no detector; give [LABEL=]METHOD [KEY=VALUE ...]")
        return cls(label, method, tuple(settings))

    @property
    def text(self) -> str:
        """Method and settings."""
        return " ".join([self.method, *self.settings])

    def config(self, *, seed: int, representation: str | None = None) -> RunConfig:
        """The settings of its training."""
        preset = self.method.removeprefix("preset:") if self.method.startswith("preset:") else None
        return resolve_config(
            method=None if preset else self.method, preset=preset, settings=list(self.settings), seed=seed,
            representation=representation,
        )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Row:
    """One training and its tests.

    Arguments:
        detector: Label.
        spec: Method and settings, as given.
        train: Class of the training.
        seed: Of the training.
        n_train: Training jets.
        n_test: Test jets by class.
        auc: By ``score`` and member, by class looked for.
        rejection: 1/background efficiency of the score, by class and signal efficiency; ``None``: infinite.
        seconds: Wall time of the training.
        supervised: It has seen the signal.
    """

    detector: str
    spec: str
    train: str
    seed: int
    n_train: int
    n_test: Mapping[str, int]
    auc: Mapping[str, Mapping[str, float]]
    rejection: Mapping[str, Mapping[str, float | None]]
    seconds: float
    supervised: bool = False


@dataclasses.dataclass(frozen=True)
class Standing:
    """A detector in the ranking.

    Arguments:
        detector: Label.
        auc: Mean and spread over the seeds, by direction.
        worst: Mean AUC of the worst of the ranked directions.
        fraction: (AUC - 0.5) / (ceiling - 0.5) in the direction where that is smallest, or ``None``.
        seconds: Mean wall time of a training.
        seeds: How many.
        supervised: It has seen the signal.
    """

    detector: str
    auc: Mapping[tuple[str, str], tuple[float, float]]
    worst: float
    fraction: float | None
    seconds: float
    seeds: int
    supervised: bool


@dataclasses.dataclass(frozen=True)
class Ranking:
    """All rows, and what they say.

    Arguments:
        rows: One a training.
        judged: Directions (trained on, looked for) whose worst counts; all that were tested by default.
    """

    rows: tuple[Row, ...]
    judged: tuple[tuple[str, str], ...] = ()

    @property
    def directions(self) -> tuple[tuple[str, str], ...]:
        """(trained on, looked for), as first met."""
        return tuple(dict.fromkeys((r.train, s) for r in self.rows for s in r.auc["score"]))

    def standings(self) -> list[Standing]:
        """Best worst direction first; detectors that miss one of them last."""
        judged = self.judged or self.directions
        ceiling: dict[tuple[str, str], float] = {}
        for row in self.rows:
            if row.supervised:
                for s, value in row.auc["score"].items():
                    ceiling[row.train, s] = max(value, ceiling.get((row.train, s), 0.5))
        found = []
        for label in dict.fromkeys(r.detector for r in self.rows):
            mine = [r for r in self.rows if r.detector == label]
            auc = {}
            for background, s in self.directions:
                values = [r.auc["score"][s] for r in mine if r.train == background and s in r.auc["score"]]
                if values:
                    auc[background, s] = float(np.mean(values)), float(np.std(values))
            complete = [auc[d][0] for d in judged if d in auc]
            worst = min(complete) if len(complete) == len(judged) else np.nan
            parts = [(auc[d][0] - 0.5) / (ceiling[d] - 0.5) for d in judged if d in auc and d in ceiling]
            fraction = (
                min(parts) if len(parts) == len(judged) and all(c > 0.5 for c in ceiling.values()) else None
            )
            found.append(
                Standing(
                    label, auc, worst, fraction, float(np.mean([r.seconds for r in mine])),
                    len({r.seed for r in mine}), mine[0].supervised,
                )
            )  # fmt: skip
        return sorted(found, key=lambda s: (np.isnan(s.worst), -s.worst))

    def to_markdown(self) -> str:
        """The table, best first."""
        standings, directions = self.standings(), self.directions
        many = any(s.seeds > 1 for s in standings)
        with_ceiling = any(s.fraction is not None for s in standings)
        head = ["detector", *(f"{a} → {b}" for a, b in directions), "worst"]
        head += ["of ceiling"] * with_ceiling + ["time [s]", "seeds"]
        lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        for s in standings:
            mark = "*" if s.supervised else ""
            name = f"*`{s.detector}` (supervised)*" if s.supervised else f"`{s.detector}`"
            cells = [name]
            for d in directions:
                value = "" if d not in s.auc else f"{s.auc[d][0]:.3f}"
                spread = f" ± {s.auc[d][1]:.3f}" if value and many and s.seeds > 1 else ""
                cells.append(f"{mark}{value}{spread}{mark}" if value else "")
            cells.append("" if np.isnan(s.worst) else f"{mark}{s.worst:.3f}{mark}")
            if with_ceiling:
                cells.append("" if s.fraction is None or s.supervised else f"{s.fraction:.2f}")
            cells += [f"{s.seconds:.0f}", str(s.seeds)]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON: the standings and every training."""

        def named(direction: tuple[str, str]) -> str:
            return f"{direction[0]} -> {direction[1]}"

        return {
            "judged": [named(d) for d in self.judged or self.directions],
            "standings": [
                {
                    "detector": s.detector,
                    "supervised": s.supervised,
                    "auc": {named(d): {"mean": m, "spread": w} for d, (m, w) in s.auc.items()},
                    "worst": finite_or_none(s.worst),
                    "fraction_of_ceiling": s.fraction,
                    "seconds": s.seconds,
                    "seeds": s.seeds,
                }
                for s in self.standings()
            ],
            "trainings": [dataclasses.asdict(r) for r in self.rows],
        }


def rank_methods(
    samples: Mapping[str, Path],
    trained_on: Sequence[str],
    detectors: Sequence[str],
    folder: Path,
    options: TrainingOptions,
    *,
    training_files: Mapping[str, Path] | None = None,
    judged: Sequence[tuple[str, str]] = (),
    n_train: int = 12_000,
    max_test: int = 20_000,
    n_seeds: int = 1,
    representation: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Ranking:
    """Train every detector on every class of ``trained_on``, and test it on all other classes.

    The first ``n_train`` jets of a file train and the rest are tested, unless the class has a training file
    of its own. A supervised method is trained once for each signal, on half of its jets, and tested on the
    other half. Trainings that ``folder`` holds already are not repeated, an interrupted one goes on.

    Arguments:
        samples: Class to file.
        trained_on: Classes that are the background in turn.
        detectors: As ``DetectorSpec.parse`` takes them.
        folder: Gets one file of ``rows/`` and one run directory of ``runs/`` a training.
        options: Seed of the first training, and device; method and settings are those of the detectors.
        training_files: Class to another file of it, for training alone.
        judged: Directions that count for the ranking; default: all.
        n_train: Training jets of a class, at most.
        max_test: Test jets of a class, at most.
        n_seeds: Trainings of each detector.
        representation: Train on this one alone.
        say: Called with a line of progress.

    Raises:
        ConfigError: for unknown classes or methods.
        InputError: for files that cannot be read or leave no jets for the test.
        OutputError: if ``folder`` holds other trainings under the same names.
    """
    training_files = training_files or {}
    for name in [*trained_on, *training_files, *(n for pair in judged for n in pair)]:
        if name not in samples:
            raise ConfigError(f"there is no sample '{name}'; those given are {', '.join(samples)}")
    specs = [DetectorSpec.parse(text) for text in detectors]
    if len({s.label for s in specs}) < len(specs):
        raise ConfigError("two detectors have one label; give LABEL=METHOD")
    first = options.config.seed
    for spec in specs:
        spec.config(seed=first, representation=representation)
    check_distinct(
        {
            **{f"{name} (test)": [path] for name, path in samples.items()},
            **{f"{name} (training)": [path] for name, path in training_files.items()},
        }
    )
    jets = {name: _unlabelled(read([path], max_jets=n_train + max_test)) for name, path in samples.items()}
    training, tests = {}, {}
    for name in trained_on:
        separate = training_files.get(name)
        source = _unlabelled(read([separate], max_jets=n_train)) if separate else jets[name][:n_train]
        rest = jets[name][:max_test] if separate else jets[name][n_train:]
        if not len(rest):
            raise InputError(
                f"{samples[name]}: its {len(jets[name])} jets are all used for training; take fewer "
                "(--n-train) or another file for training (--train-file)"
            )
        training[name] = source
        tests[name] = {n: rest if n == name else j[:max_test] for n, j in jets.items()}

    refuse_link(folder / "runs")
    own_folder(folder / "rows")
    rows = []
    for seed in range(first, first + n_seeds):
        for spec in specs:
            for background in trained_on:
                name = f"{spec.label}-{background}-{seed}"
                path = folder / "rows" / f"{name}.json"
                row = _read_row(path)
                wanted = (spec.text, len(training[background]))
                if row is not None and (row.spec, row.n_train) != wanted:
                    raise OutputError(
                        f"{path}: is '{row.spec}' on {row.n_train} jets, not '{spec.text}' on {wanted[1]}; "
                        "choose another label, or another --output"
                    )
                if row is None or set(row.auc["score"]) != set(samples) - {background}:
                    config = spec.config(seed=seed, representation=representation)
                    say(f"training {spec.label} on {background} (seed {seed})")
                    files = [training_files.get(background, samples[background])]
                    row = _train_and_test(
                        spec, options._replace(config=config), background, files, training[background],
                        tests[background], samples, folder / "runs" / name,
                    )  # fmt: skip
                    with atomic_output(path, force=True) as temporary:
                        temporary.write_text(json.dumps(dataclasses.asdict(row)) + "\n")
                rows.append(row)
    return Ranking(tuple(rows), tuple(judged))


def _unlabelled(jets: Jets) -> Jets:
    # the truth of the files must not reach a training, and its warnings would be about nothing
    return dataclasses.replace(jets, labels=None)


def _read_row(path: Path) -> Row | None:
    try:
        row = Row(**read_object(path))
        if not isinstance(row.auc["score"], dict):
            raise TypeError("'auc' holds no scores")
    except FileNotFoundError:
        return None
    except (InputError, TypeError, KeyError) as error:
        raise InputError(f"{path}: is not what 'jetad bench' wrote ({error}); remove it") from error
    return row


def _train_and_test(
    spec: DetectorSpec,
    options: TrainingOptions,
    background: str,
    files: Sequence[Path],
    jets: Jets,
    tests: Mapping[str, Jets],
    samples: Mapping[str, Path],
    folder: Path,
) -> Row:
    supervised = METHODS[options.config.method].signal
    others = [name for name in tests if name != background]
    auc: dict[str, dict[str, float]] = {}
    rejection: dict[str, dict[str, float | None]] = {}
    seconds, n_test = 0.0, {name: len(j) for name, j in tests.items()}

    def one(where: Path, looked_for: Mapping[str, Jets], signal: tuple[Path, Jets] | None = None) -> None:
        nonlocal seconds
        study = {"kind": "bench", "trained_on": background, "n_train": len(jets)}
        started = time.monotonic()
        detector = train_in_study(jets, files, where, options, study, signal=signal)
        seconds += time.monotonic() - started
        energies = {n: detector.energies(j) for n, j in {**looked_for, background: tests[background]}.items()}
        for member in ["score", *(m.name for m in detector.members)]:
            scores = {n: detector.combine(e) if member == "score" else e[member] for n, e in energies.items()}
            for name in looked_for:
                curve = roc_curve(scores[background], scores[name])
                auc.setdefault(member, {})[name] = round(curve.auc, 5)
                if member == "score":
                    found = {f"{at:g}": curve.background_rejection(at).value for at in _REJECTION_AT}
                    rejection[name] = {at: finite_or_none(round(v, 2)) for at, v in found.items()}

    if supervised:
        for name in others:
            half = len(tests[name]) // 2
            signal = samples[name], tests[name][:half]
            one(folder.with_name(f"{folder.name}-{name}"), {name: tests[name][half:]}, signal)
            n_test[name] -= half
        seconds /= max(len(others), 1)
    else:
        one(folder, {name: tests[name] for name in others})
    return Row(
        spec.label, spec.text, background, options.config.seed, len(jets), n_test, auc, rejection,
        round(seconds, 1), supervised,
    )  # fmt: skip
