"""What reaches a terminal: names in files may hold sequences that it would obey, so they are written out."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

__all__ = ["echo", "one_line", "printable"]

# control characters but tab and newline, what turns the direction of text, and bytes that are no characters
_UNSAFE = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)  # fmt: skip


def printable(text: str) -> str:
    r"""The text with control characters written as in JSON.

    Example:
        >>> print(printable("a\x1b[31mb"))
        a\u001b[31mb
    """
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def one_line(text: str) -> str:
    """A name or sentence in which a newline is written out, too."""
    return printable(text).replace("\n", "\\n")


def echo(text: Any = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a line: on standard error, and on a terminal, without control characters.

    What goes into a file or another program stays as it is.
    """
    message = str(text)
    if err or sys.stdout.isatty():
        message = printable(message)
    click.echo(message, err=err, nl=nl)
