"""One number of the jet as the score, to compare detectors with."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ..errors import ConfigError
from ..preprocessing.features import FeatureConfig
from .base import MethodSettings
from .fitted import FittedModel
from .networks import Architecture
from .networks.parts import PlainInput

__all__ = ["JetMass", "Multiplicity"]


class ObservableSettings(MethodSettings):
    sign: Literal[1, -1] = Field(1, description="-1: low values are anomalous")


class _Observable(FittedModel):
    Settings = ObservableSettings
    settings: ObservableSettings

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        if not isinstance(self.input, PlainInput):
            raise ConfigError("the score is the value itself; leave network.kind 'inputs' without components")

    def fit(self, x: Tensor, generator: torch.Generator, classes: Tensor | None = None) -> None:
        pass

    def energy(self, x: Tensor) -> Tensor:
        return self.settings.sign * x[:, 0].double()


class JetMass(_Observable):
    """Energy: the mass of the jet [GeV]."""

    preprocessing = FeatureConfig(observables=("mass",), scaling="none")


class Multiplicity(_Observable):
    """Energy: the number of constituents."""

    preprocessing = FeatureConfig(observables=("n_constituents",), scaling="none")
