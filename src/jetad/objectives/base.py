"""What a phase of a training is, and which phases a method has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol

import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from ..models.base import EnergyModel
from ..models.density import DensityModel
from ..settings import Strict

__all__ = [
    "NO_PENALTY", "FirstPhase", "FirstPhaseConfig", "Metrics", "Phase", "PhaseInputs", "SecondPhase",
    "SecondPhaseConfig", "SignalInputs", "WeightPenalty", "frozen", "one_cycle",
]  # fmt: skip

Metrics = dict[str, Tensor | float]


def _number_or_none(value: Any) -> Any:
    if value != "none" and not (isinstance(value, (int, float)) and value > 0):
        raise ValueError(f"must be a number above 0, or none, found {value!r}")
    return value


MaxGradNorm = Annotated[float | Literal["none"], BeforeValidator(_number_or_none)]


class FirstPhaseConfig(Strict):
    """What the phase before any negatives takes; it stands in ``training`` itself."""

    batch_size: int = Field(128, ge=2)
    epochs: int = Field(20, ge=1, description="passes over the data in the reconstruction phase")
    learning_rate: float = Field(2e-3, gt=0, description="peak of the one-cycle schedule")
    schedule: Literal["one-cycle", "constant"] = Field(
        "one-cycle", description="of the learning rate in the first phase"
    )
    reduction: Literal["sum", "mean"] = Field(
        "sum", description="over the inputs, of the reconstruction error that the first phase minimises"
    )
    encoder_penalty: float = Field(
        0.0, ge=0, description="times the squared weights of the encoder, added to the loss of every phase"
    )
    decoder_penalty: float = Field(0.0, ge=0, description="the same for the decoder")
    max_grad_norm: MaxGradNorm = Field(
        10.0, description="longer gradients of the weights are shortened, or none"
    )


class SecondPhaseConfig(Strict):
    """What every phase with negatives takes."""

    steps: int = Field(500, ge=1, description="optimiser steps")
    learning_rate: float = Field(1e-4, gt=0)
    schedule: Literal["linear", "constant"] = Field(
        "linear", description="of the learning rate: constant, or falling to zero over the second half"
    )
    max_grad_norm: MaxGradNorm | None = Field(
        None, description="of this phase; null for training.max_grad_norm"
    )
    average: float | None = Field(
        None, gt=0, lt=1,
        description="decay of an exponential average of the weights, which is then what is kept and scored",
    )  # fmt: skip
    temperature: float | Literal["auto"] = Field("auto", description="T, or auto for 2 <E> / k")
    box: tuple[float, float] | None = Field(
        None, description="bounds of every input for the chains, [0, 1] for pixels; null for box_margin"
    )
    box_margin: float = Field(
        0.2, ge=0, description="of the box of the chains beyond the background's range, relative to it"
    )
    select: Literal["last", "distance"] = Field(
        "last",
        description="keep the last model, or the one whose negatives are nearest to held-out background",
    )

    @model_validator(mode="after")
    def _box_has_width(self) -> Self:
        if self.box is not None and not self.box[0] < self.box[1]:
            raise ValueError(f"the box of the chains has no width: {list(self.box)}; give [low, high]")
        return self


class SignalInputs(NamedTuple):
    """Signal for a supervised training, each ``(n, d)``; the two share no jet."""

    train: Tensor
    validation: Tensor


class PhaseInputs(NamedTuple):
    """What a phase of a method is made from."""

    name: str  # in OBJECTIVES
    model: Any
    config: FirstPhaseConfig  # the section `training`
    settings: Any  # the section `training.NAME`, if the phase has one
    n_train: int
    signal: SignalInputs | None = None  # for a supervised method alone


class Phase(Protocol):
    """One objective with its schedule. All of its state is in the model, the optimiser and ``state_dict``."""

    Settings: ClassVar[type[SecondPhaseConfig] | None]  # of the section training.NAME; None if it has none
    name: str
    n_steps: int
    max_grad_norm: float | None  # longer gradients are shortened; None for no limit
    average: float | None  # decay of the exponential average of the weights, which is what is kept

    @classmethod
    def build(cls, given: PhaseInputs) -> Phase:
        """The phase of a method."""
        ...

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
        that is no mean over jets takes the whole batch from :mod:`jetad.distributed.shared_batch`, and every
        random number of a jet comes from there.
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

    Settings = None
    average: float | None = None

    def __init__(self, model: EnergyModel, config: FirstPhaseConfig, n_train: int) -> None:
        self.model = model
        self.peak = config.learning_rate
        self.constant = config.schedule == "constant"
        self.max_grad_norm = None if config.max_grad_norm == "none" else config.max_grad_norm
        self.n_steps = config.epochs * max(1, n_train // config.batch_size)

    @classmethod
    def build(cls, given: PhaseInputs) -> Self:
        return cls(given.model, given.config, given.n_train)

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

    Settings: ClassVar[type[SecondPhaseConfig]]

    def __init__(self, model: DensityModel, config: SecondPhaseConfig) -> None:
        self.model = model
        self.config = config
        self.n_steps = config.steps
        self.average = config.average
        self.max_grad_norm = None if config.max_grad_norm == "none" else config.max_grad_norm

    @classmethod
    def build(cls, given: PhaseInputs) -> Self:
        settings = given.settings
        if settings.max_grad_norm is None:
            settings = settings.model_copy(update={"max_grad_norm": given.config.max_grad_norm})
        return cls(given.model, settings)

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
