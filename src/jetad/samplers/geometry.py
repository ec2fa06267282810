"""The spaces chains live in: flat space and the unit sphere."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ..distributed.shared_batch import normal, uniform

__all__ = ["EUCLIDEAN", "SPHERE", "Geometry", "perturbed"]


class Geometry(Protocol):
    """A space with tangent vectors; points and vectors are ``(n, ...)``."""

    def tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """The part of ``v`` along the space at ``x``."""
        ...

    def move(self, x: Tensor, v: Tensor) -> Tensor:
        """The point reached from ``x`` along the geodesic that starts with the tangent vector ``v``."""
        ...

    def direction(self, x: Tensor, y: Tensor) -> Tensor:
        """The tangent vector at ``x`` that leads to ``y``: the inverse of ``move``."""
        ...


class _Euclidean:
    """Flat space."""

    def tangent(self, x: Tensor, v: Tensor) -> Tensor:
        return v

    def move(self, x: Tensor, v: Tensor) -> Tensor:
        return x + v

    def direction(self, x: Tensor, y: Tensor) -> Tensor:
        return y - x


class _Sphere:
    """The unit sphere in ``(n, d)``; geodesics are great circles."""

    def tangent(self, x: Tensor, v: Tensor) -> Tensor:
        return v - (v * x).sum(dim=1, keepdim=True) * x

    def move(self, x: Tensor, v: Tensor) -> Tensor:
        r = v.norm(dim=1, keepdim=True)
        y = torch.cos(r) * x + torch.sinc(r / torch.pi) * v
        # rounding would let the radius drift over thousands of steps
        result: Tensor = y / y.norm(dim=1, keepdim=True)
        return result

    def direction(self, x: Tensor, y: Tensor) -> Tensor:
        side = self.tangent(x, y)
        sine = side.norm(dim=1, keepdim=True)
        # atan2 keeps its precision where arccos of the dot product would lose it
        angle = torch.atan2(sine, (x * y).sum(dim=1, keepdim=True))
        result: Tensor = side * (angle / sine.clamp_min(1e-12))
        return result


EUCLIDEAN: Geometry = _Euclidean()
SPHERE: Geometry = _Sphere()


def perturbed(z: Tensor, min_std: float, max_std: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points of the sphere with Gaussian noise, projected back on it; each has a width of its own.

    Arguments:
        z: Points ``(n, d)``.
        min_std: Smallest width; the widths are uniform between the two.
        max_std: Largest width.
        generator: Source of the random numbers.

    Returns:
        The moved points ``(n, d)`` and their widths ``(n, 1)``.

    References:
        Yoon, Jin, Noh, Park, 2023, arXiv:2310.18677, section 3
    """
    u = uniform((len(z), 1), generator, device=z.device, dtype=z.dtype)
    std = min_std + (max_std - min_std) * u
    noise = normal(z.shape, generator, device=z.device, dtype=z.dtype)
    return torch.nn.functional.normalize(z + std * noise, dim=1), std
