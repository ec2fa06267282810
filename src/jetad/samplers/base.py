"""What samplers share: settings, results, chains with tuned steps, independence moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import torch
from pydantic import Field
from torch import Tensor

from ..distributed.shared_batch import mean, uniform
from ..papers import Reference
from ..settings import Strict
from .compiling import begin_chain, compilable
from .geometry import EUCLIDEAN, Geometry
from .langevin import Chain, Energy, Limit, langevin

__all__ = [
    "BufferedSettings", "ChainConfig", "ChainRunner", "Negatives", "NormalizedModel", "Sampler",
    "SamplerSettings", "independence",
]  # fmt: skip


class ChainConfig(Strict):
    """A Langevin chain: Metropolis-adjusted with a step size that tunes itself, or unadjusted."""

    n_steps: int = Field(8, ge=0)
    step_size: float = Field(0.05, gt=0, description="where the tuning starts; fixed if not adjusted")
    adjusted: bool = Field(True, description="accept or refuse every move (noise_std^2 = 2 step_size)")
    acceptance: float = Field(0.6, gt=0, lt=1, description="acceptance rate the step size is tuned to")
    max_step_size: float = Field(1.0, gt=0)
    noise_std: float | None = Field(None, ge=0, description="of unadjusted chains; null for the exact one")
    max_gradient: float | None = Field(None, gt=0, description="of unadjusted chains, of E / T")
    limit: Limit = Field(
        "norm",
        description="what max_gradient limits: all of a gradient, each component, or each row of pixels",
    )
    row_length: int | None = Field(None, ge=1, description="pixels in a row of the image, for limit row")
    unit_gradient: bool = Field(False, description="unadjusted: every gradient gets length one")
    anneal: bool = Field(False, description="unadjusted: noise_std / t from the second step on")


class SamplerSettings(Strict):
    """Settings of a sampler, and what the rest of the package must know of it."""

    #: Attributes of the model that it works with, beside the energy.
    needs: ClassVar[tuple[str, ...]] = ()
    #: What a reference list names where it is used, beside Langevin chains.
    papers: ClassVar[tuple[Reference, ...]] = ()

    if TYPE_CHECKING:
        kind: Any  # the name in SAMPLERS; a literal, and in its own place, in every sampler

    @property
    def starts_at_background(self) -> bool:
        """Whether chains begin at jets of the background."""
        return False


class BufferedSettings(SamplerSettings):
    """What samplers with a replay buffer take."""

    n_restarts: int = Field(8, ge=0, description="uniform proposals a chain gets before its local steps")
    buffer_size: int = Field(10_000, ge=1)
    replay_fraction: float = Field(0.95, ge=0, le=1, description="chains that go on from the buffer")


class Negatives(NamedTuple):
    """Samples of the model's density and what happened on the way, all detached."""

    x: Tensor  # (n, d) ends of the chains
    x0: Tensor  # (n, d) where the visible chains began
    metrics: dict[str, Tensor | float]


class NormalizedModel(Protocol):
    """What samplers need of a model."""

    temperature: Tensor

    def energy(self, x: Tensor) -> Tensor: ...
    def boxed_energy(self, x: Tensor) -> Tensor: ...
    def clamp(self, x: Tensor) -> Tensor: ...
    def fold(self, x: Tensor) -> Tensor: ...
    def random_input(self, n: int, generator: torch.Generator | None = None) -> Tensor: ...


