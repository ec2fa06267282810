"""Negatives by manifold projection-diffusion: background moved along the manifold, then recovered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import Self

from ..distributed.shared_batch import length, part
from .base import ChainConfig, ChainRunner, Negatives, SamplerSettings
from .geometry import EUCLIDEAN, perturbed

__all__ = ["RecoveryConfig", "RecoverySampler", "geodesic_square"]


class RecoveryConfig(SamplerSettings):
    """Settings of manifold projection-diffusion recovery."""

    needs = ("manifolds",)

    kind: Literal["recovery"] = "recovery"
    min_std: float = Field(0.05, gt=0, description="smallest perturbation on the latent sphere")
    max_std: float = Field(0.3, gt=0, description="largest; each jet draws its own in between")
    distance: Literal["euclidean", "geodesic"] = Field("geodesic", description="of latent points")
    latent_tether: float = Field(1.0, ge=0, description="weight of the recovery term on the manifold")
    visible_tether: float = Field(1.0, ge=0, description="the same among the inputs; one is the posterior")
    latent_chain: ChainConfig = ChainConfig(n_steps=4, step_size=0.01, max_step_size=0.5)
    visible_chain: ChainConfig = ChainConfig(n_steps=8, step_size=0.05)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_std < self.min_std:
            raise ValueError(f"max_std {self.max_std} is smaller than min_std {self.min_std}")
        return self

    @property
    def starts_at_background(self) -> bool:
        return True


class RecoverySampler:
    r"""Samples of the recovery density ``p(x | z~) ~ exp(-E(x) / T) p(z~ | x)``.

    A background jet is encoded by one of the frozen autoencoders; Gaussian noise of width sigma is added
    and the sum projected on the sphere, ``z~``. Then

    1. a latent chain from z~ on ``E(f_d(z)) / T + c d(f_e(f_d(z)), z~)^2 / (2 sigma^2)``,
    2. a visible chain from where it ends on ``E(x) / T + c' d(f_e(x), z~)^2 / (2 sigma^2)``.

    With c' = 1 the second target is the posterior of the jet given its perturbed projection, and
    the contrastive gradient that of the recovery likelihood; smaller c' let the chain wander as the
    published 1e-4 does. With several autoencoders each perturbs its share of the batch; the energy is
    the same for all. Nothing is kept between calls but the step sizes.

    References:
        Yoon, Jin, Noh, Park, 2023, arXiv:2310.18677, section 3
    """

    Settings = RecoveryConfig

    def __init__(self, config: RecoveryConfig) -> None:
        self.config = config
        self.latent = ChainRunner(config.latent_chain)
        self.visible = ChainRunner(config.visible_chain)

    def __repr__(self) -> str:
        c = self.config
        return f"RecoverySampler(latent {c.latent_chain.n_steps}, visible {c.visible_chain.n_steps} steps)"

    def negatives(self, model: Any, x: Tensor, generator: torch.Generator) -> Negatives:
        c, t = self.config, model.temperature
        distance = geodesic_square if c.distance == "geodesic" else _chord_square
        shares: list[slice] = []
        # where one manifold's share of the batch ends and the next one's begins
        n, k = length(x, generator), len(model.manifolds)
        bounds = [j * (n // k) + min(j, n % k) for j in range(k + 1)]

        tethers: list[Callable[[Tensor], Tensor]] = []
        starts, latent_metrics = [], {}
        for codec, start, stop in zip(model.manifolds, bounds[:-1], bounds[1:], strict=True):
            with part(start, stop, generator) as share:
                shares.append(share)
                near = x[share]
                with torch.no_grad():
                    z = codec.encode(near)
                target, std = perturbed(z, c.min_std, c.max_std, generator)
                pull = 0.5 / std[:, 0].square()

                def tether(
                    v: Tensor, codec: Any = codec, target: Tensor = target, pull: Tensor = pull
                ) -> Tensor:
                    return pull * distance(codec.encode(v), target)

                def latent_energy(v: Tensor, codec: Any = codec, tether: Any = tether) -> Tensor:
                    y = codec.decode(v)
                    u: Tensor = model.energy(y) / t
                    return u + c.latent_tether * tether(y) if c.latent_tether else u

                chain = self.latent.run(latent_energy, target, generator, geometry=codec.geometry)
            latent_metrics = self.latent.metrics("latent", chain)
            with torch.no_grad():
                starts.append(codec.decode(chain.x))
            tethers.append(tether)

        x0 = model.clamp(torch.cat(starts))

        def visible_energy(v: Tensor) -> Tensor:
            u: Tensor = model.energy(v) / t
            if not c.visible_tether:  # the encoders need not run
                return u
            pulls = [tether(v[share]) for tether, share in zip(tethers, shares, strict=True)]
            return u + c.visible_tether * torch.cat(pulls)

        visible = self.visible.run(
            visible_energy, x0, generator, geometry=EUCLIDEAN, scale=t, clamp=model.clamp, fold=model.fold
        )
        return Negatives(visible.x, x0, latent_metrics | self.visible.metrics("visible", visible))

    def state_dict(self) -> dict[str, Any]:
        return {"latent": self.latent.step_size, "visible": self.visible.step_size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.latent.load_step_size(state["latent"])
        self.visible.load_step_size(state["visible"])


def geodesic_square(x: Tensor, y: Tensor) -> Tensor:
    """Squared angle between points of the unit sphere, ``(n, d), (n, d) -> (n,)``, with a bounded gradient.

    ``arccos`` of the dot product has an infinite slope where the points meet; the angle is
    ``2 asin(chord / 2)``, and its square is smooth there.
    """
    chord_square = (x - y).square().sum(dim=1)
    # asin(s)^2 through s^2: finite slopes at both ends
    half = (chord_square / 4).clamp(1e-12, 1 - 1e-6).sqrt()
    return 4 * half.asin().square()


def _chord_square(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).square().sum(dim=1)
