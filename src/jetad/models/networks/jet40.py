"""The published network of the jet NAE for images of 40 x 40 pixels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from ...errors import ConfigError
from .base import Architecture
from .parts import InputLayer, PlainInput

__all__ = ["Jet40Config"]


class Jet40Config(Architecture):
    """Convolutions of stride 1 with 8 channels, PReLU, spectral norm on every layer; 84,442 parameters.

    References:
        Dillon, Favaro, Plehn, Sorrenson, Kraemer, "A normalized autoencoder for LHC triggers", 2022,
        arXiv:2206.14225
    """

    kind: Literal["jet40"] = "jet40"
    latent_dim: int = Field(3, ge=2, description="dimension of the space that holds the unit sphere")
    width: int = Field(8, ge=1, description="channels")
    spectral_norm: bool = Field(True, description="divide every weight by its largest singular value")

    def input_layer(self, shape: tuple[int, ...]) -> InputLayer:
        if shape != (1, 40, 40):
            raise ConfigError(f"network kind 'jet40' takes images of 1 x 40 x 40, not {shape}")
        return PlainInput(shape)

    def encoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        return nn.Sequential(*self._trunk(), self._norm(nn.Linear(100, latent_dim)))

    def scalar(self, layer: InputLayer) -> nn.Module:
        return nn.Sequential(*self._trunk(), self._norm(nn.Linear(100, 1)))

    def decoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        w, norm = self.width, self._norm
        return nn.Sequential(
            norm(nn.Linear(latent_dim, 100)), nn.PReLU(),
            norm(nn.Linear(100, 400)), nn.PReLU(),
            nn.Unflatten(1, (1, 20, 20)),
            norm(nn.ConvTranspose2d(1, w, 3, padding=1)), nn.PReLU(),
            norm(nn.ConvTranspose2d(w, w, 3, padding=1)), nn.PReLU(),
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.PReLU(),
            norm(nn.ConvTranspose2d(w, w, 3, padding=1)), nn.PReLU(),
            norm(nn.ConvTranspose2d(w, 1, 3, padding=1)), nn.Sigmoid(),
            nn.Flatten(),
        )  # fmt: skip

    def _trunk(self) -> list[nn.Module]:
        w, norm = self.width, self._norm
        return [
            nn.Unflatten(1, (1, 40, 40)),
            norm(nn.Conv2d(1, w, 3, padding=1)), nn.PReLU(),
            norm(nn.Conv2d(w, w, 3, padding=1)), nn.PReLU(),
            nn.MaxPool2d(2), nn.PReLU(),
            norm(nn.Conv2d(w, w, 3, padding=1)), nn.PReLU(),
            norm(nn.Conv2d(w, w, 3, padding=1)), nn.PReLU(),
            norm(nn.Conv2d(w, 1, 3, padding=1)), nn.PReLU(),
            nn.Flatten(),
            norm(nn.Linear(400, 100)), nn.PReLU(),
        ]  # fmt: skip

    def _norm(self, module: nn.Module) -> nn.Module:
        if not self.spectral_norm:
            return module
        nn.init.normal_(module.weight)  # type: ignore[arg-type]
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        return spectral_norm(module)
