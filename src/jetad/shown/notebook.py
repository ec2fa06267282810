"""Bars in the cells of a notebook; the command line has its own."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from .text import one_line

__all__ = ["ScoringBar", "TrainingBar", "in_notebook"]

_REDRAW = 0.2  # seconds between two pictures


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


class _Bar:
    """Entered and left as a context; nothing stays in the cell."""

    def __init__(self) -> None:
        self._cell: Any = None
        self._drawn = -_REDRAW

    def __enter__(self) -> Any:
        from IPython.display import HTML, display

        self._cell = display(HTML(""), display_id=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw("")

    def show(self, label: str, done: int, total: int | None, note: str = "") -> None:
        """Draw how far it is, now and then."""
        now = time.monotonic()
        if now - self._drawn >= _REDRAW:
            self._drawn = now
            size = f' value="{done}" max="{total}"' if total else ""
            text, note = (html.escape(one_line(words)) for words in (label, note))
            self._draw(f"{text} <progress{size}></progress> {done}{f'/{total}' if total else ''} {note}")

    def _draw(self, text: str) -> None:
        from IPython.display import HTML

        self._cell.update(HTML(text))


class TrainingBar(_Bar):
    """Called with (member, phase, step, n_steps, latest line of the history)."""

    def __call__(self, member: str, phase: str, step: int, n_steps: int, line: Mapping[str, Any]) -> None:
        energy = line.get("val_energy")
        note = "" if energy is None else f"held-out energy {energy:.3g}"
        self.show(f"{member}: {phase}", step, n_steps, note)


class ScoringBar(_Bar):
    """Called with (what, jets done, jets in all)."""

    def __call__(self, label: str, done: int, total: int | None) -> None:
        self.show(label, done, total)
