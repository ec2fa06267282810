"""What stands between the columns of a table of text."""

from __future__ import annotations

import csv

__all__ = ["cells_of", "csv_delimiter", "is_number_text"]

_DELIMITERS = (",", ";", "\t", " ")


def csv_delimiter(text: str) -> str | None:
    """What stands between the columns of a table that begins so; ``None`` if it is no table.

    Arguments:
        text: The first lines, the last of them perhaps cut.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        return None
    for delimiter in _DELIMITERS:
        names, values = (
            cells_of(lines[0].lstrip("#").strip(), delimiter),
            cells_of(lines[1].strip(), delimiter),
        )
        if len(names) < 2 or len(values) > len(names) or (len(lines) > 2 and len(values) != len(names)):
            continue
        if not any(is_number_text(name) for name in names) and any(is_number_text(value) for value in values):
            return delimiter
    return None


def cells_of(line: str, delimiter: str) -> list[str]:
    """The cells of a line, without blanks around them."""
    cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    return [cell.strip() for cell in cells]


def is_number_text(cell: str) -> bool:
    """Whether a cell holds a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True
