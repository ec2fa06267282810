"""What every trained detector offers: an energy, which is the anomaly score."""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

from .networks import Architecture

__all__ = ["EnergyModel"]


class EnergyModel(nn.Module, abc.ABC):
    """A network whose energy E(x) is the anomaly score; higher is more anomalous.

    Two spaces: *rows* are what preprocessing gives (images, features); *inputs* x are what ``prepare``
    makes of them (flat, whitened) and what energies, chains and losses work on.

    Arguments:
        shape: Shape of one row, an image or a vector of features.
        network: Settings of the network family.
    """

    def __init__(self, shape: tuple[int, ...], network: Architecture) -> None:
        super().__init__()
        self.input = network.input_layer(shape)

    def prepare(self, rows: Tensor) -> Tensor:
        """Rows ``(n, ...)`` to inputs ``(n, d)``."""
        x: Tensor = self.input(rows)
        return x

    def restore(self, x: Tensor) -> Tensor:
        """Inputs back to rows, for pictures."""
        return self.input.restore(x)

    def fit_input(self, rows: Tensor) -> None:
        """Measure the constants of ``prepare`` on training background."""
        self.input.fit(rows)

    @abc.abstractmethod
    def energy(self, x: Tensor) -> Tensor:
        """The energy of inputs, ``(n, d) -> (n,)``, differentiable."""

    def reconstruction_error(self, x: Tensor) -> Tensor:
        """What the reconstruction phase minimises, ``(n, d) -> (n,)``."""
        return self.energy(x)

    def energy_parameters(self) -> list[nn.Parameter]:
        """The parameters that the energy depends on; the second phase trains these."""
        return list(self.parameters())

    @torch.no_grad()
    def score(self, rows: Tensor) -> Tensor:
        """Anomaly scores of rows, ``(n, ...) -> (n,)``; NaN rows give NaN."""
        return self.energy(self.prepare(rows))
