"""What terminals and notebooks show: safe text, small tables, progress."""

from .tables import html_table
from .text import one_line, printable

__all__ = ["html_table", "one_line", "printable"]
