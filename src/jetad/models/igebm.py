"""An energy that is any scalar network."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import MethodSettings
from .density import DensityModel
from .networks import Architecture

__all__ = ["ScalarEnergy"]


class ScalarEnergy(DensityModel):
    """Energy ``E(x) = f(x)`` of a network with one output, ``p(x) = exp(-E(x) / T) / Omega`` in a box.

    The overall size of E is free, so T stays one unless it is set.

    References:
        Du, Mordatch, "Implicit generation and generalization in energy-based models", 2019,
        arXiv:1903.08689
    """

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        self.network = network.scalar(self.input)

    def energy(self, x: Tensor) -> Tensor:
        e: Tensor = self.network(x)
        return e[:, 0].to(x.dtype)

    @torch.no_grad()
    def fit_temperature(self, x: Tensor) -> float:
        self.temperature.fill_(1.0)
        return float(x.shape[1])
