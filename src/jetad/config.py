"""The configuration of one training: defaults, presets, a YAML file and single values, checked once."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import ConfigError
from .models import MODELS
from .models.networks import NetworkConfig
from .preprocessing.features import FeatureConfig
from .preprocessing.images import ImageConfig
from .registry import resolve
from .samplers.on_manifold import OnManifoldConfig
from .samplers.persistent import PersistentConfig

__all__ = ["ContrastiveConfig", "DataConfig", "MemberConfig", "RunConfig", "TrainingConfig", "resolve_config"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Strict):
    """How the background is used; the parts never overlap."""

    validation_fraction: float = Field(
        0.1, gt=0, lt=0.5, description="chooses the model, sets the temperature"
    )
    calibration_fraction: float = Field(0.1, gt=0, lt=0.5, description="maps scores to background efficiency")
    max_jets: int | None = Field(None, ge=10, description="use only so many jets; null for all")


class ContrastiveConfig(_Strict):
    """The second phase of a normalized autoencoder."""

    steps: int = Field(500, ge=1, description="optimiser steps")
    learning_rate: float = Field(1e-4, gt=0)
    temperature: float | Literal["auto"] = Field("auto", description="T, or auto for 2 <E> / k")
    ceiling: float = Field(
        2.0, gt=1, description="negatives are raised until E/T is this many times that of the background"
    )
    sampler: Annotated[OnManifoldConfig | PersistentConfig, Field(discriminator="kind")] = OnManifoldConfig()


class TrainingConfig(_Strict):
    """Phases of the training: reconstruction, then (for normalized autoencoders) contrastive."""

    batch_size: int = Field(128, ge=2)
    epochs: int = Field(20, ge=1, description="passes over the data in the reconstruction phase")
    learning_rate: float = Field(2e-3, gt=0, description="peak of the one-cycle schedule")
    max_grad_norm: float = Field(10.0, gt=0)
    contrastive: ContrastiveConfig | None = None
    log_every: int = Field(25, ge=1, description="optimiser steps between lines of the history")
    validate_every: int = Field(100, ge=1, description="optimiser steps between validations")
    checkpoint_minutes: float = Field(
        0.5, ge=0, description="time between checkpoints; 0 for every validation"
    )


class MemberConfig(_Strict):
    """One representation of the jets with the detector trained on it."""

    preprocessing: Annotated[ImageConfig | FeatureConfig, Field(discriminator="representation")]
    network: NetworkConfig
    training: TrainingConfig


class RunConfig(_Strict):
    """One training. Several members are trained one after the other and scored together."""

    method: str
    seed: int = Field(1, ge=0)
    data: DataConfig = DataConfig()
    members: dict[str, MemberConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        resolve(MODELS, self.method, "method")
        for name, member in self.members.items():
            if not name.isidentifier():
                raise ValueError(f"member name '{name}' is not a plain word")
            where = f"members.{name}.training.contrastive"
            if self.method == "ae" and member.training.contrastive is not None:
                raise ValueError(f"method 'ae' has no contrastive phase; remove {where}")
            if self.method == "nae" and member.training.contrastive is None:
                raise ValueError(f"method 'nae' needs {where}")
        return self

    def to_yaml(self) -> str:
        """Every setting spelled out."""
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
        return text

    @classmethod
    def from_yaml(cls, text: str, source: str = "configuration") -> RunConfig:
        return _checked(_parse(text, source), source)


# Defaults of the members. Only background entered their choice: the image carries what the eye would see,
# the features the size and multiplicity that unit-sum images have lost.
_IMAGE = {
    "preprocessing": {"representation": "image", "sigma": 2.0},
    "network": {"components": 60, "hidden": [256, 128], "latent_dim": 8},
    "training": {"epochs": 20, "batch_size": 128, "learning_rate": 2e-3},
}
_FEATURES = {
    "preprocessing": {"representation": "features"},
    "network": {"components": None, "hidden": [128, 128], "latent_dim": 3},
    "training": {"epochs": 10, "batch_size": 256, "learning_rate": 1e-3},
}
_MEMBERS: dict[str, dict[str, Any]] = {"image": _IMAGE, "features": _FEATURES}
_CONTRASTIVE: dict[str, dict[str, Any]] = {
    "image": {"steps": 500, "learning_rate": 1e-4, "sampler": {"kind": "omi"}},
    "features": {
        "steps": 1500,
        "learning_rate": 3e-4,
        # three features in units of their spread: the density varies over a third of one
        "temperature": 0.3,
        "ceiling": 20.0,
        "sampler": {"kind": "pcd"},
    },
}
# sections that may stand at the top of a configuration and then hold for every member
_SHARED = ("network", "training", "preprocessing")


def default_config(method: str, representation: str | None = None) -> dict[str, Any]:
    """The defaults of a method as plain values; one member only if ``representation`` is given."""
    resolve(MODELS, method, "method")
    if representation is not None and representation not in _MEMBERS:
        resolve({name: "" for name in _MEMBERS}, representation, "representation")
    members = {}
    for name, sections in _MEMBERS.items():
        if representation in (None, name):
            member = {key: dict(value) for key, value in sections.items()}
            if method != "ae":
                member["training"]["contrastive"] = dict(_CONTRASTIVE[name])
            members[name] = member
    return {"method": method, "members": members}


def resolve_config(
    *,
    method: str | None = None,
    representation: str | None = None,
    text: str | None = None,
    source: str = "configuration",
    settings: Iterable[str] = (),
    seed: int | None = None,
) -> RunConfig:
    """Defaults of the method, then the YAML ``text``, then ``key=value`` settings, then the seed.

    ``training``, ``network`` and ``preprocessing`` at the top hold for every member that has such a
    setting; ``members.NAME.training...`` holds for one.

    Raises:
        ConfigError: naming the key, the nearest valid one, and what was expected.
    """
    given = _parse(text, source) if text is not None else {}
    method = method or given.get("method") or "nae"
    if not isinstance(method, str):
        raise ConfigError(f"{source}: method must be a name, found {method!r}")
    only = representation
    if only is None and isinstance(given.get("members"), dict) and set(given["members"]) < set(_MEMBERS):
        known = [name for name in given["members"] if name in _MEMBERS]
        only = known[0] if len(known) == 1 else None
    config = default_config(method, only)
    _overlay(config, given, source)
    config["method"] = method
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {setting}: expected KEY=VALUE, for example training.epochs=5")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(
                f"--set {setting}: the value is not valid YAML ({_first_line(error)})"
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
                raise ConfigError(f"{source}: '{key}' must hold settings, found {value!r}")
            taken: set[str] = set()
            for member in config["members"].values():
                fitting = {k: v for k, v in value.items() if _fits(key, k, member)}
                taken |= set(fitting)
                _merge(member[key], fitting)
            for unknown in set(value) - taken:
                # leave it where the check of the whole will find and explain it
                first = next(iter(config["members"].values()))
                first[key][unknown] = value[unknown]
        elif isinstance(value, dict) and isinstance(config.get(key), dict):
            _merge(config[key], value)
        else:
            config[key] = value


def _fits(section: str, key: str, member: Mapping[str, Any]) -> bool:
    if section == "preprocessing":
        kind = member["preprocessing"]["representation"]
        return key in (ImageConfig if kind == "image" else FeatureConfig).model_fields
    if section == "training" and key == "contrastive":
        return "contrastive" in member["training"]
    return key in (NetworkConfig if section == "network" else TrainingConfig).model_fields


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
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
    try:
        return RunConfig(**values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_explain(error)}") from None


def _explain(error: ValidationError) -> str:
    """The first problem of a validation error in one sentence."""
    first = error.errors()[0]
    # pydantic names the chosen variant of a union in the path; the user never wrote it
    variants = {"preprocessing": ("image", "features"), "sampler": ("omi", "pcd")}
    parts = [str(part) for part in first["loc"]]
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
    found = f", found {first['input']!r}" if plain else ""
    return f"{where + ': ' if where else ''}{message[0].lower()}{message[1:]}{found}"


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
