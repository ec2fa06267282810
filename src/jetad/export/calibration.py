"""Calibrations as torch modules, twins of jetad.calibration in float64."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from ..calibration import (
    BackgroundEfficiency,
    BinnedEfficiency,
    Calibration,
    DecorrelatedEfficiency,
    Surprise,
)
from ..errors import ConfigError
from .frame import buffer

__all__ = ["CalibrationGraph", "SurpriseGraph"]


class SurpriseGraph(nn.Module):
    """As ``jetad.calibration.Surprise``, float64."""

    knots: Tensor
    surprises: Tensor

    def __init__(self, surprise: Surprise) -> None:
        super().__init__()
        self.threshold, self.scale, self.tail = surprise.threshold, surprise.scale, surprise.tail
        knots, values = np.asarray(surprise.knots), np.asarray(surprise.surprises)
        if len(knots) == 1:
            knots, values = np.append(knots, knots + 1), np.append(values, values)
        self.register_buffer("knots", buffer(knots))
        self.register_buffer("surprises", buffer(values))

    def forward(self, s: Tensor) -> Tensor:
        below = (self.knots <= s[:, None]).to(torch.int64).sum(1)
        right = torch.clamp(below, 1, len(self.knots) - 1)
        x0, x1 = self.knots[right - 1], self.knots[right]
        y0, y1 = self.surprises[right - 1], self.surprises[right]
        u = torch.clamp((s - x0) / (x1 - x0), 0.0, 1.0)
        beyond = -math.log(self.tail) + (s - self.threshold) / self.scale
        return torch.where(s > self.threshold, beyond, y0 + u * (y1 - y0))


class EfficiencyGraph(nn.Module):
    """As ``jetad.calibration.BackgroundEfficiency``; the search goes over blocks, then inside one."""

    firsts: Tensor
    blocks: Tensor
    fractions: Tensor

    def __init__(self, efficiency: BackgroundEfficiency) -> None:
        super().__init__()
        m = len(efficiency.scores)
        self.width = math.isqrt(m - 1) + 1
        n_blocks = -(-m // self.width)
        knots = np.full(n_blocks * self.width, np.inf)
        knots[:m] = efficiency.scores
        fractions = np.zeros(n_blocks * self.width + 1)
        fractions[: m + 1] = efficiency.fractions
        blocks = knots.reshape(n_blocks, self.width)
        self.n_eff = efficiency.n_eff
        self.register_buffer("blocks", buffer(blocks))
        self.register_buffer("firsts", buffer(blocks[:, 0]))
        self.register_buffer("fractions", buffer(fractions))

    def forward(self, s: Tensor) -> Tensor:
        block = torch.clamp((self.firsts < s[:, None]).to(torch.int64).sum(1) - 1, min=0)
        inside = (self.blocks[block] < s[:, None]).to(torch.int64).sum(1)
        f = self.fractions[block * self.width + inside]
        return (1 + self.n_eff * f) / (self.n_eff + 1)


class CalibrationGraph(nn.Module):
    """Any calibration; bins and nodes are evaluated all and the right one is taken."""

    edges: Tensor
    nodes: Tensor

    def __init__(self, calibration: Calibration) -> None:
        super().__init__()
        self.columns = calibration.columns
        self.kind = "plain"
        if isinstance(calibration, BinnedEfficiency):
            self.kind = "bins"
            self.shape = calibration.shape
            self.cells = nn.ModuleList(EfficiencyGraph(cell) for cell in calibration.cells)
            for name, edges in calibration.edges.items():
                self.register_buffer(f"edges_{name}", buffer(edges))
        elif isinstance(calibration, DecorrelatedEfficiency):
            self.kind = "decorrelated"
            self.register_buffer("nodes", buffer(calibration.nodes))
            self.scales = nn.ModuleList(SurpriseGraph(scale) for scale in calibration.scales)
            self.cells = nn.ModuleList([EfficiencyGraph(calibration.efficiency)])
        elif isinstance(calibration, BackgroundEfficiency):
            self.cells = nn.ModuleList([EfficiencyGraph(calibration)])
        else:
            raise ConfigError(f"a calibration of type {type(calibration).__name__} cannot be exported")

    def forward(self, s: Tensor, columns: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Efficiencies ``(n,)``, and the decorrelated score where there is one."""
        if self.kind == "bins":
            cell = torch.zeros_like(s).to(torch.int64)
            for name, size in zip(self.columns, self.shape, strict=True):
                cell = cell * size + (getattr(self, f"edges_{name}") <= columns[name][:, None]).to(
                    torch.int64
                ).sum(1)
            p = self.cells[0](s)
            for i, graph in enumerate(self.cells):
                p = torch.where(cell == i, graph(s), p)
            return p, None
        if self.kind == "decorrelated":
            m = columns[self.columns[0]]
            d = torch.zeros_like(s)
            last = len(self.scales) - 1
            for k, scale in enumerate(self.scales):
                # a hat around each node, flat beyond the outermost
                weight = torch.ones_like(s)
                if k > 0:
                    rising = (m - self.nodes[k - 1]) / (self.nodes[k] - self.nodes[k - 1])
                    weight = torch.minimum(weight, rising)
                if k < last:
                    falling = (self.nodes[k + 1] - m) / (self.nodes[k + 1] - self.nodes[k])
                    weight = torch.minimum(weight, falling)
                d = d + torch.clamp(weight, min=0.0) * scale(s)
            d = d.float()
            return self.cells[0](d.double()), d
        return self.cells[0](s), None
