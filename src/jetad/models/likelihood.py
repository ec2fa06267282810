"""Methods whose energy is the exact -ln p(x) of a normalised density; no chain is needed."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import EnergyModel

__all__ = ["LikelihoodModel"]

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
