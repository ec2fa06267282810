"""The supervised reference: what a network finds that has seen the signal."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from .base import EnergyModel, MethodSettings
from .networks import Architecture

__all__ = ["Classifier"]


class ClassifierSettings(MethodSettings):
    embedding_dim: int = Field(64, ge=1, description="units of the last layer but one")


class Classifier(EnergyModel):
    """Energy: the logit of being signal, ``ln p(signal | x) / p(background | x)`` for equal numbers of both.

    No anomaly detector: it knows the signal it looks for, and nothing else. The ceiling for those that do
    not.

    References:
        Butter et al., "The machine learning landscape of top taggers", 2019, arXiv:1902.09914
    """

    Settings = ClassifierSettings
    settings: ClassifierSettings

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        self.encoder = network.encoder(self.input, self.settings.embedding_dim)
        self.head = nn.Sequential(nn.LeakyReLU(0.2), nn.Linear(self.settings.embedding_dim, 1))

    def embedding(self, x: Tensor) -> Tensor:
        h: Tensor = self.encoder(x)
        return h

    def energy(self, x: Tensor) -> Tensor:
        e: Tensor = self.head(self.embedding(x))
        return e[:, 0]
