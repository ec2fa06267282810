"""The plain autoencoder: what it reconstructs badly is called anomalous."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from .base import EnergyModel, MethodSettings
from .networks import Architecture

__all__ = ["Autoencoder", "AutoencoderSettings"]


class AutoencoderSettings(MethodSettings):
    """What the score is; the training minimises the error in any case."""

    score: Literal["error", "relative"] = Field(
        "error", description="the energy, or the energy divided by the squared norm of the input plus offset"
    )
    offset: float = Field(1.0, ge=0, description="added to that norm, so that empty inputs have a score")


class Autoencoder(EnergyModel):
    r"""Energy ``E(x) = ||x - f_d(f_e(x))||^2`` with a latent space on the unit sphere.

    The score is the energy, or the relative error ``E(x) / (||x||^2 + offset)``: pictures with more in them
    have larger errors, and what has little in it, such as the digit 1, would pass for normal.

    References:
        Heimel, Kasieczka, Plehn, Thompson, "QCD or What?", 2018, arXiv:1808.08979;
        Farina, Nakai, Shih, "Searching for new physics with deep autoencoders", 2018, arXiv:1808.08992;
        sphere: Yoon, Noh, Park, 2021, arXiv:2105.05735

    Example:
        >>> import torch
        >>> from jetad.models.networks.dense import DenseConfig
        >>> model = Autoencoder((1, 40, 40), DenseConfig(components=5, hidden=(16,), latent_dim=3))
        >>> model.score(torch.rand(5, 1, 40, 40)).shape
        torch.Size([5])
    """

    Settings = AutoencoderSettings
    settings: AutoencoderSettings

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        self.codec = network.codec(self.input)

    def reconstruct(self, x: Tensor) -> Tensor:
        """``f_d(f_e(x))``, same shape."""
        y: Tensor = self.codec(x)
        return y

    def coders(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.codec.encoder, self.codec.decoder)]

    def embedding(self, x: Tensor) -> Tensor:
        return self.codec.encode(x)

    def energy(self, x: Tensor) -> Tensor:
        return self.codec.error(x)

    def scored_energy(self, x: Tensor) -> Tensor:
        energy = self.energy(x)
        if self.settings.score == "error":
            return energy
        return energy / (x.square().sum(dim=1) + self.settings.offset)
