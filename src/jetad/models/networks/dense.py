"""Dense networks, on principal components or on the values as they are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from torch import nn
from typing_extensions import Self

from .base import Architecture, Layers
from .parts import InputLayer, PlainInput, PrincipalComponents, UnitInput, mlp

__all__ = ["DenseConfig"]


class DenseConfig(Architecture):
    """Dense layers; the decoder mirrors the encoder."""

    kind: Literal["dense"] = "dense"
    components: int | None = Field(
        60, ge=1, description="whitened principal components in front; null for none"
    )
    hidden: Layers = Field((256, 128), min_length=1, description="units of the encoder's layers")
    output: Literal["linear", "sigmoid"] = Field(
        "linear", description="of the decoder; sigmoid for pixels between 0 and 1, without components"
    )

    @model_validator(mode="after")
    def _bounded_pixels(self) -> Self:
        if self.output == "sigmoid" and self.components is not None:
            raise ValueError("principal components are not between 0 and 1; give components=null, too")
        return self

    def input_layer(self, shape: tuple[int, ...]) -> InputLayer:
        if self.output == "sigmoid":
            return UnitInput(shape)
        return PlainInput(shape) if self.components is None else PrincipalComponents(shape, self.components)

    def encoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        return mlp([layer.n_features, *self.hidden, latent_dim])

    def decoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        layers = mlp([latent_dim, *self.hidden[::-1], layer.n_features])
        return nn.Sequential(*layers, nn.Sigmoid()) if self.output == "sigmoid" else layers

    def scalar(self, layer: InputLayer) -> nn.Module:
        return mlp([layer.n_features, *self.hidden, 1])
