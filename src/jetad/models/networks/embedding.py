"""Dense networks on what the encoder of another training makes of a jet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ...errors import ConfigError, InputError
from ...registry import load
from ...settings import Strict
from .. import model_class
from . import NETWORKS
from .base import Architecture, Layers
from .parts import InputLayer, PrincipalComponents, mlp

if TYPE_CHECKING:
    from ..base import EnergyModel

__all__ = ["EmbeddingConfig", "EncoderConfig", "EncoderInput"]


class EncoderConfig(Strict):
    """A trained encoder: how it is built, and where its weights are until they are copied."""

    method: str
    network: dict[str, Any]
    model: dict[str, Any] = Field({})
    member: str = Field(description="of the run that holds the encoder")
    weights: str = Field(description="model.safetensors of that run; read once, when the training begins")
    model_hash: str = Field(description="of that file")

    def build(self, shape: tuple[int, ...]) -> EnergyModel:
        """The encoder without its weights."""
        method = model_class(self.method)
        kind = self.network.get("kind")
        if kind not in NETWORKS:
            raise ConfigError(f"the encoder has an unknown kind of network, {kind!r}")
        network: Architecture = load(NETWORKS, kind, "network")(**self.network)
        return method(shape, network, method.Settings(**self.model))


class EncoderInput(InputLayer):
    """Rows to the whitened principal components of their embedding.

    Arguments:
        shape: Shape of one row, as the encoder takes it.
        config: The encoder; its weights are loaded by ``fit``, and later with those of the whole model.
        n_components: Components kept, at most the dimension of the embedding.
    """

    def __init__(self, shape: tuple[int, ...], config: EncoderConfig, n_components: int) -> None:
        encoder = config.build(shape).requires_grad_(False)
        with torch.no_grad():
            dim = encoder.embedding(torch.zeros(2, encoder.input.n_features)).shape[1]
        super().__init__(shape, min(n_components, dim))
        self.config = config
        self.encoder = encoder
        self.whiten = PrincipalComponents((dim,), n_components)

    def fit(self, rows: Tensor) -> None:
        """Load the encoder and measure the components on background, ``(n, *shape)``.

        Raises:
            InputError: if the encoder's weights are gone or are other ones than when it was chosen.
        """
        self._load()
        with torch.no_grad():
            self.whiten.fit(torch.cat([self._embed(part) for part in rows.split(4096)]))

    def forward(self, rows: Tensor) -> Tensor:
        result: Tensor = self.whiten(self._embed(rows))
        return result

    def restore(self, x: Tensor) -> Tensor:
        raise ConfigError("an embedding cannot be turned back into a jet")

    def _embed(self, rows: Tensor) -> Tensor:
        return self.encoder.embedding(self.encoder.prepare(rows))

    def _load(self) -> None:
        import hashlib

        from safetensors import SafetensorError
        from safetensors.torch import load as tensors_of

        path = Path(self.config.weights)
        try:
            content = path.read_bytes()
            tensors = tensors_of(content)
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path}: the encoder cannot be read ({error})") from error
        if hashlib.sha256(content).hexdigest()[:16] != self.config.model_hash:
            raise InputError(f"{path}: is another encoder than the one this training began with")
        prefix = f"{self.config.member}."
        self.encoder.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )


class EmbeddingConfig(Architecture):
    """Dense layers on a trained encoder's whitened embedding; the encoder itself stays as it is."""

    kind: Literal["embedding"] = "embedding"
    source: EncoderConfig
    components: int = Field(16, ge=1, description="whitened principal components of the embedding")
    hidden: Layers = Field((128, 128), min_length=1, description="units of the encoder's layers")

    def input_layer(self, shape: tuple[int, ...]) -> InputLayer:
        return EncoderInput(shape, self.source, self.components)

    def encoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        return mlp([layer.n_features, *self.hidden, latent_dim])

    def decoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        return mlp([latent_dim, *self.hidden[::-1], layer.n_features])

    def scalar(self, layer: InputLayer) -> nn.Module:
        return mlp([layer.n_features, *self.hidden, 1])
