"""Contrastive learning of representations: views of a jet that mean the same lie close together."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor, nn

from ..distributed.shared_batch import normal, uniform, whole
from ..errors import ConfigError
from .base import EnergyModel, MethodSettings
from .networks import Architecture
from .networks.parts import mlp

__all__ = ["ContrastiveEncoder", "ContrastiveEncoderSettings", "drop", "equivalent"]


class ContrastiveEncoderSettings(MethodSettings):
    """Views of a jet, and what the encoder is to tell apart."""

    temperature: float = Field(0.1, gt=0, description="of the softmax over similarities")
    other_jets: bool = Field(True, description="tell a jet from the others of its batch")
    anomalous: bool = Field(True, description="tell a jet from jets with constituents taken away")
    drop: float = Field(
        0.5, gt=0, lt=1, description="largest fraction of constituents taken away in an anomalous view"
    )
    smear: float = Field(1e-4, ge=0, description="angular smearing [rad] of a constituent with all the pT")
    split: float = Field(0.5, ge=0, le=1, description="probability that one constituent splits in two")


class ContrastiveEncoder(EnergyModel):
    r"""An encoder that is blind to what physics cannot see and sharp for what it might do.

    Two views of a jet, turned round the axis, reflected, smeared where soft and split where collinear,
    are pulled together; other jets, and views of the same jet with constituents missing as if dark
    particles had left it, are pushed away:

    ``L = -ln exp(s(h, h') / T) / (exp(s(h, h') / T) + sum exp(s(h, n) / T))``

    with s the cosine of the projected embeddings. The projection is thrown away afterwards. The energy of
    the encoder itself is the squared Mahalanobis distance of the embedding from the background;
    ``--encoder`` trains any other detector on it.

    References:
        Chen, Kornblith, Norouzi, Hinton, 2020, arXiv:2002.05709; jets: Dillon et al., 2021,
        arXiv:2108.04253; anomalous views: Dillon, Favaro, Feiden, Modak, Plehn, 2023, arXiv:2301.04660;
        Favaro, Krämer, Modak, Plehn, Rüschkamp, "Semi-visible jets, energy-based models, and
        self-supervision", 2023, arXiv:2312.03067
    """

    Settings = ContrastiveEncoderSettings
    settings: ContrastiveEncoderSettings
    mean: Tensor
    whitening: Tensor

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        if len(shape) != 2 or shape[1] != 3:
            raise ConfigError(f"method 'clr' takes constituents, not rows of shape {shape}")
        if not (self.settings.other_jets or self.settings.anomalous):
            raise ConfigError("model.other_jets and model.anomalous are both off: nothing to tell apart")
        d = network.latent_dim
        self.encoder = network.encoder(self.input, d)
        self.projection = mlp([d, d, d])
        self.register_buffer("mean", torch.zeros(d, dtype=torch.float64))
        self.register_buffer("whitening", torch.eye(d, dtype=torch.float64))

    def embedding(self, x: Tensor) -> Tensor:
        h: Tensor = self.encoder(x)
        return h

    def objective(self, x: Tensor, generator: torch.Generator) -> Tensor:
        s = self.settings
        rows = self.restore(x)
        views = [equivalent(rows, s, generator), equivalent(rows, s, generator)]
        if s.anomalous:
            views.append(drop(equivalent(rows, s, generator), s.drop, generator))
        h = nn.functional.normalize(
            self.projection(self.encoder(torch.cat([self.prepare(v) for v in views])))
        )
        first, second, *missing = (whole(view, generator) for view in h.split(len(x)))
        similarity = first @ second.T / s.temperature
        logits = [similarity] if s.other_jets else [similarity.diagonal()[:, None]]
        if s.anomalous:
            between = first @ missing[0].T / s.temperature
            logits.append(between if s.other_jets else between.diagonal()[:, None])
        return (torch.logsumexp(torch.cat(logits, dim=1), dim=1) - similarity.diagonal()).mean()

    @torch.no_grad()
    def settle(self, x: Tensor) -> None:
        h = torch.cat([self.embedding(part) for part in x.split(8192)]).double()
        self.mean.copy_(h.mean(dim=0))
        centred = h - self.mean
        covariance = centred.T @ centred / len(h)
        floor = 1e-6 * covariance.trace() / len(covariance) + 1e-12
        factor = torch.linalg.cholesky(
            covariance + floor * torch.eye(len(covariance), dtype=h.dtype, device=h.device)
        )
        one = torch.eye(len(factor), dtype=h.dtype, device=h.device)
        self.whitening.copy_(torch.linalg.solve_triangular(factor, one, upper=False))

    def energy(self, x: Tensor) -> Tensor:
        h = self.embedding(x).double()
        return ((h - self.mean) @ self.whitening.T).square().sum(dim=1).to(x.dtype)

    def diagnostics(self, x: Tensor) -> dict[str, float]:
        h = self.embedding(x)
        values = torch.linalg.eigvalsh(torch.cov(h.T)).clamp_min(0)
        # participation ratio: how many directions the embedding uses
        return {"embedding_dimensions": float(values.sum().square() / values.square().sum())}


def equivalent(rows: Tensor, settings: ContrastiveEncoderSettings, generator: torch.Generator) -> Tensor:
    """Jets that physics cannot tell from these, ``(n, k, 3)`` rows of (w, w eta', w phi').

    Each is turned by a random angle and reflected at random; soft constituents are smeared by an angle
    that falls as 1 / pT; one constituent may split collinearly where a slot is free.
    """
    n, k, _ = rows.shape

    def random(*shape: int) -> Tensor:
        return uniform(shape, generator, device=rows.device, dtype=rows.dtype)

    w, eta, phi = rows.unbind(dim=2)
    angle = 2 * math.pi * random(n, 1)
    mirror = torch.where(random(n, 1) < 0.5, -1.0, 1.0)
    c, s = angle.cos(), angle.sin()
    eta, phi = (c * eta - s * phi) * mirror, s * eta + c * phi
    present = w > 0
    if settings.smear:
        # w times an angle of smear / z, z = w^2; never more than the jet is wide
        width = torch.where(present, settings.smear / w.clamp_min(1e-4), torch.zeros_like(w)).clamp_max(0.1)
        noise = normal((n, k, 2), generator, device=rows.device, dtype=rows.dtype)
        eta, phi = eta + width * noise[..., 0], phi + width * noise[..., 1]
    rows = torch.stack([w, eta, phi], dim=2)
    if settings.split:
        jet = torch.arange(n, device=rows.device)
        chosen = (random(n, k) * present).argmax(dim=1)
        fraction = random(n).clamp(0.05, 0.95)[:, None]
        does = ((random(n) < settings.split) & ~present[:, -1])[:, None]
        parent = rows[jet, chosen]
        rows = rows.clone()
        rows[jet, chosen] = torch.where(does, parent * fraction.sqrt(), parent)
        rows[:, -1] = torch.where(does, parent * (1 - fraction).sqrt(), rows[:, -1])
    return rows


def drop(rows: Tensor, largest: float, generator: torch.Generator) -> Tensor:
    """Jets with up to a fraction ``largest`` of their constituents missing, at random; ``(n, k, 3)`` rows.

    What is left is centred again and has the pT of the whole jet: only its shape is another one. Exact
    for the power 1/2 of the representation, w = sqrt(z).
    """
    n, k, _ = rows.shape
    probability = largest * uniform((n, 1), generator, device=rows.device, dtype=rows.dtype)
    stays = uniform((n, k), generator, device=rows.device, dtype=rows.dtype) >= probability
    w, eta, phi = (rows * stays[:, :, None]).unbind(dim=2)
    before, after = rows[:, :, 0].square().sum(dim=1), w.square().sum(dim=1)
    gone = after <= 0
    norm = torch.where(gone, torch.ones_like(after), after)[:, None]
    eta = eta - w * (w * eta).sum(dim=1, keepdim=True) / norm
    phi = phi - w * (w * phi).sum(dim=1, keepdim=True) / norm
    left = torch.stack([w, eta, phi], dim=2) * (before[:, None] / norm).sqrt()[:, :, None]
    return torch.where(gone[:, None, None], rows, left)
