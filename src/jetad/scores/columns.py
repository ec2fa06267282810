"""The columns of a score file."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["COLUMNS", "PREFIX"]

#: Standard columns, their types in every format, and the value of an absent one (None: the row number).
COLUMNS: dict[str, np.dtype[Any]] = {
    "entry": np.dtype(np.int64),
    "jet": np.dtype(np.int32),
    "score": np.dtype(np.float32),
    "background_efficiency": np.dtype(np.float32),
    "label": np.dtype(np.int8),
    "jet_pt": np.dtype(np.float32),
    "jet_eta": np.dtype(np.float32),
    "jet_phi": np.dtype(np.float32),
    "jet_mass": np.dtype(np.float32),
}

#: In front of the names of branches with one list per event, or in a copy of a tree.
PREFIX = "jetad_"
