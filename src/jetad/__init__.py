"""Anomaly tagging of particle-physics jets with normalized autoencoders."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# resolved on first use, so that `import jetad` (and every --help) stays free of torch
_PUBLIC = {
    "Jets": "jetad.jets",
    "JetadError": "jetad.errors",
    "Scores": "jetad.scores",
    "read": "jetad.readers",
    "iterate": "jetad.readers",
    "load": "jetad.run",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'jetad' has no attribute '{name}'")
