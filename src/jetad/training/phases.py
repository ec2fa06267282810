"""The phases of a training: what is minimised in each, and how the best model is told."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor

from ..config import ContrastiveConfig, TrainingConfig
from ..models.autoencoder import Autoencoder
from ..models.nae import NormalizedAutoencoder
from ..registry import load
from ..samplers import SAMPLERS
from ..samplers.base import Sampler

__all__ = ["Contrastive", "Phase", "Reconstruction", "make_phases"]

Metrics = dict[str, Tensor | float]


class Phase(Protocol):
    """One objective with its schedule. All of its state is in the model, the optimiser and ``state_dict``."""

    name: str
    n_steps: int

    def start(self, x_train: Tensor, x_val: Tensor) -> Metrics:
        """Called once before the first step (not when resumed)."""
        ...

    def learning_rate(self, step: int) -> float:
        """The rate of one step, from 0 to ``n_steps - 1``."""
        ...

    def loss(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Metrics]:
        """The loss of a batch of inputs, and numbers for the history."""
        ...

    def validate(self, x_val: Tensor, generator: torch.Generator) -> tuple[float, Metrics]:
        """What the best model has the lowest of (from held-out background alone), and numbers to record."""
        ...

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Reconstruction:
    """Minimise the mean reconstruction error of the background; best by held-out background.

    One-cycle learning rate (Smith, Topin, 2017, arXiv:1708.07120): up over the first third, then a
    cosine down.
    """

    name = "reconstruction"

    def __init__(self, model: Autoencoder, config: TrainingConfig, n_train: int) -> None:
        self.model = model
        self.peak = config.learning_rate
        self.n_steps = config.epochs * max(1, n_train // config.batch_size)

    def start(self, x_train: Tensor, x_val: Tensor) -> Metrics:
        return {}

    def learning_rate(self, step: int) -> float:
        t = (step + 1) / self.n_steps
        shape = (
            0.5 * (1 - math.cos(math.pi * t / 0.3))
            if t < 0.3
            else 0.5 * (1 + math.cos(math.pi * (t - 0.3) / 0.7))
        )
        return self.peak * (0.02 + 0.98 * shape)

    def loss(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Metrics]:
        loss = self.model.energy(x).mean()
        return loss, {"energy_pos": loss.detach()}

    def validate(self, x_val: Tensor, generator: torch.Generator) -> tuple[float, Metrics]:
        with torch.no_grad():
            error = float(self.model.energy(x_val).mean())
        return error, {"val_energy": error}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Contrastive:
    r"""Maximum likelihood of ``p = exp(-E / T) / Omega`` with negatives drawn by chains.

    Loss ``<u+> - <u-> + <u-^2> / (2 c)`` with u = E / T. The gradient of the last two terms with
    respect to a negative's energy is ``-(1 - u- / c)``: the nearer a negative comes to the ceiling
    ``c = ceiling * k / 2`` the less it is raised, and beyond it is let down. The published loss has
    ``gamma E-^2``, which is the same term with its scale left to the user.

    The overall scale of E is not fixed by short chains (energies of both kinds can grow together
    for ever); the ceiling fixes it.

    References:
        Yoon, Noh, Park, 2021, arXiv:2105.05735, equation 8
    """

    name = "contrastive"

    def __init__(self, model: NormalizedAutoencoder, config: ContrastiveConfig) -> None:
        self.model = model
        self.config = config
        self.n_steps = config.steps
        self.ceiling = math.nan
        sampler_class = load(SAMPLERS, config.sampler.kind, "sampler")
        self.sampler: Sampler = sampler_class(config.sampler)

    def start(self, x_train: Tensor, x_val: Tensor) -> Metrics:
        k = self.model.fit_temperature(x_val)
        if self.config.temperature != "auto":
            self.model.temperature.fill_(self.config.temperature)
        self.model.fit_box(x_train)
        with torch.no_grad():
            mean = float((self.model.energy(x_val) / self.model.temperature).mean())
        self.ceiling = self.config.ceiling * max(mean, 0.5)
        return {"temperature": float(self.model.temperature), "residual_dimension": k}

    def learning_rate(self, step: int) -> float:
        # constant, then linear to zero over the second half: the last steps average over many negatives
        t = step / self.n_steps
        return self.config.learning_rate * min(1.0, 2 * (1 - t))

    def loss(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Metrics]:
        model, t = self.model, self.model.temperature
        model.requires_grad_(False)
        negatives = self.sampler.negatives(model, len(x), generator)
        model.requires_grad_(True)
        energy_pos, energy_neg = model.energy(x), model.energy(negatives.x)
        u_pos, u_neg = energy_pos / t, energy_neg / t
        loss = u_pos.mean() - u_neg.mean() + u_neg.square().mean() / (2 * self.ceiling)
        metrics: Metrics = {
            "energy_pos": energy_pos.mean().detach(),
            "energy_neg": energy_neg.mean().detach(),
            "energy_gap": (energy_neg.mean() - energy_pos.mean()).detach(),
            **negatives.metrics,
        }
        return loss, metrics

    def validate(self, x_val: Tensor, generator: torch.Generator) -> tuple[float, Metrics]:
        """Later is better, as long as the energies hold: the chains improve as the phase goes on.

        The energy distance between negatives and held-out background is recorded.
        """
        model = self.model
        model.requires_grad_(False)
        n = min(len(x_val), 1000)
        state = self.sampler.state_dict()
        # a copy: watching must not move the chains of the training
        saved = {k: v.clone() if isinstance(v, Tensor) else v for k, v in state["buffer"].items()}
        negatives = self.sampler.negatives(model, n, generator)
        self.sampler.load_state_dict({**state, "buffer": saved})
        model.requires_grad_(True)
        with torch.no_grad():
            energy = float(model.energy(x_val).mean())
            energy_neg = float(model.energy(negatives.x).mean())
        distance = energy_distance(x_val[:n], negatives.x)
        return math.nan, {"val_energy": energy, "val_energy_neg": energy_neg, "val_distance": distance}

    def state_dict(self) -> dict[str, Any]:
        return {"sampler": self.sampler.state_dict(), "ceiling": self.ceiling}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sampler.load_state_dict(state["sampler"])
        self.ceiling = state["ceiling"]


@torch.no_grad()
def energy_distance(x: Tensor, y: Tensor) -> float:
    """Energy distance ``2 <|x - y|> - <|x - x'|> - <|y - y'|>`` of two samples ``(n, d)``, ``(m, d)``; >= 0.

    References:
        Szekely, Rizzo, "Energy statistics", J. Stat. Plan. Inference 143 (2013) 1249
    """
    cross = torch.cdist(x, y).mean()
    within = torch.cdist(x, x).mean() + torch.cdist(y, y).mean()
    return float(2 * cross - within)


def make_phases(method: str, model: Autoencoder, config: TrainingConfig, n_train: int) -> list[Phase]:
    """The phases of a method in order."""
    phases: list[Phase] = [Reconstruction(model, config, n_train)]
    if isinstance(model, NormalizedAutoencoder) and config.contrastive is not None:
        phases.append(Contrastive(model, config.contrastive))
    return phases
