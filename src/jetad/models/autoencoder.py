"""The plain autoencoder: what it reconstructs badly is called anomalous."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..samplers.geometry import SPHERE, Geometry
from .base import EnergyModel
from .networks import NetworkConfig, PlainInput, PrincipalComponents, mlp

__all__ = ["Autoencoder"]


class Autoencoder(EnergyModel):
    r"""Energy ``E(x) = ||x - f_d(f_e(x))||^2`` with a latent space on the unit sphere.

    Arguments:
        shape: Shape of one row, an image or a vector of features.
        network: Principal components in front, widths and latent dimension.

    References:
        Heimel, Kasieczka, Plehn, Thompson, "QCD or What?", 2018, arXiv:1808.08979;
        Farina, Nakai, Shih, "Searching for new physics with deep autoencoders", 2018, arXiv:1808.08992;
        sphere: Yoon, Noh, Park, 2021, arXiv:2105.05735

    Example:
        >>> model = Autoencoder((1, 40, 40), NetworkConfig(components=5, hidden=(16,), latent_dim=3))
        >>> model.score(torch.rand(5, 1, 40, 40)).shape
        torch.Size([5])
    """

    latent_geometry: Geometry = SPHERE

    def __init__(self, shape: tuple[int, ...], network: NetworkConfig) -> None:
        super().__init__()
        self.input: PrincipalComponents | PlainInput = (
            PlainInput(shape)
            if network.components is None
            else PrincipalComponents(shape, network.components)
        )
        self.latent_dim = network.latent_dim
        widths = [self.input.n_features, *network.hidden, network.latent_dim]
        self.encoder = mlp(widths)
        self.decoder = mlp(widths[::-1])

    def prepare(self, rows: Tensor) -> Tensor:
        x: Tensor = self.input(rows)
        return x

    def restore(self, x: Tensor) -> Tensor:
        return self.input.restore(x)

    def fit_input(self, rows: Tensor) -> None:
        self.input.fit(rows)

    def encode(self, x: Tensor) -> Tensor:
        """Inputs ``(n, d)`` to points on the sphere ``(n, latent_dim)``."""
        return nn.functional.normalize(self.encoder(x), dim=1)

    def decode(self, z: Tensor) -> Tensor:
        """Latent points ``(n, latent_dim)`` to inputs ``(n, d)``."""
        x: Tensor = self.decoder(z)
        return x

    def reconstruct(self, x: Tensor) -> Tensor:
        """``f_d(f_e(x))``, same shape."""
        return self.decode(self.encode(x))

    def energy(self, x: Tensor) -> Tensor:
        return (x - self.reconstruct(x)).square().sum(dim=1)

    def random_latent(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Uniform points on the sphere, ``(n, latent_dim)``."""
        device = next(self.parameters()).device
        z = torch.randn(n, self.latent_dim, generator=generator, device=device)
        return nn.functional.normalize(z, dim=1)
