"""Frame and four-momentum of jets from padded constituents, in operations that runtimes have in float64."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ..preprocessing.images import _ON_AXIS, MAX_ETA, MAX_PHI

__all__ = ["Frame", "asinh", "buffer", "directions_make_sense", "finite", "four_momentum", "fractions"]


def buffer(values: ArrayLike, dtype: torch.dtype = torch.float64) -> Tensor:
    """Constants as a tensor, float64 by default."""
    return torch.tensor(np.asarray(values), dtype=dtype)


def finite(x: Tensor) -> Tensor:
    """Where numbers are neither infinite nor NaN; of the shape of ``x``."""
    return torch.abs(x) < math.inf  # false for NaN


def directions_make_sense(eta: Tensor, phi: Tensor) -> Tensor:
    """Where constituents have a direction that a particle of a collider can have; of the shape of ``eta``."""
    return (torch.abs(eta) <= MAX_ETA) & (torch.abs(phi) <= MAX_PHI)


def fractions(pt: Tensor) -> Tensor:
    """pT over the sum of pT, ``(n, k)``; 0 for a jet without any."""
    total = pt.sum(1, keepdim=True)
    return pt / torch.where(total > 0, total, torch.ones_like(total))


class Frame(nn.Module):
    """Constituents in the frame of their jet, as ``jetad.preprocessing.images.align``, float64."""

    def __init__(self, *, rotate: bool = True, flip: bool = True) -> None:
        super().__init__()
        self.rotate, self.flip = rotate, flip

    def forward(self, pt: Tensor, eta: Tensor, phi: Tensor) -> tuple[Tensor, Tensor]:
        """Float64 ``(n, k)`` each, padding with pt = 0; returns (eta', phi')."""
        total = pt.sum(1, keepdim=True)
        norm = torch.where(total > 0, total, torch.ones_like(total))
        # relative to the first constituent with pT, so that the mean never crosses the cut at +-pi
        there = (pt > 0).double()
        first = (there > 0) & (torch.cumsum(there, 1) == 1)
        phi = phi - torch.where(first, phi, torch.zeros_like(phi)).sum(1, keepdim=True)
        phi = phi - 2 * math.pi * torch.floor((phi + math.pi) / (2 * math.pi))
        eta = eta - (pt * eta).sum(1, keepdim=True) / norm
        phi = phi - (pt * phi).sum(1, keepdim=True) / norm
        if self.rotate:
            ee = (pt * eta * eta).sum(1, keepdim=True)
            ep = (pt * eta * phi).sum(1, keepdim=True)
            pp = (pt * phi * phi).sum(1, keepdim=True)
            # half of the angle atan2(y, x) without an arcus tangent, which runtimes have in float32 only
            x, y = ee - pp, 2 * ep
            r = torch.sqrt(x * x + y * y)
            zero = r <= 0
            r = torch.where(zero, torch.ones_like(r), r)
            larger = torch.sqrt((1 + torch.abs(x) / r) / 2)
            smaller = torch.abs(y) / (2 * r * larger)
            sign = torch.where(y < 0, -torch.ones_like(y), torch.ones_like(y))
            cos_a = torch.where(zero, torch.ones_like(x), torch.where(x >= 0, larger, smaller))
            sin_a = torch.where(zero, torch.zeros_like(x), sign * torch.where(x >= 0, smaller, larger))
            eta, phi = eta * sin_a - phi * cos_a, eta * cos_a + phi * sin_a
            eta, phi = (torch.where(torch.abs(v) < _ON_AXIS, torch.zeros_like(v), v) for v in (eta, phi))
        if self.flip:
            eta = eta * self._sign(pt, eta)
            phi = phi * self._sign(pt, phi)
        return eta, phi

    @staticmethod
    def _sign(pt: Tensor, x: Tensor) -> Tensor:
        side = (
            torch.where(x > 0, pt, torch.zeros_like(pt)) - torch.where(x < 0, pt, torch.zeros_like(pt))
        ).sum(1, keepdim=True)
        return torch.where(side < 0, -torch.ones_like(side), torch.ones_like(side))


def asinh(x: Tensor) -> Tensor:
    """Without an area function, which runtimes have in float32 only."""
    return torch.sign(x) * torch.log(x.abs() + torch.sqrt(x * x + 1))


def four_momentum(
    pt: Tensor, eta: Tensor, phi: Tensor, mass: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """pT, mass and eta of jets, ``(n,)`` float64; without pT, eta is 0."""
    grown = torch.exp(eta)
    pz = pt * (grown - 1 / grown) / 2
    px, py = pt * torch.sin(phi + math.pi / 2), pt * torch.sin(phi)
    energy_gev = torch.sqrt(px * px + py * py + pz * pz + mass * mass) * mask
    px, py, pz, energy_gev = (v.sum(1) for v in (px, py, pz, energy_gev))
    pt2 = px * px + py * py
    mass2 = energy_gev * energy_gev - pt2 - pz * pz
    jet_mass = torch.sqrt(torch.where(mass2 > 0, mass2, torch.zeros_like(mass2)))
    jet_pt = torch.sqrt(pt2)
    return jet_pt, jet_mass, asinh(pz / torch.where(jet_pt == 0, torch.ones_like(jet_pt), jet_pt))
