"""Negatives by persistent chains among the inputs, for inputs of few dimensions."""

from __future__ import annotations

from typing import Any, Literal

import torch

from .base import ChainConfig, Negatives, NormalizedModel, SamplerConfig, independence, tuned
from .buffer import ReplayBuffer
from .langevin import langevin

__all__ = ["PersistentConfig", "PersistentSampler"]


class PersistentConfig(SamplerConfig):
    """Settings of persistent contrastive divergence."""

    kind: Literal["pcd"] = "pcd"
    visible_chain: ChainConfig = ChainConfig(n_steps=10, step_size=0.05)


class PersistentSampler:
    """Chains on ``E(x)`` that go on from a replay buffer of inputs.

    Each chain first gets ``n_restarts`` uniform proposals from the box, then Metropolis-adjusted
    Langevin steps. In a few dimensions the restarts find every region of low energy, so nothing the
    background does not show stays unseen.

    References:
        Tieleman, "Training restricted Boltzmann machines using approximations to the likelihood
        gradient", ICML 2008; Du, Mordatch, 2019, arXiv:1903.08689 (replay buffer)
    """

    def __init__(self, config: PersistentConfig) -> None:
        self.config = config
        self.buffer = ReplayBuffer(config.buffer_size, config.replay_fraction)
        self.visible_step = config.visible_chain.step_size

    def __repr__(self) -> str:
        return f"PersistentSampler({self.config.visible_chain.n_steps} steps)"

    def negatives(self, model: NormalizedModel, n: int, generator: torch.Generator) -> Negatives:
        c, t = self.config, model.temperature
        x = self.buffer.starts(model.random_input(n, generator), generator)
        metrics: dict[str, Any] = {}
        if c.n_restarts:
            fresh = model.random_input(c.n_restarts * n, generator).view(c.n_restarts, n, -1)
            x, metrics["restart_rate"] = independence(
                lambda v: model.boxed_energy(v) / t, x, fresh, generator
            )
        chain = langevin(
            model.boxed_energy,
            x,
            n_steps=c.visible_chain.n_steps,
            step_size=self.visible_step * t,
            temperature=t,
            metropolis=True,
            generator=generator,
        )
        self.visible_step = tuned(self.visible_step, chain.acceptance_rate, c.visible_chain)
        self.buffer.push(chain.x)
        metrics |= {"visible_acceptance": chain.acceptance_rate, "visible_step_size": self.visible_step}
        return Negatives(chain.x, x, metrics)

    def state_dict(self) -> dict[str, Any]:
        return {"buffer": self.buffer.state_dict(), "visible": self.visible_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.buffer.load_state_dict(state["buffer"])
        self.visible_step = state["visible"]
