"""Columns that may be the truth or weights of jets, by their names and values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import JetadError
from ..containers.arrays import ArraySource, Source, is_number, open_source
from ..paths import container_of, split_path
from .names import N_ROWS, depth_of

__all__ = ["WEIGHTS", "label_for", "label_of", "last_part", "weight_of"]

_LABELS = ("is_signal_new", "is_signal", "issignal", "signal", "label", "labels", "truth", "target", "y")
WEIGHTS = ("weight", "weights", "event_weight", "mcweight", "genweight", "w")


def last_part(name: str) -> str:
    """The name of a column without its groups, in lower case."""
    return re.split(r"[./]", name)[-1].lower()


def label_of(source: Source) -> tuple[Any, str]:
    """The truth of a file as a mapping says it, or ``None``, and what to say of it."""
    columns = source.columns()
    scalars = [n for n, kind in columns.items() if is_number(kind) and depth_of(kind) == 0]
    found, hint = _label_inside(source, scalars)
    return found, "; ".join(line.removeprefix("# ") for line in hint.splitlines())


def weight_of(columns: dict[str, str]) -> str | None:
    """The column of weights, or ``None``."""
    scalars = [n for n, kind in columns.items() if is_number(kind) and depth_of(kind) == 0]
    return next((n for w in WEIGHTS for n in scalars if last_part(n) == w), None)


def label_for(source: Source, path: str | Path, scalars: list[str]) -> tuple[Any, str]:
    """The column of the truth, in this file or one beside it, and what to say of it."""
    found, hint = _label_inside(source, scalars)
    if found is None and not hint and isinstance(source, ArraySource):
        return _label_beside(source, path)
    return found, hint


def _label_inside(source: Source, scalars: list[str]) -> tuple[Any, str]:
    usual = [n for w in _LABELS for n in scalars if last_part(n) == w]
    usual += [
        n
        for n in scalars
        if n not in usual and re.search(r"[_./](labels?|truth|target|is_?signal)$", n.lower())
    ]
    hint = ""
    for name in usual:
        values = _some_values(source, name)
        if np.isin(values, (-1, 0, 1)).all():
            return name, ""
        some = ", ".join(f"{v:g}" for v in values[:8])
        hint += (
            f"# '{name}' has the values {some}: say which are signal, "
            f"label: {{column: {name}, signal: [...], background: [...]}}\n"
        )
    if hint:
        return None, hint
    if not isinstance(source, ArraySource):
        return None, ""
    two = {n: a for n, a in source.arrays.items() if len(a.shape) == 2 and a.shape[1] == 2}
    found = next((n for w in _LABELS for n in two if last_part(n) == w), None)
    if found is not None and _is_one_hot(two[found]):
        label = {"signal_columns": [f"{found}[1]"], "background_columns": [f"{found}[0]"]}
        return label, f"# '{found}' has one number a class: check which of them is the signal\n"
    return None, ""


def _some_values(source: Source, name: str) -> NDArray[Any]:
    """Different values of a column in its first and last rows; NaN is left out."""
    n = source.n_rows([name])
    ends = [(0, min(n, N_ROWS)), (max(n - N_ROWS, 0), n)]
    rows = np.concatenate(
        [np.asarray(source.read([name], *end)[name], dtype=np.float64).ravel() for end in ends]
    )
    return np.unique(rows[~np.isnan(rows)])


def _is_one_hot(array: Any) -> bool:
    rows = np.asarray(array[: min(N_ROWS, array.shape[0])])
    return bool(np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all())


def _label_beside(source: ArraySource, path: str | Path) -> tuple[Any, str]:
    """Truth in a second file: X_test.npy and y_test.npy, tl_pf_vectors.npy and tl_labels.npy."""
    file = split_path(path)[0]
    if file.suffix != ".npy" or not file.parent.is_dir():
        return None, ""
    n_rows = next(iter(source.arrays.values())).shape[0]
    words = set(re.split(r"[_.\-]", file.stem.lower()))
    candidates = []
    for other in sorted(file.parent.glob("*.npy")):
        others = re.split(r"[_.\-]", other.stem.lower())
        if other == file or not any(
            w in ("y", "label", "labels", "truth", "target", "targets") for w in others
        ):
            continue
        try:
            with open_source(other, container_of(other)) as second:
                columns = second.columns()
                array = getattr(second, "arrays", {}).get("data")
                if array is None or array.shape not in ((n_rows,), (n_rows, 2)):
                    continue
        except JetadError:
            continue
        candidates.append((-len(words & set(others)), other.name, columns, array))
    if not candidates:
        return None, ""
    _, name, _, array = min(candidates, key=lambda c: c[:2])
    if array.shape == (n_rows,):
        return {"column": "data", "file": name}, f"# truth is in the file {name} beside it\n"
    label = {"signal_columns": ["data[1]"], "background_columns": ["data[0]"], "file": name}
    return label, f"# truth is in the file {name}: check which of its two numbers is the signal\n"
