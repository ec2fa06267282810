"""The look of every figure, and how one is saved."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..errors import ConfigError, encodable
from ..files import atomic_output, check_output

__all__ = [
    "COLORS",
    "LINE_STYLES",
    "figure_paths",
    "lay_out",
    "make_room",
    "plain_ticks",
    "drawable",
    "save",
    "style",
    "styled",
]

#: Ten colours told apart with every common colour vision: M. Petroff, arXiv:2107.02270. In grey the first
#: three are apart; further curves need another line or marker.
COLORS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#832db6", "#94a4a2",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip

LINE_STYLES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (8, 2, 1, 2, 1, 2)))

_LONGEST = 90  # characters in a line
_UNSEEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")

P = ParamSpec("P")


@functools.cache
def _settings() -> Any:
    import mplhep

    settings = dict(mplhep.style.ROOT)  # inward ticks on all sides, labels at the ends, no experiment text
    settings.update(
        {
            "axes.prop_cycle": cycler(color=COLORS),
            "figure.figsize": (8.0, 6.5),
            "font.size": 19,
            "legend.fontsize": 14,
            "legend.handlelength": 2.0,
            "axes.linewidth": 1.5,
            "lines.linewidth": 2.0,
            "xtick.major.size": 9,
            "xtick.minor.size": 4.5,
            "ytick.major.size": 9,
            "ytick.minor.size": 4.5,
            # TeX Gyre Heros (shipped with mplhep) lacks many symbols; what it lacks comes from the next ones
            "font.family": ["TeX Gyre Heros", "DejaVu Sans"],
            "mathtext.fontset": "stixsans",
            "figure.constrained_layout.w_pad": 0.1,  # also of "compressed"; the default clips tall symbols
            "figure.constrained_layout.h_pad": 0.1,
            "pdf.fonttype": 42,
            "savefig.dpi": 150,
            "savefig.bbox": None,
        }
    )
    return settings


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The settings of jetad's figures, within the block only and whatever the user's own are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_settings())
        yield


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a plotting function in the style, and lay its figure out before the style is gone."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            figure = function(*args, **kwargs)
            lay_out(figure)
        return figure

    return wrapper


def lay_out(figure: Figure) -> None:
    """Place the panels once, not again for every file the figure is saved to; cheaper than drawing it."""
    write_out(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")


def write_out(figure: Figure) -> None:
    """Make every text of a figure one that can be drawn; names of files and classes may hold anything.

    A dollar sign stays where the formula that it begins can be set; control characters and bytes that are no
    characters are written out, and a long name is cut in the middle.
    """
    for text in figure.findobj(Text):
        shown = drawable(text.get_text())
        if shown != text.get_text():
            text.set_text(shown)


def drawable(text: str) -> str:
    r"""A text that matplotlib can draw.

    Example:
        >>> print(drawable("$x^2$"), drawable("cost $x^$"), drawable("5$"))
        $x^2$ cost \$x^\$ 5$
    """
    text = encodable(_UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text))
    return "\n".join(_drawable_line(line) for line in text.split("\n"))


def _drawable_line(line: str) -> str:
    if is_math_text(line) is True and not _can_be_set(line):
        line = re.sub(r"(?<!\\)\$", r"\$", line)
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
    return line


@functools.cache
def _can_be_set(text: str) -> bool:
    if len(text) > _LONGEST:
        return False  # what is cut in the middle is no formula any more
    try:
        MathTextParser("path").parse(text)
    except (ValueError, RuntimeError, RecursionError):
        return False
    return True


def figure_paths(path: str | Path) -> tuple[Path, Path]:
    """The PDF and the PNG that ``save`` writes for a name ending in ``.pdf``, ``.png`` or neither.

    Raises:
        ConfigError: for the suffix of another kind of picture, a device or a pipe.
    """
    path = Path(path)
    if not path.name:
        raise ConfigError(f"{path}: is a folder; give the name of a figure in it")
    suffix = path.suffix.lower()
    if suffix in (".svg", ".eps", ".ps", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".html"):
        raise ConfigError(
            f"{path}: figures are written as PDF and PNG; end the name in .pdf, .png or neither"
        )
    if path.exists() and not (path.is_file() or path.is_dir()):  # /dev/null would become /dev/null.pdf
        raise ConfigError(f"{path}: is a device or a pipe; give the name of a figure")
    stem = path.with_suffix("") if suffix in (".pdf", ".png") else path
    return stem.with_name(stem.name + ".pdf"), stem.with_name(stem.name + ".png")


def save(figure: Figure, path: str | Path, *, force: bool = False) -> tuple[Path, Path]:
    """Write a figure as PDF and PNG; the same figure gives the same bytes.

    Returns:
        The two files.

    Raises:
        OutputError: if one of them exists and not ``force``, or cannot be written.
    """
    pdf, png = (check_output(p, force=force) for p in figure_paths(path))
    # no date, no library versions: figures under version control change only when they look different
    empty = {pdf: {"CreationDate": None, "Producer": None, "Creator": "jetad"}, png: {"Software": "jetad"}}
    with style():
        for target, metadata in empty.items():
            with atomic_output(target, force=force) as temporary:
                figure.savefig(temporary, metadata=metadata)
    return pdf, png


def make_room(axes: Axes, legend: Legend) -> None:
    """Raise the upper end of the y axis so that no curve, band or bar runs through a legend at its top."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    write_out(figure)
    figure.draw_without_rendering()
    box = legend.get_window_extent().transformed(axes.transAxes.inverted())
    highest = 0.0
    for line in axes.lines:
        points = (line.get_transform() - axes.transAxes).transform(
            np.column_stack(line.get_data()).astype(float)
        )
        points = points[np.all(np.isfinite(points), axis=1)]
        if len(points) > 1:
            points = points[np.argsort(points[:, 0], kind="stable")]
            # what lies between two points counts, too
            x = np.concatenate([np.linspace(box.x0, box.x1, 50), points[:, 0]])
            y = np.interp(x, points[:, 0], points[:, 1], left=0.0, right=0.0)[(x >= box.x0) & (x <= box.x1)]
            highest = max(highest, float(np.max(y)))
    for collection in axes.collections:
        for path in collection.get_paths():
            x, y = (collection.get_transform() - axes.transAxes).transform(path.vertices).T
            inside = (x >= box.x0) & (x <= box.x1) & np.isfinite(y)
            highest = max(highest, float(np.max(y[inside], initial=0.0)))
    free = max(box.y0 - 0.03, 0.35)
    if highest > free:
        low, high = axes.get_ylim()
        stretch = highest / free
        log = axes.get_yscale() == "log"
        axes.set_ylim(low, low * (high / low) ** stretch if log else low + (high - low) * stretch)


def plain_ticks(axis: Axis) -> None:
    """Plain numbers at 1, 2, 5 (or 1, 3) of a logarithmic axis of few decades, where powers would crowd."""
    low, high = axis.get_view_interval()
    axis.set_minor_formatter(NullFormatter())
    if high < 1000 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 30 * low else (1, 3)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
