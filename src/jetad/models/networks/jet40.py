"""The published network of the jet NAE for images of 40 x 40 pixels."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ...errors import ConfigError
from .base import Architecture
from .parts import InputLayer, UnitInput

__all__ = ["Jet40Config"]


class Jet40Config(Architecture):
    """Convolutions of stride 1 with 8 channels, PReLU, spectral norm on every layer; 84,442 parameters.

    The published decoder has transposed convolutions; of stride 1 they are convolutions with the
    kernel turned round, which run faster.

    References:
        Dillon, Favaro, Plehn, Sorrenson, Kraemer, "A normalized autoencoder for LHC triggers", 2022,
        arXiv:2206.14225
    """

    kind: Literal["jet40"] = "jet40"
    float32_scores: ClassVar[bool] = True
    latent_dim: int = Field(3, ge=2, description="dimension of the space that holds the unit sphere")
    width: int = Field(8, ge=1, description="channels")
    spectral_norm: bool = Field(True, description="divide every weight by its largest singular value")

    def input_layer(self, shape: tuple[int, ...]) -> InputLayer:
        if shape != (1, 40, 40):
            raise ConfigError(f"network kind 'jet40' takes images of 1 x 40 x 40, not {shape}")
        return UnitInput(shape)

    def encoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        return _faster(nn.Sequential(*self._trunk(), self._norm(nn.Linear(100, latent_dim))))

    def scalar(self, layer: InputLayer) -> nn.Module:
        return _faster(nn.Sequential(*self._trunk(), self._norm(nn.Linear(100, 1))))

    def decoder(self, layer: InputLayer, latent_dim: int) -> nn.Module:
        w, norm = self.width, self._norm
        return _faster(nn.Sequential(
            norm(nn.Linear(latent_dim, 100)), _PReLU(),
            norm(nn.Linear(100, 400)), _PReLU(),
            nn.Unflatten(1, (1, 20, 20)),
            norm(nn.Conv2d(1, w, 3, padding=1)), _PReLU(),
            norm(nn.Conv2d(w, w, 3, padding=1)), _PReLU(),
            nn.Upsample(scale_factor=2, mode="bilinear"), _PReLU(),
            norm(nn.Conv2d(w, w, 3, padding=1)), _PReLU(),
            norm(nn.Conv2d(w, 1, 3, padding=1)), nn.Sigmoid(),
            nn.Flatten(),
        ))  # fmt: skip

    def _trunk(self) -> list[nn.Module]:
        w, norm = self.width, self._norm
        return [
            nn.Unflatten(1, (1, 40, 40)),
            norm(nn.Conv2d(1, w, 3, padding=1)), _PReLU(),
            norm(nn.Conv2d(w, w, 3, padding=1)), _PReLU(),
            nn.MaxPool2d(2), _PReLU(),
            norm(nn.Conv2d(w, w, 3, padding=1)), _PReLU(),
            norm(nn.Conv2d(w, w, 3, padding=1)), _PReLU(),
            norm(nn.Conv2d(w, 1, 3, padding=1)), _PReLU(),
            nn.Flatten(),
            norm(nn.Linear(400, 100)), _PReLU(),
        ]  # fmt: skip

    def _norm(self, module: nn.Module) -> nn.Module:
        if not self.spectral_norm:
            return module
        nn.init.normal_(module.weight)  # type: ignore[arg-type]
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        return spectral_norm(module)


class _PReLU(nn.PReLU):
    """One slope; the gradient of a frozen one costs no pass over the data."""

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.requires_grad or x.device.type != "cpu":  # reading the slope would stall a GPU
            return super().forward(x)
        return nn.functional.leaky_relu(x, float(self.weight))


def _faster(module: nn.Module) -> nn.Module:
    """Convolutions of few channels are a tenth faster with the channels innermost."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module
