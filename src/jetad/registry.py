"""Tables of names: ``name -> "module:attribute"``, listed without importing what they name."""

from __future__ import annotations

import difflib
import functools
import importlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from .errors import ConfigError

__all__ = ["closest_first", "imported", "lazy", "load", "parted", "resolve", "with_plugins", "working"]

logger = logging.getLogger("jetad")

T = TypeVar("T")


def closest_first(name: str, valid: Iterable[str]) -> list[str]:
    """Valid names, those most like ``name`` first."""
    return sorted(valid, key=lambda v: (-difflib.SequenceMatcher(None, name.lower(), v.lower()).ratio(), v))


def resolve(table: Mapping[str, T], name: str, kind: str) -> T:
    """The entry of ``name`` in ``table``.

    Raises:
        ConfigError: for an unknown name, listing the valid ones, closest first.
    """
    if name not in table:
        raise ConfigError(f"unknown {kind} '{name}'; choose one of: {', '.join(closest_first(name, table))}")
    return table[name]


def load(table: Mapping[str, str], name: str, kind: str) -> Any:
    """Import and return the object that ``table[name]`` names.

    Raises:
        ConfigError: for an unknown name, or if another package has it and cannot be imported.
    """
    return imported(resolve(table, name, kind), f"{kind} '{name}'")


def imported(target: str, what: str) -> Any:
    """The object ``module:attribute``.

    Arguments:
        target: Its module and its name there.
        what: What it is, for the message.

    Raises:
        ConfigError: if another package has it and cannot be imported.
    """
    module, attribute = target.split(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:
        if module.startswith("jetad."):
            raise
        raise ConfigError(
            f"{what}: {target} of another package cannot be imported ({type(error).__name__}: {error}); "
            "repair or remove that package"
        ) from error


@functools.cache
def _entry_points(group: str) -> dict[str, str]:
    from importlib.metadata import entry_points

    return {p.name: p.value.partition("[")[0].strip() for p in entry_points(group=group)}


def with_plugins(table: Mapping[str, str], group: str) -> dict[str, str]:
    """A table and what other installed packages add to it by entry points of this group."""
    added = _entry_points(group)
    for name in added.keys() & table.keys():
        logger.warning("%s: '%s' of %s is left out: jetad has one of this name", group, name, added[name])
    return {**table, **{name: target for name, target in sorted(added.items()) if name not in table}}


def working(table: Mapping[str, str], kind: str) -> dict[str, Any]:
    """All that a table names, imported; what another package has and cannot be imported is left out."""
    found = {}
    for name in table:
        try:
            found[name] = load(table, name, kind)
        except ConfigError as error:
            logger.warning("%s; it is left out", error)
    return found


def lazy(package: str, /, **names: Iterable[str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package that imports its modules when they are first used.

    Arguments:
        package: Its name.
        names: Module of the package (``a__b`` for ``a.b``) -> the public names that it defines; none where
            the module itself is public.
    """
    modules = {module for module, listed in names.items() if not listed}
    module_of = {name: module.replace("__", ".") for module, listed in names.items() for name in listed}

    def getattr_(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name not in module_of:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(importlib.import_module(f"{package}.{module_of[name]}"), name)

    def dir_() -> list[str]:
        return sorted(importlib.import_module(package).__all__)

    return getattr_, dir_


def parted(text: str) -> tuple[str, str, str]:
    """``NAME=FILE`` as name, ``=`` and file, as :meth:`str.partition`; no ``=`` of a URL parts it.

    Example:
        >>> parted("top=a=b.h5"), parted("http://host/a.h5?n=1")
        (('top', '=', 'a=b.h5'), ('http://host/a.h5?n=1', '', ''))
    """
    name, equals, rest = text.partition("=")
    return (text, "", "") if ":/" in name else (name, equals, rest)
