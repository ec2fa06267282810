"""The Wasserstein autoencoder: the codes of the background follow a prior as a whole."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..distributed.shared_batch import normal, uniform, whole
from .base import MethodSettings
from .distances import mean_discrepancy
from .flat import FlatAutoencoder

__all__ = ["WassersteinAutoencoder", "WassersteinSettings"]


class WassersteinSettings(MethodSettings):
    """The prior and its weight."""

    prior: Literal["gaussian", "uniform"] = Field(
        "gaussian", description="of the codes: unit normal, or uniform between -1 and 1 with a tanh in front"
    )
    weight: float = Field(1.0, ge=0, description="of the discrepancy between codes and prior")


class WassersteinAutoencoder(FlatAutoencoder):
    """WAE-MMD: an autoencoder with the maximum mean discrepancy between its codes and a prior added.

    The loss is the unexplained fraction of the background's variance plus ``weight`` times the
    discrepancy: both are at most of order one whatever the inputs. The score is the squared error.

    References:
        Tolstikhin, Bousquet, Gelly, Schoelkopf, "Wasserstein auto-encoders", 2017, arXiv:1711.01558
    """

    Settings = WassersteinSettings
    settings: WassersteinSettings

    def encode(self, x: Tensor) -> Tensor:
        z = super().encode(x)
        return torch.tanh(z) if self.settings.prior == "uniform" else z

    def objective(self, x: Tensor, generator: torch.Generator) -> Tensor:
        z = self.encode(x)
        error = (x - self.decode(z)).square().sum(dim=1).mean()
        codes, prior = (whole(points, generator) for points in (z, self._prior(z, generator)))
        return error / self.variance + self.settings.weight * mean_discrepancy(codes, prior)

    def diagnostics(self, x: Tensor) -> dict[str, float]:
        z = self.encode(x)
        prior = self._prior(z, torch.Generator(x.device).manual_seed(0))
        return {**super().diagnostics(x), "discrepancy": float(mean_discrepancy(z, prior))}

    def _prior(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """As many points of the prior, ``(n, latent_dim)``."""
        if self.settings.prior == "uniform":
            return 2 * uniform(z.shape, generator, device=z.device, dtype=z.dtype) - 1
        return normal(z.shape, generator, device=z.device, dtype=z.dtype)
