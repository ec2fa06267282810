"""The variational autoencoder: a latent variable model, trained on a bound of its likelihood."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ..distributed.shared_batch import normal
from .base import MethodSettings
from .flat import FlatAutoencoder
from .networks import Architecture
from .networks.parts import full

__all__ = ["VariationalAutoencoder", "VariationalSettings"]

_VALUES = 2**22  # decoded values at once: 16 MB in float32
_LOG_STD = (-7.0, 2.0)  # range of the posterior's widths, beyond any that is useful


class VariationalSettings(MethodSettings):
    """The decoder's width, and what the score is."""

    score: Literal["likelihood", "reconstruction"] = "likelihood"
    draws: int = Field(32, ge=1, description="latent points a jet is scored with")
    decoder_std: float = Field(
        0.5, gt=0, description="width of p(x|z) in units of the background's spread per input"
    )
    train_std: bool = Field(False, description="let the width move in training")


class VariationalAutoencoder(FlatAutoencoder):
    r"""Prior ``N(0, I)``, decoder ``p(x|z) = N(f_d(z), s^2)``, posterior ``q(z|x)`` with its own widths.

    Trained on ``<-ln p(x|z)>_q + KL(q, prior)`` with one draw a jet. Scores, from n draws of q:

    - ``likelihood``: ``-ln p(x)``, importance sampled: ``-ln 1/n sum_i p(x, z_i) / q(z_i|x)``;
    - ``reconstruction``: the mean of ``-ln p(x|z_i)``.

    The draws come from one fixed set of noise vectors (a scrambled Sobol sequence) that all jets share:
    scores are deterministic and do not depend on the batch.

    References:
        Kingma, Welling, "Auto-encoding variational Bayes", 2013, arXiv:1312.6114; importance sampling:
        Burda, Grosse, Salakhutdinov, 2015, arXiv:1509.00519
    """

    Settings = VariationalSettings
    settings: VariationalSettings
    numbers_per_latent = 2
    noise: Tensor

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        self.log_std = nn.Parameter(torch.zeros(()), requires_grad=self.settings.train_std)
        self.register_buffer("noise", _normal_points(self.settings.draws, self.latent_dim))

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        super().start(x)
        spread = math.sqrt(float(self.variance) / x.shape[1])
        self.log_std.fill_(math.log(self.settings.decoder_std * spread))

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the width of ``q(z|x)``, each ``(n, latent_dim)``."""
        mean, log_std = full(self.encoder(x), x).chunk(2, dim=1)
        return mean, log_std.clamp(*_LOG_STD)

    def encode(self, x: Tensor) -> Tensor:
        return self.posterior(x)[0]

    def divergence(self, x: Tensor) -> Tensor:
        """``KL(q(z|x), prior)``, ``(n, d) -> (n,)``."""
        return _divergence(*self.posterior(x))

    def objective(self, x: Tensor, generator: torch.Generator) -> Tensor:
        mean, log_std = self.posterior(x)
        noise = normal(mean.shape, generator, device=x.device, dtype=x.dtype)
        y = self.decode(mean + log_std.exp() * noise)
        return (_divergence(mean, log_std) - self._log_likelihood(x, y)).mean()

    def energy(self, x: Tensor) -> Tensor:
        n = max(1, _VALUES // (len(self.noise) * x.shape[1]))
        if len(x) <= n:
            return self._energy(x)
        return torch.cat([self._energy(part) for part in x.split(n)])

    def diagnostics(self, x: Tensor) -> dict[str, float]:
        return {**super().diagnostics(x), "divergence": float(self.divergence(x).mean())}

    def _energy(self, x: Tensor) -> Tensor:
        mean, log_std = self.posterior(x)
        z = mean + log_std.exp() * self.noise[:, None]  # (draws, n, latent_dim)
        y = self.decode(z.flatten(0, 1)).view(len(self.noise), x.shape[0], x.shape[1])
        log_likelihood = self._log_likelihood(x, y)
        if self.settings.score == "reconstruction":
            return -log_likelihood.mean(dim=0)
        # ln of prior over posterior; what both divide by cancels
        log_ratio = (0.5 * (self.noise[:, None].square() - z.square()) + log_std).sum(dim=2)
        return math.log(len(self.noise)) - torch.logsumexp(log_likelihood + log_ratio, dim=0)

    def _log_likelihood(self, x: Tensor, y: Tensor) -> Tensor:
        """``ln p(x|z)`` of inputs decoded to y, summed over the last dimension."""
        distance = ((x - y) * torch.exp(-self.log_std)).square().sum(dim=-1)
        return -0.5 * distance - x.shape[1] * (self.log_std + 0.5 * math.log(2 * math.pi))


def _divergence(mean: Tensor, log_std: Tensor) -> Tensor:
    return (0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std).sum(dim=1)


def _normal_points(n: int, dim: int) -> Tensor:
    """Points that fill a normal distribution more evenly than random ones, ``(n, dim)``."""
    u = torch.quasirandom.SobolEngine(dim, scramble=True, seed=0).draw(n, dtype=torch.float64)
    result: Tensor = torch.special.ndtri(u.clamp(1e-6, 1 - 1e-6)).float()
    return result
