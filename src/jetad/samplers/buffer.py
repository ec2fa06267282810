"""A replay buffer in one preallocated tensor: chains go on where earlier ones ended."""

from __future__ import annotations

import torch
from torch import Tensor

from ..distributed.shared_batch import integers, uniform, whole

__all__ = ["ReplayBuffer"]


class ReplayBuffer:
    """Chain ends kept on the device; overwritten in a ring. Ranks that share a batch all keep the same.

    Arguments:
        capacity: Number of points kept.
        replay_fraction: Probability that a chain starts from a kept point rather than a fresh one.
    """

    def __init__(self, capacity: int, replay_fraction: float) -> None:
        self.capacity = capacity
        self.replay_fraction = replay_fraction
        self._points: Tensor | None = None
        self._next = 0
        self._filled = 0

    def __len__(self) -> int:
        return self._filled

    def __repr__(self) -> str:
        return f"ReplayBuffer({self._filled}/{self.capacity}, replay_fraction={self.replay_fraction})"

    def starts(self, fresh: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Starts for ``len(fresh)`` chains: kept points with ``replay_fraction``, else ``fresh`` rows."""
        if self._points is None or self._filled == 0:
            return fresh
        shape, device = fresh.shape[:1], fresh.device
        self._points = self._points.to(device)  # a checkpoint brings them back on the CPU
        where = integers(self._filled, shape, generator, device=device)
        replay = uniform(shape, generator, device=device) < self.replay_fraction
        rows = replay.view(-1, *[1] * (fresh.dim() - 1))
        return torch.where(rows, self._points[where], fresh)

    def push(self, points: Tensor, generator: torch.Generator | None = None) -> None:
        """Keep ``points``, replacing the oldest; where ranks share the batch, those of all of them."""
        points = whole(points, generator)
        if self._points is None:
            self._points = points.new_zeros((self.capacity, *points.shape[1:]))
        points = points.detach()[-self.capacity :]
        rows = (torch.arange(len(points), device=points.device) + self._next) % self.capacity
        self._points[rows] = points
        self._next = (self._next + len(points)) % self.capacity
        self._filled = min(self._filled + len(points), self.capacity)

    def state_dict(self) -> dict[str, Tensor | int | None]:
        return {"points": self._points, "next": self._next, "filled": self._filled}

    def load_state_dict(self, state: dict[str, Tensor | int | None]) -> None:
        self._points = state["points"]  # type: ignore[assignment]
        self._next = int(state["next"])  # type: ignore[arg-type]
        self._filled = int(state["filled"])  # type: ignore[arg-type]
