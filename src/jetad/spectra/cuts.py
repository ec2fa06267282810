"""The cut on the score that selects jets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..registry import closest_first
from ..scores import Scores

__all__ = ["DISCRIMINANTS", "Cut", "column_of"]

#: Columns that come from the detector: what is cut on, never the spectrum.
DISCRIMINANTS = ("background_efficiency", "score_decorrelated", "score")


class Cut(NamedTuple):
    """Jets pass with ``background_efficiency`` at most, or any other column at least, ``value``.

    Example:
        >>> Cut("background_efficiency", 0.01), str(Cut("score", 3))
        (Cut(column='background_efficiency', value=0.01), 'score >= 3')
    """

    column: str
    value: float

    def __str__(self) -> str:
        return f"{self.column} {'<=' if self.column == DISCRIMINANTS[0] else '>='} {self.value:g}"

    @classmethod
    def at(cls, scores: Scores, threshold: float, column: str | None = None) -> Cut:
        """A cut at a threshold: on the decorrelated score where the jets have one, else on the score."""
        if column is None:
            column = "score_decorrelated" if "score_decorrelated" in scores.extra else "score"
        return cls(column, threshold)

    def values(self, scores: Scores) -> NDArray[np.float64]:
        """What is cut on, higher = more anomalous, ``(n,)``; NaN for jets without it.

        Raises:
            InputError: if the jets do not have the column, or none of them has a number in it.
        """
        found = column_of(scores, self.column)
        if len(found) and not np.any(np.isfinite(found)):
            if self.column == DISCRIMINANTS[0] and np.any(np.isfinite(scores.score)):
                run = scores.metadata.get("run")
                raise InputError(
                    f"no jet has a background_efficiency: the run{f' ({run})' if run else ''} has no "
                    "calibration; type 'jetad calibrate --run RUN --background FILE --decorrelate jet_mass' "
                    "and score the jets again, or cut with --threshold"
                )
            raise InputError(f"no jet has a {self.column}, all are NaN")
        return -found if self.column == DISCRIMINANTS[0] else found

    def passed(self, scores: Scores) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Jets that pass, and jets that have a value at all, each ``(n,)``."""
        values = self.values(scores)
        # a cut at 0.05 must not lose the jets of a float32 column that are at 0.05
        dtype = scores.columns()[self.column].dtype
        value = float(dtype.type(self.value)) if dtype.kind == "f" else self.value
        return values >= (-value if self.column == DISCRIMINANTS[0] else value), np.isfinite(values)


def column_of(scores: Scores, name: str) -> NDArray[np.float64]:
    """A column as numbers, ``(n,)``.

    Raises:
        InputError: if there is none of this name, with the nearest.
    """
    columns = scores.columns()
    if name not in columns:
        near = ", ".join(closest_first(name, columns)[:3])
        hint = "; 'jetad score --keep COLUMN' keeps one of the input" if name not in DISCRIMINANTS else ""
        raise InputError(f"the jets have no column '{name}' (nearest: {near}){hint}")
    return columns[name].astype(np.float64)
