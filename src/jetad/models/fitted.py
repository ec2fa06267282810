"""Methods without gradients: constants measured on the background in one go."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .base import EnergyModel

__all__ = ["FittedModel"]


class FittedModel(EnergyModel):
    """A detector whose constants come from the background in closed form, or from a classical algorithm.

    The constants are buffers. Their shapes may depend on the data: a buffer takes the shape of what is
    loaded into it.
    """

    @abc.abstractmethod
    def fit(self, x: Tensor, generator: torch.Generator) -> None:
        """Measure the constants on background inputs ``(n, d)``; randomness comes from the generator."""

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        for name, buffer in self._buffers.items():
            value = state_dict.get(prefix + name)
            if buffer is not None and value is not None and value.shape != buffer.shape:
                self._buffers[name] = buffer.new_empty(value.shape)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
