"""What every trained detector offers: an energy, which is the anomaly score."""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

__all__ = ["EnergyModel"]


class EnergyModel(nn.Module, abc.ABC):
    """A network whose energy E(x) is the anomaly score; higher is more anomalous.

    Two spaces: *rows* are what preprocessing gives (images, features); *inputs* x are what ``prepare``
    makes of them (flat, whitened) and what energies, chains and losses work on.
    """

    @abc.abstractmethod
    def prepare(self, rows: Tensor) -> Tensor:
        """Rows ``(n, ...)`` to inputs ``(n, d)``."""

    @abc.abstractmethod
    def restore(self, x: Tensor) -> Tensor:
        """Inputs back to rows, for pictures."""

    @abc.abstractmethod
    def fit_input(self, rows: Tensor) -> None:
        """Measure the constants of ``prepare`` on training background."""

    @abc.abstractmethod
    def energy(self, x: Tensor) -> Tensor:
        """The energy of inputs, ``(n, d) -> (n,)``, differentiable."""

    @torch.no_grad()
    def score(self, rows: Tensor) -> Tensor:
        """Anomaly scores of rows, ``(n, ...) -> (n,)``; NaN rows give NaN."""
        return self.energy(self.prepare(rows))
