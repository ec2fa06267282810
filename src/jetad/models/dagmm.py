"""The deep autoencoding Gaussian mixture: rare are jets whose code and error are together."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from ..distributed.shared_batch import whole
from .base import MethodSettings
from .flat import FlatAutoencoder
from .networks import Architecture, Layers
from .networks.parts import mlp

__all__ = ["Mixture", "MixtureAutoencoder", "MixtureSettings"]

_BLOCK = 8192  # jets encoded at once
_FLOOR = 1e-6  # added to the variances: a direction may be dead


class MixtureSettings(MethodSettings):
    """The mixture and its weights in the loss."""

    components: int = Field(4, ge=1, description="Gaussians of the mixture")
    estimation: Layers = Field((16,), min_length=1, description="units of the network of memberships")
    energy_weight: float = Field(1e-3, ge=0, description="of the mixture's mean energy")
    penalty_weight: float = Field(5e-5, ge=0, description="of the inverse variances")


class Mixture(NamedTuple):
    """A Gaussian mixture with K components in k dimensions, float64."""

    log_peak: Tensor  # (K,), of weight times density at the mean
    mean: Tensor  # (K, k)
    whitening: Tensor  # (K, k, k), the inverse of the Cholesky factor of the covariance

    @classmethod
    def of(cls, points: Tensor, membership: Tensor) -> tuple[Mixture, Tensor]:
        """The mixture of points ``(n, k)`` that belong to components by ``(n, K)``, and its variances."""
        total = membership.sum(dim=0).clamp_min(1e-12)
        mean = membership.T @ points / total[:, None]
        # one component at a time: n k numbers, not n K k
        covariance = []
        for i in range(len(total)):
            centred = points - mean[i]
            covariance.append((membership[:, i, None] * centred).T @ centred / total[i])
        stacked = torch.stack(covariance)
        variances = stacked.diagonal(dim1=1, dim2=2)
        floor = _FLOOR + 1e-9 * variances.sum(dim=1)
        one = torch.eye(points.shape[1], dtype=points.dtype, device=points.device)
        factor = torch.linalg.cholesky(stacked + floor[:, None, None] * one)
        whitening = torch.linalg.solve_triangular(factor, one.expand_as(factor), upper=False)
        log_volume = -whitening.diagonal(dim1=1, dim2=2).log().sum(dim=1)
        log_peak = (total / len(points)).log() - log_volume - 0.5 * points.shape[1] * math.log(2 * math.pi)
        return cls(log_peak, mean, whitening), variances + floor[:, None]

    def energy(self, points: Tensor) -> Tensor:
        """``-ln p`` of points ``(n, k)``, ``(n,)``."""
        whitened = torch.matmul(points - self.mean[:, None], self.whitening.transpose(1, 2))  # (K, n, k)
        return -torch.logsumexp(self.log_peak[:, None] - 0.5 * whitened.square().sum(dim=2), dim=0)


class MixtureAutoencoder(FlatAutoencoder):
    r"""DAGMM: the energy is ``-ln p`` of a Gaussian mixture of code and reconstruction errors.

    A point of the mixture is the code, the error relative to the size of the input, and the cosine of the
    angle between input and reconstruction. A second network says to which component it belongs; weights,
    means and covariances follow from that, of a batch in training, and of the whole training background
    for scoring (``settle``). The loss is the unexplained fraction of the background's variance, plus
    ``energy_weight`` times the mean energy, plus ``penalty_weight`` times the sum of all ``1 / variance``.

    Float64 from the points on. The published network of memberships has dropout; this one has none.

    References:
        Zong, Song, Min, Cheng, Lumezanu, Cho, Chen, "Deep autoencoding Gaussian mixture model for
        unsupervised anomaly detection", ICLR 2018
    """

    Settings = MixtureSettings
    settings: MixtureSettings

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        k, n = self.latent_dim + 2, self.settings.components
        self.membership = mlp([k, *self.settings.estimation, n])
        empty = Mixture(torch.zeros(n), torch.zeros(n, k), torch.eye(k).repeat(n, 1, 1))
        for name, value in empty._asdict().items():
            self.register_buffer(name, value.double())

    @property
    def mixture(self) -> Mixture:
        """What ``settle`` measured last."""
        return Mixture(*(self.get_buffer(name) for name in Mixture._fields))

    def points(self, x: Tensor, z: Tensor, y: Tensor) -> Tensor:
        """Code and errors ``(n, latent_dim + 2)`` of inputs with codes z and reconstructions y."""
        size = torch.linalg.vector_norm(x, dim=1).clamp_min(1e-6)
        relative = torch.linalg.vector_norm(x - y, dim=1) / size
        cosine = (x * y).sum(dim=1) / (size * torch.linalg.vector_norm(y, dim=1).clamp_min(1e-6))
        return torch.cat([z, relative[:, None], cosine[:, None]], dim=1)

    def objective(self, x: Tensor, generator: torch.Generator) -> Tensor:
        z = self.encode(x)
        y = self.decode(z)
        points = whole(self.points(x, z, y), generator)
        mixture, variances = Mixture.of(points.double(), self._membership(points))
        error = (x - y).square().sum(dim=1).mean() / self.variance
        s = self.settings
        regular = s.energy_weight * mixture.energy(points.double()).mean()
        return error + (regular + s.penalty_weight * variances.reciprocal().sum()).to(x.dtype)

    @torch.no_grad()
    def settle(self, x: Tensor) -> None:
        points = torch.cat([self._points(part) for part in x.split(_BLOCK)])
        membership = torch.cat([self._membership(part) for part in points.split(_BLOCK)])
        mixture, _ = Mixture.of(points.double(), membership)
        for name, value in mixture._asdict().items():
            self.get_buffer(name).copy_(value)

    def energy(self, x: Tensor) -> Tensor:
        return self.mixture.energy(self._points(x).double()).to(x.dtype)

    def _points(self, x: Tensor) -> Tensor:
        z = self.encode(x)
        return self.points(x, z, self.decode(z))

    def _membership(self, points: Tensor) -> Tensor:
        gamma: Tensor = torch.softmax(self.membership(points).double(), dim=1)
        return gamma
