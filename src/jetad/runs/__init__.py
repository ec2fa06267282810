"""The directory of one training."""

from .directory import Run, find_run
from .encoder import describe_encoder
from .listing import Runs, find_runs
from .summary import RunSummary, summarize

__all__ = ["Run", "RunSummary", "Runs", "describe_encoder", "find_run", "find_runs", "summarize"]
