"""One page that says how good a detector is, what it does to the background, and where it comes from."""

from .collect import Report, collect_report
from .page import render_page, to_pdf, write_page

__all__ = ["Report", "collect_report", "render_page", "to_pdf", "write_page"]
