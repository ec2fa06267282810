"""Negatives by persistent chains among the inputs, for inputs of few dimensions."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ..papers import Reference
from .base import BufferedSettings, ChainConfig, ChainRunner, Negatives, NormalizedModel, independence
from .buffer import ReplayBuffer

__all__ = ["PersistentConfig", "PersistentSampler"]


class PersistentConfig(BufferedSettings):
    """Settings of persistent contrastive divergence."""

    papers = (
        Reference(
            "Tieleman:2008", ("T. Tieleman",),
            "Training restricted Boltzmann machines using approximations to the likelihood gradient", 2008,
            "ICML 2008", used_for="persistent chains",
        ),
    )  # fmt: skip

    kind: Literal["pcd"] = "pcd"
    visible_chain: ChainConfig = ChainConfig(n_steps=10, step_size=0.05)


class PersistentSampler:
    """Chains on ``E(x)`` that go on from a replay buffer of inputs.

    Each chain first gets ``n_restarts`` uniform proposals from the box, then Langevin steps. In a few
    dimensions the restarts find every region of low energy, so nothing the background does not show
    stays unseen.

    References:
        Tieleman, "Training restricted Boltzmann machines using approximations to the likelihood
        gradient", ICML 2008; Du, Mordatch, 2019, arXiv:1903.08689 (replay buffer)
    """

    Settings = PersistentConfig

    def __init__(self, config: PersistentConfig) -> None:
        self.config = config
        self.buffer = ReplayBuffer(config.buffer_size, config.replay_fraction)
        self.visible = ChainRunner(config.visible_chain)

    def __repr__(self) -> str:
        return f"PersistentSampler({self.config.visible_chain.n_steps} steps)"

    def starts(
        self, model: NormalizedModel, n: int, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Any]]:
        """Where the ``n`` chains begin: the buffer, fresh points, and the restarts; and their metrics."""
        c, t = self.config, model.temperature
        x = self.buffer.starts(model.random_input(n, generator), generator)
        if not c.n_restarts:
            return x, {}
        fresh = model.random_input(c.n_restarts * n, generator).view(c.n_restarts, n, -1)
        x, rate = independence(lambda v: model.boxed_energy(v) / t, x, fresh, generator)
        return x, {"restart_rate": rate}

    def advance(self, model: NormalizedModel, n: int, generator: torch.Generator) -> Negatives:
        """Ends of ``n`` chains that the buffer does not have yet."""
        x0, metrics = self.starts(model, n, generator)
        chain = self.visible.visible(model, x0, generator)
        return Negatives(chain.x, x0, metrics | self.visible.metrics("visible", chain))

    def negatives(self, model: NormalizedModel, x: Tensor, generator: torch.Generator) -> Negatives:
        negatives = self.advance(model, len(x), generator)
        self.buffer.push(negatives.x, generator)
        return negatives

    def state_dict(self) -> dict[str, Any]:
        return {"buffer": self.buffer.state_dict(), "visible": self.visible.step_size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.buffer.load_state_dict(state["buffer"])
        self.visible.load_step_size(state["visible"])
