"""The reconstruction phase: an autoencoder learns the background."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..config import TrainingConfig
from ..models.base import EnergyModel
from .phases import Metrics

__all__ = ["Reconstruction"]


class Reconstruction:
    """Minimise the mean reconstruction error of the background; best by held-out background.

    One-cycle learning rate (Smith, Topin, 2017, arXiv:1708.07120): up over the first third, then a
    cosine down.
    """

    name = "reconstruction"

    def __init__(self, model: EnergyModel, config: TrainingConfig, n_train: int) -> None:
        self.model = model
        self.peak = config.learning_rate
        self.n_steps = config.epochs * max(1, n_train // config.batch_size)

    def start(self, x_train: Tensor, x_val: Tensor) -> Metrics:
        return {}

    def parameters(self) -> list[nn.Parameter]:
        return list(self.model.parameters())

    def learning_rate(self, step: int) -> float:
        t = (step + 1) / self.n_steps
        shape = (
            0.5 * (1 - math.cos(math.pi * t / 0.3))
            if t < 0.3
            else 0.5 * (1 + math.cos(math.pi * (t - 0.3) / 0.7))
        )
        return self.peak * (0.02 + 0.98 * shape)

    def loss(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Metrics]:
        loss = self.model.reconstruction_error(x).mean()
        return loss, {"energy_pos": loss.detach()}

    def validate(self, x_val: Tensor, generator: torch.Generator) -> tuple[float, Metrics]:
        with torch.no_grad():
            error = float(self.model.reconstruction_error(x_val).mean())
            metrics: Metrics = {"val_energy": error}
            codec = getattr(self.model, "codec", None)
            if codec is not None:
                # directions of the latent space that no jet uses
                metrics["dead_latents"] = float((codec.encode(x_val).std(dim=0) < 1e-3).sum())
        return error, metrics

    def trouble(self, metrics: Metrics) -> str | None:
        return None

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
