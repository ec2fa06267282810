"""Autoencoders with a flat latent space, for methods that have a prior or a mixture there."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from .base import EnergyModel, MethodSettings
from .networks import Architecture
from .networks.parts import full

__all__ = ["FlatAutoencoder"]


class FlatAutoencoder(EnergyModel):
    """Encoder and decoder between inputs and all of ``R^latent_dim``; the energy is the squared error."""

    #: Numbers that the encoder writes for each latent direction.
    numbers_per_latent: ClassVar[int] = 1
    variance: Tensor

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        self.latent_dim = network.latent_dim
        self.encoder = network.encoder(self.input, self.numbers_per_latent * self.latent_dim)
        self.decoder = network.decoder(self.input, self.latent_dim)
        self.register_buffer("variance", torch.ones(()))  # of the background, summed over the inputs

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        self.variance.fill_(float(x.double().var(dim=0).sum()))

    def encode(self, x: Tensor) -> Tensor:
        """Inputs ``(n, d)`` to latent points ``(n, latent_dim)``."""
        return full(self.encoder(x), x)

    def decode(self, z: Tensor) -> Tensor:
        """Latent points ``(n, latent_dim)`` to inputs ``(n, d)``."""
        return full(self.decoder(z), z)

    def reconstruct(self, x: Tensor) -> Tensor:
        """``f_d(f_e(x))``, same shape."""
        return self.decode(self.encode(x))

    def coders(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.encoder, self.decoder)]

    def embedding(self, x: Tensor) -> Tensor:
        return self.encode(x)[:, : self.latent_dim]

    def error(self, x: Tensor) -> Tensor:
        """Squared reconstruction error, ``(n, d) -> (n,)``."""
        return (x - self.reconstruct(x)).square().sum(dim=1)

    def energy(self, x: Tensor) -> Tensor:
        return self.error(x)

    def diagnostics(self, x: Tensor) -> dict[str, float]:
        return {
            "dead_latents": float((self.encode(x).std(dim=0) < 0.1).sum()),
            "unexplained": float(self.error(x).mean() / self.variance),
        }
