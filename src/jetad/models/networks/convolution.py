"""Strided convolutions on images: the resolution falls with the first layer, where the cost is."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from ...errors import ConfigError
from .base import Architecture, Layers
from .parts import InputLayer, ScaledInput, UnitInput, mlp

__all__ = ["ConvolutionConfig"]


class ConvolutionConfig(Architecture):
    """Convolutions of stride 2, 3 x 3, then dense layers; transposed 4 x 4 convolutions back."""

    kind: Literal["convolution"] = "convolution"
    float32_scores: ClassVar[bool] = True
    channels: Layers = Field(
        (16, 32, 32), min_length=1, description="channels after each halving of the image"
    )
    hidden: Layers = Field((), description="units of dense layers between image and latent space")
    output: Literal["linear", "sigmoid"] = Field(
        "linear", description="of the decoder; sigmoid for pixels between 0 and 1"
    )

    def input_layer(self, shape: tuple[int, ...]) -> InputLayer:
        if len(shape) != 3:
            raise ConfigError("network kind 'convolution' takes images; choose 'dense' for features")
        return UnitInput(shape) if self.output == "sigmoid" else ScaledInput(shape)

    def encoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        return nn.Sequential(*self._down(layer), *mlp([self._flat(layer), *self.hidden, latent_dim]))

    def scalar(self, layer: InputLayer) -> nn.Module:
        return self.encoder(layer, 1)

    def decoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        sizes = self._sizes(layer)
        parts: list[nn.Module] = [
            *mlp([latent_dim, *self.hidden[::-1], self._flat(layer)]),
            nn.LeakyReLU(0.2),
            nn.Unflatten(1, (self.channels[-1], *sizes[-1])),
        ]
        back = [*self.channels[::-1], layer.shape[0]]
        for (n_in, n_out), size in zip(pairwise(back), sizes[-2::-1], strict=True):
            parts += [nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1), _Crop(size), nn.LeakyReLU(0.2)]
        parts[-1] = nn.Sigmoid() if self.output == "sigmoid" else nn.Identity()
        return nn.Sequential(*parts, nn.Flatten())

    def _sizes(self, layer: InputLayer) -> list[tuple[int, int]]:
        """Heights and widths, from the image to the last layer."""
        _, h, w = layer.shape
        return [(math.ceil(h / 2**k), math.ceil(w / 2**k)) for k in range(len(self.channels) + 1)]

    def _flat(self, layer: InputLayer) -> int:
        return self.channels[-1] * math.prod(self._sizes(layer)[-1])

    def _down(self, layer: InputLayer) -> list[nn.Module]:
        parts: list[nn.Module] = [nn.Unflatten(1, layer.shape)]
        for n_in, n_out in pairwise([layer.shape[0], *self.channels]):
            parts += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
        return [*parts, nn.Flatten()]


class _Crop(nn.Module):
    """The first rows and columns of an image that was doubled beyond its size."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : self.size[0], : self.size[1]]
