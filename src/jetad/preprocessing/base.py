"""What every representation of jets offers."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from ..jets import Jets

__all__ = ["Preprocessor"]


class Preprocessor(Protocol):
    """Turns jets into one float32 array per jet; rows are never dropped or reordered.

    A jet that cannot be represented (no constituents, non-finite values) gets a row of NaN.
    """

    config: Any  # the settings, of pydantic

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the representation of one jet."""
        ...

    def fit(self, jets: Jets) -> Self:
        """Measure constants on training background (nothing to do for images)."""
        ...

    def transform(self, jets: Jets) -> NDArray[np.float32]:
        """The representation, ``(n_jets, ...)`` float32; the argument is left as it is."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """All settings and constants as plain JSON values."""
        ...

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        ...
