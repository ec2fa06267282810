"""Search of settings without labels: trainings side by side, judged by held-out background alone."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..detector import TrainedDetector
from ..errors import ConfigError, DivergedError, InputError, OutputError
from ..extras import needing
from ..files import atomic_output, own_folder
from ..files.locks import take_lock
from ..interrupts import StopRequest
from ..jets import Jets
from ..models import METHODS
from ..registry import resolve
from ..runs import Run
from ..training.data import BackgroundParts
from ..training.plan import TrainingPlan, plan_training

__all__ = ["OBJECTIVES", "SearchResult", "Space", "search"]

#: What is made small -> what it is.
OBJECTIVES = {
    "distance": "energy distance between held-out background and the negatives of the model",
    "likelihood": "minus the mean logarithm of the likelihood of held-out background",
    "spread": "spread of the background efficiency over the jet mass, at 10 %, on held-out background",
}

_WITH_LIKELIHOOD = ("gmm", "glow", "pixelcnn")  # their energy is -ln p, with its normalisation
#: In names of settings that change what a distance is measured in.
_OF_INPUTS = ("preprocessing", "network.components")
_CUT = 0.1
_MASS_BINS = 5
_LEAST = 50  # jets to measure a spread with


class Space(NamedTuple):
    """What one setting may be.

    Arguments:
        name: Of the setting, as ``--set`` takes it.
        choices: The values, for a setting that is one of several.
        low, high: The ends of a range otherwise.
        log: Whether the range is searched on a logarithmic scale.
        whole: Whether only whole numbers count.
    """

    name: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    @classmethod
    def parse(cls, text: str) -> Space:
        """``KEY=LOW:HIGH``, ``KEY=LOW:HIGH:log`` or ``KEY=A,B,C``.

        Raises:
            ConfigError: for anything else.

        Example:
            >>> Space.parse("training.learning_rate=1e-4:1e-2:log")
            Space(name='training.learning_rate', choices=(), low=0.0001, high=0.01, log=True, whole=False)
        """
        name, equals, rest = text.partition("=")
        parts = rest.split(":")
        if equals and name and len(parts) == 1 and len(set(rest.split(","))) > 1 and all(rest.split(",")):
            return cls(name, tuple(dict.fromkeys(rest.split(","))))
        log = parts[2:] == ["log"]
        try:
            low, high = (float(part) for part in parts[:2])
        except ValueError:
            low, high = math.nan, math.nan
        good = low < high < math.inf and low > -math.inf and (low > 0 or not log)
        if not (equals and name and good and len(parts) == 2 + log):
            raise ConfigError(
                f"--over {text}: is neither KEY=LOW:HIGH, KEY=LOW:HIGH:log (from above zero) nor KEY=A,B,C"
            )
        return cls(name, (), low, high, log, all(part.lstrip("+-").isdigit() for part in parts[:2]))

    def ends(self) -> tuple[str, ...]:
        """Values at the ends, to be tried on the configuration."""
        if self.choices:
            return self.choices
        return tuple(str(int(end)) if self.whole else repr(end) for end in (self.low, self.high))

    def suggest(self, trial: Any) -> str:
        """A value of an Optuna trial."""
        if self.choices:
            return str(trial.suggest_categorical(self.name, list(self.choices)))
        if self.whole:
            return str(trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log))
        return repr(trial.suggest_float(self.name, self.low, self.high, log=self.log))


class SearchResult(NamedTuple):
    """What a search has found.

    Arguments:
        trials: Number, settings and value of each finished training, best first.
        failed: How many trainings diverged.
        best: Run of the best one.
    """

    trials: list[tuple[int, dict[str, str], float]]
    failed: int
    best: Path


def search(
    background: Sequence[str | Path],
    spaces: Sequence[Space],
    *,
    objective: str,
    trials: int,
    folder: str | Path,
    settings: Sequence[str] = (),
    device: str = "auto",
    stop: StopRequest | None = None,
    progress: AbstractContextManager[Any] | None = None,
    report: Callable[[int, Mapping[str, str], float], None] = lambda number, values, value: None,
    **given: Any,
) -> SearchResult:
    """Train with one choice of settings after the other, until there are enough trainings.

    Any number of processes may do the same search in one folder, on one machine or several with a common
    file system: each takes the next trial. A trial whose process has ended is taken up again.

    Arguments:
        background: Files of background; its held-out part judges. No label is read.
        spaces: What is searched.
        objective: What is made small (:data:`OBJECTIVES`).
        trials: Trainings in all.
        folder: Where the runs and the record of the search are.
        settings: Further settings, the same in all trainings.
        device: ``auto``, ``cpu`` or ``cuda``.
        stop: Set by a signal; the training stops with a checkpoint.
        progress: Entered for each training, as :meth:`TrainingPlan.run` takes it.
        report: Called with number, settings and value of each training.
        given: Method, seed and so on, as :func:`jetad.training.plan.plan_training` takes them.

    Raises:
        ConfigError: for an objective that the method has not, or that cannot compare the settings.
        OutputError: if ``folder`` holds another search.
        MissingPackageError: without optuna.
        Interrupted: after a stop signal.
    """
    resolve(OBJECTIVES, objective, "objective")
    with needing("search", "a search is led by optuna"):
        import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    plan = _checked(background, spaces, objective, settings, given)
    place = own_folder(folder)
    study = _study(optuna, place, spaces, objective, plan)
    held_out = _HeldOut(plan)
    while (taken := _next(optuna, study, place, trials)) is not None:
        trial, lock = taken
        with lock:
            values = {space.name: space.suggest(trial) for space in spaces}
            chosen = [*settings, *(f"{name}={value}" for name, value in values.items())]
            one = plan_training(background, settings=chosen, **given)
            try:
                run = one.run(
                    _folder_of(place, trial.number), device=device, stop=nullcontext(stop), progress=progress,
                    say=lambda text: None,
                )  # fmt: skip
                value = _measured(objective, run, held_out, device)
            except DivergedError:
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                continue
            study.tell(trial.number, value)
            report(trial.number, values, value)
    return _result(optuna, study, place)


def _checked(
    background: Sequence[str | Path], spaces: Sequence[Space], objective: str, settings: Sequence[str],
    given: Mapping[str, Any],
) -> TrainingPlan:  # fmt: skip
    """The training with the first value of each setting; the ends of all ranges are tried on it.

    Raises:
        ConfigError: for a setting or value that the configuration does not take.
    """
    if not spaces:
        raise ConfigError("a search needs settings to search over: --over KEY=LOW:HIGH")
    names = [space.name for space in spaces]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"--over {twice}: is given twice")
    for space in spaces:
        if space.name == "seed" or space.name.startswith("data."):
            raise ConfigError(
                f"--over {space.name}: changes which jets are held out, and what is measured on other jets "
                "cannot be compared; set it for all with --set"
            )
        if objective != "spread" and any(f".{word}" in f".{space.name}" for word in _OF_INPUTS):
            raise ConfigError(
                f"--over {space.name}: changes what the detector sees, and a {objective} of other inputs is "
                "another number; search over it with --objective spread"
            )
        for end in space.ends():
            plan = plan_training(background, settings=[*settings, f"{space.name}={end}"], **given)
    method = plan.config.method
    if objective == "distance" and "contrastive" not in METHODS[method].phases:
        having = ", ".join(name for name, info in METHODS.items() if "contrastive" in info.phases)
        raise ConfigError(
            f"method '{method}' makes no negatives to measure a distance with; choose one of: {having}, or "
            "another --objective"
        )
    if objective == "likelihood" and method not in _WITH_LIKELIHOOD:
        raise ConfigError(
            f"method '{method}' has no likelihood of known normalisation; choose one of: "
            f"{', '.join(_WITH_LIKELIHOOD)}, or another --objective"
        )
    return plan


def _study(optuna: Any, place: Path, spaces: Sequence[Space], objective: str, plan: TrainingPlan) -> Any:
    """The record of this search in its folder, a new one or the one that is there.

    Raises:
        OutputError: if it is of another search.
    """
    from ..runs.provenance import collect_inputs

    inputs = [entry["sha256"] or entry["path"] for entry in collect_inputs(plan.background)]
    parts = [[list(space) for space in spaces], objective, plan.config.method, plan.config.seed, inputs]
    same = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    journal = str(place / "search.journal")
    backend = optuna.storages.journal.JournalFileBackend(
        journal, lock_obj=optuna.storages.journal.JournalFileOpenLock(journal)
    )
    storage = optuna.storages.JournalStorage(backend)
    study = optuna.create_study(storage=storage, study_name="jetad", load_if_exists=True)
    known = study.user_attrs.get("search")
    if known is None:
        study.set_user_attr("search", same)
    elif known != same:
        raise OutputError(
            f"{place}: holds another search (of other settings, files, or with another objective); choose "
            "another --output"
        )
    # many processes begin at once: none may begin with the numbers of another
    seed = int(np.random.SeedSequence([plan.config.seed, len(study.trials)]).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    return study


def _next(optuna: Any, study: Any, place: Path, trials: int) -> tuple[Any, Any] | None:
    """A trial with its lock: one that has lost its process, or a new one; nothing at the end."""
    states = optuna.trial.TrialState
    for known in study.get_trials(states=(states.RUNNING,)):
        lock = take_lock(_lock_of(place, known.number))
        if lock is not None:
            if study.trials[known.number].state == states.RUNNING:
                return optuna.trial.Trial(study, known._trial_id), lock
            lock.close()
    if len(study.get_trials(states=(states.RUNNING, states.COMPLETE, states.FAIL))) >= trials:
        return None
    trial = study.ask()
    lock = take_lock(_lock_of(place, trial.number))
    if lock is None:  # somebody has taken it for one that has lost its process
        return _next(optuna, study, place, trials)
    return trial, lock


def _folder_of(place: Path, number: int) -> Path:
    return place / f"trial-{number:04d}"


def _lock_of(place: Path, number: int) -> Path:
    return place / f".trial-{number:04d}.lock"


# --- objectives ------------------------------------------------------------------------------------------


class _HeldOut:
    """The calibration part of the background, read when it is needed first."""

    def __init__(self, plan: TrainingPlan) -> None:
        self._plan = plan
        self._jets: Jets | None = None

    def jets(self) -> Jets:
        """Jets on which nothing was trained, the same for all trials: they have one seed."""
        if self._jets is None:
            parts = BackgroundParts(self._plan._open(self._plan.background), self._plan.config)
            self._jets = Jets.concatenate(parts.chunks("calibration"))
        return self._jets


def _measured(objective: str, run: Run, held_out: _HeldOut, device: str) -> float:
    if objective == "spread":
        return _spread(TrainedDetector.from_run(run, device), held_out.jets())
    key, last = {"distance": "val_distance", "likelihood": "val_energy"}[objective], {}
    for line in run.history():
        if key in line:
            last[line.get("member", "")] = float(line[key])
    if not last:
        raise InputError(f"{run.path}: its history has no {key}; give it more steps")
    return sum(last.values())


def _spread(detector: TrainedDetector, jets: Jets) -> float:
    """Standard deviation of the background efficiency over bins of the jet mass, in units of its mean.

    Raises:
        InputError: if there are too few jets.
    """
    scores, mass = detector.score(jets), jets.jet_mass
    good = np.isfinite(scores) & np.isfinite(mass)
    scores, mass = scores[good], mass[good]
    if len(scores) < _LEAST:
        raise InputError(f"{len(scores)} held-out jets are too few for a spread; {_LEAST} are needed")
    passing = scores >= np.quantile(scores, 1 - _CUT)
    order = np.argsort(mass, kind="stable")
    parts = [part.mean() for part in np.array_split(passing[order], _MASS_BINS)]
    return float(np.std(parts) / np.mean(parts))


def _result(optuna: Any, study: Any, place: Path) -> SearchResult:
    done = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    if not done:
        raise InputError(f"{place}: no training has come to its end; change the ranges")
    ordered = sorted(done, key=lambda trial: trial.value)
    found = SearchResult(
        [(t.number, {k: str(v) for k, v in t.params.items()}, float(t.value)) for t in ordered],
        len(study.get_trials(states=(optuna.trial.TrialState.FAIL,))),
        _folder_of(place, ordered[0].number),
    )
    values = {"best": found.best.name, "failed": found.failed, "trials": found.trials}
    with atomic_output(place / "search.json", force=True) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n")
    return found
