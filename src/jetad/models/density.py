"""An energy as a normalized density inside a box: what chains need beyond the energy itself."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from ..distributed.shared_batch import uniform
from .base import EnergyModel, MethodSettings
from .networks import Architecture

__all__ = ["DensityModel", "LikelihoodModel"]


class DensityModel(EnergyModel):
    r"""A model of the density ``p(x) = exp(-E(x) / T) / Omega`` inside a box.

    The box bounds the inputs, a margin beyond the range of the background; chains do not leave it.
    """

    temperature: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        d = self.input.n_features
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("low", torch.full((d,), -float("inf")))
        self.register_buffer("high", torch.full((d,), float("inf")))

    @abc.abstractmethod
    def fit_temperature(self, x: Tensor) -> float:
        """Set T from held-out background inputs ``(n, d)``; returns k of ``<E> / T = k / 2``."""

    def begin_density(self) -> None:
        """Called between the reconstruction phase and that of the density; nothing to do here."""

    def set_box(self, low: float, high: float) -> None:
        """The same bounds for every input."""
        self.low.fill_(low)
        self.high.fill_(high)

    @torch.no_grad()
    def fit_box(self, x: Tensor, margin: float = 0.2) -> None:
        """Set the box to the range of background inputs, wider by ``margin`` of it on each side.

        Inputs that hardly vary, such as the pixels of an empty corner, get the margin of the average: a box
        without width would refuse every move.
        """
        low, high = x.min(dim=0).values, x.max(dim=0).values
        width = high - low
        width = torch.where(width < 0.1 * width.mean(), width.mean(), width)
        self.low.copy_(low - margin * width)
        self.high.copy_(high + margin * width)

    def boxed_energy(self, x: Tensor) -> Tensor:
        """The energy inside the box, infinite outside."""
        outside = ((x < self.low) | (x > self.high)).any(dim=1)
        return self.energy(x).masked_fill(outside, float("inf"))

    def fold(self, x: Tensor) -> Tensor:
        """Reflect points at the walls of the box until they are inside, ``(n, d) -> (n, d)``.

        An energy of folded points has the same density in every copy of the box: adjusted chains cross a
        wall instead of being refused there, and their folded ends have the density of the box.
        """
        width = self.high - self.low
        walls = torch.isfinite(width) & (width > 0)
        low, width = torch.where(walls, self.low, 0.0), torch.where(walls, width, 1.0)
        t = torch.remainder((x - low) / width, 2.0)
        return torch.where(walls, low + width * (1 - (1 - t).abs()), x)

    def clamp(self, x: Tensor) -> Tensor:
        """The nearest point of the box: what keeps unadjusted chains inside."""
        return torch.minimum(torch.maximum(x, self.low), self.high)

    def random_input(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Uniform points of the box, ``(n, d)``."""
        u = uniform((n, len(self.low)), generator, device=self.low.device)
        return self.low + u * (self.high - self.low)


# jets whose energies are computed at once without gradients: 128 images of 40 x 40 pixels with 64 channels
# are 105 MB in float64
_PART = 128


class LikelihoodModel(EnergyModel):
    """A density that is normalised by construction; the energy is -ln p(x) in nats, and so is the score.

    Training minimises its mean divided by the number of dimensions, so that the size of gradients does
    not depend on the number of pixels.
    """

    def noisy(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Inputs ``(n, d)`` as training sees them; as they are here."""
        return x

    def objective(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Mean of -ln p(x) / d in nats."""
        parts = x.split(_PART if not torch.is_grad_enabled() else max(1, len(x)))
        return torch.cat([self.energy(self.noisy(part, generator)) for part in parts]).mean() / x.shape[1]

    @torch.no_grad()
    def score_inputs(self, x: Tensor) -> Tensor:
        """Scores of inputs ``(n, d)``, a few at a time."""
        return torch.cat([self.energy(part) for part in x.split(_PART)])
