"""From scores to background efficiencies: for all jets, in bins, or independent of a quantity."""

from .conditional import (
    QUANTITIES,
    BinnedEfficiency,
    Calibration,
    DecorrelatedEfficiency,
    calibration_from_dict,
    quantile_edges,
)
from .efficiency import BackgroundEfficiency, Surprise, WorkingPoint, flag_name

__all__ = [
    "BackgroundEfficiency",
    "Surprise",
    "WorkingPoint",
    "flag_name",
    "QUANTITIES",
    "BinnedEfficiency",
    "Calibration",
    "DecorrelatedEfficiency",
    "calibration_from_dict",
    "quantile_edges",
]
