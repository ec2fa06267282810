"""Jagged columns as flat arrays, and the types of branches."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

__all__ = ["Jagged", "NUMBERS", "element_type", "flatten"]


#: C++ names of numbers
NUMBERS = {
    *("bool", "char", "signed char", "unsigned char", "short", "unsigned short", "int", "unsigned int"),
    *("float", "double", "long", "unsigned long", "Float16_t", "Double32_t", "Long64_t", "ULong64_t"),
    *(f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *(f"std::{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}


class Jagged(NamedTuple):
    """One list of numbers per entry."""

    offsets: NDArray[np.int64]  # (n + 1,)
    content: NDArray[Any]  # (offsets[-1],)


def element_type(typename: str) -> str | None:
    """The number type of one list per entry (``float[]``, ``std::vector<float>``), ``None`` for others."""
    match = re.fullmatch(r"(?:std::)?vector<([\w: ]+)>|([\w: ]+)\[\]|ROOT::VecOps::RVec<([\w: ]+)>", typename)
    if match is None:
        return None
    inner = next(group for group in match.groups() if group)
    return inner if inner in NUMBERS else None


def flatten(array: Any, branch: str, path: str | Path, kinds: str = "fiu") -> Jagged:
    """Offsets and content of one list of numbers per entry, without a loop over entries.

    Raises:
        InputError: if the branch holds anything else.
    """
    import awkward as ak

    layout = ak.to_packed(array).layout
    if layout.is_numpy and layout.purelist_depth == 2 and layout.data.ndim == 2:
        layout = layout.to_RegularArray()
    if layout.is_list:
        layout = layout.to_ListOffsetArray64(True)
        content = layout.content
        if content.is_numpy and content.data.ndim == 1 and content.data.dtype.kind in kinds:
            offsets = np.asarray(layout.offsets, dtype=np.int64)
            return Jagged(offsets, np.asarray(content.data)[: offsets[-1]])
    raise InputError(
        f"{path}: branch '{branch}' holds {array.type}, expected a list of numbers per entry; "
        "where the file has another layout, name its columns in a mapping (jetad inspect --suggest-mapping)"
    )
