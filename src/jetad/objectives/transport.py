"""The transport phase of the Wasserstein NAE: the model's samples are moved onto the background."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..distributed.shared_batch import mean, normal, share, whole
from ..models.density import DensityModel
from ..models.distances import DISTANCES, energy_distance
from ..samplers.persistent import PersistentConfig, PersistentSampler
from .base import Metrics, SecondPhase, SecondPhaseConfig, frozen
from .contrastive import detached_state

__all__ = ["Transport", "TransportConfig", "langevin_with_graph"]


def langevin_with_graph(
    model: DensityModel,
    x0: Tensor,
    *,
    n_steps: int,
    step_size: Tensor | float,
    noise_std: float | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Unadjusted Langevin steps whose end is differentiable in the parameters of the energy.

    Arguments:
        model: Its energy, temperature and box.
        x0: Starts, ``(n, d)``.
        n_steps: Steps that keep their graph.
        step_size: Factor of the gradient of ``E / T``.
        noise_std: Of the noise; ``sqrt(2 * step_size)`` if ``None``.
        generator: Source of the random numbers.

    Returns:
        ``(n, d)``, inside the box, with a graph.
    """
    std = (2 * step_size) ** 0.5 if noise_std is None else noise_std
    x = x0.detach().requires_grad_(True)
    for _ in range(n_steps):
        with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
            u = model.energy(x) / model.temperature
        (g,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        noise = normal(x.shape, generator, device=x.device, dtype=x.dtype)
        x = model.fold(x - step_size * g + std * noise)
    return x


class TransportConfig(SecondPhaseConfig):
    """The phase that moves the model's samples onto the background (Wasserstein NAE)."""

    distance: Literal["exact", "sliced", "sinkhorn", "energy"] = "sliced"
    differentiable_steps: int = Field(3, ge=1, description="last steps of a chain that keep their graph")
    sampler: PersistentConfig = PersistentConfig()
    select: Literal["last", "distance"] = "distance"
    scale_penalty: float = Field(0.0, ge=0, description="times ln^2 of the growth of the background's energy")


class Transport(SecondPhase):
    """Minimise the distance between a batch of background and the ends of the model's own chains.

    Persistent chains are advanced as in persistent contrastive divergence; their last
    ``differentiable_steps`` steps keep the graph, and the distance is differentiated through them
    (truncated back-propagation). The ends of these steps are what the buffer keeps, and validation looks at
    chains of the same length. The distance is bounded from below by zero, so unlike the difference
    of energies it says how far the training is and cannot run away; the model with the lowest on
    held-out background is kept.

    The distance does not fix the scale of E: short chains end in the same places for a range of scales.
    ``scale_penalty * ln^2(<E+> / E_0)`` holds the mean energy of the background at its first value E_0, to
    which the temperature was fitted.

    References:
        CMS Collaboration, 2025, arXiv:2510.02168
    """

    Settings = TransportConfig
    name = "transport"

    config: TransportConfig

    def __init__(self, model: DensityModel, config: TransportConfig) -> None:
        super().__init__(model, config)
        self.sampler = PersistentSampler(config.sampler)
        self.distance = DISTANCES[config.distance]
        self.first_energy = math.nan  # of held-out background, at the start

    def start(self, x_train: Tensor, x_val: Tensor) -> Metrics:
        metrics = self.prepare_density(x_train, x_val)
        with torch.no_grad():
            self.first_energy = float(self.model.energy(x_val).mean())
        return metrics

    def negatives(self, n: int, generator: torch.Generator) -> tuple[Tensor, Metrics]:
        """Ends ``(n, d)`` of the persistent chains, with the graph of their last steps, and metrics."""
        sampler, runner = self.sampler, self.sampler.visible
        with frozen(self.model):
            negatives = sampler.advance(self.model, n, generator)
        ends = langevin_with_graph(
            self.model,
            negatives.x,
            n_steps=self.config.differentiable_steps,
            step_size=runner.scaled_step(self.model.temperature if runner.config.adjusted else 1.0),
            noise_std=None if runner.config.adjusted else runner.config.noise_std,
            generator=generator,
        )
        sampler.buffer.push(ends.detach(), generator)
        return ends, negatives.metrics

    def loss(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Metrics]:
        ends, chain_metrics = self.negatives(len(x), generator)
        loss = self.distance(whole(x, generator), whole(ends, generator), generator)
        distance = loss.detach()
        penalty = self.config.scale_penalty
        with torch.set_grad_enabled(penalty > 0):
            energy_pos = whole(self.model.energy(x), generator).mean()
        if penalty:
            loss = loss + penalty * (energy_pos / self.first_energy).log().square()
        with torch.no_grad():
            energy_neg = self.model.energy(ends).mean()
        return loss, {
            "distance": distance,
            "energy_pos": energy_pos.detach(),
            "energy_neg": energy_neg,
            **chain_metrics,
        }

    def validate(self, x_val: Tensor, generator: torch.Generator) -> tuple[float, Metrics]:
        x = x_val[:1000]
        state = detached_state(self.sampler.state_dict())
        ends, _ = self.negatives(len(share(x, generator)), generator)
        self.sampler.load_state_dict(state)
        with torch.no_grad():
            ends = whole(ends.detach(), generator)
            distance = float(energy_distance(x, ends))
            energy_neg = float(self.model.energy(ends).mean())
            energy = float(mean(self.model.energy(share(x_val, generator)).mean(), generator))
        criterion = distance if self.config.select == "distance" else math.nan
        return criterion, {"val_energy": energy, "val_energy_neg": energy_neg, "val_distance": distance}

    def trouble(self, metrics: Metrics) -> str | None:
        if not math.isfinite(float(metrics["val_energy"])):
            return "the energy of held-out background is no number any more"
        return None

    def state_dict(self) -> dict[str, Any]:
        return {"sampler": self.sampler.state_dict(), "first_energy": self.first_energy}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sampler.load_state_dict(state["sampler"])
        self.first_energy = state["first_energy"]
