"""What a phase of a training is, and which phases a method has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from ..config import SecondPhaseConfig, TrainingConfig
from ..models.base import EnergyModel
from ..models.density import DensityModel

if TYPE_CHECKING:
    from .classification import SignalInputs

__all__ = [
    "NO_PENALTY", "FirstPhase", "Metrics", "Phase", "SecondPhase", "WeightPenalty", "frozen", "make_phases",
    "one_cycle",
]  # fmt: skip

Metrics = dict[str, Tensor | float]
SecondPhaseT = TypeVar("SecondPhaseT", bound=SecondPhaseConfig)


class Phase(Protocol):
    """One objective with its schedule. All of its state is in the model, the optimiser and ``state_dict``."""

    name: str
    n_steps: int
    max_grad_norm: float | None  # longer gradients are shortened; None for no limit
    average: float | None  # decay of the exponential average of the weights, which is what is kept

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

    def enough(self, metrics: Metrics) -> bool:
        """Whether these numbers of a validation say that the phase may end before its last step."""
        ...

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class WeightPenalty(NamedTuple):
    """``encoder * ||theta_e||^2 + decoder * ||theta_d||^2``, added to a loss.

    References:
        Yoon, Noh, Park, 2021, arXiv:2105.05735 (published settings: docs/engine.md)
    """

    encoder: float = 0.0
    decoder: float = 0.0

    def __call__(self, coders: Iterable[tuple[nn.Module, nn.Module]]) -> Tensor | float:
        """The penalty on pairs of encoder and decoder; zero for none."""
        total: Tensor | float = 0.0
        for pair in coders:
            for weight, network in zip(self, pair, strict=True):
                if weight:
                    total = total + weight * sum(p.square().sum() for p in network.parameters())
        return total


NO_PENALTY = WeightPenalty()


class FirstPhase:
    """What the phases before any negatives share: all parameters, some passes over the data, one cycle."""

    average: float | None = None

    def __init__(self, model: EnergyModel, config: TrainingConfig, n_train: int) -> None:
        self.model = model
        self.peak = config.learning_rate
        self.constant = config.schedule == "constant"
        self.max_grad_norm = None if config.max_grad_norm == "none" else config.max_grad_norm
        self.n_steps = config.epochs * max(1, n_train // config.batch_size)

    def start(self, x_train: Tensor, x_val: Tensor) -> Metrics:
        self.model.start(x_train)
        return {}

    def parameters(self) -> list[nn.Parameter]:
        return list(self.model.parameters())

    def learning_rate(self, step: int) -> float:
        return self.peak if self.constant else self.peak * one_cycle((step + 1) / self.n_steps)

    def trouble(self, metrics: Metrics) -> str | None:
        return None

    def enough(self, metrics: Metrics) -> bool:
        return False

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class SecondPhase:
    """What the phases with negatives share: the density, its box and temperature, the schedule."""

    def __init__(self, model: DensityModel, config: SecondPhaseConfig) -> None:
        self.model = model
        self.config = config
        self.n_steps = config.steps
        self.average = config.average
        self.max_grad_norm = None if config.max_grad_norm == "none" else config.max_grad_norm

    def prepare_density(self, x_train: Tensor, x_val: Tensor) -> Metrics:
        """Set temperature and box from background inputs ``(n, d)``, or as configured."""
        model, config = self.model, self.config
        model.begin_density()
        k = model.fit_temperature(x_val)
        if config.temperature != "auto":
            model.temperature.fill_(config.temperature)
        if config.box is None:
            model.fit_box(x_train, config.box_margin)
        else:
            model.set_box(*config.box)
        return {"temperature": float(model.temperature), "residual_dimension": k}

    def parameters(self) -> list[nn.Parameter]:
        return self.model.energy_parameters()

    def enough(self, metrics: Metrics) -> bool:
        return False

    def learning_rate(self, step: int) -> float:
        if self.config.schedule == "constant":
            return self.config.learning_rate
        # constant, then linear to zero over the second half: the last steps average over many negatives
        return self.config.learning_rate * min(1.0, 2 * (1 - step / self.n_steps))


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
            penalty = WeightPenalty(config.encoder_penalty, config.decoder_penalty)
            phases.append(Contrastive(model, _inherited(config.contrastive, config), penalty))  # type: ignore[arg-type]
        else:
            assert config.transport is not None
            phases.append(Transport(model, _inherited(config.transport, config)))  # type: ignore[arg-type]
    return phases


def _inherited(second: SecondPhaseT, config: TrainingConfig) -> SecondPhaseT:
    """The settings of a second phase with what it takes from the first."""
    if second.max_grad_norm is not None:
        return second
    return second.model_copy(update={"max_grad_norm": config.max_grad_norm})
