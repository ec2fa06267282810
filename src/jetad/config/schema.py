"""What a configuration holds, and the checks of it as a whole."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
import yaml
from pydantic import BaseModel, Field, SerializeAsAny, create_model, model_validator

from ..device import Precision
from ..errors import ConfigError
from ..models import METHODS, model_class
from ..models.base import MethodSettings
from ..models.networks import NETWORKS, Architecture
from ..objectives import sections
from ..objectives.base import FirstPhaseConfig, SecondPhaseConfig
from ..objectives.contrastive import ContrastiveConfig
from ..objectives.transport import TransportConfig
from ..preprocessing import PREPROCESSORS, REPRESENTATIONS
from ..registry import load, resolve
from ..samplers import SAMPLERS
from ..samplers.base import SamplerSettings
from ..settings import Strict, one_of

__all__ = [
    "ContrastiveConfig", "DataConfig", "MemberConfig", "RunConfig", "SecondPhaseConfig", "TrainingConfig",
    "TransportConfig",
]  # fmt: skip


# the settings of everything that tables name
PREPROCESSING_KINDS: dict[str, type[BaseModel]] = {
    name: load(REPRESENTATIONS, name, "representation") for name in REPRESENTATIONS
}
NETWORK_KINDS: dict[str, type[Architecture]] = {name: load(NETWORKS, name, "network") for name in NETWORKS}
SAMPLER_KINDS: dict[str, type[SamplerSettings]] = {
    name: load(SAMPLERS, name, "sampler").Settings for name in SAMPLERS
}
PHASE_SECTIONS = sections()

#: Seeds that every generator of random numbers takes.
MAX_SEED = (1 << 32) - 1

_MAX_VALUE = 1e30  # what float32 can still compute with

_MAX_PARAMETERS = 1 << 28  # with gradients and the state of the optimiser 4 GB


class DataConfig(Strict):
    """How the background is used; the parts never overlap."""

    validation_fraction: float = Field(
        0.1, gt=0, lt=0.5, description="chooses the model, sets the temperature"
    )
    calibration_fraction: float = Field(0.1, gt=0, lt=0.5, description="maps scores to background efficiency")
    max_jets: int | None = Field(None, ge=10, description="use only so many jets; null for all")
    classes: str | None = Field(
        None, description="column that says of which class a background jet is; files for one class a file"
    )
    max_in_memory: int = Field(
        1_000_000, ge=0, description="files with more jets are read again for every pass instead of kept"
    )


if TYPE_CHECKING:
    NetworkConfig = Architecture
    PreprocessingConfig = Any

    class _Sections(Strict):
        def __getattr__(self, name: str) -> Any: ...
else:
    NetworkConfig = one_of(NETWORK_KINDS.values(), "kind")
    PreprocessingConfig = one_of(PREPROCESSING_KINDS.values(), "representation")
    _Sections = create_model(
        "_Sections", __base__=Strict, **{name: (kind | None, None) for name, kind in PHASE_SECTIONS.items()}
    )


class _LoopConfig(Strict):
    retries: int = Field(3, ge=0, description="times a diverged training goes back, at half the rate")
    log_every: int = Field(25, ge=1, description="optimiser steps between lines of the history")
    validate_every: int = Field(100, ge=1, description="optimiser steps between validations")
    checkpoint_minutes: float = Field(
        0.5, ge=0, description="time between checkpoints; 0 for every validation"
    )
    precision: Precision = Field("tf32", description="of layers in training, where the device offers it")
    compile: bool = Field(False, description="compile the steps of the chains (torch.compile)")


class TrainingConfig(_LoopConfig, _Sections, FirstPhaseConfig):
    """Phases of the training: reconstruction, then one with negatives, as the method has them."""

    @property
    def sampler(self) -> SamplerSettings | None:
        """The settings of the chains, where a phase has any."""
        found = (getattr(getattr(self, name), "sampler", None) for name in PHASE_SECTIONS)
        return next((sampler for sampler in found if sampler is not None), None)


class MemberConfig(Strict):
    """One representation of the jets with the detector trained on it."""

    preprocessing: PreprocessingConfig
    network: NetworkConfig
    training: TrainingConfig = TrainingConfig()
    model: SerializeAsAny[MethodSettings] = MethodSettings()


class RunConfig(Strict):
    """One training. Several members are trained one after the other and scored together."""

    method: str
    seed: int = Field(1, ge=0, le=MAX_SEED)
    data: DataConfig = DataConfig()
    members: dict[str, MemberConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        resolve(METHODS, self.method, "method")
        _refuse_extremes(self.model_dump(mode="python"), "")
        if self.data.classes is not None and METHODS[self.method].classes == "none":
            raise ValueError(f"method '{self.method}' makes no use of classes; remove data.classes")
        for name, member in self.members.items():
            if not name.isidentifier():
                raise ValueError(f"member name '{name}' is not a plain word")
            phases = METHODS[self.method].phases
            for phase in PHASE_SECTIONS:
                where = f"members.{name}.training.{phase}"
                given = getattr(member.training, phase) is not None
                if given and phase not in phases:
                    raise ValueError(f"method '{self.method}' has no {phase} phase; remove {where}")
                if not given and phase in phases:
                    raise ValueError(f"method '{self.method}' needs {where}")
            if member.training.compile and member.training.sampler is None:
                raise ValueError(f"method '{self.method}' runs no chains to compile; leave --compile out")
            self._model_fits(name, member)
        return self

    def _model_fits(self, name: str, member: MemberConfig) -> None:
        """The method takes this representation, the network can be built for its shape, the sampler works."""
        kind = member.preprocessing.representation
        require_input(self.method, "features" if member.network.kind == "embedding" else kind)
        only = model_class(self.method).preprocessing
        if only is not None and member.preprocessing != only:
            raise ValueError(
                f"method '{self.method}' is one observable; remove the settings of "
                f"members.{name}.preprocessing"
            )
        shape = load(PREPROCESSORS, kind, "representation")(member.preprocessing).shape
        try:
            with torch.random.fork_rng(devices=[]):
                _check_size(self.method, member, shape)
                model = model_class(self.method)(shape, member.network, member.model)
        except ConfigError as error:
            raise ValueError(f"members.{name}: {error}") from error
        for penalty in ("encoder_penalty", "decoder_penalty"):
            if getattr(member.training, penalty) and not model.coders():
                raise ValueError(
                    f"method '{self.method}' trains no autoencoder; remove members.{name}.training.{penalty}"
                )
        for phase in PHASE_SECTIONS:  # samplers need parts that not every method has
            sampler = getattr(getattr(member.training, phase), "sampler", None)
            if sampler is None or _has(model, sampler.needs):
                continue
            fitting = [kind for kind, other in SAMPLER_KINDS.items() if _has(model, other.needs)]
            raise ValueError(
                f"method '{self.method}' cannot use sampler '{sampler.kind}' "
                f"(members.{name}.training.{phase}.sampler.kind); choose one of: {', '.join(fitting)}"
            )

    def to_yaml(self) -> str:
        """Every setting spelled out."""
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
        return text


def _has(model: Any, parts: Iterable[str]) -> bool:
    return all(hasattr(model, part) for part in parts)


def _refuse_extremes(value: Any, where: str) -> None:
    """Refuse numbers that no network can compute with, wherever they stand."""
    if isinstance(value, dict):
        for key, part in value.items():
            _refuse_extremes(part, f"{where}.{key}" if where else str(key))
    elif isinstance(value, (list, tuple)):
        for part in value:
            _refuse_extremes(part, where)
    elif isinstance(value, (int, float)) and not abs(value) <= _MAX_VALUE:
        found = float(max(min(value, 1e300), -1e300))
        raise ValueError(f"{where} is {found:g}, and must be a number up to {_MAX_VALUE:g}")


def _check_size(method: str, member: MemberConfig, shape: tuple[int, ...]) -> None:
    """Refuse a network that fills the memory; it is built without its numbers to count them.

    Raises:
        ConfigError: saying how many there would be.
    """
    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")  # an encoder is read into it, too
            model = model_class(method)(shape, member.network, member.model)
        n = sum(x.numel() for x in [*model.parameters(), *model.buffers()])
    except (RuntimeError, OverflowError, TypeError) as error:  # the last for numbers of more than 64 bits
        raise ConfigError("the sizes of the network or its input are beyond all memory") from error
    if n > _MAX_PARAMETERS:
        raise ConfigError(
            f"the network has {n} numbers, and at most {_MAX_PARAMETERS} are allowed; make its layers or its "
            "input smaller"
        )


def require_input(method: str, representation: str) -> None:
    """Refuse a representation that means nothing to a method."""
    inputs = METHODS[method].inputs
    if representation not in inputs:
        raise ConfigError(
            f"method '{method}' does not take representation '{representation}', only: {', '.join(inputs)}"
        )
