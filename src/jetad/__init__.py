"""Anomaly tagging of particle-physics jets with normalized autoencoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import moved  # noqa: F401 (old names of modules are found)
from .registry import lazy

if TYPE_CHECKING:
    from . import demo, evaluation, plots, preprocessing
    from .detector import load
    from .errors import JetadError
    from .evaluation import evaluate
    from .jets import Jets
    from .production.score import score
    from .readers import iterate, read
    from .runs import Run, find_runs
    from .scores import Scores
    from .training.plan import train
else:  # imported when first used: `import jetad`, and so every --help, stays free of torch
    __getattr__, __dir__ = lazy(
        __name__, demo=[], detector=["load"], errors=["JetadError"], evaluation=[],
        evaluation__results=["evaluate"], jets=["Jets"], plots=[], preprocessing=[],
        production__score=["score"], readers=["iterate", "read"], runs=["Run", "find_runs"],
        scores=["Scores"], training__plan=["train"],
    )  # fmt: skip

__version__ = "0.1.0"

__all__ = [
    "Jets",
    "JetadError",
    "Run",
    "Scores",
    "__version__",
    "demo",
    "evaluate",
    "evaluation",
    "find_runs",
    "iterate",
    "load",
    "plots",
    "preprocessing",
    "read",
    "score",
    "train",
]
