"""What all trackers have in common: they run beside the training, and cannot stop it."""

from __future__ import annotations

import abc
import contextlib
import importlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import JetadError, encodable, without_secrets
from ..extras import needing
from ..files.jsonfiles import read_object
from ..registry import load, resolve
from ..runs import Run
from ..runs.listing import flattened
from ..runs.summary import settings_of

__all__ = ["TRACKERS", "Tracker", "check_trackers", "tracking"]

logger = logging.getLogger("jetad.training")

#: Name -> class; each needs the package of its name.
TRACKERS = {
    "tensorboard": "jetad.tracking.tensorboard:TensorBoard",
    "mlflow": "jetad.tracking.mlflow:MLflow",
    "wandb": "jetad.tracking.wandb:WeightsAndBiases",
}

_FILE = "tracking.json"
_WAITING = 10_000  # records that wait for a slow server; later ones are lost
_PATIENCE = 30.0  # seconds that a training waits for it in the end
_writing = threading.Lock()  # of the one file that all trackers share
_NOT_NUMBERS = ("step", "phase_step", "phase", "member")


class Tracker(abc.ABC):
    """One program that watches a training.

    Arguments:
        run: The run directory.
        settings: Its configuration, one value a name.
        known: What ``identity`` gave when the training was begun; empty for a new one.
    """

    def __init__(self, run: Run, settings: Mapping[str, Any], known: str) -> None:
        self.run, self.settings, self.known = run, settings, known

    @abc.abstractmethod
    def begin(self, step: int) -> None:
        """Open the record of this training, or go on with it.

        Arguments:
            step: The last one that the history has; 0 for a new training.
        """

    @property
    @abc.abstractmethod
    def identity(self) -> str:
        """What finds this training again."""

    @abc.abstractmethod
    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write numbers of one step."""

    @abc.abstractmethod
    def end(self, state: str) -> None:
        """Close the record; ``finished``, ``interrupted`` or ``failed``."""


def check_trackers(names: Sequence[str]) -> None:
    """Refuse unknown trackers, and those whose package is not there.

    Raises:
        ConfigError: for an unknown name.
        MissingPackageError: naming the package.
    """
    for name in names:
        resolve(TRACKERS, name, "tracker")
        with needing("track", f"--track {name} needs the package '{name}'"):
            importlib.import_module(name)


@contextlib.contextmanager
def tracking(run: Run, names: Sequence[str]) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Watch a training inside the block, by all trackers of ``names``.

    They work in threads of their own: a server that is slow or gone keeps nobody waiting. One that fails is
    told of and left out, and the training goes on.

    Yields:
        A function that takes each line of the history.
    """
    watchers = [_Watcher(name, run) for name in dict.fromkeys(names)]

    def record(line: Mapping[str, Any]) -> None:
        for watcher in watchers:
            watcher.put(line)

    state = "failed"
    try:
        yield record
        state = "finished"
    except JetadError as error:
        state = "interrupted" if error.exit_code == 85 else "failed"
        raise
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    finally:
        for watcher in watchers:
            watcher.close(state)


class _Watcher:
    """A thread that hands records to one tracker."""

    def __init__(self, name: str, run: Run) -> None:
        self.name, self.run = name, run
        self._history = run.history()  # before the training adds to it
        self._waiting: queue.Queue[Mapping[str, Any] | str] = queue.Queue(_WAITING)
        self._lost = 0
        self._failed = False
        self._thread = threading.Thread(target=self._work, name=f"jetad-{name}", daemon=True)
        self._thread.start()

    def put(self, line: Mapping[str, Any]) -> None:
        """Hand over a line of the history; it is lost where too many wait."""
        if not self._failed:
            try:
                self._waiting.put_nowait(line)
            except queue.Full:
                self._lost += 1

    def close(self, state: str) -> None:
        """Wait a while for what is still to be written."""
        if not self._failed:
            with contextlib.suppress(queue.Full):
                self._waiting.put(state, timeout=_PATIENCE)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            logger.warning("warning: %s does not answer; what was not sent yet is lost there", self.name)
        elif self._lost:
            logger.warning("warning: %s was too slow, %d records are lost there", self.name, self._lost)

    def _work(self) -> None:
        try:
            self._follow()
        except Exception as error:
            self._failed = True
            what = " ".join(without_secrets(str(error)).split())[:200] or "no message"
            logger.warning(
                "warning: %s has failed (%s: %s); the training goes on without it",
                self.name, type(error).__name__, encodable(what),
            )  # fmt: skip

    def _follow(self) -> None:
        settings = dict(flattened(settings_of(self.run)))
        known = _read(self.run).get(self.name, "")
        tracker: Tracker = load(TRACKERS, self.name, "tracker")(self.run, settings, known)
        tracker.begin(max((line["step"] for line in self._history), default=0))
        if not known:
            with _writing:
                self.run.write_json(_FILE, {**_read(self.run), self.name: tracker.identity})
            for line in self._history:  # of a training that began without it
                _log(tracker, line)
        while not isinstance(found := self._waiting.get(), str):
            _log(tracker, found)
        tracker.end(found)


def _log(tracker: Tracker, line: Mapping[str, Any]) -> None:
    values = {
        f"{line.get('member', '')}/{name}".lstrip("/"): float(value)
        for name, value in line.items()
        if name not in _NOT_NUMBERS and isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    tracker.log(int(line["step"]), values)


def _read(run: Run) -> dict[str, str]:
    """What finds the records of this training again; nothing where that is not known."""
    try:
        found = read_object(run.path / _FILE)
    except (FileNotFoundError, JetadError):
        return {}
    return {str(name): value for name, value in found.items() if isinstance(value, str)}
