"""Settings by name, one YAML file each: the defaults of every method, and published ones."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from ..files.yamlfiles import load_yaml
from ..registry import resolve

__all__ = ["merge", "preset", "presets"]

# what tells the variants of a section apart
_VARIANT = ("kind", "representation")


def presets() -> dict[str, str]:
    """Names with a line each; the preset of a method's name holds its defaults."""
    folder = resources.files(__name__)
    names = sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))
    return {name: str(preset(name)["summary"]) for name in names}


def preset(name: str) -> dict[str, Any]:
    """The settings of a preset, laid over those of its ``base``.

    Raises:
        ConfigError: for an unknown name, listing the valid ones.
    """
    path = resources.files(__name__).joinpath(f"{name}.yaml")
    if not path.is_file():
        resolve(presets(), name, "preset")
    given: dict[str, Any] = load_yaml(path.read_text())
    base = given.pop("base", None)
    if base is None:
        return given
    config = preset(base)
    merge(config, given)
    return config


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
