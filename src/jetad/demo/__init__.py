"""The whole job on the jets that ship with jetad."""

from .demo import BACKGROUND, SIGNALS, DemoResult, run_demo
from .samples import sample

__all__ = ["BACKGROUND", "SIGNALS", "DemoResult", "run_demo", "sample"]
