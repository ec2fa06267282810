"""Langevin chains on any energy: unadjusted or Metropolis-adjusted, in flat space or on the sphere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..distributed.shared_batch import normal, uniform
from .compiling import begin_chain, compilable, end_chain
from .geometry import EUCLIDEAN, Geometry

__all__ = ["Chain", "Limit", "langevin"]

Energy = Callable[[Tensor], Tensor]
Limit = Literal["norm", "component", "row"]  # what ``max_gradient`` limits


class Chain(NamedTuple):
    """The end of a set of chains and what happened on the way, all detached."""

    x: Tensor  # (n, ...) last points
    energy_trace: Tensor  # (n_steps, n) energies at the start of each step
    acceptance_rate: Tensor  # scalar on the device; 1 for unadjusted chains
    step_norm: Tensor  # scalar, mean length of the moves that were made


def langevin(
    energy: Energy,
    x0: Tensor,
    *,
    n_steps: int,
    step_size: float | Tensor,
    noise_std: float | Tensor | Sequence[float] | None = None,
    temperature: float | Tensor = 1.0,
    geometry: Geometry = EUCLIDEAN,
    metropolis: bool = False,
    project: Callable[[Tensor], Tensor] | None = None,
    max_gradient: float | None = None,
    limit: Limit = "norm",
    row_length: int | None = None,
    unit_gradient: bool = False,
    generator: torch.Generator | None = None,
) -> Chain:
    r"""Run Langevin chains ``x <- x - step_size * grad E(x) / T + noise_std * xi``, ``xi ~ N(0, 1)``.

    For ``noise_std**2 = 2 * step_size`` (the default) and small steps the chains sample
    ``exp(-E(x) / T)``; a smaller noise makes them colder than they say. With ``metropolis`` each move
    is accepted with probability ``min(1, p(y) q(x|y) / (p(x) q(y|x)))``, with the proposal densities of
    the step size and noise that were used, so the target is exact for any of them.

    Arguments:
        energy: Callable ``(n, ...) -> (n,)``. Its parameters should not require gradients.
        x0: Starts, ``(n, ...)``; left as it is.
        n_steps: Number of steps.
        step_size: Factor of the gradient of ``E / T``.
        noise_std: Standard deviation of the noise per coordinate; ``sqrt(2 * step_size)`` if ``None``; a
            sequence gives it for every step.
        temperature: The T above.
        geometry: Flat space, or the sphere (moves along great circles; drift and noise are tangent).
        metropolis: Accept or reject every move (MALA).
        project: Applied after each move (clamp to a box, for example). Breaks detailed balance.
        max_gradient: Longer gradients of ``E / T`` are shortened to this. Breaks the unadjusted
            stationarity where it acts, never the adjusted one.
        limit: What is shortened: the whole gradient of a point (``norm``), each ``component`` of it, or
            each ``row`` of an image.
        row_length: Pixels in a row of the image, for points that are flat images; the last axis if ``None``.
        unit_gradient: Every gradient gets length one: each drift moves as far as every other.
        generator: Source of the random numbers.

    Raises:
        ValueError: for ``metropolis`` together with ``project``, an energy that does not return one number
            a row, a wrong number of ``noise_std``, or rows that do not fill an image.

    References:
        Roberts, Tweedie, "Exponential convergence of Langevin distributions and their discrete
        approximations", Bernoulli 2 (1996) 341; Yoon, Noh, Park, "Autoencoding under normalization
        constraints", 2021, arXiv:2105.05735 (section 3)
    """
    if metropolis and project is not None:
        raise ValueError("a Metropolis step needs the plain proposal: no projection")
    if noise_std is None:
        noise_std = (2 * step_size) ** 0.5
    stds = noise_std if isinstance(noise_std, Sequence) else [noise_std] * n_steps
    if len(stds) != n_steps:
        raise ValueError(f"{len(stds)} values of noise_std for {n_steps} steps")

    begin_chain()
    trace: list[Tensor] = []
    accepted = x0.new_zeros(())
    moved = x0.new_zeros(())
    pull = _Pull(max_gradient, limit, row_length or x0.shape[-1], unit_gradient)
    if limit == "row" and x0.shape[-1] % pull.row_length:
        raise ValueError(f"points of {x0.shape[-1]} coordinates are no images with rows of {row_length}")
    target = (energy, temperature, step_size, geometry, pull)
    x = x0.detach()
    e, drift = _compilable_drift(x, *target)
    for k in range(n_steps):
        trace.append(e)
        noise = normal(x.shape, generator, device=x.device, dtype=x.dtype)
        if metropolis:
            u = uniform(e.shape, generator, device=x.device, dtype=x.dtype)
            x, e, drift, rate, length = _compilable_step(x, e, drift, noise, u, stds[k], *target)
            accepted, moved = accepted + rate, moved + length
        else:
            x, length = _move(x, drift, noise, stds[k], geometry)
            moved = moved + length
            if project is not None:
                x = project(x)
            if k + 1 < n_steps:
                e, drift = _compilable_drift(x, *target)
    n = max(n_steps, 1)
    rate = accepted / n if metropolis else torch.ones_like(accepted)
    energies = torch.stack(trace) if trace else x0.new_zeros((0, len(x0)))
    return Chain(end_chain(x), energies, rate, moved / n)


class _Pull(NamedTuple):
    """How a gradient of E / T becomes a move."""

    max_gradient: float | None
    limit: Limit
    row_length: int
    unit_gradient: bool

    def shape(self, g: Tensor) -> Tensor:
        if self.unit_gradient:
            g = g / _norm(g).clamp_min(1e-30)
        longest = self.max_gradient
        if longest is None:
            return g
        if self.limit == "component":
            return g.clamp(-longest, longest)
        if self.limit == "row":
            rows = g.unflatten(-1, (-1, self.row_length))
            rows = rows * (longest / rows.norm(dim=-1, keepdim=True).clamp_min(longest))
            result: Tensor = rows.flatten(-2)
            return result
        return g * (longest / _norm(g).clamp_min(longest))


def _drift(
    x: Tensor, energy: Energy, temperature: float | Tensor, step_size: float | Tensor, geometry: Geometry,
    pull: _Pull,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """E / T, and the part of a move that follows its gradient."""

    def total(v: Tensor) -> tuple[Tensor, Tensor]:
        e = energy(v) / temperature
        if e.shape != v.shape[:1]:
            raise ValueError(f"an energy returns shape ({v.shape[0]},), this one {tuple(e.shape)}")
        return e.sum(), e

    if torch.compiler.is_compiling():  # this is what it can follow
        g, (_, e) = torch.func.grad_and_value(total, has_aux=True)(x)
    else:
        with torch.enable_grad():
            v = x.detach().requires_grad_(True)
            whole, e = total(v)
            (g,) = torch.autograd.grad(whole, v)
    return e.detach(), -step_size * pull.shape(geometry.tangent(x, g))


def _move(
    x: Tensor, drift: Tensor, noise: Tensor, std: float | Tensor, geometry: Geometry
) -> tuple[Tensor, Tensor]:
    """The point reached, and the mean length of the way."""
    v = drift + geometry.tangent(x, std * noise)
    return geometry.move(x, v), _norm(v).mean()


def _adjusted_step(
    x: Tensor, e: Tensor, drift: Tensor, noise: Tensor, u: Tensor, std: float | Tensor,
    energy: Energy, temperature: float | Tensor, step_size: float | Tensor, geometry: Geometry, pull: _Pull,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """A move that is accepted or not: points, E / T, drifts, acceptance rate, mean length."""
    v = drift + geometry.tangent(x, std * noise)
    y = geometry.move(x, v)
    e_y, drift_y = _drift(y, energy, temperature, step_size, geometry, pull)
    back = geometry.direction(y, x)
    log_ratio = e - e_y + (_square(v - drift) - _square(back - drift_y)) / (2 * std**2)
    take = torch.log(u) < log_ratio  # False for NaN: a broken point is never entered
    rows = take.view(-1, *[1] * (x.dim() - 1))
    length = (_norm(v).flatten() * take).mean()
    x, drift = torch.where(rows, y, x), torch.where(rows, drift_y, drift)
    return x, torch.where(take, e_y, e), drift, take.to(x.dtype).mean(), length


def _square(v: Tensor) -> Tensor:
    return v.flatten(1).square().sum(dim=1)


def _norm(v: Tensor) -> Tensor:
    result: Tensor = v.flatten(1).norm(dim=1).view(-1, *[1] * (v.dim() - 1))
    return result


_compilable_drift, _compilable_step = compilable(_drift), compilable(_adjusted_step)
