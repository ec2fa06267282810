"""From jets to the arrays that detectors see: one representation a file, one table."""

from __future__ import annotations

from typing import Any

from ..registry import load
from .base import Preprocessor

__all__ = ["PREPROCESSORS", "REPRESENTATIONS", "Preprocessor", "preprocessor_from_dict"]

PREPROCESSORS = {
    "image": "jetad.preprocessing.images:JetImages",
    "features": "jetad.preprocessing.features:JetFeatures",
    "constituents": "jetad.preprocessing.constituents:JetConstituents",
}
# the settings of each
REPRESENTATIONS = {
    "image": "jetad.preprocessing.images:ImageConfig",
    "features": "jetad.preprocessing.features:FeatureConfig",
    "constituents": "jetad.preprocessing.constituents:ConstituentConfig",
}


def preprocessor_from_dict(state: dict[str, Any]) -> Preprocessor:
    """The preprocessor that ``to_dict`` wrote (``preprocessing.json`` of a run)."""
    result: Preprocessor = load(PREPROCESSORS, state["representation"], "representation").from_dict(state)
    return result
