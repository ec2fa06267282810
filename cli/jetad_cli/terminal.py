"""What reaches a terminal: names in files may hold sequences that it would obey, so they are written out."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from typing import Any

import click

from jetad.errors import OutputError, without_secrets
from jetad.shown import one_line, printable

__all__ = ["TOLD", "echo", "one_line", "open_streams", "printable", "quiet_libraries", "shortened", "silence"]

_MAX_SENTENCE = 1200

#: Logger of what `echo` tells on standard error.
TOLD = "jetad.told"


def shortened(text: str) -> str:
    """A sentence that a long name, or a file of zeros, cannot make fill the terminal."""
    return text if len(text) <= _MAX_SENTENCE else f"{text[:_MAX_SENTENCE]} ... ({len(text)} characters)"


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
    try:
        click.echo(message, err=err, nl=nl)
    except UnicodeEncodeError as error:  # the locale lacks a character
        click.echo(message.encode(error.encoding, "backslashreplace").decode(error.encoding), err=err, nl=nl)
    except BrokenPipeError:
        raise  # the reader has had enough
    except OSError as error:
        if err:
            return  # there is nobody to tell
        silence()
        raise OutputError(f"standard output cannot be written ({error.strerror or error})") from error


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
