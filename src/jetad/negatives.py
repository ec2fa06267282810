"""Samples of the density that a finished run has learned, for pictures."""

from __future__ import annotations

from typing import NamedTuple

import torch
from numpy.typing import NDArray

from .errors import ConfigError
from .models.nae import NormalizedAutoencoder
from .registry import load
from .run import Run
from .samplers import SAMPLERS
from .samplers.base import Sampler

__all__ = ["DrawnNegatives", "draw_negatives"]


class DrawnNegatives(NamedTuple):
    """Negatives as rows of the representation, with their energies over T."""

    start: NDArray  # (n, ...) where the visible chains began
    end: NDArray  # (n, ...) where they ended
    energy: NDArray  # (n,) E / T of the ends


def draw_negatives(
    run: Run, member: str | None = None, n: int = 16, *, rounds: int = 50, seed: int = 1
) -> DrawnNegatives:
    """Run the chains of a trained normalized autoencoder ``rounds`` times and return the last ends.

    Raises:
        ConfigError: if the run has no such member, or its method draws no negatives.
    """
    config = run.config()
    detector = run.detector("cpu")
    models = {m.name: m.model for m in detector.members}
    member = member or next(iter(models))
    if member not in models:
        raise ConfigError(f"{run.path}: has no member '{member}'; choose one of {', '.join(models)}")
    model, contrastive = models[member], config.members[member].training.contrastive
    if contrastive is None or not isinstance(model, NormalizedAutoencoder):
        raise ConfigError(f"{run.path}: method '{config.method}' draws no negatives")
    sampler: Sampler = load(SAMPLERS, contrastive.sampler.kind, "sampler")(contrastive.sampler)
    generator = torch.Generator().manual_seed(seed)
    negatives = sampler.negatives(model, n, generator)
    for _ in range(rounds):
        negatives = sampler.negatives(model, n, generator)
    with torch.no_grad():
        energy = model.energy(negatives.x) / model.temperature
    return DrawnNegatives(
        model.restore(negatives.x0).numpy(), model.restore(negatives.x).numpy(), energy.numpy()
    )
