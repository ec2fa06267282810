"""What every network family offers."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field
from torch import nn

from ...papers import Reference
from ...settings import Strict
from .parts import Codec, InputLayer

__all__ = ["Architecture", "Layers"]

_MAX_LAYERS = 64
Layers = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=_MAX_LAYERS)]


class Architecture(Strict, abc.ABC):
    """Settings of a network family and the networks they stand for.

    The input layer makes flat vectors of rows; encoders, decoders and scalar networks work on those.
    """

    #: Whether a CPU computes scores in float32: only where the sums of a row have one order in all batches.
    float32_scores: ClassVar[bool] = False

    #: What a reference list names where such a network is used.
    papers: ClassVar[tuple[Reference, ...]] = ()

    if TYPE_CHECKING:
        kind: Any  # the name in NETWORKS; a literal in every family

    latent_dim: int = Field(8, ge=2, description="dimension of the latent space (of the one around a sphere)")
    manifold_dims: Layers = Field(
        (),
        description="latent dimensions of the frozen autoencoders that propose negatives (MPDR); "
        "empty for one with latent_dim",
    )

    @abc.abstractmethod
    def input_layer(self, shape: tuple[int, ...]) -> InputLayer:
        """From rows of this shape to flat inputs.

        Raises:
            ConfigError: if the family cannot take such rows.
        """

    @abc.abstractmethod
    def encoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        """``(n, n_features) -> (n, latent_dim)``."""

    @abc.abstractmethod
    def decoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        """``(n, latent_dim) -> (n, n_features)``."""

    @abc.abstractmethod
    def scalar(self, layer: InputLayer) -> nn.Module:
        """``(n, n_features) -> (n, 1)``."""

    def codec(self, layer: InputLayer, latent_dim: int | None = None) -> Codec:
        """Encoder and decoder with a latent space on the unit sphere."""
        d = latent_dim or self.latent_dim
        return Codec(self.encoder(layer, d), self.decoder(layer, d), d)
