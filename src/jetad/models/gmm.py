"""A mixture of Gaussians as the density of the background."""

from __future__ import annotations

import logging
import math
import warnings

import torch
from pydantic import Field
from torch import Tensor

from ..errors import InputError
from .base import MethodSettings
from .fitted import FittedModel, sample, seed_of
from .networks import Architecture

__all__ = ["GaussianMixtureDensity"]

logger = logging.getLogger("jetad.training")


class MixtureSettings(MethodSettings):
    components: int = Field(10, ge=1, description="Gaussians, each with a covariance of its own")
    max_jets: int = Field(100_000, ge=2, description="fitted to at most so many, chosen at random")
    iterations: int = Field(300, ge=1, description="of expectation maximisation, at most")


class GaussianMixtureDensity(FittedModel):
    r"""Energy ``E(x) = -ln sum_k w_k N(x; m_k, C_k)``, fitted by expectation maximisation.

    References:
        Dempster, Laird, Rubin, "Maximum likelihood from incomplete data via the EM algorithm", 1977
    """

    Settings = MixtureSettings
    settings: MixtureSettings
    log_weights: Tensor  # (k,), with the norms of the Gaussians
    means: Tensor
    factors: Tensor  # (k, d, d), F F^T = C^-1

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        super().__init__(shape, network, settings)
        k, d = self.settings.components, self.input.n_features
        self.register_buffer("log_weights", torch.zeros(k, dtype=torch.float64))
        self.register_buffer("means", torch.zeros(k, d, dtype=torch.float64))
        self.register_buffer("factors", torch.zeros(k, d, d, dtype=torch.float64))

    @torch.no_grad()
    def fit(self, x: Tensor, generator: torch.Generator, classes: Tensor | None = None) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
        from threadpoolctl import threadpool_limits  # comes with scikit-learn

        settings = self.settings
        if len(x) <= settings.components:
            raise InputError(
                f"{len(x)} jets are too few for {settings.components} Gaussians; set fewer model.components"
            )
        rows = sample(x, settings.max_jets, generator).double().cpu().numpy()
        mixture = GaussianMixture(
            settings.components,
            max_iter=settings.iterations,
            reg_covar=1e-6 * float(rows.var(axis=0).mean()),
            random_state=seed_of(generator),
        )
        # its products are small: more threads than torch has would wait for each other most of the time
        with threadpool_limits(torch.get_num_threads()), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(rows)
        if not mixture.converged_:
            logger.warning("the mixture still changes after %d iterations", settings.iterations)
        factors = torch.as_tensor(mixture.precisions_cholesky_)
        norms = factors.diagonal(dim1=1, dim2=2).log().sum(dim=1) - 0.5 * x.shape[1] * math.log(2 * math.pi)
        weights = torch.as_tensor(mixture.weights_).log() + norms
        self.keep(x.device, log_weights=weights, means=mixture.means_, factors=factors)

    def energy(self, x: Tensor) -> Tensor:
        x = x.double()
        squares = [((x - m) @ f).square().sum(dim=1) for m, f in zip(self.means, self.factors, strict=True)]
        return -torch.logsumexp(self.log_weights - 0.5 * torch.stack(squares, dim=1), dim=1)
