"""What samplers share: settings, results, the tuning of step sizes, independence moves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from .geometry import Geometry

__all__ = ["ChainConfig", "Negatives", "NormalizedModel", "Sampler", "SamplerConfig", "independence", "tuned"]


class ChainConfig(BaseModel):
    """A Metropolis-adjusted Langevin chain whose step size tunes itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_steps: int = Field(8, ge=0)
    step_size: float = Field(0.05, gt=0, description="where the tuning starts; noise_std^2 = 2 step_size")
    acceptance: float = Field(0.6, gt=0, lt=1, description="acceptance rate the step size is tuned to")
    max_step_size: float = Field(1.0, gt=0)


class SamplerConfig(BaseModel):
    """What every sampler takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_restarts: int = Field(8, ge=0, description="uniform proposals a chain gets before its local steps")
    buffer_size: int = Field(10_000, ge=1)
    replay_fraction: float = Field(0.95, ge=0, le=1, description="chains that go on from the buffer")


class Negatives(NamedTuple):
    """Samples of the model's density and what happened on the way, all detached."""

    x: Tensor  # (n, d) ends of the chains
    x0: Tensor  # (n, d) where the visible chains began
    metrics: dict[str, Tensor | float]


class NormalizedModel(Protocol):
    """What samplers need of a model."""

    temperature: Tensor
    latent_geometry: Geometry

    def boxed_energy(self, x: Tensor) -> Tensor: ...
    def random_input(self, n: int, generator: torch.Generator | None = None) -> Tensor: ...
    def latent_energy(self, z: Tensor) -> Tensor: ...
    def decode(self, z: Tensor) -> Tensor: ...
    def random_latent(self, n: int, generator: torch.Generator | None = None) -> Tensor: ...


class Sampler(Protocol):
    """Draws negatives of a model and keeps what it needs for the next time."""

    def negatives(self, model: NormalizedModel, n: int, generator: torch.Generator) -> Negatives:
        """``n`` negatives; the model's parameters should not require gradients meanwhile."""
        ...

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@torch.no_grad()
def independence(
    energy: Callable[[Tensor], Tensor], x: Tensor, proposals: Tensor, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Metropolis steps with proposals that do not depend on where the chain is.

    Arguments:
        energy: Callable ``(n, d) -> (n,)``, already divided by the temperature.
        x: Chains, ``(n, d)``.
        proposals: ``(k, n, d)``, uniform on the space; one step each.
        generator: Source of the random numbers.

    Returns:
        The chains after k steps, and the mean acceptance rate.

    References:
        Tierney, "Markov chains for exploring posterior distributions", Ann. Statist. 22 (1994) 1701
    """
    k, n = proposals.shape[:2]
    e = energy(x)
    e_new = energy(proposals.flatten(0, 1)).view(k, n)
    log_u = torch.rand(k, n, generator=generator, device=x.device).log()
    rate = x.new_zeros(())
    for j in range(k):
        take = log_u[j] < e - e_new[j]
        x = torch.where(take[:, None], proposals[j], x)
        e = torch.where(take, e_new[j], e)
        rate = rate + take.to(x.dtype).mean() / k
    return x, rate


def tuned(step: float, acceptance: Tensor, config: ChainConfig) -> float:
    """One stochastic-approximation step of log(step size) towards the wanted acceptance rate."""
    if config.n_steps == 0:
        return step
    return min(step * math.exp(0.1 * (float(acceptance) - config.acceptance)), config.max_step_size)
