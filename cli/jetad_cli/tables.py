"""Tables that fit a terminal."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["COLUMNS", "aligned"]

COLUMNS = 80  # of a terminal


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines of at most 80 columns; what does not fit comes below, after the first column again."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    blocks: list[list[int]] = [[]]
    for i, width in enumerate(widths[1:], 1):
        if blocks[-1] and widths[0] + sum(widths[j] + 2 for j in blocks[-1]) + width + 2 > COLUMNS:
            blocks.append([])
        blocks[-1].append(i)
    lines: list[str] = []
    for block in blocks:
        lines += [""] if lines else []
        lines += [
            "  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in block)]).rstrip()
            for row in rows
        ]
    return lines
