"""Dense networks, on principal components or on the values as they are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from .base import Architecture
from .parts import InputLayer, PlainInput, PrincipalComponents, mlp

__all__ = ["DenseConfig"]


class DenseConfig(Architecture):
    """Dense layers; the decoder mirrors the encoder."""

    kind: Literal["dense"] = "dense"
    components: int | None = Field(
        60, ge=1, description="whitened principal components in front; null for none"
    )
    hidden: tuple[int, ...] = Field((256, 128), min_length=1, description="units of the encoder's layers")

    def input_layer(self, shape: tuple[int, ...]) -> InputLayer:
        return PlainInput(shape) if self.components is None else PrincipalComponents(shape, self.components)

    def encoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        return mlp([layer.n_features, *self.hidden, latent_dim])

    def decoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        return mlp([latent_dim, *self.hidden[::-1], layer.n_features])

    def scalar(self, layer: InputLayer) -> nn.Module:
        return mlp([layer.n_features, *self.hidden, 1])
