"""The contrastive phase: energies of negatives are raised, those of the background lowered."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Self

from ..distributed.shared_batch import mean, share, whole
from ..models.density import DensityModel
from ..models.distances import energy_distance
from ..registry import load
from ..samplers import SAMPLERS
from ..samplers.base import Sampler, SamplerSettings
from ..samplers.on_manifold import OnManifoldConfig
from ..settings import one_of
from .base import NO_PENALTY, Metrics, PhaseInputs, SecondPhase, SecondPhaseConfig, WeightPenalty, frozen

__all__ = ["Contrastive", "ContrastiveConfig", "detached_state"]


if TYPE_CHECKING:
    SomeSampler = SamplerSettings
else:
    SomeSampler = one_of((load(SAMPLERS, kind, "sampler").Settings for kind in SAMPLERS), "kind")


class ContrastiveConfig(SecondPhaseConfig):
    """The phase that lowers energies of the background and raises those of negatives."""

    ceiling: float | None = Field(
        2.0, gt=0, description="negatives are raised until E/T is this many times that of the background"
    )
    square_penalty: float = Field(0.0, ge=0, description="weight of <u+^2> + <u-^2>, u = E / T")
    negative_penalty: float = Field(0.0, ge=0, description="weight of <u-^2> alone")
    balance: float | None = Field(
        None,
        gt=0,
        description="end the phase when negatives have this part of the background's median energy",
    )
    divergence: float = Field(10.0, gt=1, description="growth of energies that counts as divergence")
    sampler: SomeSampler = OnManifoldConfig()


class Contrastive(SecondPhase):
    r"""Maximum likelihood of ``p = exp(-E / T) / Omega`` with negatives drawn by chains.

    Loss ``<u+> - <u-> + <u-^2> / (2 c)`` with u = E / T. The gradient of the last two terms with
    respect to a negative's energy is ``-(1 - u- / c)``: the nearer a negative comes to the ceiling
    ``c = ceiling * k / 2`` the less it is raised, and beyond it is let down. The published loss has
    ``gamma E-^2``, which is the same term with its scale left to the user: ``negative_penalty``.

    The overall scale of E is not fixed by short chains (energies of both kinds can grow together
    for ever); the ceiling fixes it. A scalar energy has no zero of its own either; for it the loss has
    ``square_penalty * (<u+^2> + <u-^2>)`` instead.

    References:
        Yoon, Noh, Park, 2021, arXiv:2105.05735, equation 8; Du, Mordatch, 2019, arXiv:1903.08689
    """

    Settings = ContrastiveConfig
    name = "contrastive"

    config: ContrastiveConfig

    def __init__(
        self, model: DensityModel, config: ContrastiveConfig, penalty: WeightPenalty = NO_PENALTY
    ) -> None:
        super().__init__(model, config)
        self.penalty = penalty
        trained = set(model.energy_parameters())
        self.coders = [pair for pair in model.coders() if trained.issuperset(pair[0].parameters())]
        self.ceiling = math.inf
        self.stuck = 0  # validations in a row with next to no accepted step
        self.first_energy = math.nan  # of held-out background over T, at the start
        sampler_class = load(SAMPLERS, config.sampler.kind, "sampler")
        self.sampler: Sampler = sampler_class(config.sampler)

    @classmethod
    def build(cls, given: PhaseInputs) -> Self:
        phase = super().build(given)
        phase.penalty = WeightPenalty(given.config.encoder_penalty, given.config.decoder_penalty)
        return phase

    def start(self, x_train: Tensor, x_val: Tensor) -> Metrics:
        metrics = self.prepare_density(x_train, x_val)
        with torch.no_grad():
            self.first_energy = float((self.model.energy(x_val) / self.model.temperature).mean())
        if self.config.ceiling is not None:
            self.ceiling = self.config.ceiling * max(self.first_energy, 0.5)
        return metrics

    def loss(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Metrics]:
        model, t = self.model, self.model.temperature
        with frozen(model):
            negatives = self.sampler.negatives(model, x, generator)
        energy_pos, energy_neg = model.energy(x), model.energy(negatives.x)
        u_pos, u_neg = energy_pos / t, energy_neg / t
        loss = u_pos.mean() - u_neg.mean() + u_neg.square().mean() / (2 * self.ceiling)
        if self.config.square_penalty:
            loss = loss + self.config.square_penalty * (u_pos.square().mean() + u_neg.square().mean())
        if self.config.negative_penalty:
            unscaled = model.unscaled_energy(negatives.x) / t
            loss = loss + self.config.negative_penalty * unscaled.square().mean()
        loss = loss + self.penalty(self.coders)
        metrics: Metrics = {
            "energy_pos": energy_pos.mean().detach(),
            "energy_neg": energy_neg.mean().detach(),
            "energy_gap": (energy_neg.mean() - energy_pos.mean()).detach(),
            **negatives.metrics,
        }
        return loss, metrics

    def validate(self, x_val: Tensor, generator: torch.Generator) -> tuple[float, Metrics]:
        """Later is better, as long as the energies hold: the chains improve as the phase goes on.

        The energy distance between negatives and held-out background is recorded; with
        ``select: distance`` the model with the smallest is kept.
        """
        model = self.model
        x = x_val[:1000]
        # a copy: watching must not move the chains of the training
        state = detached_state(self.sampler.state_dict())
        with frozen(model):
            negatives = self.sampler.negatives(model, share(x, generator), generator)
        self.sampler.load_state_dict(state)
        with torch.no_grad():
            ends = whole(negatives.x, generator)
            energy = float(mean(model.energy(share(x_val, generator)).mean(), generator))
            energies_neg = model.energy(ends)
            energy_neg = float(energies_neg.mean())
            # of medians: a few chains that run away have a hundred times the energy of the others
            balance = float(energies_neg.median() / model.energy(x).median())
            distance = float(energy_distance(x, ends))
        criterion = distance if self.config.select == "distance" else math.nan
        metrics: Metrics = {
            "val_energy": energy, "val_energy_neg": energy_neg, "val_balance": balance,
            "val_distance": distance,
        }  # fmt: skip
        if "visible_acceptance" in negatives.metrics:
            metrics["val_acceptance"] = float(negatives.metrics["visible_acceptance"])
            self.stuck = self.stuck + 1 if metrics["val_acceptance"] < 0.005 else 0
        return criterion, metrics

    def trouble(self, metrics: Metrics) -> str | None:
        t = float(self.model.temperature)
        pos, neg = float(metrics["val_energy"]) / t, float(metrics["val_energy_neg"]) / t
        if not (math.isfinite(pos) and math.isfinite(neg)):
            return f"an energy is no number any more (E+/T = {pos:.3g}, E-/T = {neg:.3g})"
        if self.stuck >= 3:  # at first the step size may still have to find its place
            return "the chains do not move any more (fewer than 1 in 200 steps are accepted)"
        limit = self.config.divergence
        if math.isfinite(self.ceiling) and pos > limit * max(self.first_energy, 0.5):
            return (
                f"the energy of held-out background grew from {self.first_energy:.3g} T to {pos:.3g} T "
                f"(more than {limit:g} times)"
            )
        if neg - pos > limit * max(self.ceiling if math.isfinite(self.ceiling) else 10.0, 1.0):
            return f"the energy of the negatives ran away ({neg:.3g} T, background {pos:.3g} T)"
        return None

    def enough(self, metrics: Metrics) -> bool:
        """Where both kinds have one energy the likelihood gains no more; both energies only grow together."""
        part = self.config.balance
        return part is not None and float(metrics["val_balance"]) >= part

    def state_dict(self) -> dict[str, Any]:
        return {
            "sampler": self.sampler.state_dict(),
            "stuck": self.stuck,
            "ceiling": self.ceiling,
            "first_energy": self.first_energy,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sampler.load_state_dict(state["sampler"])
        self.stuck = state["stuck"]
        self.ceiling, self.first_energy = state["ceiling"], state["first_energy"]


def detached_state(state: Any) -> Any:
    """A copy of a nested state that later steps do not change."""
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, dict):
        return {k: detached_state(v) for k, v in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(detached_state(v) for v in state)
    return state
