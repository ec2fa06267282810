"""The mean image of each of several files of jets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from ..errors import OutputError, of_file
from ..files import atomic_output
from ..readers import ReadOptions, iterate
from .style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_mean_images", "save_mean_images"]


_MAX_IMAGES = 20_000  # jets in a mean image: its pixels are then known to about a per cent


@styled
def draw_mean_images(paths: Sequence[str | Path], **options: Unpack[ReadOptions]) -> Figure:
    """The mean jet image of each file, logarithmic in colour, from its first 20 000 jets.

    Jets that cannot be imaged are left out; a file without any other gets an empty panel.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    from ..preprocessing.images import JetImages

    images = JetImages()
    config = images.config
    window = config.n_eta * config.pixel_eta / 2, config.n_phi * config.pixel_phi / 2
    n_columns = min(len(paths), 4)
    n_rows = -(-len(paths) // n_columns)
    figure = Figure(figsize=(5.6 * n_columns, 5.2 * n_rows), layout="constrained")
    s = "" if config.sigma == 1 else "s"
    blur = f"blur of {config.sigma:g} pixel{s}" if config.sigma else "no blur"
    for i, path in enumerate(paths):
        total: NDArray[np.float64] | float = 0.0
        n_jets = n_read = 0
        half = window
        for jets in iterate(path, step=4000, check_units=False, **options):
            n_read += len(jets)
            if jets.images is None:
                jets = jets[jets.n_constituents > 0] if jets.has_constituents else jets
                with of_file(path):
                    x: NDArray[Any] = images.transform(jets)[:, 0]
            else:
                x = _unit_sum(jets.images)
                half = x.shape[1] / 2, x.shape[2] / 2
            good = np.isfinite(x).all(axis=(1, 2))
            total = total + x[good].sum(axis=0, dtype=np.float64)
            n_jets += int(good.sum())
            if n_read >= _MAX_IMAGES:
                break
        if n_read == 0:
            total = np.zeros((config.n_eta, config.n_phi))
        mean = np.asarray(total) / max(n_jets, 1)
        axes = figure.add_subplot(n_rows, n_columns, i + 1)
        in_pixels = "" if half == window else " [pixels]"
        axes.set(
            xlabel=rf"$\eta'${in_pixels}",
            ylabel=rf"$\phi'${in_pixels or ' [rad]'}",
        )
        axes.set_title(f"{Path(path).name} ({n_jets} jets)", fontsize=16)
        axes.minorticks_off()
        axes.tick_params(labelsize=14)
        if mean.max() > 0:
            lowest = max(mean[mean > 0].min(), mean.max() * 1e-5)
            shown = axes.imshow(
                mean.T,  # (n_eta, n_phi) to rows of phi'
                origin="lower",
                extent=(-half[0], half[0], -half[1], half[1]),
                norm=LogNorm(vmin=lowest, vmax=mean.max(), clip=True),
                aspect="auto",
            )
            bar = figure.colorbar(shown, ax=axes)
            bar.set_label(rf"Mean part of the jet $p_T$ ({blur})", fontsize=14)
            bar.ax.tick_params(labelsize=13)
    return figure


def _unit_sum(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Ready-made images, their channels added and their sum set to one, ``(n_jets, n_eta, n_phi)``."""
    with np.errstate(all="ignore"):
        x = images.sum(axis=1, dtype=np.float64)
        unit: NDArray[np.float64] = x / x.sum(axis=(1, 2), keepdims=True)
    return unit


def save_mean_images(
    paths: Sequence[str | Path], output: str | Path, *, force: bool = False, **options: Unpack[ReadOptions]
) -> None:
    """Draw the mean image of each file into ``output``; the suffix chooses the kind (.png, .pdf, .svg).

    Raises:
        OutputError: if the file exists and not ``force``, or its kind is unknown.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = FigureCanvasBase.get_supported_filetypes()
    kind = Path(output).suffix.lstrip(".").lower()
    if kind not in kinds:
        raise OutputError(f"{output}: no figure of kind '.{kind}'; use one of: {', '.join(sorted(kinds))}")
    with atomic_output(output, force=force) as temporary:
        draw_mean_images(paths, **options).savefig(temporary, format=kind, dpi=150)
