"""What reaches a terminal: names in files may hold sequences that it would obey, so they are written out."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import click

from jetad.errors import OutputError, without_secrets
from jetad.shown import one_line, printable

from .tables import hanging

__all__ = [
    "TOLD",
    "AboveBars",
    "above_bars",
    "be_quiet",
    "echo",
    "fitted",
    "is_quiet",
    "live",
    "one_line",
    "open_streams",
    "printable",
    "quiet_libraries",
    "shortened",
    "silence",
    "tell",
]

_MAX_SENTENCE = 1200

_bars: list[Any] = []  # shown now
_quiet = False

#: Logger of what `echo` tells on standard error.
TOLD = "jetad.told"


def shortened(text: str) -> str:
    """A sentence that a long name, or a file of zeros, cannot make fill the terminal."""
    return text if len(text) <= _MAX_SENTENCE else f"{text[:_MAX_SENTENCE]} ... ({len(text)} characters)"


def fitted(message: str) -> str:
    """Sentences for standard error, broken between words where its terminal ends; as they are without one.

    A command to copy (``next: ...``), lines that are set in, and tracebacks stay whole.
    """
    if message.startswith("Traceback") or not sys.stderr.isatty():
        return message
    lines = message.split("\n")
    return "\n".join(
        line if line.startswith(("next: ", " ")) else hanging("", line, 2, stream=sys.stderr)
        for line in lines
    )


@contextlib.contextmanager
def live(bar: Any) -> Iterator[None]:
    """Show a bar of rich; what is told meanwhile by `echo` or a log stands above it."""
    _bars.append(bar)
    bar.start()
    try:
        yield
    finally:
        _bars.remove(bar)
        bar.stop()


@contextlib.contextmanager
def above_bars() -> Iterator[None]:
    """Take the bars away for a moment: inside, lines can be written."""
    for bar in _bars:
        bar.stop()
    try:
        yield
    finally:
        for bar in _bars:
            bar.start()


class AboveBars(logging.StreamHandler[Any]):
    """Messages of a log on standard error, above the bars."""

    def emit(self, record: logging.LogRecord) -> None:
        with above_bars():
            super().emit(record)


def echo(text: Any = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a line: on standard error, and on a terminal, without control characters.

    What goes into a file or another program stays as it is, but for what is secret in URLs.

    Raises:
        OutputError: if standard output takes no more.
    """
    message = without_secrets(str(text))
    if err:
        logging.getLogger(TOLD).info("%s", message)  # for the file of --log
    if err or (sys.stdout is not None and sys.stdout.isatty()):
        message = printable(message)
    if err:
        message = fitted(message)
    try:
        with above_bars():
            try:
                click.echo(message, err=err, nl=nl)
            except UnicodeEncodeError as error:  # the locale lacks a character
                message = message.encode(error.encoding, "backslashreplace").decode(error.encoding)
                click.echo(message, err=err, nl=nl)
    except BrokenPipeError:
        raise  # the reader has had enough
    except OSError as error:
        if err:
            return  # there is nobody to tell
        silence()
        raise OutputError(f"standard output cannot be written ({error.strerror or error})") from error


def be_quiet(quiet: bool) -> None:
    """With ``-q`` nothing but warnings, errors and results is shown."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    """Whether `be_quiet` was asked for."""
    return _quiet


def tell(text: str) -> None:
    """A line on standard error about what is done; with ``-q`` for the log alone, if it is no warning."""
    if _quiet and not text.startswith("warning: "):
        logging.getLogger(TOLD).info("%s", without_secrets(text))
    else:
        echo(text, err=True)


def open_streams() -> None:
    """Open what the caller has closed (``2>&-``): the next file to be opened would get its number.

    Whatever a library then writes to standard error would land in that file.
    """
    with contextlib.suppress(OSError):
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(number, True)
        os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def silence() -> None:
    """Throw away what is left for a standard output that takes no more; Python would complain in the end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def quiet_libraries(show: bool) -> None:
    """Warnings of libraries are for programmers: shown only if ``show``, as one line without its source."""

    def tell(message: Warning | str, *others: Any, **more: Any) -> None:
        if show:
            echo(f"warning of a library: {one_line(str(message))}", err=True)

    warnings.showwarning = tell
