"""The normalized autoencoder: reconstruction error as the energy of a normalized density."""

from __future__ import annotations

import torch
from torch import Tensor

from .autoencoder import Autoencoder
from .density import DensityModel

__all__ = ["NormalizedAutoencoder"]


class NormalizedAutoencoder(Autoencoder, DensityModel):
    r"""An autoencoder that defines the density ``p(x) = exp(-E(x) / T) / Omega`` inside a box.

    The gradient of the log-likelihood is ``-grad E(x+) / T + <grad E(x-) / T>`` with x- drawn from p, so
    training raises the energy of everything the model itself finds likely and the data does not show.

    The temperature sets what "likely" means. A residual that is Gaussian in k directions has
    ``<E> / T = k / 2``; ``fit_temperature`` therefore takes ``T = 2 <E> / k``, with k the participation
    ratio of the residual's covariance on held-out background, when the reconstruction phase ends.

    References:
        Yoon, Noh, Park, "Autoencoding under normalization constraints", 2021, arXiv:2105.05735
        (equations 4-8); Dillon, Favaro, Plehn, Sorrenson, Kraemer, "A normalized autoencoder for LHC
        triggers", 2022, arXiv:2206.14225. The temperature rule is ours; the papers set T = 1 by hand.
    """

    @torch.no_grad()
    def fit_temperature(self, x: Tensor) -> float:
        residual = (x - self.reconstruct(x)).double()
        covariance = residual.T @ residual / len(x)
        k = float(covariance.trace().square() / covariance.square().sum())
        self.temperature.fill_(2 * float(covariance.trace()) / k)
        return k

    def latent_energy(self, z: Tensor) -> Tensor:
        """The energy on the manifold, ``H(z) = E(f_d(z))``, ``(n, latent_dim) -> (n,)``."""
        return self.energy(self.codec.decode(z))
