"""Anomaly tagging of particle-physics jets with normalized autoencoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import moved  # noqa: F401 (old names of modules are found)
from .registry import lazy

if TYPE_CHECKING:
    from .detector import load
    from .errors import JetadError
    from .evaluation import evaluate
    from .jets import Jets
    from .production.score import score
    from .readers import iterate, read
    from .scores import Scores
    from .training.plan import train
else:  # imported when first used: `import jetad`, and so every --help, stays free of torch
    __getattr__, __dir__ = lazy(
        __name__, detector=["load"], errors=["JetadError"], evaluation=["evaluate"], jets=["Jets"],
        production__score=["score"], readers=["iterate", "read"], scores=["Scores"], training__plan=["train"],
    )  # fmt: skip

__version__ = "0.1.0"

__all__ = [
    "Jets",
    "JetadError",
    "Scores",
    "__version__",
    "evaluate",
    "iterate",
    "load",
    "read",
    "score",
    "train",
]
