"""Signals that ask a command to stop: it ends after its step, with its work saved."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["StopRequest", "stop_signals"]


class StopRequest:
    """A flag that a signal handler sets; the loop looks at it between two steps."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Catch SIGTERM, SIGUSR1 and SIGINT as requests to stop after the current step.

    A second SIGINT interrupts at once. Outside the main thread nothing is caught.
    """
    request = StopRequest()
    previous: dict[int, Any] = {}

    def handler(number: int, frame: Any) -> None:
        if number == signal.SIGINT and request.signal == signal.SIGINT:
            raise KeyboardInterrupt
        request.signal = number

    try:
        for wanted in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            previous[wanted] = signal.signal(wanted, handler)
    except ValueError:
        pass  # not the main thread
    try:
        yield request
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
