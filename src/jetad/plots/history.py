"""How a training went: every number of ``history.jsonl`` against the step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..errors import InputError
from ..files.jsonfiles import read_lines
from .style import COLORS, styled

__all__ = ["load_history", "main_keys", "plot_history"]

#: Keys that say where a record belongs rather than how the training went.
_NOT_DRAWN = {"step", "epoch", "phase", "seed", "time", "wall_time", "timestamp", "batch", "phase_step"}

#: What is drawn first, and what it is called.
_MAIN = ("loss", "energy_pos", "energy_neg", "energy_gap", "val_energy")
_NAMES = {
    "energy_pos": "background jets", "energy_neg": "negatives", "energy_gap": "Energy gap",
    "val_energy": "Held-out energy",
}  # fmt: skip

Series = tuple[NDArray[np.float64], NDArray[np.float64]]


def load_history(run: str | Path) -> list[dict[str, Any]]:
    """The records of ``history.jsonl`` of a run directory (or of that file itself).

    A last line that is cut short is left out: the training may be writing it right now.

    Raises:
        InputError: if the file is missing or holds anything else.
    """
    path = Path(run) / "history.jsonl" if Path(run).is_dir() else Path(run)
    if not path.exists():
        raise InputError(f"{path}: no such file; a run directory of 'jetad train' has one")
    return read_lines(path)


def main_keys(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """What says most of a training: loss, energies and their gap, and the AUC of monitored signals.

    All numbers where none of these was logged.
    """
    found = dict.fromkeys(key for record in records for key, value in record.items() if _is_number(value))
    main = [key for key in found if key in _MAIN or key.startswith("monitor_")]
    return main or [key for key in found if key not in _NOT_DRAWN]


@styled
def plot_history(records: Sequence[Mapping[str, Any]], *, keys: Sequence[str] | None = None) -> Figure:
    """One panel per kind of number, all against the step, with a line where a new phase begins.

    Keys that share their first word share a panel (``energy_pos`` and ``energy_neg``, ``val_auc_top`` and
    ``val_auc_qcd``). A panel is logarithmic where all its values are positive and span over a decade.
    Values that are no finite numbers, or beyond 1e100, are left out.

    Arguments:
        records: One mapping per logged step, as the lines of ``history.jsonl``; keys may come and go.
        keys: What to draw; every numeric key by default.

    Raises:
        InputError: if no record has a number to draw.
    """
    x, x_label = _steps(records)
    found = dict.fromkeys(key for record in records for key, value in record.items() if _is_number(value))
    wanted = [key for key in found if key not in _NOT_DRAWN] if keys is None else list(keys)
    series = {key: _series(records, x, key) for key in wanted}
    series = {key: s for key, s in series.items() if len(s[0])}
    if not series:
        raise InputError("the history has no number to draw")
    panels = _panels(list(series))

    columns = 1 if len(panels) == 1 else 2 if len(panels) < 7 else 3
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=((8.0 if columns < 3 else 6.6) * columns, 1.2 + 3.8 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    starts = _phases(records, x)
    for axes, names in zip(grid.flat, panels.values(), strict=False):
        for i, key in enumerate(names):
            steps, values = series[key]
            few = {"marker": "o", "markersize": 5} if len(values) < 30 else {}
            axes.plot(steps, values, color=COLORS[i % len(COLORS)], label=key, linewidth=1.8, **few)
        drawn = np.concatenate([series[key][1] for key in names])
        if np.nanmin(drawn) > 0 and np.nanmax(drawn) > 10 * np.nanmin(drawn):
            axes.set_yscale("log")
        else:
            axes.ticklabel_format(axis="y", scilimits=(-2, 4), useMathText=True)
        for start, _ in starts[1:]:
            axes.axvline(start, color="0.5", linestyle=":", linewidth=1.5)
        axes.set_ylabel(_words(names))
        axes.margins(x=0.02, y=0.12)
        if len(names) > 1:
            axes.legend(
                loc="upper right",
                fontsize=13,
                labels=[_NAMES.get(key, key.replace("_", " ")) for key in names],
            )
            low, high = axes.get_ylim()
            room = 1.0 + 0.14 * len(names)
            log = axes.get_yscale() == "log"
            axes.set_ylim(low, low * (high / low) ** room if log else low + (high - low) * room)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for column in range(columns):
        last = [axes for axes in grid[:, column] if axes.get_visible()][-1]
        last.set_xlabel(x_label)
        last.tick_params(labelbottom=True)
    for axes in grid[0] if len(starts) > 1 else ():
        if axes.get_visible():
            _name_phases(axes, starts, float(x[-1]))
    return figure


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _can_be_drawn(value: Any) -> bool:
    """Whether it is a number on which an axis can end with some room."""
    return _is_number(value) and abs(value) < 1e100


def _steps(records: Sequence[Mapping[str, Any]]) -> Series | Any:
    steps = [record.get("step") for record in records]
    if steps and all(map(_can_be_drawn, steps)):
        x = np.asarray(steps, dtype=np.float64)
        # a step that starts again in every phase cannot be the axis
        if np.all(np.diff(x) >= 0):
            return x, "Training step"
    return np.arange(len(records), dtype=np.float64), "Logged record"


def _series(records: Sequence[Mapping[str, Any]], x: NDArray[np.float64], key: str) -> Series:
    """Steps and values of a key; a NaN between two members, so that no line joins them."""
    pairs: list[tuple[float, float]] = []
    member = None
    for step, record in zip(x, records, strict=True):
        if not _can_be_drawn(record.get(key)):
            continue
        if pairs and record.get("member") != member:
            pairs.append((step, math.nan))
        member = record.get("member")
        pairs.append((step, record[key]))
    array = np.asarray(pairs, dtype=np.float64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def _panels(keys: list[str]) -> dict[str, list[str]]:
    """Keys by the first word they share; a word of its own is its own panel."""
    panels: dict[str, list[str]] = {}
    for key in keys:
        words = key.split("_")
        # val_auc and val_error are different quantities: two words where the first says only on which data
        first = "_".join(words[:2]) if words[0] in ("val", "train", "monitor") else words[0]
        # energy_gap is a difference, on another scale than the energies themselves
        panels.setdefault(key if key.endswith("_gap") else first, []).append(key)
    return panels


def _words(names: list[str]) -> str:
    if len(names) == 1 and names[0] in ("energy_gap", "val_energy"):
        return _NAMES[names[0]]
    if len(names) == 1:
        return "Learning rate" if names[0] == "lr" else names[0].replace("_", " ").capitalize()
    words = [name.split("_") for name in names]
    shared = []
    for parts in zip(*words, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return " ".join(shared).capitalize()


def _phases(records: Sequence[Mapping[str, Any]], x: NDArray[np.float64]) -> list[tuple[float, str]]:
    """Where each phase begins, and its name."""
    starts: list[tuple[float, str]] = []
    for step, record in zip(x, records, strict=True):
        phase = record.get("phase")
        name = f"{record['member']}: {phase}" if "member" in record else str(phase)
        if phase is not None and (not starts or starts[-1][1] != name):
            starts.append((float(step), name))
    return starts


def _name_phases(axes: Any, starts: list[tuple[float, str]], end: float) -> None:
    stops = [start for start, _ in starts[1:]] + [end]
    whole = (end - starts[0][0]) or 1.0
    for (start, name), stop in zip(starts, stops, strict=True):
        if (stop - start) / whole < 0.1:
            continue  # no room for a name
        axes.text(
            (start + stop) / 2, 1.02, name.replace(": ", ":\n"), transform=axes.get_xaxis_transform(),
            ha="center", va="bottom", fontsize=13, color="0.35",
        )  # fmt: skip
