"""Permutation-invariant networks on sets of constituents."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from ...errors import ConfigError
from ...papers import Reference
from .base import Architecture, Layers
from .parts import InputLayer, ScaledInput, mlp

__all__ = ["DeepSetConfig"]


class DeepSetConfig(Architecture):
    """One network for every constituent, summed (or attending to each other first), then one for the jet.

    The decoder is dense: it writes the constituents in their order of falling pT.

    References:
        Zaheer et al., "Deep sets", 2017, arXiv:1703.06114; Komiske, Metodiev, Thaler, "Energy flow
        networks", 2019, arXiv:1810.05165; attention: Vaswani et al., 2017, arXiv:1706.03762
    """

    papers = (
        Reference(
            "Komiske:2018cqr", ("P. T. Komiske", "E. M. Metodiev", "J. Thaler"), "Energy flow networks", 2019,
            arxiv="1810.05165", used_for="networks on sets of constituents",
        ),
    )  # fmt: skip

    kind: Literal["deepset"] = "deepset"
    per_constituent: Layers = Field((64, 64), min_length=1, description="units, same for each")
    hidden: Layers = Field((128,), min_length=1, description="units after the sum")
    attention_heads: int = Field(0, ge=0, description="heads of one self-attention block; 0 for none")

    def input_layer(self, shape: tuple[int, ...]) -> InputLayer:
        if len(shape) != 2:
            raise ConfigError("network kind 'deepset' takes constituents; choose 'dense' for other inputs")
        return ScaledInput(shape)

    def encoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        return _SetNetwork(layer, self, latent_dim)

    def scalar(self, layer: InputLayer) -> nn.Module:
        return _SetNetwork(layer, self, 1)

    def decoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        return mlp([latent_dim, *self.hidden[::-1], *self.hidden[::-1], layer.n_features])


class _SetNetwork(nn.Module):
    """``(n, k * c)`` to ``(n, n_out)``, whatever the order of the k constituents."""

    def __init__(self, layer: InputLayer, config: DeepSetConfig, n_out: int) -> None:
        super().__init__()
        self.shape = layer.shape
        width = config.per_constituent[-1]
        self.each = mlp([self.shape[1], *config.per_constituent])
        self.attention = (
            nn.MultiheadAttention(width, config.attention_heads, batch_first=True)
            if config.attention_heads
            else None
        )
        self.jet = mlp([width, *config.hidden, n_out])
        self.scale = self.shape[0] ** -0.5

    def forward(self, x: Tensor) -> Tensor:
        h = self.each(x.view(-1, *self.shape))
        if self.attention is not None:
            h = h + self.attention(h, h, h, need_weights=False)[0]
        out: Tensor = self.jet(h.sum(dim=1) * self.scale)
        return out
