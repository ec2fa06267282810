"""Settings by name, one YAML file each: the defaults of every method, and published ones.

The preset of a method's name holds the ``card`` of the method, too (:class:`jetad.models.MethodInfo`). Other
packages add methods by entry points ``jetad.methods``, each of which names a mapping with what such a file
holds.
"""

from __future__ import annotations

import copy
import functools
import logging
from collections.abc import Mapping
from importlib import resources
from typing import Any

from ..errors import ConfigError
from ..files.yamlfiles import load_yaml
from ..registry import load, resolve, with_plugins

__all__ = ["card", "merge", "preset", "presets"]

logger = logging.getLogger("jetad")

# what tells the variants of a section apart
_VARIANT = ("kind", "representation")


@functools.cache
def _sources() -> dict[str, str]:
    """Name -> nothing for a file in this folder, or the mapping of another package."""
    folder = resources.files(__name__)
    names = sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))
    return with_plugins(dict.fromkeys(names, ""), "jetad.methods")


@functools.cache
def presets() -> dict[str, str]:
    """Names with a line each; the preset of a method's name holds its defaults."""
    found = {}
    for name in _sources():
        try:
            found[name] = str(_written(name)["summary"])
        except ConfigError as error:  # of another package
            logger.warning("%s; it is left out", error)
    return found


def card(name: str) -> dict[str, Any] | None:
    """The card in a preset: what the method of this name is; ``None`` if there is no such method."""
    found: dict[str, Any] | None = _written(name).get("card") if name in _sources() else None
    return found


def preset(name: str) -> dict[str, Any]:
    """The settings of a preset, laid over those of its ``base``.

    Raises:
        ConfigError: for an unknown name, listing the valid ones.
    """
    given = _written(name)
    if given.pop("card", None) is not None:
        given["method"] = name
    base = given.pop("base", None)
    if base is None:
        return given
    config = preset(base)
    merge(config, given)
    return config


def _written(name: str) -> dict[str, Any]:
    """What the file of a preset holds, or the mapping of another package."""
    source = resolve(_sources(), name, "preset")
    if not source:
        given: Any = load_yaml(resources.files(__name__).joinpath(f"{name}.yaml").read_text())
    else:
        given = copy.deepcopy(load(_sources(), name, "method"))
        if not isinstance(given, dict) or not {"summary", "card"} <= set(given):
            raise ConfigError(f"method '{name}': {source} must be a dict with 'summary', 'card' and settings")
    return dict(given)


def merge(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Lay ``over`` over ``base``, section by section, in place.

    A section whose ``kind`` or ``representation`` changes begins anew: the settings of the variant before
    mean nothing to the other.
    """
    if any(name in over and base.get(name) not in (None, over[name]) for name in _VARIANT):
        base.clear()
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value
