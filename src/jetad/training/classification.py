"""The phase of the supervised reference: telling background from signal."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..batches import integers
from ..config import TrainingConfig
from ..models.base import EnergyModel
from .phases import FirstPhase, Metrics

__all__ = ["Classification", "SignalInputs"]

_VALIDATION_BATCH = 2048


class SignalInputs(NamedTuple):
    """Signal for a supervised training, each ``(n, d)``; the two share no jet."""

    train: Tensor
    validation: Tensor


class Classification(FirstPhase):
    """Minimise the binary cross-entropy of the energy as the logit of signal; best by held-out jets.

    Every batch of background meets as many signal jets drawn at random: both classes count the same,
    whatever their numbers.
    """

    name = "classification"

    def __init__(
        self, model: EnergyModel, config: TrainingConfig, n_train: int, signal: SignalInputs
    ) -> None:
        super().__init__(model, config, n_train)
        self.signal = signal

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
