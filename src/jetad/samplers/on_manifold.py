"""Negatives by on-manifold initialisation: a latent chain, then a chain among the inputs."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import Self

from .base import BufferedSettings, ChainConfig, ChainRunner, Negatives, independence
from .buffer import ReplayBuffer
from .geometry import perturbed

__all__ = ["OnManifoldConfig", "OnManifoldSampler"]


class OnManifoldConfig(BufferedSettings):
    """Settings of on-manifold initialisation."""

    needs = ("codec", "latent_energy")

    kind: Literal["omi"] = "omi"
    start: Literal["uniform", "background"] = Field(
        "uniform", description="of fresh latent chains: anywhere on the sphere, or near codes of the batch"
    )
    min_std: float = Field(0.05, gt=0, description="smallest distance from a code, for start background")
    max_std: float = Field(0.3, gt=0, description="largest; each chain draws its own in between")
    latent_chain: ChainConfig = ChainConfig(n_steps=4, step_size=0.01, max_step_size=0.5)
    visible_chain: ChainConfig = ChainConfig(n_steps=8, step_size=0.05)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_std < self.min_std:
            raise ValueError(f"max_std {self.max_std} is smaller than min_std {self.min_std}")
        return self

    @property
    def starts_at_background(self) -> bool:
        return self.start == "background"


class OnManifoldSampler:
    """Latent chain on ``H(z) = E(f_d(z))``, decode, then a visible chain on ``E(x)``.

    Both are Metropolis-adjusted at temperature T, so an uphill or unstable move is refused instead of
    being followed, and the step sizes tune themselves to a fixed acceptance rate. Before its local
    steps a latent chain gets ``n_restarts`` uniform proposals: a chain that sits on an island leaves it
    at once when a more likely place exists anywhere on the sphere. Latent ends are kept in a replay
    buffer; visible chains are short and begin anew each time.

    With ``start: background`` fresh chains begin at codes of the batch, moved as in manifold
    projection-diffusion recovery (there on a frozen manifold): they look where the background ends instead
    of walking over a sphere that is mostly empty.

    References:
        Yoon, Noh, Park, 2021, arXiv:2105.05735, section 4; there the chains are unadjusted, with step
        and noise set by hand (``adjusted: false``).
    """

    Settings = OnManifoldConfig

    def __init__(self, config: OnManifoldConfig) -> None:
        self.config = config
        self.buffer = ReplayBuffer(config.buffer_size, config.replay_fraction)
        self.latent = ChainRunner(config.latent_chain)
        self.visible = ChainRunner(config.visible_chain)

    def __repr__(self) -> str:
        c = self.config
        return f"OnManifoldSampler(latent {c.latent_chain.n_steps}, visible {c.visible_chain.n_steps} steps)"

    def negatives(self, model: Any, x: Tensor, generator: torch.Generator) -> Negatives:
        c, t, codec, n = self.config, model.temperature, model.codec, len(x)
        if c.start == "uniform":
            fresh_z = codec.random_latent(n, generator)
        else:
            with torch.no_grad():
                fresh_z, _ = perturbed(codec.encode(x), c.min_std, c.max_std, generator)
        z = self.buffer.starts(fresh_z, generator)
        metrics: dict[str, Any] = {}
        if c.n_restarts:
            fresh = codec.random_latent(c.n_restarts * n, generator).view(c.n_restarts, n, -1)
            z, metrics["restart_rate"] = independence(
                lambda v: model.latent_energy(v) / t, z, fresh, generator
            )
        latent = self.latent.run(model.latent_energy, z, generator, temperature=t, geometry=codec.geometry)
        self.buffer.push(latent.x, generator)
        with torch.no_grad():
            x0 = model.clamp(codec.decode(latent.x))
        visible = self.visible.visible(model, x0, generator)
        metrics |= self.latent.metrics("latent", latent) | self.visible.metrics("visible", visible)
        return Negatives(visible.x, x0, metrics)

    def state_dict(self) -> dict[str, Any]:
        return {
            "buffer": self.buffer.state_dict(),
            "latent": self.latent.step_size,
            "visible": self.visible.step_size,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.buffer.load_state_dict(state["buffer"])
        self.latent.load_step_size(state["latent"])
        self.visible.load_step_size(state["visible"])
