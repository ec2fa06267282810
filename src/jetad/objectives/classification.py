"""The phase of the supervised reference: telling background from signal."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import Self

from ..distributed.shared_batch import integers
from ..models.base import EnergyModel
from .base import FirstPhase, FirstPhaseConfig, Metrics, PhaseInputs, SignalInputs

__all__ = ["Classification"]

_VALIDATION_BATCH = 2048


class Classification(FirstPhase):
    """Minimise the binary cross-entropy of the energy as the logit of signal; best by held-out jets.

    Every batch of background meets as many signal jets drawn at random: both classes count the same,
    whatever their numbers.
    """

    name = "classification"

    def __init__(
        self, model: EnergyModel, config: FirstPhaseConfig, n_train: int, signal: SignalInputs
    ) -> None:
        super().__init__(model, config, n_train)
        self.signal = signal

    @classmethod
    def build(cls, given: PhaseInputs) -> Self:
        assert given.signal is not None
        return cls(given.model, given.config, given.n_train, given.signal)

    def loss(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Metrics]:
        chosen = integers(len(self.signal.train), x.shape[:1], generator, device=x.device)
        background, signal = self.model.energy(x), self.model.energy(self.signal.train[chosen])
        metrics: Metrics = {
            "energy_pos": background.mean().detach(), "energy_signal": signal.mean().detach(),
        }  # fmt: skip
        return _cross_entropy(background, signal), metrics

    def validate(self, x_val: Tensor, generator: torch.Generator) -> tuple[float, Metrics]:
        with torch.no_grad():
            background, signal = (
                torch.cat([self.model.energy(part) for part in x.split(_VALIDATION_BATCH)])
                for x in (x_val, self.signal.validation)
            )
        loss = float(_cross_entropy(background, signal))
        return loss, {"val_loss": loss, "val_energy": float(background.mean())}


def _cross_entropy(background: Tensor, signal: Tensor) -> Tensor:
    """Of logits of signal, each class with half of the weight."""
    softplus = nn.functional.softplus
    return 0.5 * (softplus(background).mean() + softplus(-signal).mean())
