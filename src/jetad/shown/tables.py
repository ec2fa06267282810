"""Small tables for notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from ..errors import without_secrets
from .text import one_line

__all__ = ["html_table"]


def html_table(title: str, rows: Iterable[Sequence[object]], header: Sequence[object] = ()) -> str:
    """A table as HTML, every cell escaped: names in files hold no script.

    Arguments:
        title: Stands above the table.
        rows: The first cell of each is its name.
        header: Of the columns.

    Example:
        >>> html_table("jets", [["<b>", 3]])
        '<table><caption>jets</caption><tbody><tr><th>&lt;b&gt;</th><td>3</td></tr></tbody></table>'
    """
    head = (
        f"<thead><tr>{''.join(f'<th>{_cell(cell)}</th>' for cell in header)}</tr></thead>" if header else ""
    )
    body = "".join(
        f"<tr><th>{_cell(first)}</th>{''.join(f'<td>{_cell(cell)}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    )
    return f"<table><caption>{_cell(title)}</caption>{head}<tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    return html.escape(one_line(without_secrets(str(value))))
