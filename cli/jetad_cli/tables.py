"""Tables and sentences that fit the terminal."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Sequence
from typing import IO, Any

__all__ = ["aligned", "columns", "hanging", "terminal_width"]

_USUAL, _NARROWEST = 80, 40


def terminal_width(stream: IO[str] | None = None) -> int | None:
    """Columns of the terminal, or of the variable COLUMNS; ``None`` where neither says.

    Arguments:
        stream: What is written to, standard output if not given.
    """
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return max(_NARROWEST, int(given))
    stream = sys.stdout if stream is None else stream
    try:
        found = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):  # no terminal, or no file at all
        return None
    return max(_NARROWEST, found) if found else None


def columns() -> int:
    """Columns that a table on standard output may have: 80 where no terminal says."""
    return terminal_width() or _USUAL


def aligned(rows: Sequence[Sequence[str]], *, keys: int = 1) -> list[str]:
    """Rows as lines that fit the terminal; what does not fit comes below, after the first columns again.

    Arguments:
        rows: The header first; all of one length.
        keys: Columns that say what a row is about: flush left, and repeated. The others are flush right.
    """
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    start, room = sum(widths[:keys]) + 2 * (keys - 1), columns()
    blocks: list[list[int]] = [[]]
    for i, width in enumerate(widths[keys:], keys):
        if blocks[-1] and start + sum(widths[j] + 2 for j in blocks[-1]) + width + 2 > room:
            blocks.append([])
        blocks[-1].append(i)
    lines: list[str] = []
    for block in blocks:
        lines += [""] if lines else []
        for row in rows:
            cells = [row[i].ljust(widths[i]) for i in range(keys)] + [row[i].rjust(widths[i]) for i in block]
            lines.append("  ".join(cells).rstrip())
    return lines


def hanging(first: str, text: str, indent: int | None = None, *, stream: Any = None) -> str:
    """A label and a sentence, broken between words where the terminal ends; on one line where there is none.

    Arguments:
        first: What stands before the sentence, blanks included.
        text: The sentence.
        indent: Of the lines that follow; the length of ``first`` if not given.
        stream: What is written to, standard output if not given.
    """
    room = terminal_width(stream)
    if room is None or len(first) + len(text) <= room:
        return f"{first}{text}".rstrip()
    return textwrap.fill(
        text, room, initial_indent=first, subsequent_indent=" " * (len(first) if indent is None else indent),
        break_long_words=False, break_on_hyphens=False, replace_whitespace=False, expand_tabs=False,
    )  # fmt: skip
