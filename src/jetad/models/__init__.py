"""Detectors: one method a file, one table; listed without importing torch."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..registry import load

__all__ = ["METHODS", "MODELS", "MethodInfo", "model_class"]


class MethodInfo(NamedTuple):
    """What ``jetad methods`` prints of a method."""

    kind: str
    inputs: str
    reference: str
    summary: str


MODELS = {
    "nae": "jetad.models.nae:NormalizedAutoencoder",
    "ae": "jetad.models.autoencoder:Autoencoder",
}

METHODS = {
    "nae": MethodInfo(
        "energy-based",
        "image",
        "arXiv:2105.05735, arXiv:2206.14225",
        "normalized autoencoder: reconstruction error as the energy of a density",
    ),
    "ae": MethodInfo(
        "reconstruction",
        "image",
        "arXiv:1808.08979",
        "autoencoder: reconstruction error; misses simpler outliers",
    ),
}


def model_class(name: str) -> Any:
    """The class of a method.

    Raises:
        ConfigError: for an unknown method, naming the nearest.
    """
    return load(MODELS, name, "method")
