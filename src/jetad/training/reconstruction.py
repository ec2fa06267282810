"""The first phase of most methods: descent on an objective that only the background enters."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..batches import mean, reseeded, share, whole
from ..config import TrainingConfig
from ..models.base import EnergyModel
from .phases import Metrics

__all__ = ["Reconstruction", "one_cycle"]

_VALIDATION_BATCH = 2048


def one_cycle(t: float) -> float:
    """Learning rate over its peak at the time t from 0 to 1: up over the first third, then a cosine down.

    References:
        Smith, Topin, "Super-convergence", 2017, arXiv:1708.07120
    """
    shape = (
        0.5 * (1 - math.cos(math.pi * t / 0.3))
        if t < 0.3
        else 0.5 * (1 + math.cos(math.pi * (t - 0.3) / 0.7))
    )
    return 0.02 + 0.98 * shape


class Reconstruction:
    """Minimise the model's objective, a mean reconstruction error or -ln p; best by held-out background."""

    def __init__(
        self, model: EnergyModel, config: TrainingConfig, n_train: int, name: str = "reconstruction"
    ) -> None:
        self.name = name
        self.model = model
        self.peak = config.learning_rate
        self.n_steps = config.epochs * max(1, n_train // config.batch_size)

    def start(self, x_train: Tensor, x_val: Tensor) -> Metrics:
        self.model.start(x_train)
        return {}

    def parameters(self) -> list[nn.Parameter]:
        return list(self.model.parameters())

    def learning_rate(self, step: int) -> float:
        return self.peak * one_cycle((step + 1) / self.n_steps)

    def loss(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Metrics]:
        loss = self.model.objective(x, generator)
        return loss, {"energy_pos": loss.detach()}

    def validate(self, x_val: Tensor, generator: torch.Generator) -> tuple[float, Metrics]:
        with torch.no_grad():
            # the same noise every time, where the objective has any
            fixed = reseeded(generator, 0)
            # of equal size: an objective may compare the jets of a batch with each other
            parts = [
                len(x) * mean(self.model.objective(share(x, fixed), fixed), fixed)
                for x in x_val.tensor_split(math.ceil(len(x_val) / _VALIDATION_BATCH))
            ]
            error = float(torch.stack(parts).sum()) / len(x_val)
            metrics: Metrics = {"val_energy": error}
            codec = getattr(self.model, "codec", None)
            if codec is not None:
                # directions of the latent space that no jet uses
                z = whole(codec.encode(share(x_val, generator)), generator)
                metrics["dead_latents"] = float((z.std(dim=0) < 1e-3).sum())
            self.model.settle(x_val)
            metrics |= self.model.diagnostics(x_val[:_VALIDATION_BATCH])
        return error, metrics

    def trouble(self, metrics: Metrics) -> str | None:
        return None

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
