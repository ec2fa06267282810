"""Network parts: input layers, and dense encoders and decoders."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from ..errors import InputError

__all__ = ["NetworkConfig", "PrincipalComponents", "mlp"]


class NetworkConfig(BaseModel):
    """A dense autoencoder with its latent space."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    components: int | None = Field(
        60, ge=1, description="whitened principal components in front; null for none"
    )
    hidden: tuple[int, ...] = Field((256, 128), min_length=1, description="units of the encoder's layers")
    latent_dim: int = Field(8, ge=2, description="dimension of the space that holds the unit sphere")


class PrincipalComponents(nn.Module):
    """Inputs in the leading principal components of the background, each scaled to the same variance.

    Neighbouring pixels of a blurred image carry nearly the same number. In its whitened principal
    components an image is a short vector whose coordinates are uncorrelated and of one size in the
    background, whatever the blur, the pixel power or the normalisation: distances, step sizes and
    temperatures need no tuning to them, and the network is ten times cheaper than on pixels. The
    scale makes the mean squared norm of the background one.

    Arguments:
        shape: Shape of one row.
        n_components: Components kept, at most the size of a row.
    """

    mean: Tensor
    basis: Tensor
    inverse: Tensor

    def __init__(self, shape: tuple[int, ...], n_components: int) -> None:
        super().__init__()
        d = math.prod(shape)
        self.shape = shape
        self.n_features = min(n_components, d)
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("basis", torch.zeros(d, self.n_features))
        self.register_buffer("inverse", torch.zeros(self.n_features, d))

    def extra_repr(self) -> str:
        return f"{self.shape} -> {self.n_features}"

    @torch.no_grad()
    def fit(self, rows: Tensor) -> None:
        """Measure mean and components on background, ``(n, *shape)``."""
        if len(rows) < 2:
            raise InputError(f"{len(rows)} usable background jets are too few to find principal components")
        x = rows.flatten(1).double()
        mean = x.mean(dim=0)
        x = x - mean
        values, vectors = torch.linalg.eigh(x.T @ x / len(x))
        values = values[-self.n_features :].flip(0)
        vectors = vectors[:, -self.n_features :].flip(1)
        # a direction without variance would be blown up to noise
        scale = (self.n_features * values.clamp_min(1e-12 * values[0])).sqrt()
        # the sign of an eigenvector is free: fix it, so that a repeated training is the same everywhere
        largest = vectors.abs().argmax(dim=0)
        vectors = vectors * vectors.gather(0, largest[None]).sign()
        self.mean.copy_(mean)
        self.basis.copy_(vectors / scale)
        self.inverse.copy_((vectors * scale).T)

    def forward(self, rows: Tensor) -> Tensor:
        """``(n, *shape)`` to ``(n, n_features)``."""
        return (rows.flatten(1) - self.mean) @ self.basis

    def restore(self, x: Tensor) -> Tensor:
        """Back to rows, ``(n, n_features)`` to ``(n, *shape)``: the projection on the components kept."""
        return (x @ self.inverse + self.mean).view(-1, *self.shape)


class PlainInput(nn.Module):
    """Inputs as they are, flattened."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.n_features = math.prod(shape)

    def fit(self, rows: Tensor) -> None:
        """Nothing to measure."""

    def forward(self, rows: Tensor) -> Tensor:
        return rows.flatten(1)

    def restore(self, x: Tensor) -> Tensor:
        return x.view(-1, *self.shape)


def mlp(widths: list[int]) -> nn.Sequential:
    """Linear layers of the given widths with leaky ReLU (0.2) between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])
