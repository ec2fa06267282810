"""Anomaly tagging of particle-physics jets with normalized autoencoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import moved  # noqa: F401 (old names of modules are found)
from .registry import lazy

if TYPE_CHECKING:
    from .detector import load
    from .errors import JetadError
    from .jets import Jets
    from .readers import iterate, read
    from .scores import Scores
else:  # imported when first used: `import jetad`, and so every --help, stays free of torch
    __getattr__, __dir__ = lazy(
        __name__, detector=["load"], errors=["JetadError"], jets=["Jets"], readers=["iterate", "read"],
        scores=["Scores"],
    )  # fmt: skip

__version__ = "0.1.0"

__all__ = ["Jets", "JetadError", "Scores", "__version__", "iterate", "load", "read"]
