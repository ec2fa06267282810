"""Negatives by short chains that start at the background jets of the batch."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from .base import ChainConfig, ChainRunner, Negatives, NormalizedModel

__all__ = ["ShortChainConfig", "ShortChainSampler"]


class ShortChainConfig(BaseModel):
    """Settings of contrastive divergence."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["cd"] = "cd"
    visible_chain: ChainConfig = ChainConfig(n_steps=10, step_size=0.05)


class ShortChainSampler:
    """Chains on ``E(x)`` from the batch itself; what lies far from the background stays unseen.

    References:
        Hinton, "Training products of experts by minimizing contrastive divergence", Neural Comput. 14
        (2002) 1771
    """

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
