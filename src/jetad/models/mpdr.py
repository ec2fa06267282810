"""Manifold projection-diffusion recovery: frozen autoencoders propose negatives of a separate energy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import MethodSettings
from .igebm import ScalarEnergy
from .nae import NormalizedAutoencoder
from .networks import Architecture, InputLayer

__all__ = ["ManifoldReconstruction", "ManifoldScalar"]


def _manifolds(network: Architecture, layer: InputLayer) -> nn.ModuleList:
    return nn.ModuleList(network.codec(layer, d) for d in network.manifold_dims or (network.latent_dim,))


def _coders(manifolds: nn.ModuleList) -> list[tuple[nn.Module, nn.Module]]:
    return [(codec.encoder, codec.decoder) for codec in manifolds]  # type: ignore[misc]


def _total_error(manifolds: nn.ModuleList, x: Tensor) -> Tensor:
    return torch.stack([codec.error(x) for codec in manifolds]).sum(dim=0)  # type: ignore[operator]


class ManifoldScalar(ScalarEnergy):
    """MPDR-S: the energy is a scalar network; one or several autoencoders only propose negatives.

    The autoencoders are trained in the reconstruction phase and frozen afterwards. A background jet is
    projected on one of their manifolds and moved on it; the energy learns to recover the jet
    (``jetad.samplers.recovery``).

    References:
        Yoon, Jin, Noh, Park, "Energy-based models for anomaly detection: a manifold diffusion recovery
        approach", 2023, arXiv:2310.18677
    """

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        self.manifolds = _manifolds(network, self.input)

    def coders(self) -> list[tuple[nn.Module, nn.Module]]:
        return _coders(self.manifolds)

    def reconstruction_error(self, x: Tensor) -> Tensor:
        return _total_error(self.manifolds, x)

    def energy_parameters(self) -> list[nn.Parameter]:
        return list(self.network.parameters())


class ManifoldReconstruction(NormalizedAutoencoder):
    """MPDR-R: the energy is ``s^2`` times the reconstruction error of an autoencoder, ``s`` learned.

    The frozen autoencoder that proposes negatives is what this one is after the reconstruction phase, unless
    ``manifold_dims`` asks for others.

    References:
        Yoon, Jin, Noh, Park, 2023, arXiv:2310.18677
    """

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        self.scale = nn.Parameter(torch.ones(()))
        self.manifolds = _manifolds(network, self.input)
        self.own_manifolds = bool(network.manifold_dims)

    def energy(self, x: Tensor) -> Tensor:
        return self.scale.square() * super().energy(x)

    def unscaled_energy(self, x: Tensor) -> Tensor:
        return super().energy(x)

    def reconstruction_error(self, x: Tensor) -> Tensor:
        if not self.own_manifolds:
            return self.codec.error(x)
        # all at once: they share no parameter
        return self.codec.error(x) + _total_error(self.manifolds, x)

    def coders(self) -> list[tuple[nn.Module, nn.Module]]:
        return super().coders() + (_coders(self.manifolds) if self.own_manifolds else [])

    def begin_density(self) -> None:
        if not self.own_manifolds:
            self.manifolds[0].load_state_dict(self.codec.state_dict())

    def energy_parameters(self) -> list[nn.Parameter]:
        return [*self.codec.parameters(), self.scale]
