"""Detectors: one method a file, its card in its preset; listed without importing torch."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from ..errors import ConfigError
from ..papers import Reference
from ..presets import card, presets
from ..registry import imported, resolve
from ..settings import Strict

if TYPE_CHECKING:
    from .base import EnergyModel

__all__ = ["DEFAULT_METHOD", "DEFAULT_NETWORK", "METHODS", "MethodInfo", "model_class"]

#: Trained where nobody names a method. Chosen on directions that no table reports (docs/physics.md).
DEFAULT_METHOD = "gmm"
#: The same where inputs or settings are given that only a network has.
DEFAULT_NETWORK = "nae"
_KINDS = (
    "energy-based", "reconstruction", "likelihood", "classical", "representation", "supervised reference",
    "trivial reference",
)  # fmt: skip


class MethodInfo(Strict):
    """The card of a method: what the rest of the package, and ``jetad methods``, must know of it."""

    kind: str
    inputs: tuple[str, ...]  # representations it takes
    reference: str
    summary: str
    phases: tuple[str, ...]  # names in OBJECTIVES, or "fit" for a model without gradients
    classes: Literal["none", "optional", "required"] = "none"  # of the background (data.classes)
    signal: bool = False  # trains on signal, too
    model: str  # "module:class"
    papers: tuple[Reference, ...] = ()


class _Methods(Mapping[str, MethodInfo]):
    """The cards of all presets that have one, read when they are asked for."""

    def __getitem__(self, name: str) -> MethodInfo:
        return _card(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_names())

    def __len__(self) -> int:
        return len(_names())


@functools.cache
def _card(name: str) -> MethodInfo:
    values = card(name)
    if values is None:
        raise KeyError(name)
    try:
        return MethodInfo(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"card of method '{name}': {where}: {first['msg'].lower()}") from None


@functools.cache
def _names() -> list[str]:
    """The default first, then by kind and name."""
    kinds = {name: METHODS[name].kind for name in presets() if name in METHODS}
    order = [*_KINDS, *sorted({*kinds.values()} - {*_KINDS})]
    return sorted(kinds, key=lambda name: (name != DEFAULT_METHOD, order.index(kinds[name]), name))


METHODS: Mapping[str, MethodInfo] = _Methods()


def model_class(name: str) -> type[EnergyModel]:
    """The class of a method.

    Raises:
        ConfigError: for an unknown method, naming the nearest.
    """
    found: type[EnergyModel] = imported(resolve(METHODS, name, "method").model, f"method '{name}'")
    return found
