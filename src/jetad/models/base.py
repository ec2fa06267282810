"""What every trained detector offers: an energy, which is the anomaly score."""

from __future__ import annotations

import abc
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..settings import Strict
from .networks.base import Architecture

__all__ = ["EnergyModel", "MethodSettings"]


class MethodSettings(Strict):
    """What a method can be told beside its network and training: the section ``model`` of a member."""


class EnergyModel(nn.Module, abc.ABC):
    """A network whose energy E(x) is the anomaly score; higher is more anomalous.

    Two spaces: *rows* are what preprocessing gives (images, features); *inputs* x are what ``prepare``
    makes of them (flat, whitened) and what energies, chains and losses work on.

    Arguments:
        shape: Shape of one row, an image or a vector of features.
        network: Settings of the network family.
        settings: Of the method, an instance of its ``Settings``; the defaults if left out.
    """

    #: What the section ``model`` of the configuration may hold.
    Settings: ClassVar[type[MethodSettings]] = MethodSettings
    #: The only settings of the representation that the method has a meaning for, if there is but one.
    preprocessing: ClassVar[Strict | None] = None

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__()
        self.settings = self.Settings() if settings is None else settings
        self.input = network.input_layer(shape)
        self.float32_scores = network.float32_scores

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

    def unscaled_energy(self, x: Tensor) -> Tensor:
        """The energy without a scale that is learned, ``(n, d) -> (n,)``."""
        return self.energy(x)

    def coders(self) -> list[tuple[nn.Module, nn.Module]]:
        """Encoder and decoder of each autoencoder that is trained: penalties on weights act on these."""
        return []

    def start(self, x: Tensor) -> None:
        """Set what depends on training inputs ``(n, d)`` before the first step; nothing to do here."""

    def reconstruction_error(self, x: Tensor) -> Tensor:
        """What the reconstruction phase minimises the mean of, ``(n, d) -> (n,)``."""
        return self.energy(x)

    def objective(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """What the first phase minimises on a batch ``(n, d)``, a scalar.

        Noise comes from the generator through :mod:`jetad.distributed.shared_batch`, and so does the whole
        batch where jets are compared with each other: several processes may share it.
        """
        return self.reconstruction_error(x).mean()

    def embedding(self, x: Tensor) -> Tensor:
        """What the encoder makes of inputs, ``(n, d) -> (n, k)``: features for other detectors.

        Raises:
            ConfigError: if the method has no encoder.
        """
        raise ConfigError("the method of this run has no encoder; train one with --method clr")

    def finalize(self, x: Tensor) -> None:
        """Measure on background inputs ``(n, d)`` what the energy needs and no gradient sets; nothing here.

        Called with held-out inputs at every validation, and with those of the training at its end.
        """

    def diagnostics(self, x: Tensor) -> dict[str, float]:
        """Numbers for the history, measured on some held-out inputs ``(n, d)``."""
        return {}

    def energy_parameters(self) -> list[nn.Parameter]:
        """The parameters that the energy depends on; the second phase trains these."""
        return list(self.parameters())

    @torch.no_grad()
    def score(self, rows: Tensor) -> Tensor:
        """Anomaly scores of rows, ``(n, ...) -> (n,)``; NaN rows give NaN."""
        return self.score_inputs(self.prepare(rows))

    @torch.no_grad()
    def score_inputs(self, x: Tensor) -> Tensor:
        """Anomaly scores of what ``prepare`` has made of rows, ``(n, d) -> (n,)``."""
        return self.scored_energy(x)

    def scored_energy(self, x: Tensor) -> Tensor:
        """The energy in the form that is the score, ``(n, d) -> (n,)``; also in exported graphs."""
        return self.energy(x)
