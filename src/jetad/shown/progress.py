"""Progress: a live bar on a terminal or in a notebook, one plain line per interval in a log."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from .text import one_line

__all__ = ["DownloadProgress", "ScoringProgress", "TrainingProgress", "in_notebook"]

_INTERVAL = 10.0  # seconds between plain lines
_REDRAW = 0.2  # and between pictures in a notebook


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


class _Progress:
    """A bar on a terminal or in a notebook, else plain lines; entered and left as a context."""

    def __init__(self) -> None:
        self._started = self._printed = time.monotonic()
        self._bar: Any = None
        self._task: Any = None
        self._cell: Any = None  # of a notebook
        self._label = ""
        self._first = 0  # done before this began

    def __enter__(self) -> Any:
        if in_notebook():
            from IPython.display import HTML, display

            self._cell = display(HTML(""), display_id=True)
        elif sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False), BarColumn(8), MofNCompleteColumn(),
                TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=Console(stderr=True),
                transient=True,
            )  # fmt: skip
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._cell is not None:
            self._draw("")

    def show(self, label: str, done: int, total: int | None, note: str, rate_unit: str) -> None:
        label = one_line(label)
        if label != self._label:
            if self._label:  # the first one began with the context
                self._started = time.monotonic()
            self._label, self._first = label, done
            if self._bar is not None:
                if self._task is not None:
                    self._bar.remove_task(self._task)
                self._task = self._bar.add_task(label, total=total, note=note)
        now = time.monotonic()
        if self._cell is not None:
            if now - self._printed >= _REDRAW or not done:
                self._printed = now
                self._draw(_picture(label, done, total, note))
        elif self._bar is not None:
            self._bar.update(self._task, completed=done, note=note)
        elif now - self._printed >= _INTERVAL or (total is not None and done >= total):
            self._printed = now
            rate = (done - self._first) / max(now - self._started, 1e-9)
            left = f", {(total - done) / rate:.0f} s left" if total and rate > 0 and done < total else ""
            of = f"/{total}" if total is not None else ""
            print(
                f"{label} {done}{of} ({rate:.3g} {rate_unit}/s{left}) {note}".rstrip(),
                file=sys.stderr,
                flush=True,
            )

    def _draw(self, text: str) -> None:
        from IPython.display import HTML

        self._cell.update(HTML(text))


def _picture(label: str, done: int, total: int | None, note: str) -> str:
    size = f' value="{done}" max="{total}"' if total else ""
    of = f"/{total}" if total is not None else ""
    return f"{html.escape(label)} <progress{size}></progress> {done}{of} {html.escape(one_line(note))}"


class TrainingProgress(_Progress):
    """Called with (member, phase, step, n_steps, latest line of the history).

    Arguments:
        plan: All pairs of member and phase in their order, where that is known.
    """

    def __init__(self, plan: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__()
        self._plan = list(plan)

    def __call__(self, member: str, phase: str, step: int, n_steps: int, line: Mapping[str, Any]) -> None:
        names = {"energy_pos": "jets", "energy_neg": "negatives", "val_energy": "held out"}
        known = ", ".join(f"{names[k]} {line[k]:.3g}" for k in names if line.get(k) is not None)
        note = f"energy: {known}" if known else ""
        place = (member, phase)
        where = f"phase {self._plan.index(place) + 1} of {len(self._plan)}, " if place in self._plan else ""
        self.show(f"{where}{member}: {phase}", step, n_steps, note, "steps")


class ScoringProgress(_Progress):
    """Called with (what, jets done, jets in all)."""

    def __call__(self, label: str, done: int, total: int | None) -> None:
        self.show(label, done, total, "", "jets")


class DownloadProgress(_Progress):
    """Called with (name of the file, bytes done, bytes in all)."""

    def __call__(self, label: str, done: int, total: int | None) -> None:
        self.show(f"{label} [MB]", done // 10**6, None if total is None else total // 10**6, "", "MB")