class Sampler(Protocol):
    """Draws negatives of a model and keeps what it needs for the next time."""

    Settings: ClassVar[type[SamplerSettings]]

    def __init__(self, config: Any) -> None: ...

    def negatives(self, model: Any, x: Tensor, generator: torch.Generator) -> Negatives:
        """As many negatives as there are background inputs ``x``, ``(n, d)``.

        Numbers for them are drawn by :mod:`jetad.distributed.shared_batch`, which knows whose they are where
        several processes share the batch. The model's parameters should not require gradients meanwhile.
        """
        ...

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class ChainRunner:
    """Runs chains of one kind and carries their step size from one call to the next."""

    def __init__(self, config: ChainConfig) -> None:
        self.config = config
        # a tensor where the chains run: tuning it waits for no number of the device
        self.step_size = torch.tensor(config.step_size, dtype=torch.float64)

    def run(
        self,
        energy: Energy,
        x0: Tensor,
        generator: torch.Generator,
        *,
        temperature: Tensor | float = 1.0,
        geometry: Geometry = EUCLIDEAN,
        scale: Tensor | float = 1.0,
        clamp: Callable[[Tensor], Tensor] | None = None,
        fold: Callable[[Tensor], Tensor] | None = None,
        n_steps: int | None = None,
    ) -> Chain:
        """Chains from ``x0``; the step size of adjusted ones is ``scale`` times the tuned one.

        Arguments:
            energy: ``(n, d) -> (n,)``.
            x0: Starts, ``(n, d)``.
            generator: Source of the random numbers.
            temperature: T of ``exp(-E / T)``.
            geometry: Flat space or the sphere.
            scale: Unit of the step size: E / T changes over distances of sqrt(scale).
            clamp: Keeps unadjusted chains inside.
            fold: Reflects adjusted chains at the walls.
            n_steps: Other than configured.
        """
        c = self.config
        n = c.n_steps if n_steps is None else n_steps
        if c.adjusted:
            self.step_size = self.step_size.to(x0.device)
            folded = energy if fold is None else lambda v: energy(fold(v))
            chain = langevin(
                folded, x0, n_steps=n, step_size=self.scaled_step(scale), temperature=temperature,
                geometry=geometry, metropolis=True, generator=generator,
            )  # fmt: skip
            # of all chains of the batch: the step size stays the same on all ranks
            chain = chain._replace(acceptance_rate=mean(chain.acceptance_rate, generator))
            if fold is not None:
                chain = chain._replace(x=fold(chain.x))
            if n:
                # one stochastic-approximation step of log(step size) towards the wanted acceptance rate
                up = (0.1 * (chain.acceptance_rate.double() - c.acceptance)).exp()
                self.step_size = (self.step_size * up).clamp_max(c.max_step_size)
            return chain
        std = (2 * c.step_size) ** 0.5 if c.noise_std is None else c.noise_std
        return langevin(
            energy, x0, n_steps=n, step_size=c.step_size, temperature=temperature, geometry=geometry,
            noise_std=[std / max(t, 1) for t in range(n)] if c.anneal else std,
            max_gradient=c.max_gradient, limit=c.limit, row_length=c.row_length,
            unit_gradient=c.unit_gradient, project=clamp, generator=generator,
        )  # fmt: skip

    def scaled_step(self, scale: Tensor | float) -> Tensor:
        """The tuned step size times ``scale``, in the precision of ``scale`` if that is a tensor."""
        return (self.step_size.to(scale) if isinstance(scale, Tensor) else self.step_size) * scale

    def load_step_size(self, value: Tensor | float) -> None:
        """Go on with a step size from a checkpoint."""
        self.step_size = torch.as_tensor(value, dtype=torch.float64)

    def visible(self, model: NormalizedModel, x0: Tensor, generator: torch.Generator) -> Chain:
        """Chains among the inputs of a model, at its temperature and in its box."""
        t = model.temperature
        return self.run(
            model.energy, x0, generator, temperature=t, scale=t, clamp=model.clamp, fold=model.fold
        )

    def metrics(self, name: str, chain: Chain) -> dict[str, Tensor | float]:
        """Numbers for the history."""
        if self.config.adjusted:
            return {f"{name}_acceptance": chain.acceptance_rate, f"{name}_step_size": self.step_size}
        return {f"{name}_step_norm": chain.step_norm}


@compilable
def _energies(energy: Energy, x: Tensor) -> Tensor:
    return energy(x)


@torch.no_grad()
def independence(
    energy: Callable[[Tensor], Tensor], x: Tensor, proposals: Tensor, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Metropolis steps with proposals that do not depend on where the chain is.

    Arguments:
        energy: Callable ``(n, d) -> (n,)``, already divided by the temperature.
        x: Chains, ``(n, d)``.
        proposals: ``(k, n, d)``, uniform on the space; one step each.
        generator: Source of the random numbers.

    Returns:
        The chains after k steps, and the mean acceptance rate.

    References:
        Tierney, "Markov chains for exploring posterior distributions", Ann. Statist. 22 (1994) 1701
    """
    begin_chain()
    k, n = proposals.shape[:2]
    e = _energies(energy, x)
    e_new = _energies(energy, proposals.flatten(0, 1)).view(k, n)
    log_u = uniform((k * n,), generator, device=x.device).view(k, n).log()
    rate = x.new_zeros(())
    for j in range(k):
        take = log_u[j] < e - e_new[j]
        x = torch.where(take[:, None], proposals[j], x)
        e = torch.where(take, e_new[j], e)
        rate = rate + take.to(x.dtype).mean() / k
    return x, rate
