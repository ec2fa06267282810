"""Jet images: means per class, galleries, and reconstructions, with physical axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Circle
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .style import styled

__all__ = ["plot_gallery", "plot_image_grid", "plot_images", "plot_reconstructions"]

#: Left, right, bottom, top: the ranges of eta' and phi' that an image covers.
Extent = tuple[float, float, float, float]

_PIXEL = (0.029, 0.035)
_COLOR_MAP = "viridis"
_DECADES = 4


@styled
def plot_images(
    images: Mapping[str, ArrayLike],
    *,
    difference: bool = False,
    extent: Extent | None = None,
    color_label: str = "Mean pixel intensity",
) -> Figure:
    """The mean image of each class, side by side on one logarithmic colour scale.

    Arguments:
        images: Images by class, each ``(n, 1, n_eta, n_phi)``.
        difference: Add rows with the mean of each class minus that of the first, in units of the largest
            pixel of the first.
        extent: Range of η' and φ' (η' low, η' high, φ' low, φ' high); by default pixels of 0.029 × 0.035
            around the centre.
        color_label: Label of the colour scale.

    Raises:
        InputError: for arrays of another shape, or a class without any finite image.
    """
    means = {}
    for name, values in images.items():
        array = _images(values, name)
        good = np.all(np.isfinite(array), axis=(1, 2))
        if not np.any(good):
            raise InputError(f"'{name}' has no image to average")
        means[name] = array[good].mean(axis=0, dtype=np.float64)
    if not means:
        raise InputError("no images to draw")
    if difference and len(means) > 1:
        return _with_differences(images, means, extent, color_label)
    rows, columns = _arrangement(len(means), 4)
    figure = Figure(figsize=(1.9 + 4.2 * columns, 1.1 + 4.9 * rows), layout="compressed")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    norm = _log_norm(list(means.values()))
    drawn: AxesImage | None = None
    for axes, (name, mean) in zip(grid.flat, means.items(), strict=False):
        drawn = _show(axes, mean, norm, extent)
        axes.set_title(f"{name}  ({len(_images(images[name], name))} jets)", fontsize=17)
    _label_grid(grid, len(means))
    assert drawn is not None
    figure.colorbar(drawn, ax=grid, label=color_label, shrink=0.9, pad=0.015)
    return figure


def _with_differences(
    images: Mapping[str, ArrayLike], means: Mapping[str, NDArray[Any]], extent: Extent | None, label: str
) -> Figure:
    rows, columns = _arrangement(len(means), 4)
    figure = Figure(figsize=(1.9 + 4.2 * columns, 11.2 * rows), layout="compressed")
    grid = figure.subplots(2 * rows, columns, squeeze=False, sharex=True, sharey=True)
    names = list(means)
    first = means[names[0]]
    peak = float(np.nanmax(first, initial=0.0)) or 1.0
    differences = [(means[name] - first) / peak for name in names[1:]]
    largest = max(float(np.max(np.abs(d))) for d in differences) or 1.0
    norm = _log_norm(list(means.values()))
    signed = SymLogNorm(linthresh=largest / 100, vmin=-largest, vmax=largest)
    for axes, name in zip(grid[:rows].flat, names, strict=False):
        upper = _show(axes, means[name], norm, extent)
        axes.set_title(f"{name}  ({len(_images(images[name], name))} jets)", fontsize=17)
    for axes, name, difference in zip(grid[rows:].flat[1:], names[1:], differences, strict=False):
        lower = _show(axes, difference, signed, extent, color_map="RdBu_r")
        axes.set_title(f"{name} − {names[0]}", fontsize=17)
    for block in (grid[:rows], grid[rows:]):
        _label_grid(block, len(means))
    empty = grid[rows, 0]
    empty.set_axis_off()
    empty.text(
        0.5, 0.5, f"each class\nminus {names[0]}",
        transform=empty.transAxes, ha="center", va="center", fontsize=17, color="0.35",
    )  # fmt: skip
    beside = grid[rows, 1]  # has nothing to its left
    beside.set_ylabel(r"$\phi'$ [rad]")
    beside.tick_params(labelleft=True)
    figure.colorbar(upper, ax=grid[:rows], label=label, pad=0.015)
    bar = figure.colorbar(lower, ax=grid[rows:], label=f"Difference / peak of {names[0]}", pad=0.015)
    end = 10.0 ** np.floor(np.log10(largest))
    bar.set_ticks([-end, -end / 10, 0, end / 10, end])
    bar.set_ticklabels([f"{v:g}".replace("-", "−") for v in (-end, -end / 10, 0, end / 10, end)])
    bar.minorticks_off()
    return figure


@styled
def plot_gallery(
    images: ArrayLike,
    captions: Sequence[str],
    *,
    n_columns: int = 4,
    extent: Extent | None = None,
    color_label: str = "Pixel intensity",
    radius: float | None = None,
) -> Figure:
    """Single jets with what is known of each written above it, row by row.

    Arguments:
        images: ``(n, 1, n_eta, n_phi)``.
        captions: A few short lines for each jet.
        n_columns: Jets per row.
        extent: As in :func:`plot_images`.
        color_label: Label of the colour scale.
        radius: Draw a circle of this radius around the centre, such as that of the jets.

    Raises:
        InputError: without any image.
    """
    array = _images(images, "images")
    if not len(array):
        raise InputError("no images to draw")
    columns = min(n_columns, len(array))
    rows = math.ceil(len(array) / columns)
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    figure = Figure(figsize=(2.0 + 3.4 * columns, 0.9 + (3.9 + 0.24 * lines) * rows), layout="compressed")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    norm = _log_norm([image for image in array if np.all(np.isfinite(image))] or [np.ones((1, 1))])
    drawn: AxesImage | None = None
    for axes, image, caption in zip(grid.flat, array, captions, strict=False):
        drawn = _show(axes, image, norm, extent)
        if radius is not None:
            axes.add_patch(Circle((0, 0), radius, fill=False, color="0.5", linestyle=":", linewidth=1.2))
        axes.set_title(caption, fontsize=13, loc="left", linespacing=1.25)
        axes.tick_params(labelsize=13)
    _label_grid(grid, len(array))
    assert drawn is not None
    bar = figure.colorbar(drawn, ax=grid, pad=0.015, shrink=min(1.0, 0.5 + 0.25 * rows))
    bar.set_label(color_label)
    return figure


@styled
def plot_image_grid(
    images: ArrayLike,
    titles: Sequence[str] | None = None,
    *,
    n_columns: int | None = None,
    row_titles: Sequence[str] | None = None,
    extent: Extent | None = None,
    color_label: str = "Pixel intensity",
) -> Figure:
    """A gallery of single images on one logarithmic colour scale, row by row.

    Arguments:
        images: ``(n, 1, n_eta, n_phi)``; for chains, all steps of the first chain, then of the next.
        titles: Text above each image, or above the first row only if there are ``n_columns`` of them.
        n_columns: Images per row; 8 or fewer by default.
        row_titles: Text left of each row.
        extent: As in :func:`plot_images`.
        color_label: Label of the colour scale.
    """
    array = _images(images, "images")
    if not len(array):
        raise InputError("no images to draw")
    rows, columns = _arrangement(len(array), 8)
    if n_columns is not None:
        rows, columns = math.ceil(len(array) / n_columns), n_columns
    left = 0.0 if row_titles is None else 0.4
    figure = Figure(figsize=(1.8 + left + 2.0 * columns, 0.6 + 2.7 * rows), layout="compressed")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    norm = _log_norm(list(array))
    drawn: AxesImage | None = None
    # ticks are left out: in a gallery they say little, and take most of the time
    for i, (axes, image) in enumerate(zip(grid.flat, array, strict=False)):
        drawn = _show(axes, image, norm, extent)
        axes.set(xticks=[-0.5, 0.5], yticks=[-0.5, 0.5])
        corner = i == columns * (rows - 1)  # has the scale of all
        axes.tick_params(labelsize=12, labelbottom=corner, labelleft=corner)
        if corner:
            axes.set_xlabel(r"$\eta'$", fontsize=14)
        axes.minorticks_off()
        if titles is not None and i < len(titles):
            axes.set_title(titles[i], fontsize=13)
        if row_titles is not None and i % columns == 0 and i // columns < len(row_titles):
            axes.set_ylabel(row_titles[i // columns], loc="center", fontsize=17)
    for axes in grid.flat[len(array) :]:
        axes.set_visible(False)
    assert drawn is not None
    bar = figure.colorbar(drawn, ax=grid, shrink=min(1.0, 0.4 + 0.2 * rows), pad=0.015)
    bar.set_label(color_label, fontsize=17)
    bar.ax.tick_params(labelsize=15)
    return figure


@styled
def plot_reconstructions(
    inputs: ArrayLike,
    reconstructions: ArrayLike,
    *,
    titles: Sequence[str] | None = None,
    max_rows: int = 4,
    extent: Extent | None = None,
) -> Figure:
    """Input, reconstruction and residual (reconstruction - input) of the first jets, one jet a row.

    Arguments:
        inputs: ``(n, 1, n_eta, n_phi)``.
        reconstructions: The same shape.
        titles: Text beside each jet, for instance its class and score.
        max_rows: Number of jets drawn.
        extent: As in :func:`plot_images`.
    """
    before, after = _images(inputs, "inputs"), _images(reconstructions, "reconstructions")
    if before.shape != after.shape:
        raise InputError(f"inputs have shape {before.shape}, reconstructions {after.shape}")
    n = min(len(before), max_rows)
    if n == 0:
        raise InputError("no images to draw")
    before, after = before[:n], after[:n]
    residual = after.astype(np.float64) - before
    largest = float(np.nanmax(np.abs(residual), initial=0.0)) or 1.0
    beside = 0.0 if titles is None else 2.8
    figure = Figure(figsize=(12.5 + beside, 1.9 + 4.5 * n), layout="compressed")
    grid = figure.subplots(n, 3, squeeze=False, sharex=True, sharey=True)
    norm = _log_norm([*before, *after])
    difference = SymLogNorm(linthresh=largest / 100, vmin=-largest, vmax=largest)
    for row in range(n):
        shown = _show(grid[row, 0], before[row], norm, extent)
        _show(grid[row, 1], after[row], norm, extent)
        missed = _show(grid[row, 2], residual[row], difference, extent, color_map="RdBu_r")
        if titles is not None and row < len(titles):
            grid[row, 2].text(
                1.04, 0.98, titles[row], transform=grid[row, 2].transAxes, va="top", fontsize=15
            )
    for axes, title in zip(grid[0], ("Input", "Reconstruction", "Residual"), strict=True):
        axes.set_title(title, fontsize=18)
    _label_grid(grid, 3 * n)
    bars = [
        figure.colorbar(
            image, ax=grid[:, columns], location="bottom", shrink=0.95, pad=0.02, aspect=30, label=label
        )
        for image, columns, label in (
            (shown, slice(0, 2), "Pixel intensity"),
            (missed, slice(2, 3), "Reconstruction − input"),
        )
    ]
    end = 10.0 ** np.floor(np.log10(largest))
    bars[1].set_ticks([-end, 0, end])
    bars[1].minorticks_off()
    return figure


def _arrangement(n: int, most: int) -> tuple[int, int]:
    """Rows and columns for ``n`` panels, at most ``most`` to the row and as even as can be."""
    rows = math.ceil(n / most)
    return rows, math.ceil(n / rows)


def _images(values: ArrayLike, name: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim == 4 and array.shape[1] == 1:
        return array[:, 0]
    raise InputError(f"'{name}': expected images of shape (n, 1, n_eta, n_phi), found {array.shape}")


def _log_norm(images: Sequence[NDArray[Any]]) -> LogNorm:
    peak = max(float(np.nanmax(image, initial=0.0)) for image in images)
    peak = peak if np.isfinite(peak) and peak > 0 else 1.0
    return LogNorm(vmin=peak * 10.0**-_DECADES, vmax=peak, clip=False)


def _show(
    axes: Axes, image: NDArray[Any], norm: Normalize, extent: Extent | None, *, color_map: str = _COLOR_MAP
) -> AxesImage:
    import matplotlib as mpl

    n_eta, n_phi = image.shape
    half = (n_eta * _PIXEL[0] / 2, n_phi * _PIXEL[1] / 2)
    axes.minorticks_off()
    colors = mpl.colormaps[color_map].with_extremes(bad="white", under="white")
    # first index is eta' (to the right), second is phi' (upwards): the transpose of what imshow expects
    return axes.imshow(
        image.T, origin="lower", norm=norm, cmap=colors, interpolation="nearest", aspect="equal",
        extent=extent or (-half[0], half[0], -half[1], half[1]),
    )  # fmt: skip


def _label_grid(grid: NDArray[Any], n_used: int) -> None:
    for i, axes in enumerate(grid.flat):
        axes.set_visible(i < n_used)
        below = i + grid.shape[1]
        if i < n_used and below >= n_used:
            axes.set_xlabel(r"$\eta'$")
            axes.tick_params(labelbottom=True)
        if i % grid.shape[1] == 0:
            axes.set_ylabel(r"$\phi'$ [rad]")
