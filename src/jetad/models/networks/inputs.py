"""No network at all: methods that compute on the inputs themselves."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from ...errors import ConfigError
from .base import Architecture
from .parts import InputLayer, PlainInput, PrincipalComponents

__all__ = ["InputsConfig"]


class InputsConfig(Architecture):
    """Whitened principal components, or the values as they are."""

    kind: Literal["inputs"] = "inputs"
    components: int | None = Field(
        None, ge=1, description="whitened principal components in front; null for none"
    )

    def input_layer(self, shape: tuple[int, ...]) -> InputLayer:
        return PlainInput(shape) if self.components is None else PrincipalComponents(shape, self.components)

    def encoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        raise self._no_layers()

    def decoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        raise self._no_layers()

    def scalar(self, layer: InputLayer) -> nn.Module:
        raise self._no_layers()

    def _no_layers(self) -> ConfigError:
        return ConfigError("network kind 'inputs' has no layers to train; choose another kind")
