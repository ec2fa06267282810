"""What compressed files may unpack to: a few kilobytes can stand for more than memory holds, or for hours.

A file is suspicious if it unpacks to more than a GB and to more than a hundred times its size. Read in pieces
it is told of; what would be in memory at once is refused. ``JETAD_MAX_UNPACKED_GB`` says how much is meant:
up to that nothing is said, beyond it such files are refused.
"""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path

from ..errors import ConfigError, InputError

__all__ = ["UNPACKED_VARIABLE", "allowed_bytes", "check_unpacked"]

UNPACKED_VARIABLE = "JETAD_MAX_UNPACKED_GB"

_USUAL_BYTES, _RATIO = 1_000_000_000, 100
_told: set[str] = set()

_log = logging.getLogger("jetad.readers")


def allowed_bytes() -> float | None:
    """What ``JETAD_MAX_UNPACKED_GB`` allows, in bytes; ``None`` where it says nothing.

    Raises:
        ConfigError: if it is no positive number.
    """
    given = os.environ.get(UNPACKED_VARIABLE, "").strip()
    if not given:
        return None
    try:
        gigabytes = float(given)
    except ValueError:
        gigabytes = math.nan
    if not gigabytes > 0:
        raise ConfigError(
            f"{UNPACKED_VARIABLE} is {given[:40]!r}, expected how many GB a small file may unpack to, such "
            "as 50 (inf for any)"
        )
    return gigabytes * 1e9


def check_unpacked(
    path: str | Path, stored: int | None, unpacked: int, *, what: str = "the file", at_once: bool = False
) -> None:
    """Tell of a small file whose numbers fill gigabytes, or refuse it.

    Arguments:
        path: The file.
        stored: Bytes of the numbers in it; ``None`` where that does not matter.
        unpacked: Bytes of the numbers.
        what: That is unpacked, for the message.
        at_once: Whether all of them are in memory together.

    Raises:
        InputError: if they are more than ``JETAD_MAX_UNPACKED_GB`` allows, or more than a GB at once.
        ConfigError: if that is no number.
    """
    if unpacked <= _USUAL_BYTES or (stored is not None and unpacked <= _RATIO * max(stored, 1)):
        return
    allowed = allowed_bytes()
    size = "" if stored is None else f", of {stored / 1e6:.3g} MB,"
    if allowed is not None and unpacked > allowed:
        raise InputError(
            f"{path}: {what}{size} unpacks to {unpacked / 1e9:.3g} GB, more than {UNPACKED_VARIABLE}="
            f"{allowed / 1e9:g} allows"
        )
    if allowed is None and at_once:
        raise InputError(
            f"{path}: {what}{size} unpacks to {unpacked / 1e9:.3g} GB at once; the file is broken, or made "
            f"to fill memory. If it is meant so, allow it: {UNPACKED_VARIABLE}={math.ceil(unpacked / 1e9)}"
        )
    if allowed is None and str(path) not in _told:
        _told.add(str(path))
        _log.warning(
            "%s: %s%s unpacks to %.3g GB, which takes long; --max-jets reads the first only, and %s says how "
            "many GB are meant to be read", path, what, size, unpacked / 1e9, UNPACKED_VARIABLE,
        )  # fmt: skip
