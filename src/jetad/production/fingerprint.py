"""What decides whether finished parts, or a finished output, are those of the same call."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from .request import Request

__all__ = ["Fingerprint", "fingerprint_of"]

# settings of a request that were part of the text in 0.1, in their order
_BEFORE = (
    "keep", "select", "max_jets", "working_points", "options", "copy", "rntuple", "layout", "chunk", "allow",
)  # fmt: skip


class Fingerprint(NamedTuple):
    """SHA-256 of a call: as it is written, and as 0.1 wrote it, which is still accepted."""

    written: str
    before: str

    def is_of(self, known: object) -> bool:
        """Whether what was kept is of this call."""
        return known in self


def fingerprint_of(
    facts: Mapping[str, str | int], last_row: int, request: Request, *, known: bool
) -> Fingerprint:
    """The fingerprint of the scores of one file.

    It is that of a JSON text with sorted keys. Settings of the request that are at their defaults are left
    out, so that a later version with one setting more accepts the parts of an earlier one.

    Arguments:
        facts: Of the input, the runs and the version; the name of the input is left out, it may be renamed.
        last_row: Of the share, exclusive.
        request: What is asked for.
        known: Whether the detectors can be recognised again; if not, no other call has this fingerprint.
    """
    lasting = {key: value for key, value in facts.items() if key != "input"}
    chosen = {
        field.name: getattr(request, field.name)
        for field in dataclasses.fields(request)
        if getattr(request, field.name) != _default(field)
    }
    nonce = None if known else os.urandom(8)
    text = json.dumps(
        {"facts": lasting, "last_row": last_row, "request": chosen, "nonce": nonce and nonce.hex()},
        sort_keys=True,
        default=repr,
    )
    settings = ", ".join(f"{name}={getattr(request, name)!r}" for name in _BEFORE)
    old = f"[{sorted(lasting.items())!r}, {last_row!r}, Request({settings}), {nonce!r}]"
    return Fingerprint(*(hashlib.sha256(some.encode()).hexdigest() for some in (text, old)))


def _default(field: dataclasses.Field[Any]) -> Any:
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()
