"""The denoising autoencoder: it learns to give back a jet that noise was added to."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..distributed.shared_batch import normal, uniform
from .autoencoder import Autoencoder, AutoencoderSettings
from .base import MethodSettings
from .networks import Architecture

__all__ = ["DenoisingAutoencoder", "DenoisingSettings"]


class DenoisingSettings(AutoencoderSettings):
    """The noise of the training."""

    noise: Literal["gaussian", "salt-and-pepper"] = "gaussian"
    level: float = Field(
        0.3, ge=0, description="width in units of each input's spread; or the probability of salt or pepper"
    )


class DenoisingAutoencoder(Autoencoder):
    """An autoencoder that sees noisy inputs in training and is compared with the clean ones.

    Gaussian noise has the width ``level`` times the spread of the background, input by input; salt and
    pepper replace an input with the probability ``level`` by the largest or smallest value that it has in
    the background. The score is the reconstruction error of the clean input; ``level`` 0 is the plain
    autoencoder.

    References:
        Vincent, Larochelle, Bengio, Manzagol, "Extracting and composing robust features with denoising
        autoencoders", ICML 2008
    """

    Settings = DenoisingSettings
    settings: DenoisingSettings
    spread: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        for name in ("spread", "low", "high"):
            self.register_buffer(name, torch.zeros(self.input.n_features))

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        self.spread.copy_(x.std(dim=0))
        self.low.copy_(x.min(dim=0).values)
        self.high.copy_(x.max(dim=0).values)

    def corrupted(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Inputs ``(n, d)`` with noise."""
        level = self.settings.level
        if self.settings.noise == "gaussian":
            noise = normal(x.shape, generator, device=x.device, dtype=x.dtype)
            return x + level * self.spread * noise
        u = uniform(x.shape, generator, device=x.device)
        return torch.where(u < level, torch.where(u < level / 2, self.low, self.high), x)

    def objective(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return (x - self.reconstruct(self.corrupted(x, generator))).square().sum(dim=1).mean()

    def diagnostics(self, x: Tensor) -> dict[str, float]:
        return {"clean_energy": float(self.energy(x).mean())}
