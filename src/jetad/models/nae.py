"""The normalized autoencoder: reconstruction error as the energy of a normalized density."""

from __future__ import annotations

import torch
from torch import Tensor

from .autoencoder import Autoencoder
from .networks import NetworkConfig

__all__ = ["NormalizedAutoencoder"]


class NormalizedAutoencoder(Autoencoder):
    r"""An autoencoder that defines the density ``p(x) = exp(-E(x) / T) / Omega`` inside a box.

    The gradient of the log-likelihood is ``-grad E(x+) / T + <grad E(x-) / T>`` with x- drawn from p, so
    training raises the energy of everything the model itself finds likely and the data does not show.

    The temperature sets what "likely" means. A residual that is Gaussian in k directions has
    ``<E> / T = k / 2``; ``fit_temperature`` therefore takes ``T = 2 <E> / k``, with k the participation
    ratio of the residual's covariance on held-out background, when the reconstruction phase ends.

    The box bounds the inputs, a margin beyond the range of the background; chains do not leave it.

    References:
        Yoon, Noh, Park, "Autoencoding under normalization constraints", 2021, arXiv:2105.05735
        (equations 4-8); Dillon, Favaro, Plehn, Sorrenson, Kraemer, "A normalized autoencoder for LHC
        triggers", 2022, arXiv:2206.14225. The temperature rule is ours; the papers set T = 1 by hand.
    """

    temperature: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, shape: tuple[int, ...], network: NetworkConfig) -> None:
        super().__init__(shape, network)
        d = self.input.n_features
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("low", torch.full((d,), -float("inf")))
        self.register_buffer("high", torch.full((d,), float("inf")))

    @torch.no_grad()
    def fit_temperature(self, x: Tensor) -> float:
        """Set T from held-out background inputs ``(n, d)``; returns k."""
        residual = (x - self.reconstruct(x)).double()
        covariance = residual.T @ residual / len(x)
        k = float(covariance.trace().square() / covariance.square().sum())
        self.temperature.fill_(2 * float(covariance.trace()) / k)
        return k

    @torch.no_grad()
    def fit_box(self, x: Tensor, margin: float = 0.2) -> None:
        """Set the box to the range of background inputs, wider by ``margin`` of it on each side."""
        low, high = x.min(dim=0).values, x.max(dim=0).values
        self.low.copy_(low - margin * (high - low))
        self.high.copy_(high + margin * (high - low))

    def boxed_energy(self, x: Tensor) -> Tensor:
        """The energy inside the box, infinite outside: what visible chains run on."""
        outside = ((x < self.low) | (x > self.high)).any(dim=1)
        return self.energy(x).masked_fill(outside, float("inf"))

    def latent_energy(self, z: Tensor) -> Tensor:
        """The energy on the manifold, ``H(z) = E(f_d(z))``, ``(n, latent_dim) -> (n,)``."""
        return self.energy(self.decode(z))

    def random_input(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Uniform points of the box, ``(n, d)``."""
        u = torch.rand(n, len(self.low), generator=generator, device=self.low.device)
        return self.low + u * (self.high - self.low)
