"""How a configuration is put together: a preset, a YAML file and single values, laid over each other."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ..errors import ConfigError
from ..files.yamlfiles import YAMLError, load_yaml
from ..models import DEFAULT_METHOD, DEFAULT_NETWORK, METHODS, model_class
from ..preprocessing import PREPROCESSORS
from ..presets import merge
from ..presets import preset as load_preset
from ..registry import closest_first, resolve
from .messages import explain, one_line, shortened
from .schema import (
    NETWORK_KINDS,
    PHASE_SECTIONS,
    PREPROCESSING_KINDS,
    RunConfig,
    TrainingConfig,
    require_input,
)

__all__ = ["read_config", "resolve_config"]

logger = logging.getLogger("jetad.config")


# sections that may stand at the top of a configuration and then hold for every member
_SHARED = ("network", "training", "preprocessing", "model")


def default_config(preset: str, representations: Iterable[str] = ()) -> dict[str, Any]:
    """The settings of a preset as plain values, with its default members or those given."""
    config = load_preset(preset)
    members = config["members"]
    chosen = list(representations) or config.get("default", list(members))
    for name in chosen:
        if name in PREPROCESSORS:
            require_input(config["method"], name)
        resolve(dict.fromkeys(members, ""), name, "representation")
    return {"method": config["method"], "members": {name: members[name] for name in chosen}}


def _on_embedding(preset: str, encoder: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a preset for one member on the embedding of an encoder."""
    config = load_preset(preset)
    require_input(config["method"], "features")
    members = config["members"]
    # many correlated inputs, as an image has
    like = next(members[name] for name in ("image", "features", *members) if name in members)
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
    :func:`jetad.runs.describe_encoder`) the only member is one on its embedding.

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
            raise ConfigError(f"{source}: {name} must be a name, found {shortened(repr(value))}")
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
            raise ConfigError(
                f"--set {shortened(setting)}: expected KEY=VALUE, for example training.epochs=5"
            )
        try:
            parsed = load_yaml(value)
        except YAMLError as error:
            raise ConfigError(
                f"--set {shortened(setting)}: the value is not valid YAML ({one_line(error)})"
            ) from error
        nested: Any = _number(parsed)
        for part in reversed(key.strip().split(".")):
            nested = {part: nested}
        _overlay(config, nested, f"--set {key.strip()}")
    if seed is not None:
        config["seed"] = seed
    return _checked(config, source)


def read_config(text: str, source: str = "configuration") -> RunConfig:
    """The configuration that YAML spells out, as :meth:`RunConfig.to_yaml` writes it.

    Raises:
        ConfigError: as ``resolve_config``.
    """
    return _checked(_parse(text, source), source)


def _overlay(config: dict[str, Any], given: Mapping[str, Any], source: str) -> None:
    """Lay ``given`` over ``config``, spreading shared sections over the members."""
    for key, value in given.items():
        if key in _SHARED:
            if not isinstance(value, dict):
                raise ConfigError(f"{source}: '{key}' must hold settings, found {shortened(repr(value))}")
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
            ("representation", PREPROCESSING_KINDS) if section == "preprocessing" else ("kind", NETWORK_KINDS)
        )
        chosen = member[section].get(name)
        if chosen not in known:
            return True  # the check of the whole explains it
        fields = known[chosen].model_fields
    else:
        fields = TrainingConfig.model_fields
        if key in PHASE_SECTIONS:
            return key in member["training"]
    return key in fields


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        value = load_yaml(text)
    except YAMLError as error:
        raise ConfigError(f"{source}: is not valid YAML ({one_line(error)})") from error
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
        raise ConfigError(f"{source}: {explain(error)}") from None


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
            raise ConfigError(f"{source}: {explain(error, f'members.{name}.model')}") from None
