"""Negatives by short chains that start at the background jets of the batch."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ..papers import Reference
from .base import ChainConfig, ChainRunner, Negatives, NormalizedModel, SamplerSettings

__all__ = ["ShortChainConfig", "ShortChainSampler"]


class ShortChainConfig(SamplerSettings):
    """Settings of contrastive divergence."""

    papers = (
        Reference(
            "Hinton:2002", ("G. E. Hinton",),
            "Training products of experts by minimizing contrastive divergence", 2002,
            "Neural Comput. 14 (2002) 1771", used_for="short chains from the background",
        ),
    )  # fmt: skip

    kind: Literal["cd"] = "cd"
    visible_chain: ChainConfig = ChainConfig(n_steps=10, step_size=0.05)

    @property
    def starts_at_background(self) -> bool:
        return True


class ShortChainSampler:
    """Chains on ``E(x)`` from the batch itself; what lies far from the background stays unseen.

    References:
        Hinton, "Training products of experts by minimizing contrastive divergence", Neural Comput. 14
        (2002) 1771
    """

    Settings = ShortChainConfig

    def __init__(self, config: ShortChainConfig) -> None:
        self.config = config
        self.visible = ChainRunner(config.visible_chain)

    def __repr__(self) -> str:
        return f"ShortChainSampler({self.config.visible_chain.n_steps} steps)"

    def negatives(self, model: NormalizedModel, x: Tensor, generator: torch.Generator) -> Negatives:
        chain = self.visible.visible(model, x, generator)
        return Negatives(chain.x, x, self.visible.metrics("visible", chain))

    def state_dict(self) -> dict[str, Any]:
        return {"visible": self.visible.step_size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.visible.load_step_size(state["visible"])
