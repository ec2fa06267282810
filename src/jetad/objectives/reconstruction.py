"""The first phase of most methods: descent on an objective that only the background enters."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import Self

from ..distributed.shared_batch import mean, reseeded, share, whole
from ..models.base import EnergyModel
from .base import FirstPhase, FirstPhaseConfig, Metrics, PhaseInputs, WeightPenalty

__all__ = ["Reconstruction"]

_VALIDATION_BATCH = 2048


class Reconstruction(FirstPhase):
    """Minimise the model's objective, a mean reconstruction error or -ln p; best by held-out background."""

    def __init__(
        self, model: EnergyModel, config: FirstPhaseConfig, n_train: int, name: str = "reconstruction"
    ) -> None:
        super().__init__(model, config, n_train)
        self.name = name
        self.mean = config.reduction == "mean"
        self.penalty = WeightPenalty(config.encoder_penalty, config.decoder_penalty)

    @classmethod
    def build(cls, given: PhaseInputs) -> Self:
        return cls(given.model, given.config, given.n_train, given.name)

    def loss(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Metrics]:
        loss = self.model.objective(x, generator)
        metrics: Metrics = {"energy_pos": loss.detach()}
        if self.mean:
            loss = loss / x.shape[1]
        return loss + self.penalty(self.model.coders()), metrics

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
