"""The configuration of one training: defaults, presets, a YAML file and single values, checked once."""

from __future__ import annotations

import copy
import difflib
import logging
import re
import types
import typing
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
import yaml
from pydantic import BaseModel, Field, SerializeAsAny, ValidationError, create_model, model_validator

from .errors import ConfigError
from .files.yamlfiles import YAMLError, load_yaml
from .models import DEFAULT_METHOD, DEFAULT_NETWORK, METHODS, model_class
from .models.base import MethodSettings
from .models.networks import NETWORKS, Architecture
from .precision import Precision
from .preprocessing import PREPROCESSORS, REPRESENTATIONS
from .presets import merge
from .presets import preset as load_preset
from .registry import closest_first, load, resolve
from .samplers import SAMPLERS
from .samplers.base import SamplerSettings
from .settings import Strict, one_of
from .training.contrastive import ContrastiveConfig
from .training.objectives import sections
from .training.phases import FirstPhaseConfig, SecondPhaseConfig
from .training.transport import TransportConfig

__all__ = [
    "ContrastiveConfig", "DataConfig", "MemberConfig", "RunConfig", "SecondPhaseConfig", "TrainingConfig",
    "TransportConfig", "resolve_config",
]  # fmt: skip

logger = logging.getLogger("jetad.config")

