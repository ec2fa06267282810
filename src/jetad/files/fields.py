"""Values of files that somebody may have changed or damaged, taken one by one, each checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

__all__ = ["Fields"]


class Fields:
    """The named values of a JSON file; what is missing or makes no sense is an error that names it.

    Arguments:
        values: What was read.
        where: What it is a part of, for messages; empty for the file itself.

    Raises:
        InputError: here if there are no named values, later for a value that is not what it must be.

    Example:
        >>> Fields({"n": -5}).number("n", low=1, whole=True)
        Traceback (most recent call last):
        jetad.errors.InputError: 'n' is -5, and must be a whole number of at least 1
    """

    def __init__(self, values: Any, where: str = "") -> None:
        self.where = where
        if not isinstance(values, Mapping):
            raise InputError(f"'{where}' is {_shown(values)}, and must be named values")
        self.values = values

    def __repr__(self) -> str:
        return f"Fields({', '.join(map(str, self.values))})"

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def any(self, name: str) -> Any:
        """A value, whatever it is."""
        if name not in self.values:
            raise InputError(f"'{self._path(name)}' is missing")
        return self.values[name]

    def part(self, name: str) -> Fields:
        """Named values inside."""
        return Fields(self.any(name), self._path(name))

    def parts(self, name: str) -> list[Fields]:
        """A list of named values."""
        found = self.any(name)
        if not isinstance(found, list):
            raise self._wrong(name, "a list")
        return [Fields(value, f"{self._path(name)}.{i}") for i, value in enumerate(found)]

    def text(self, name: str) -> str:
        """A text."""
        found = self.any(name)
        if not isinstance(found, str):
            raise self._wrong(name, "a text")
        return found

    def number(
        self, name: str, *, low: float = -math.inf, high: float = math.inf, whole: bool = False
    ) -> float:
        """A finite number from ``low`` to ``high``."""
        found = self.any(name)
        kinds = int if whole else (int, float)
        good = isinstance(found, kinds) and not isinstance(found, bool) and abs(found) < 1e300
        if not (good and low <= found <= high):
            what = "a whole number" if whole else "a finite number"
            raise self._wrong(name, what + _range(low, high))
        number: float = found
        return number

    def numbers(
        self, name: str, *, length: int | None = None, at_least: int = 0, low: float = -math.inf,
        high: float = math.inf, rising: bool | None = None,
    ) -> NDArray[np.float64]:  # fmt: skip
        """A list of finite numbers.

        Arguments:
            name: Of the list.
            length: How many there must be, if that is known.
            at_least: How many there must be at least.
            low: The smallest allowed.
            high: The largest allowed.
            rising: Whether they must not fall, or, if ``False``, not rise.

        Returns:
            ``(n,)`` float64.
        """
        found = self.any(name)
        try:
            array = np.asarray(found) if isinstance(found, list) else np.zeros((0, 0))
        except ValueError:  # lists of different lengths
            array = np.zeros((0, 0))
        if not len(array) and found == []:
            array = np.zeros(0)
        if array.ndim != 1 or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise self._wrong(name, "a list of finite numbers")
        array = array.astype(np.float64)
        if length is not None and len(array) != length:
            raise InputError(f"'{self._path(name)}' has {len(array)} numbers, and must have {length}")
        if len(array) < at_least:
            raise InputError(
                f"'{self._path(name)}' has {len(array)} numbers, and must have {at_least} or more"
            )
        if len(array) and not (array.min() >= low and array.max() <= high):
            raise InputError(
                f"'{self._path(name)}' has numbers from {array.min():g} to {array.max():g}, and they must be "
                f"numbers{_range(low, high)}"
            )
        steps = np.diff(array)
        if rising is not None and (steps < 0 if rising else steps > 0).any():
            raise InputError(f"the numbers of '{self._path(name)}' are not in order")
        return array

    def _path(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name

    def _wrong(self, name: str, wanted: str) -> InputError:
        return InputError(f"'{self._path(name)}' is {_shown(self.values[name])}, and must be {wanted}")


def _range(low: float, high: float) -> str:
    if math.isfinite(low) and math.isfinite(high):
        return f" from {low:g} to {high:g}"
    return (
        f" of at least {low:g}" if math.isfinite(low) else f" of at most {high:g}" if high < math.inf else ""
    )


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, (str, float, bool)) or value is None else ""
    if isinstance(value, int) and not text:
        text = str(value) if abs(value) < 10**40 else "a huge number"
    text = text or {"list": "a list", "dict": "a group of named values"}.get(
        type(value).__name__, "something else"
    )
    return text if len(text) <= 60 else f"{text[:60]}..."
