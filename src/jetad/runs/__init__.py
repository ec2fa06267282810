"""The directory of one training."""

from .directory import Run, find_run
from .encoder import describe_encoder

__all__ = ["Run", "find_run", "describe_encoder"]
