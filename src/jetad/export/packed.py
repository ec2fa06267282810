"""Constituents as two inputs, for frameworks that pass them so."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .graph import ConstituentGraph, ImageGraph, JetGraph

__all__ = ["Graph", "Packed", "pack"]


class Packed(nn.Module):
    """The graph with constituents as ``pf_features (n, 3 or 4, k)`` and ``pf_mask (n, 1, k)``.

    Columns of the file are ``jet_features (n, n_columns, 1)``.
    """

    def __init__(self, graph: ConstituentGraph) -> None:
        super().__init__()
        self.graph = graph

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs in their order."""
        return "pf_features", "pf_mask", *(["jet_features"] if self.graph.columns else [])

    def forward(
        self, pf_features: Tensor, pf_mask: Tensor, jet_features: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        parts = [pf_features[:, i] for i in range(4 if self.graph.needs_mass else 3)]
        columns = [] if jet_features is None else list(jet_features[:, :, 0].unbind(1))
        outputs: tuple[Tensor, ...] = self.graph(*parts[:3], pf_mask[:, 0], *parts[3:], *columns)
        return outputs


Graph = ConstituentGraph | ImageGraph | JetGraph | Packed


def pack(inputs: Sequence[Tensor]) -> list[Tensor]:
    """``pt, eta, phi, mask[, mass][, columns]`` to the inputs of ``Packed``."""
    pt, eta, phi, mask, *more = inputs
    mass, columns = [x for x in more if x.dim() == 2], [x for x in more if x.dim() == 1]
    packed = [torch.stack([pt, eta, phi, *mass], 1), mask[:, None]]
    return [*packed, torch.stack(columns, 1)[:, :, None]] if columns else packed
