"""An energy that is any scalar network."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from .base import MethodSettings
from .density import DensityModel
from .networks import Architecture

__all__ = ["ScalarEnergy", "ScalarSettings"]


class ScalarSettings(MethodSettings):
    """What follows the network."""

    output_scale: bool = Field(False, description="learn a scale and an offset of the energy, too")


class ScalarEnergy(DensityModel):
    """Energy ``E(x) = f(x)`` of a network with one output, ``p(x) = exp(-E(x) / T) / Omega`` in a box.

    The overall size of E is free, so T stays one unless it is set. With ``output_scale`` it is
    ``E(x) = a f(x) + b``: layers of spectral norm one cannot give a scale of their own.

    References:
        Du, Mordatch, "Implicit generation and generalization in energy-based models", 2019,
        arXiv:1903.08689
    """

    Settings = ScalarSettings
    settings: ScalarSettings

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        self.network = network.scalar(self.input)
        if self.settings.output_scale:
            self.network = nn.Sequential(self.network, nn.Linear(1, 1))

    def energy(self, x: Tensor) -> Tensor:
        e: Tensor = self.network(x)
        return e[:, 0].to(x.dtype)

    @torch.no_grad()
    def fit_temperature(self, x: Tensor) -> float:
        self.temperature.fill_(1.0)
        return float(x.shape[1])
