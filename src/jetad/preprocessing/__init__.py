"""From jets to the arrays that detectors see: one representation a file, one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from ..files.fields import Fields
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


def preprocessor_from_dict(state: Mapping[str, Any]) -> Preprocessor:
    """The preprocessor that ``to_dict`` wrote (``preprocessing.json`` of a run).

    Raises:
        InputError: naming the value that is missing or makes no sense.
    """
    from pydantic import ValidationError

    name = Fields(state).text("representation")
    if name not in PREPROCESSORS:
        raise InputError(f"'representation' is {name!r}, and must be one of {', '.join(PREPROCESSORS)}")
    try:
        result: Preprocessor = load(PREPROCESSORS, name, "representation").from_dict(dict(state))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"'{where}': {first['msg']}, found {str(first['input'])[:100]}") from error
    return result