# the settings of everything that tables name
_REPRESENTATIONS: dict[str, type[BaseModel]] = {
    name: load(REPRESENTATIONS, name, "representation") for name in REPRESENTATIONS
}
_NETWORKS: dict[str, type[Architecture]] = {name: load(NETWORKS, name, "network") for name in NETWORKS}
_SAMPLERS: dict[str, type[SamplerSettings]] = {
    name: load(SAMPLERS, name, "sampler").Settings for name in SAMPLERS
}
_SECTIONS = sections()

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
    NetworkConfig = one_of(_NETWORKS.values(), "kind")
    PreprocessingConfig = one_of(_REPRESENTATIONS.values(), "representation")
    _Sections = create_model(
        "_Sections", __base__=Strict, **{name: (kind | None, None) for name, kind in _SECTIONS.items()}
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
        found = (getattr(getattr(self, name), "sampler", None) for name in _SECTIONS)
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
            for phase in _SECTIONS:
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
        _takes(self.method, "features" if member.network.kind == "embedding" else kind)
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
        for phase in _SECTIONS:  # samplers need parts that not every method has
            sampler = getattr(getattr(member.training, phase), "sampler", None)
            if sampler is None or _has(model, sampler.needs):
                continue
            fitting = [kind for kind, other in _SAMPLERS.items() if _has(model, other.needs)]
            raise ValueError(
                f"method '{self.method}' cannot use sampler '{sampler.kind}' "
                f"(members.{name}.training.{phase}.sampler.kind); choose one of: {', '.join(fitting)}"
            )

    def to_yaml(self) -> str:
        """Every setting spelled out."""
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
        return text

    @classmethod
    def from_yaml(cls, text: str, source: str = "configuration") -> RunConfig:
        return _checked(_parse(text, source), source)


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


# sections that may stand at the top of a configuration and then hold for every member
_SHARED = ("network", "training", "preprocessing", "model")


def _takes(method: str, representation: str) -> None:
    """Refuse a representation that means nothing to a method."""
    inputs = METHODS[method].inputs
    if representation not in inputs:
        raise ConfigError(
            f"method '{method}' does not take representation '{representation}', only: {', '.join(inputs)}"
        )


def default_config(preset: str, representations: Iterable[str] = ()) -> dict[str, Any]:
    """The settings of a preset as plain values, with its default members or those given."""
    config = load_preset(preset)
    members = config["members"]
    chosen = list(representations) or config.get("default", list(members))
    for name in chosen:
        if name in PREPROCESSORS:
            _takes(config["method"], name)
        resolve(dict.fromkeys(members, ""), name, "representation")
    return {"method": config["method"], "members": {name: members[name] for name in chosen}}


def _on_embedding(preset: str, encoder: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a preset for one member on the embedding of an encoder."""
    config = load_preset(preset)
    _takes(config["method"], "features")
    members = config["members"]
    like = members.get("image", members["features"])  # many correlated inputs, as an image has
    network = {"kind": "embedding", "source": dict(encoder["source"])}
    network |= {k: like["network"][k] for k in ("latent_dim", "manifold_dims") if k in like["network"]}
    member = {**like, "preprocessing": dict(encoder["preprocessing"]), "network": network}
    return {"method": config["method"], "members": {"embedding": member}}


def resolve_config(
    *,
    method: str | None = None,
    preset: str | None = None,
    representation: str | None = None,
    encoder: Mapping[str, Any] | None = None,
    text: str | None = None,
    source: str = "configuration",
    settings: Iterable[str] = (),
    seed: int | None = None,
) -> RunConfig:
    """The preset (of the method's name if none is given), the YAML ``text``, the settings, the seed.

    ``training``, ``network`` and ``preprocessing`` at the top hold for every member that has such a
    setting; ``members.NAME.training...`` holds for one. With an ``encoder`` (of
    :func:`jetad.encoders.describe_encoder`) the only member is one on its embedding.

    Without a name it is the default method, or the normalized autoencoder where the settings or the
    representation are not those of the default and are its own.

    Raises:
        ConfigError: naming the key, the nearest valid one, and what was expected.
    """
    given = _parse(text, source) if text is not None else {}
    preset = preset or given.pop("preset", None)
    method = method or given.get("method")
    settings = list(settings)

    def resolved(method: str | None) -> RunConfig:
        return _resolved(method, preset, representation, encoder, given, source, settings, seed)

    if method or preset:
        return resolved(method)
    problem = None
    if not _for_a_network(given, settings):
        try:
            return resolved(DEFAULT_METHOD)
        except ConfigError as error:
            problem = error
    try:
        config = resolved(DEFAULT_NETWORK)
    except ConfigError as error:
        raise (error if problem is None or representation is not None else problem) from None
    logger.warning(
        "'%s', the default method, does not take these inputs or settings; training '%s', which does "
        "(--method names another)",
        DEFAULT_METHOD, DEFAULT_NETWORK,
    )  # fmt: skip
    return config


def _for_a_network(given: Mapping[str, Any], settings: Iterable[str]) -> bool:
    """Whether a setting is one that only a network and its training use."""

    def paths(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
        for key, value in values.items():
            yield f"{above}{key}"
            if isinstance(value, dict):
                yield from paths(value, f"{above}{key}.")

    named = [*paths(given), *(setting.partition("=")[0].strip() for setting in settings)]
    return any(re.search(r"(^|\.)(training|network)\.(?!components$)", name) for name in named)


def _resolved(
    method: str | None,
    preset: str | None,
    representation: str | None,
    encoder: Mapping[str, Any] | None,
    given: Mapping[str, Any],
    source: str,
    settings: Iterable[str],
    seed: int | None,
) -> RunConfig:
    for name, value in (("method", method), ("preset", preset)):
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{source}: {name} must be a name, found {_cut(repr(value))}")
    if method is not None:
        resolve(METHODS, method, "method")
    name = preset or method or DEFAULT_METHOD
    chosen = [] if representation is None else [representation]
    if encoder is None and representation == "embedding":
        raise ConfigError(
            "--representation embedding needs --encoder RUN, a run of 'jetad train --method clr'"
        )
    if encoder is not None and representation not in (None, "embedding"):
        raise ConfigError(f"--encoder: the representation is its embedding; leave out '{representation}'")
    if not chosen and isinstance(given.get("members"), dict):
        known = load_preset(name)["members"]
        chosen = [member for member in given["members"] if member in known]
    config = default_config(name, chosen) if encoder is None else _on_embedding(name, encoder)
    if method is not None and config["method"] != method:
        raise ConfigError(f"preset '{preset}' is one of method '{config['method']}', not of '{method}'")
    _overlay(config, given, source)
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {_cut(setting)}: expected KEY=VALUE, for example training.epochs=5")
        try:
            parsed = load_yaml(value)
        except YAMLError as error:
            raise ConfigError(
                f"--set {_cut(setting)}: the value is not valid YAML ({_first_line(error)})"
            ) from error
        nested: Any = _number(parsed)
        for part in reversed(key.strip().split(".")):
            nested = {part: nested}
        _overlay(config, nested, f"--set {key.strip()}")
    if seed is not None:
        config["seed"] = seed
    return _checked(config, source)


def _overlay(config: dict[str, Any], given: Mapping[str, Any], source: str) -> None:
    """Lay ``given`` over ``config``, spreading shared sections over the members."""
    for key, value in given.items():
        if key in _SHARED:
            if not isinstance(value, dict):
                raise ConfigError(f"{source}: '{key}' must hold settings, found {_cut(repr(value))}")
            taken: set[str] = set()
            for member in config["members"].values():
                member.setdefault(key, {})
                fitting = {k: v for k, v in value.items() if _fits(key, k, member)}
                taken |= set(fitting)
                merge(member[key], fitting)
            for unknown in set(value) - taken:
                # leave it where the check of the whole will find and explain it
                first = next(iter(config["members"].values()))
                first[key][unknown] = value[unknown]
        elif isinstance(value, dict) and isinstance(config.get(key), dict):
            merge(config[key], value)
        else:
            config[key] = value


def _fits(section: str, key: str, member: Mapping[str, Any]) -> bool:
    if section == "model":
        return True
    if section in ("preprocessing", "network"):
        name, known = (
            ("representation", _REPRESENTATIONS) if section == "preprocessing" else ("kind", _NETWORKS)
        )
        chosen = member[section].get(name)
        if chosen not in known:
            return True  # the check of the whole explains it
        fields = known[chosen].model_fields
    else:
        fields = TrainingConfig.model_fields
        if key in _SECTIONS:
            return key in member["training"]
    return key in fields


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        value = load_yaml(text)
    except YAMLError as error:
        raise ConfigError(f"{source}: is not valid YAML ({_first_line(error)})") from error
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(k, str) for k in value):
        raise ConfigError(f"{source}: expected settings 'name: value', found {type(value).__name__}")
    return {k: _number(v) for k, v in value.items()}


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-3 as text; take it for the number it is."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    if isinstance(value, dict):
        return {k: _number(v) for k, v in value.items()}
    return value


def _checked(values: Mapping[str, Any], source: str) -> RunConfig:
    mine = copy.deepcopy(dict(values))
    try:
        _read_model_sections(mine, source)
        return RunConfig(**mine)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_explain(error)}") from None


def _read_model_sections(values: dict[str, Any], source: str) -> None:
    """Turn the section ``model`` of every member into the settings of the method, in place."""
    method, members = values.get("method"), values.get("members")
    if not isinstance(method, str) or method not in METHODS or not isinstance(members, dict):
        return  # the check of the whole explains it
    settings = model_class(method).Settings
    for name, member in members.items():
        if not isinstance(member, dict) or not isinstance(member.get("model", {}), dict):
            continue
        given = member.get("model", {})
        unknown = [key for key in given if key not in settings.model_fields]
        if unknown:
            valid = ", ".join(closest_first(str(unknown[0]), settings.model_fields)) or "none"
            raise ConfigError(
                f"{source}: unknown setting 'members.{name}.model.{unknown[0]}'; "
                f"settings of method '{method}': {valid}"
            )
        try:
            member["model"] = settings(**given)
        except ValidationError as error:
            raise ConfigError(f"{source}: {_explain(error, f'members.{name}.model')}") from None


def _explain(error: ValidationError, prefix: str = "") -> str:
    """The first problem of a validation error in one sentence."""
    first = error.errors()[0]
    # pydantic names the chosen variant of a union in the path; the user never wrote it
    variants = {
        "preprocessing": tuple(_REPRESENTATIONS), "network": tuple(_NETWORKS), "sampler": tuple(_SAMPLERS),
    }  # fmt: skip
    parts = [*filter(None, [prefix]), *(str(part) for part in first["loc"])]
    where = ".".join(
        p for before, p in zip(["", *parts], parts, strict=False) if p not in variants.get(before, ())
    )
    if first["type"] == "extra_forbidden":
        name = str(first["loc"][-1])
        paths = _setting_paths()
        close = [path for path in paths if path.rsplit(".", 1)[-1] == name]
        if not close:
            near = difflib.get_close_matches(
                name, [path.rsplit(".", 1)[-1] for path in paths], n=1, cutoff=0.5
            )
            close = [path for path in paths if near and path.rsplit(".", 1)[-1] == near[0]]
        hint = f"; did you mean '{close[0]}'?" if close else f"; valid settings: {', '.join(paths)}"
        return f"unknown setting '{where}'{hint}"
    message = str(first["msg"]).removeprefix("Value error, ")
    plain = first["type"] != "value_error" and not isinstance(first["input"], dict)
    found = f", found {_cut(repr(first['input']))}" if plain else ""
    return f"{where + ': ' if where else ''}{message[0].lower()}{message[1:]}{found}"


def _cut(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}..."


def _setting_paths() -> list[str]:
    """Dotted names of all settings as ``--set`` takes them, sections of members without the member."""
    paths: dict[str, None] = {}

    def visit(annotation: Any, prefix: str) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            for name, field in annotation.model_fields.items():
                below = "" if name == "members" else f"{prefix}{name}."
                if name != "members":
                    paths[f"{prefix}{name}"] = None
                visit(field.annotation, below)
        elif isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
            for argument in typing.get_args(annotation):
                visit(argument, prefix)

    visit(RunConfig, "")
    return list(paths)


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())
