"""Nearest neighbours: how far the background is."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..errors import InputError
from .base import MethodSettings
from .fitted import FittedModel, by_blocks, sample
from .networks import Architecture

__all__ = ["NeighbourDistance", "squared_distances"]


class NeighbourSettings(MethodSettings):
    neighbours: int = Field(10, ge=1)
    distance: Literal["kth", "mean"] = Field(
        "kth", description="distance to the last of the neighbours, or the mean over them"
    )
    max_jets: int = Field(20_000, ge=2, description="jets kept as possible neighbours, chosen at random")


class NeighbourDistance(FittedModel):
    """Energy: the distance of x to its k-th nearest jet of the background, or the mean over the k nearest.

    References:
        Ramaswamy, Rastogi, Shim, "Efficient algorithms for mining outliers from large data sets", 2000
    """

    Settings = NeighbourSettings
    settings: NeighbourSettings
    points: Tensor

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        self.register_buffer("points", torch.zeros(0, self.input.n_features))

    @torch.no_grad()
    def fit(self, x: Tensor, generator: torch.Generator, classes: Tensor | None = None) -> None:
        k = self.settings.neighbours
        points = sample(x, self.settings.max_jets, generator)
        if len(points) < k:
            raise InputError(f"{len(points)} jets have no {k} neighbours; set fewer model.neighbours")
        self.keep(x.device, points=points.clone())

    def energy(self, x: Tensor) -> Tensor:
        return by_blocks(x.double(), len(self.points), self._energy)

    def _energy(self, x: Tensor) -> Tensor:
        squares = squared_distances(x, self.points.double())
        nearest = squares.topk(self.settings.neighbours, dim=1, largest=False).values.sqrt()
        return nearest[:, -1] if self.settings.distance == "kth" else nearest.mean(dim=1)


def squared_distances(x: Tensor, points: Tensor) -> Tensor:
    """Squared distances, ``(n, d)`` and ``(m, d)`` to ``(n, m)``."""
    squares = x.square().sum(dim=1, keepdim=True) + points.square().sum(dim=1) - 2 * x @ points.T
    return squares.clamp_min(0)
