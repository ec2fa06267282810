"""The supervised reference: what a network finds that has seen the signal."""

from __future__ import annotations

from torch import Tensor

from .base import EnergyModel, MethodSettings
from .networks import Architecture

__all__ = ["Classifier"]


class Classifier(EnergyModel):
    """Energy: the logit of being signal, ``ln p(signal | x) / p(background | x)`` for equal numbers of both.

    No anomaly detector: it knows the signal it looks for, and nothing else. The ceiling for those that do
    not.

    References:
        Butter et al., "The machine learning landscape of top taggers", 2019, arXiv:1902.09914
    """

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        self.network = network.scalar(self.input)

    def energy(self, x: Tensor) -> Tensor:
        e: Tensor = self.network(x)
        return e[:, 0]
