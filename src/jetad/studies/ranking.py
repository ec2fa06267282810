"""Methods side by side: each is trained on each class and looks for all others; the worst direction ranks."""

from __future__ import annotations

import dataclasses
import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

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
from .paired import TestScores, read_scores, write_scores
from .standings import Ranking, Row
from .trainings import TrainingOptions, check_distinct, train_in_study

__all__ = ["DetectorSpec", "rank_methods"]

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
    scores: dict[tuple[str, str, int], TestScores] = {}
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
                    row, tested = _train_and_test(
                        spec, options._replace(config=config), background, files, training[background],
                        tests[background], samples, folder / "runs" / name,
                    )  # fmt: skip
                    if tested:
                        write_scores(path.with_suffix(".safetensors"), tested)
                    with atomic_output(path, force=True) as temporary:
                        temporary.write_text(json.dumps(dataclasses.asdict(row)) + "\n")
                rows.append(row)
                kept = read_scores(path.with_suffix(".safetensors"))
                if kept is not None and {n: len(x) for n, x in kept.items()} == row.n_test:
                    scores[spec.label, background, seed] = kept
    return Ranking(tuple(rows), tuple(judged), scores)


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
) -> tuple[Row, TestScores]:
    """The row of a training, and the scores of its test jets (none of a supervised one: its jets differ)."""
    supervised = METHODS[options.config.method].signal
    others = [name for name in tests if name != background]
    auc: dict[str, dict[str, float]] = {}
    rejection: dict[str, dict[str, float | None]] = {}
    kept: TestScores = {}
    seconds, n_test = 0.0, {name: len(j) for name, j in tests.items()}

    def one(where: Path, looked_for: Mapping[str, Jets], signal: tuple[Path, Jets] | None = None) -> None:
        nonlocal seconds, kept
        study = {"kind": "bench", "trained_on": background, "n_train": len(jets)}
        started = time.monotonic()
        detector = train_in_study(jets, files, where, options, study, signal=signal)
        seconds += time.monotonic() - started
        energies = {n: detector.energies(j) for n, j in {**looked_for, background: tests[background]}.items()}
        for member in ["score", *(m.name for m in detector.members)]:
            scores = {n: detector.combine(e) if member == "score" else e[member] for n, e in energies.items()}
            if member == "score" and not supervised:
                kept = {name: np.asarray(x, dtype=np.float32) for name, x in scores.items()}
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
    row = Row(
        spec.label, spec.text, background, options.config.seed, len(jets), n_test, auc, rejection,
        round(seconds, 1), supervised,
    )  # fmt: skip
    return row, kept
