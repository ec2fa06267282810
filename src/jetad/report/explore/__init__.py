"""A page on which one looks at single jets: points to brush and click, all in one HTML file."""

from .collect import Explored, Pictures, collect_explored
from .page import render_explored, write_explored

__all__ = ["Explored", "Pictures", "collect_explored", "render_explored", "write_explored"]
