"""Tables of names: ``name -> "module:attribute"``, listed without importing what they name."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import ConfigError

__all__ = ["closest_first", "load", "parted", "resolve"]


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


def parted(text: str) -> tuple[str, str, str]:
    """``NAME=FILE`` as name, ``=`` and file, as :meth:`str.partition`; no ``=`` of a URL parts it.

    Example:
        >>> parted("top=a=b.h5"), parted("http://host/a.h5?n=1")
        (('top', '=', 'a=b.h5'), ('http://host/a.h5?n=1', '', ''))
    """
    name, equals, rest = text.partition("=")
    return (text, "", "") if ":/" in name else (name, equals, rest)
