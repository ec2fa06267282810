"""Samples of the density that a finished run has learned, for pictures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import ConfigError
from ..jets import Jets
from ..models.density import DensityModel
from ..registry import load
from ..runs import Run
from ..samplers import SAMPLERS
from ..samplers.base import Sampler
from .detector import TrainedDetector

__all__ = ["DrawnNegatives", "draw_negatives"]


class DrawnNegatives(NamedTuple):
    """Negatives as rows of the representation, with their energies over T."""

    start: NDArray[np.float32]  # (n, ...) where the visible chains began
    end: NDArray[np.float32]  # (n, ...) where they ended
    energy: NDArray[np.float32]  # (n,) E / T of the ends
    channels: tuple[str, ...] = ()  # of images

    def pictures(self) -> tuple[NDArray[np.float32], list[str]]:
        """Starts, then ends of image chains, a row a channel: ``(2 n_channels n, 1, n_eta, n_phi)``, titles.

        Inputs that are projections on components may undershoot zero: such pixels are left white, like what
        is empty.
        """
        both = np.concatenate([np.moveaxis(v, 1, 0).reshape(-1, 1, *v.shape[2:]) for v in self[:2]])
        several = self.channels if len(self.channels) > 1 else ("",)
        titles = [f"{what} {channel}".strip() for what in ("decoded", "negative") for channel in several]
        return both, titles


def draw_negatives(
    run: Run,
    member: str | None = None,
    n: int = 16,
    *,
    background: Jets | None = None,
    rounds: int = 50,
    seed: int = 1,
) -> DrawnNegatives:
    """Run the chains of a trained detector ``rounds`` times and return the last ends.

    Arguments:
        run: A finished run.
        member: Its first one if left out.
        n: Number of negatives.
        background: Jets that chains start from; only samplers that start at data need them.
        rounds: Calls of the sampler; persistent chains get on with each.
        seed: Of the chains.

    Raises:
        ConfigError: if the run has no such member, its method draws no negatives, or background is missing.
    """
    config = run.config()
    detector = TrainedDetector.from_run(run, "cpu")
    members = {m.name: m for m in detector.members}
    member = member or next(iter(members))
    if member not in members:
        raise ConfigError(f"{run.path}: has no member '{member}'; choose one of {', '.join(members)}")
    model, training = members[member].model, config.members[member].training
    settings = training.sampler
    if settings is None or not isinstance(model, DensityModel):
        raise ConfigError(
            f"{run.path}: method '{config.method}' draws no negatives; nae, wnae, igebm and mpdr do "
            "(jetad train --method nae)"
        )
    sampler: Sampler = load(SAMPLERS, settings.kind, "sampler")(settings)
    generator = torch.Generator().manual_seed(seed)
    if background is not None:
        rows = torch.from_numpy(members[member].preprocessor.transform(background))
        x = model.prepare(rows[torch.isfinite(rows.flatten(1)).all(dim=1)][:n])
    elif settings.starts_at_background:
        raise ConfigError(
            f"{run.path}: the chains of sampler '{settings.kind}' start at background jets; give some"
        )
    else:
        x = model.random_input(n, generator)  # only its length counts
    negatives = sampler.negatives(model, x, generator)
    for _ in range(rounds):
        negatives = sampler.negatives(model, x, generator)
    with torch.no_grad():
        energy = model.energy(negatives.x) / model.temperature
    return DrawnNegatives(
        model.restore(negatives.x0).numpy(),
        model.restore(negatives.x).numpy(),
        energy.numpy(),
        getattr(config.members[member].preprocessing, "channels", ()),
    )
