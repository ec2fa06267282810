"""Tables of names: ``name -> "module:attribute"``, listed without importing what they name."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .errors import ConfigError

__all__ = ["closest_first", "lazy", "load", "resolve"]


def closest_first(name: str, valid: Iterable[str]) -> list[str]:
    """Valid names, those most like ``name`` first."""
    return sorted(valid, key=lambda v: (-difflib.SequenceMatcher(None, name.lower(), v.lower()).ratio(), v))


def resolve(table: Mapping[str, str], name: str, kind: str) -> str:
    """The entry of ``name`` in ``table``.

    Raises:
        ConfigError: for an unknown name, listing the valid ones, closest first.
    """
    if name not in table:
        raise ConfigError(f"unknown {kind} '{name}'; choose one of: {', '.join(closest_first(name, table))}")
    return table[name]


def load(table: Mapping[str, str], name: str, kind: str) -> Any:
    """Import and return the object that ``table[name]`` names."""
    module, attribute = resolve(table, name, kind).split(":")
    return getattr(importlib.import_module(module), attribute)


def lazy(package: str, **names: Iterable[str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package that imports its modules when they are first used.

    Arguments:
        package: Its name.
        names: Module of the package -> the public names that it defines.
    """
    module_of = {name: module for module, listed in names.items() for name in listed}

    def getattr_(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(importlib.import_module(f"{package}.{module_of[name]}"), name)

    def dir_() -> list[str]:
        return sorted({*vars(importlib.import_module(package)), *module_of})

    return getattr_, dir_
