"""Network families: one a file; each is its settings, which build encoders, decoders and scalar networks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Architecture, Layers
from .convolution import ConvolutionConfig
from .deepset import DeepSetConfig
from .dense import DenseConfig
from .embedding import EmbeddingConfig
from .inputs import InputsConfig
from .jet40 import Jet40Config
from .mnist28 import Mnist28Config
from .parts import Codec, InputLayer

__all__ = ["NETWORKS", "Architecture", "Codec", "InputLayer", "Layers", "NetworkConfig"]

NetworkConfig = Annotated[
    DenseConfig
    | ConvolutionConfig
    | Jet40Config
    | Mnist28Config
    | DeepSetConfig
    | InputsConfig
    | EmbeddingConfig,
    Field(discriminator="kind"),
]
NETWORKS: dict[str, type[Architecture]] = {
    "dense": DenseConfig,
    "convolution": ConvolutionConfig,
    "jet40": Jet40Config,
    "mnist28": Mnist28Config,
    "deepset": DeepSetConfig,
    "inputs": InputsConfig,
    "embedding": EmbeddingConfig,
}
