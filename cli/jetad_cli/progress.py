"""Progress on stderr: a live bar on a terminal, one plain line per interval in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .terminal import is_quiet, live, one_line

if TYPE_CHECKING:
    from jetad.config import RunConfig

__all__ = ["ScoringProgress", "TimeLeft", "TrainingProgress", "amounts_of"]

_INTERVAL = 10.0  # seconds between plain lines


class _Progress:
    """A rich bar on a terminal, else plain lines; entered and left as a context."""

    _scope = "left"

    def __init__(self) -> None:
        self._started = self._printed = time.monotonic()
        self._bar: Any = None
        self._shown = contextlib.ExitStack()
        self._task: Any = None
        self._label = ""
        self._first = 0  # done before this began

    def __enter__(self) -> Any:
        if sys.stderr.isatty() and not is_quiet():
            self._bar = _bar()
            self._shown.enter_context(live(self._bar))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.close()

    def show(self, label: str, done: int, total: int | None, note: str, unit: str, left: str = "") -> None:
        """Show one step; without ``left`` the time that the rest of these steps takes."""
        label = one_line(label)
        if label != self._label:
            if self._label:  # the first one began with the context
                self._started = time.monotonic()
            self._label, self._first = label, done
            if self._bar is not None:
                if self._task is not None:
                    self._bar.remove_task(self._task)
                self._task = self._bar.add_task(label, total=total, note=note, left=left)
        now = time.monotonic()
        rate = (done - self._first) / max(now - self._started, 1e-9)
        if not left and total and rate > 0 and done < total:
            left = f"{_clock((total - done) / rate)} {self._scope}"
        if self._bar is not None:
            self._bar.update(self._task, completed=done, note=note, left=left)
        elif not is_quiet() and (now - self._printed >= _INTERVAL or (total is not None and done >= total)):
            self._printed = now
            of = f"/{total}" if total is not None else ""
            pace = ", ".join(filter(None, [f"{rate:.3g} {unit}/s", left]))
            print(f"{label} {done}{of} ({pace}) {note}".rstrip(), file=sys.stderr, flush=True)


def _bar() -> Any:
    """A bar of rich, with the note on a line of its own: both fit 80 columns."""
    from rich.console import Console, RenderableType
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.text import Text

    class Bar(Progress):
        def get_renderables(self) -> Iterable[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            for task in self.tasks:
                if task.fields["note"]:
                    yield Text(f"  {task.fields['note']}", no_wrap=True, overflow="ellipsis")

    return Bar(
        TextColumn("{task.description}", markup=False), BarColumn(8), MofNCompleteColumn(),
        TextColumn("{task.fields[left]}", markup=False), console=Console(stderr=True), transient=True,
        redirect_stdout=False, redirect_stderr=False,
    )  # fmt: skip


def _clock(seconds: float) -> str:
    """Minutes and seconds, or hours before them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class TimeLeft:
    """How long the rest of a training takes, from what its steps have taken so far.

    A phase still to come takes as long for each of its steps (or passes over the jets) as the phase of that
    name did before. One that no member has had yet is not counted, and the estimate is said to be too small.

    Arguments:
        amounts: Steps, or passes over the jets, of each (member, phase), in the order of the training.
    """

    def __init__(self, amounts: Mapping[tuple[str, str], float]) -> None:
        self._amounts = dict(amounts)
        self._rates: dict[str, float] = {}  # seconds for one of them, by phase
        self._place: tuple[str, str] | None = None
        self._began, self._first = 0.0, 0.0

    def after(self, place: tuple[str, str], fraction: float, now: float) -> str:
        """What to say after a step.

        Arguments:
            place: Member and phase of the step.
            fraction: Part of the phase that is done, 0 to 1.
            now: Seconds of any clock that only goes forward.

        Returns:
            Such as ``1:20 left``, ``more than 0:10 left``, or nothing before the pace is known.
        """
        if place not in self._amounts:
            return ""
        if place != self._place:
            self._place, self._began, self._first = place, now, fraction
        done = (fraction - self._first) * self._amounts[place]
        if done > 0:
            self._rates[place[1]] = (now - self._began) / done
        if place[1] not in self._rates:
            return ""
        seconds, all_known = (1 - fraction) * self._amounts[place] * self._rates[place[1]], True
        places = list(self._amounts)
        for member, phase in places[places.index(place) + 1 :]:
            all_known &= phase in self._rates
            seconds += self._amounts[member, phase] * self._rates.get(phase, 0.0)
        return f"{'' if all_known else 'more than '}{_clock(seconds)} left"


def amounts_of(config: RunConfig) -> dict[tuple[str, str], float]:
    """Steps, or passes over the jets, of each (member, phase) of a training, in their order."""
    from jetad.models import METHODS

    return {
        (name, phase): getattr(getattr(member.training, phase, None), "steps", member.training.epochs)
        for name, member in config.members.items()
        for phase in METHODS[config.method].phases
    }


class TrainingProgress(_Progress):
    """Called with (member, phase, step, n_steps, latest line of the history).

    Arguments:
        one_of_many: There are further trainings: the time left is not that of all of them, and says so.
        plan: Steps, or passes over the jets, of each (member, phase) in their order, where that is known.
    """

    def __init__(
        self, plan: Mapping[tuple[str, str], float] | None = None, *, one_of_many: bool = False
    ) -> None:
        super().__init__()
        self._places = list(plan or {})
        self._left = TimeLeft(plan or {})
        self._of = " in this training" if one_of_many else ""
        if not plan:
            self._scope = "left in this phase"

    def __call__(self, member: str, phase: str, step: int, n_steps: int, line: Mapping[str, Any]) -> None:
        names = {"energy_pos": "jets", "energy_neg": "negatives", "val_energy": "held out"}
        known = ", ".join(f"{names[k]} {line[k]:.3g}" for k in names if line.get(k) is not None)
        note = f"energy: {known}" if known else ""
        place = (member, phase)
        known_place = place in self._places
        where = f"phase {self._places.index(place) + 1} of {len(self._places)}, " if known_place else ""
        left = self._left.after(place, step / n_steps, time.monotonic())
        self.show(f"{where}{member}: {phase}", step, n_steps, note, "steps", left and left + self._of)


class ScoringProgress(_Progress):
    """Called with (what, jets done, jets in all)."""

    def __call__(self, label: str, done: int, total: int | None) -> None:
        self.show(label, done, total, "", "jets")


class DownloadProgress(_Progress):
    """Called with (name of the file, bytes done, bytes in all)."""

    def __call__(self, label: str, done: int, total: int | None) -> None:
        self.show(f"{label} [MB]", done // 10**6, None if total is None else total // 10**6, "", "MB")
