"""Weights & Biases: a run in the project ``jetad``, or that of WANDB_PROJECT."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .base import Tracker

__all__ = ["WeightsAndBiases"]


class WeightsAndBiases(Tracker):
    """Metrics and settings of a run; WANDB_MODE=offline keeps them on this machine."""

    def begin(self, step: int) -> None:
        import wandb

        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "jetad"), name=self.run.path.name, id=self.known or None,
            resume="allow" if self.known else None, config=dict(self.settings), dir=str(self.run.path.parent),
            settings=wandb.Settings(console="off", disable_git=True, save_code=False),
        )  # fmt: skip

    @property
    def identity(self) -> str:
        return str(self._run.id)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def end(self, state: str) -> None:
        self._run.summary["state"] = state
        self._run.finish(exit_code=0 if state == "finished" else 1)
