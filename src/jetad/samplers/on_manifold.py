"""Negatives by on-manifold initialisation: a latent chain, then a chain among the inputs."""

from __future__ import annotations

from typing import Any, Literal

import torch

from .base import ChainConfig, Negatives, NormalizedModel, SamplerConfig, independence, tuned
from .buffer import ReplayBuffer
from .langevin import langevin

__all__ = ["OnManifoldConfig", "OnManifoldSampler"]


class OnManifoldConfig(SamplerConfig):
    """Settings of on-manifold initialisation."""

    kind: Literal["omi"] = "omi"
    latent_chain: ChainConfig = ChainConfig(n_steps=4, step_size=0.01, max_step_size=0.5)
    visible_chain: ChainConfig = ChainConfig(n_steps=8, step_size=0.05)


class OnManifoldSampler:
    """Latent chain on ``H(z) = E(f_d(z))``, decode, then a visible chain on ``E(x)``.

    Both are Metropolis-adjusted at temperature T, so an uphill or unstable move is refused instead of
    being followed, and the step sizes tune themselves to a fixed acceptance rate. Before its local
    steps a latent chain gets ``n_restarts`` uniform proposals: a chain that sits on an island leaves it
    at once when a more likely place exists anywhere on the sphere. Latent ends are kept in a replay
    buffer; visible chains are short and begin anew each time.

    References:
        Yoon, Noh, Park, 2021, arXiv:2105.05735, section 4; there the chains are unadjusted, with step
        and noise set by hand.
    """

    def __init__(self, config: OnManifoldConfig) -> None:
        self.config = config
        self.buffer = ReplayBuffer(config.buffer_size, config.replay_fraction)
        self.latent_step = config.latent_chain.step_size
        self.visible_step = config.visible_chain.step_size

    def __repr__(self) -> str:
        c = self.config
        return f"OnManifoldSampler(latent {c.latent_chain.n_steps}, visible {c.visible_chain.n_steps} steps)"

    def negatives(self, model: NormalizedModel, n: int, generator: torch.Generator) -> Negatives:
        c, t = self.config, model.temperature
        z = self.buffer.starts(model.random_latent(n, generator), generator)
        metrics: dict[str, Any] = {}
        if c.n_restarts:
            fresh = model.random_latent(c.n_restarts * n, generator).view(c.n_restarts, n, -1)
            z, metrics["restart_rate"] = independence(
                lambda v: model.latent_energy(v) / t, z, fresh, generator
            )
        latent = langevin(
            model.latent_energy,
            z,
            n_steps=c.latent_chain.n_steps,
            step_size=self.latent_step,
            temperature=t,
            geometry=model.latent_geometry,
            metropolis=True,
            generator=generator,
        )
        self.latent_step = tuned(self.latent_step, latent.acceptance_rate, c.latent_chain)
        self.buffer.push(latent.x)
        with torch.no_grad():
            x0 = model.decode(latent.x)
        visible = langevin(
            model.boxed_energy,
            x0,
            n_steps=c.visible_chain.n_steps,
            step_size=self.visible_step * t,  # E / T changes over distances of sqrt(T)
            temperature=t,
            metropolis=True,
            generator=generator,
        )
        self.visible_step = tuned(self.visible_step, visible.acceptance_rate, c.visible_chain)
        metrics |= {
            "latent_acceptance": latent.acceptance_rate,
            "latent_step_size": self.latent_step,
            "visible_acceptance": visible.acceptance_rate,
            "visible_step_size": self.visible_step,
        }
        return Negatives(visible.x, x0, metrics)

    def state_dict(self) -> dict[str, Any]:
        return {"buffer": self.buffer.state_dict(), "latent": self.latent_step, "visible": self.visible_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.buffer.load_state_dict(state["buffer"])
        self.latent_step, self.visible_step = state["latent"], state["visible"]
