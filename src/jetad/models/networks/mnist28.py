"""The published network of the NAE for handwritten digits of 28 x 28 pixels."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from ...errors import ConfigError
from .base import Architecture, Layers
from .parts import InputLayer, UnitInput, by_channels

__all__ = ["Mnist28Config"]


class Mnist28Config(Architecture):
    """Convolutions without padding from 28 x 28 pixels to one, transposed ones back.

    With the default channels and units it is the published network of 2,455,713 parameters. Images are
    doubled with the corners of the pixels' centres aligned, as published.

    References:
        Yoon, Noh, Park, "Autoencoding under normalization constraints", 2021, arXiv:2105.05735
    """

    kind: Literal["mnist28"] = "mnist28"
    float32_scores: ClassVar[bool] = True
    latent_dim: int = Field(32, ge=2, description="dimension of the space that holds the unit sphere")
    channels: Layers = Field(
        (32, 64, 64, 128), min_length=4, max_length=4, description="of two convolutions before each pooling"
    )
    units: int = Field(1024, ge=1, description="where the image has become one pixel")
    spectral_norm: bool = Field(
        False, description="divide every weight of a scalar network by its largest singular value"
    )

    def input_layer(self, shape: tuple[int, ...]) -> InputLayer:
        if shape != (1, 28, 28):
            raise ConfigError(f"network kind 'mnist28' takes images of 1 x 28 x 28, not {shape}")
        return UnitInput(shape)

    def encoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        a, b, c, d = self.channels
        return by_channels(nn.Sequential(
            nn.Unflatten(1, layer.shape),
            nn.Conv2d(1, a, 3), nn.ReLU(),
            nn.Conv2d(a, b, 3), nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(b, c, 3), nn.ReLU(),
            nn.Conv2d(c, d, 3), nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(d, self.units, 4), nn.ReLU(),
            nn.Conv2d(self.units, latent_dim, 1),
            nn.Flatten(),
        ))  # fmt: skip

    def scalar(self, layer: InputLayer) -> nn.Module:
        network = self.encoder(layer, 1)
        if self.spectral_norm:
            for module in network.modules():
                if isinstance(module, nn.Conv2d):
                    spectral_norm(module)
        return network

    def decoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        a, b, c, d = self.channels
        return by_channels(nn.Sequential(
            nn.Unflatten(1, (latent_dim, 1, 1)),
            nn.ConvTranspose2d(latent_dim, d, 4), nn.ReLU(),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.ConvTranspose2d(d, c, 3), nn.ReLU(),
            nn.ConvTranspose2d(c, b, 3), nn.ReLU(),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.ConvTranspose2d(b, a, 3), nn.ReLU(),
            nn.ConvTranspose2d(a, 1, 3), nn.Sigmoid(),
            nn.Flatten(),
        ))  # fmt: skip
