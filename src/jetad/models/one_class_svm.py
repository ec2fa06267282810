"""The one-class support vector machine: a smooth border around most of the background."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..errors import InputError
from .base import MethodSettings
from .fitted import FittedModel, by_blocks, sample
from .knn import squared_distances
from .networks import Architecture

__all__ = ["SupportVectors"]


class SupportSettings(MethodSettings):
    nu: float = Field(0.1, gt=0, lt=1, description="share of the background outside the border, at most")
    gamma: float | Literal["scale"] = Field(
        "scale", description="of the kernel exp(-gamma |x - y|^2); scale for 1 / (d variance)"
    )
    max_jets: int = Field(
        10_000, ge=2, description="fitted to at most so many, chosen at random; time grows with the square"
    )


class SupportVectors(FittedModel):
    r"""Energy ``E(x) = ln rho - ln sum_i a_i exp(-gamma |x - x_i|^2)``; the border is at zero.

    The decision function is ``sum - rho``. Far from the background the sum is nearly zero for all jets:
    its logarithm has the same order and still tells them apart.

    References:
        Schölkopf, Platt, Shawe-Taylor, Smola, Williamson, "Estimating the support of a high-dimensional
        distribution", 2001
    """

    Settings = SupportSettings
    settings: SupportSettings
    points: Tensor
    log_weights: Tensor  # of the points, over rho
    gamma: Tensor

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        self.register_buffer("points", torch.zeros(1, self.input.n_features, dtype=torch.float64))
        self.register_buffer("log_weights", torch.zeros(1, dtype=torch.float64))
        self.register_buffer("gamma", torch.ones((), dtype=torch.float64))

    @torch.no_grad()
    def fit(self, x: Tensor, generator: torch.Generator, classes: Tensor | None = None) -> None:
        from sklearn.svm import OneClassSVM

        rows = sample(x, self.settings.max_jets, generator).double().cpu().numpy()
        variance = float(rows.var())
        if not variance > 0:
            raise InputError("all background jets have the same input; there is nothing to learn")
        gamma = self.settings.gamma
        gamma = 1 / (rows.shape[1] * variance) if gamma == "scale" else gamma
        machine = OneClassSVM(kernel="rbf", nu=self.settings.nu, gamma=gamma).fit(rows)
        weights = torch.as_tensor(machine.dual_coef_[0]) / -float(machine.intercept_[0])
        self.keep(
            x.device, points=machine.support_vectors_, log_weights=weights.log(),
            gamma=torch.tensor(gamma, dtype=torch.float64),
        )  # fmt: skip

    def energy(self, x: Tensor) -> Tensor:
        return by_blocks(x.double(), len(self.points), self._energy)

    def _energy(self, x: Tensor) -> Tensor:
        exponents = self.log_weights - self.gamma * squared_distances(x, self.points)
        return -torch.logsumexp(exponents, dim=1)
