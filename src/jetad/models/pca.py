"""Principal components: what is left of a jet outside the leading ones."""

from __future__ import annotations

import torch
from pydantic import Field, field_validator
from torch import Tensor

from ..errors import ConfigError, InputError
from .base import MethodSettings
from .fitted import FittedModel, covariance, mean
from .networks import Architecture

__all__ = ["PrincipalSubspace"]


class PrincipalSettings(MethodSettings):
    components: int | float = Field(
        0.9, gt=0, description="components kept: a number, or below 1 the share of variance they hold"
    )

    @field_validator("components")
    @classmethod
    def _number_or_share(cls, value: int | float) -> int | float:
        if value >= 1 and value != int(value):
            raise ValueError(f"expected a whole number, or a share of the variance below 1, found {value}")
        return int(value) if value >= 1 else value


class PrincipalSubspace(FittedModel):
    r"""Energy ``E(x) = |r - B B^T r|^2 / <|r|^2>`` with ``r = x - <x>`` and B the leading components.

    The division by the summed variance of the background makes it the same for inputs of any scale.

    References:
        Pearson, "On lines and planes of closest fit to systems of points in space", 1901; Jackson,
        Mudholkar, "Control procedures for residuals associated with principal component analysis", 1979
    """

    Settings = PrincipalSettings
    settings: PrincipalSettings
    mean: Tensor
    basis: Tensor
    variance: Tensor

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        d = self.input.n_features
        if self.settings.components >= d:
            raise ConfigError(
                f"model.components: {self.settings.components} components leave nothing of {d} inputs; "
                f"keep at most {d - 1}"
            )
        self.register_buffer("mean", torch.zeros(d, dtype=torch.float64))
        self.register_buffer("basis", torch.zeros(d, 0, dtype=torch.float64))
        self.register_buffer("variance", torch.ones((), dtype=torch.float64))

    @torch.no_grad()
    def fit(self, x: Tensor, generator: torch.Generator, classes: Tensor | None = None) -> None:
        center = mean(x)
        values, vectors = torch.linalg.eigh(covariance(x, center))
        values, vectors = values.clamp_min(0).flip(0), vectors.flip(1)
        variance = values.sum()
        if not variance > 0:
            raise InputError("all background jets have the same input; there is nothing to learn")
        wanted = self.settings.components
        if isinstance(wanted, float):
            wanted = int((values.cumsum(0) < wanted * variance).sum()) + 1
        kept = vectors[:, : min(wanted, x.shape[1] - 1)]
        self.keep(x.device, mean=center[0], basis=kept, variance=variance)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The projection on the components kept, ``(n, d)``."""
        r = x.double() - self.mean
        return (self.mean + r @ self.basis @ self.basis.T).to(x.dtype)

    def energy(self, x: Tensor) -> Tensor:
        r = x.double() - self.mean
        return (r - r @ self.basis @ self.basis.T).square().sum(dim=1) / self.variance
