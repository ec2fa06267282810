"""Network families: one a file; each is its settings, which build encoders, decoders and scalar networks."""

from __future__ import annotations

from .base import Architecture, Layers
from .parts import Codec, InputLayer

__all__ = ["NETWORKS", "Architecture", "Codec", "InputLayer", "Layers"]

NETWORKS = {
    "dense": "jetad.models.networks.dense:DenseConfig",
    "convolution": "jetad.models.networks.convolution:ConvolutionConfig",
    "jet40": "jetad.models.networks.jet40:Jet40Config",
    "mnist28": "jetad.models.networks.mnist28:Mnist28Config",
    "deepset": "jetad.models.networks.deepset:DeepSetConfig",
    "inputs": "jetad.models.networks.inputs:InputsConfig",
    "embedding": "jetad.models.networks.embedding:EmbeddingConfig",
}
