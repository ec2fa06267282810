"""From jets to the arrays that detectors see: one representation a file, one table."""

from __future__ import annotations

from typing import Any

from ..registry import load
from .base import Preprocessor

__all__ = ["PREPROCESSORS", "Preprocessor", "preprocessor_from_dict"]

PREPROCESSORS = {
    "image": "jetad.preprocessing.images:JetImages",
}


def preprocessor_from_dict(state: dict[str, Any]) -> Preprocessor:
    """The preprocessor that ``to_dict`` wrote (``preprocessing.json`` of a run)."""
    result: Preprocessor = load(PREPROCESSORS, state["representation"], "representation").from_dict(state)
    return result
