"""What a phase of a training is, and which phases a method has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from ..config import TrainingConfig
from ..models.base import EnergyModel

if TYPE_CHECKING:
    from .classification import SignalInputs

__all__ = ["FirstPhase", "Metrics", "Phase", "frozen", "make_phases", "one_cycle"]

Metrics = dict[str, Tensor | float]


class Phase(Protocol):
    """One objective with its schedule. All of its state is in the model, the optimiser and ``state_dict``."""

    name: str
    n_steps: int

    def start(self, x_train: Tensor, x_val: Tensor) -> Metrics:
        """Called once before the first step (not when resumed)."""
        ...

    def parameters(self) -> list[nn.Parameter]:
        """What this phase trains; nothing else moves."""
        ...

    def learning_rate(self, step: int) -> float:
        """The rate of one step, from 0 to ``n_steps - 1``."""
        ...

    def loss(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Metrics]:
        """The loss of a batch of inputs, and numbers for the history.

        Where several processes train, ``x`` is this one's share, and the generator says of what: a loss
        that is no mean over jets takes the whole batch from :mod:`jetad.batches`, and every random number
        of a jet comes from there.
        """
        ...

    def validate(self, x_val: Tensor, generator: torch.Generator) -> tuple[float, Metrics]:
        """What the best model has the lowest of (NaN: the last is the best), and numbers to record.

        Only held-out background and negatives enter. ``x_val`` is all of it, in every process.
        """
        ...

    def trouble(self, metrics: Metrics) -> str | None:
        """What is wrong with these numbers of a validation, in plain words; ``None`` if nothing is."""
        ...

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class FirstPhase:
    """What the phases before any negatives share: all parameters, some passes over the data, one cycle."""

    def __init__(self, model: EnergyModel, config: TrainingConfig, n_train: int) -> None:
        self.model = model
        self.peak = config.learning_rate
        self.n_steps = config.epochs * max(1, n_train // config.batch_size)

    def start(self, x_train: Tensor, x_val: Tensor) -> Metrics:
        self.model.start(x_train)
        return {}

    def parameters(self) -> list[nn.Parameter]:
        return list(self.model.parameters())

    def learning_rate(self, step: int) -> float:
        return self.peak * one_cycle((step + 1) / self.n_steps)

    def trouble(self, metrics: Metrics) -> str | None:
        return None

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def one_cycle(t: float) -> float:
    """Learning rate over its peak at the time t from 0 to 1: up over the first third, then a cosine down.

    References:
        Smith, Topin, "Super-convergence", 2017, arXiv:1708.07120
    """
    shape = (
        0.5 * (1 - math.cos(math.pi * t / 0.3))
        if t < 0.3
        else 0.5 * (1 + math.cos(math.pi * (t - 0.3) / 0.7))
    )
    return 0.02 + 0.98 * shape


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No gradients for the parameters of a model inside: chains only need those of the inputs.

    Normalised weights (spectral norm) are computed once, here, not at every forward.
    """
    parameters = list(model.parameters())
    before = [p.requires_grad for p in parameters]
    for p in parameters:
        p.requires_grad_(False)
    try:
        with nn.utils.parametrize.cached():
            for module in model.modules():
                if nn.utils.parametrize.is_parametrized(module):
                    for name in module.parametrizations:  # type: ignore[union-attr]
                        getattr(module, name)
            yield
    finally:
        for p, r in zip(parameters, before, strict=True):
            p.requires_grad_(r)


def make_phases(
    model: EnergyModel,
    config: TrainingConfig,
    names: Sequence[str],
    n_train: int,
    signal: SignalInputs | None = None,
) -> list[Phase]:
    """The phases of a method in order; their sections of the configuration are there.

    ``signal`` is for a supervised method alone.
    """
    from .classification import Classification
    from .contrastive import Contrastive
    from .reconstruction import Reconstruction
    from .transport import Transport

    phases: list[Phase] = []
    for name in names:
        if name in ("reconstruction", "likelihood", "embedding"):
            phases.append(Reconstruction(model, config, n_train, name))
        elif name == "classification":
            assert signal is not None
            phases.append(Classification(model, config, n_train, signal))
        elif name == "contrastive":
            assert config.contrastive is not None
            phases.append(Contrastive(model, config.contrastive))  # type: ignore[arg-type]
        else:
            assert config.transport is not None
            phases.append(Transport(model, config.transport))  # type: ignore[arg-type]
    return phases
