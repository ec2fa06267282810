"""Distances to the mean in units of the covariance, with classes of the background or without."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ConfigError
from .base import MethodSettings
from .fitted import FittedModel, covariance, mean, whitening
from .networks import Architecture

__all__ = ["Mahalanobis", "RelativeMahalanobis"]


class Mahalanobis(FittedModel):
    """Energy ``E(x) = min_k (x - m_k) C^-1 (x - m_k)`` with the means m_k of the classes and their shared C.

    Without classes there is one mean.

    References:
        Mahalanobis, "On the generalised distance in statistics", 1936; Lee, Lee, Lee, Shin, "A simple
        unified framework for detecting out-of-distribution samples and adversarial attacks", 2018,
        arXiv:1807.03888
    """

    means: Tensor  # (k, d)
    matrix: Tensor  # (d, d), |r matrix|^2 = r C^-1 r

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        d = self.input.n_features
        self.register_buffer("means", torch.zeros(1, d, dtype=torch.float64))
        self.register_buffer("matrix", torch.eye(d, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, x: Tensor, generator: torch.Generator, classes: Tensor | None = None) -> None:
        means = mean(x, classes)
        self.keep(x.device, means=means, matrix=whitening(covariance(x, means, classes)))

    def energy(self, x: Tensor) -> Tensor:
        x = x.double()
        squares = [((x - m) @ self.matrix).square().sum(dim=1) for m in self.means]
        return torch.stack(squares, dim=1).amin(dim=1)


class RelativeMahalanobis(Mahalanobis):
    """Energy: the distance to the nearest class minus that to the background as a whole.

    What all classes have in common drops out.

    References:
        Ren, Fort, Liu, Guha Roy, Padhy, Lakshminarayanan, "A simple fix to Mahalanobis distance for
        improving near-OOD detection", 2021, arXiv:2106.09022
    """

    overall_mean: Tensor
    overall_matrix: Tensor

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        d = self.input.n_features
        self.register_buffer("overall_mean", torch.zeros(d, dtype=torch.float64))
        self.register_buffer("overall_matrix", torch.eye(d, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, x: Tensor, generator: torch.Generator, classes: Tensor | None = None) -> None:
        if classes is None or int(classes.max()) == 0:
            raise ConfigError(
                "method 'relative-mahalanobis' needs background of several classes: with a single one the "
                "two distances are the same and every score is zero"
            )
        super().fit(x, generator, classes)
        center = mean(x)
        matrix = whitening(covariance(x, center))
        self.keep(x.device, overall_mean=center[0], overall_matrix=matrix)

    def energy(self, x: Tensor) -> Tensor:
        r = x.double() - self.overall_mean
        return super().energy(x) - (r @ self.overall_matrix).square().sum(dim=1)
