"""Random trees: how few random cuts it takes to tell a jet from all others."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import Tensor

from .base import MethodSettings
from .fitted import FittedModel, by_blocks, seed_of
from .networks import Architecture

__all__ = ["IsolationForestScore"]


class ForestSettings(MethodSettings):
    trees: int = Field(200, ge=1)
    sample: int = Field(256, ge=2, description="jets that each tree is grown on, chosen at random")


class IsolationForestScore(FittedModel):
    r"""Energy ``E(x) = 2^(-h(x) / c(s))``, between 0 and 1.

    h is the mean number of cuts on the way to the leaf of x, plus ``c(n)`` for the n jets left in the leaf;
    ``c(n) = 2 H(n - 1) - 2 (n - 1) / n`` is what a random tree needs for one of n, and s the sample of a
    tree. All trees are walked at once, in as many steps as the deepest can have.

    References:
        Liu, Ting, Zhou, "Isolation forest", ICDM 2008
    """

    Settings = ForestSettings
    settings: ForestSettings
    feature: Tensor  # (trees, nodes), what a node cuts on; 0 in leaves
    threshold: Tensor  # (trees, nodes), up to it goes left
    left: Tensor  # (trees, nodes), the nodes below; a leaf is below itself
    right: Tensor
    length: Tensor  # (trees, nodes), path of a leaf over c(s)

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        for name in ("feature", "left", "right"):
            self.register_buffer(name, torch.zeros(self.settings.trees, 1, dtype=torch.int64))
        for name in ("threshold", "length"):
            self.register_buffer(name, torch.zeros(self.settings.trees, 1, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, x: Tensor, generator: torch.Generator, classes: Tensor | None = None) -> None:
        from sklearn.ensemble import IsolationForest

        size = min(self.settings.sample, len(x))
        forest = IsolationForest(
            n_estimators=self.settings.trees, max_samples=size, random_state=seed_of(generator)
        ).fit(x.cpu().numpy())
        trees = [estimator.tree_ for estimator in forest.estimators_]
        shape = len(trees), max(tree.node_count for tree in trees)
        feature, left, right = (np.zeros(shape, dtype=np.int64) for _ in range(3))
        threshold, length = np.zeros(shape), np.zeros(shape)
        for i, tree in enumerate(trees):
            n = tree.node_count
            leaf = tree.children_left == -1
            itself = np.arange(n)
            feature[i, :n] = np.where(leaf, 0, tree.feature)
            threshold[i, :n] = np.where(leaf, 0, tree.threshold)
            left[i, :n] = np.where(leaf, itself, tree.children_left)
            right[i, :n] = np.where(leaf, itself, tree.children_right)
            for node in np.flatnonzero(~leaf):  # parents come before their children
                length[i, [tree.children_left[node], tree.children_right[node]]] = length[i, node] + 1
            length[i, :n] += np.where(leaf, _mean_path(tree.n_node_samples), 0)
        self.keep(
            x.device, feature=feature, threshold=threshold, left=left, right=right,
            length=length / _mean_path(np.array([size])),
        )  # fmt: skip

    def energy(self, x: Tensor) -> Tensor:
        energies = by_blocks(x, self.settings.trees, self._energy)
        return torch.where(torch.isnan(x).any(dim=1), torch.nan, energies)  # NaN would go right at every cut

    def _energy(self, x: Tensor) -> Tensor:
        trees = torch.arange(len(self.feature), device=x.device)
        node = torch.zeros_like(x[:, :1], dtype=torch.int64).expand(-1, len(self.feature))
        for _ in range(math.ceil(math.log2(self.settings.sample))):
            goes_left = x.gather(1, self.feature[trees, node]) <= self.threshold[trees, node]
            node = torch.where(goes_left, self.left[trees, node], self.right[trees, node])
        return 2 ** -self.length[trees, node].mean(dim=1)


def _mean_path(n: ArrayLike) -> NDArray[np.float64]:
    """c(n): 0 for one jet, 1 for two."""
    n = np.asarray(n, dtype=np.float64)
    m = np.maximum(n, 3)
    path = 2 * (np.log(m - 1) + np.euler_gamma) - 2 * (m - 1) / m
    return np.where(n < 2, 0.0, np.where(n < 3, 1.0, path))
