"""Text that cannot steer what shows it: names in files may hold sequences that a terminal would obey."""

from __future__ import annotations

import re

__all__ = ["one_line", "printable"]

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
