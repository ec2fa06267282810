"""TensorBoard: event files in the run directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import Tracker

__all__ = ["TensorBoard"]


class TensorBoard(Tracker):
    """Scalars and settings in ``tensorboard/`` of the run; ``tensorboard --logdir runs`` shows all runs."""

    def begin(self, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # what was written after the checkpoint that training goes on from is done again
        purge = {"purge_step": step + 1} if self.known else {}
        self._writer: Any = SummaryWriter(str(self.run.path / "tensorboard"), flush_secs=10, **purge)
        if not self.known:
            rows = "\n".join(f"| {name} | {value} |" for name, value in self.settings.items())
            self._writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}")

    @property
    def identity(self) -> str:
        return "tensorboard"

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def end(self, state: str) -> None:
        self._writer.add_text("state", state)
        self._writer.close()
