"""What is refused because it looks wrong, by name, and how a user says that it is meant."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from ..errors import ConfigError, InputError

__all__ = ["ALLOWED", "refuse"]

logger = logging.getLogger("jetad.checks")

#: What can be allowed, and what that means.
ALLOWED: Mapping[str, str] = {
    "labels": "truth labels that contradict the role of a file",
    "range": "jets whose pT is far from that of the training",
    "overlap": "the same jets as background and as signal",
}


def refuse(name: str, message: str, allow: Collection[str] = ()) -> None:
    """Refuse what looks wrong, or say it where the user means it.

    Arguments:
        name: One of ``ALLOWED``.
        message: What is wrong and what to do.
        allow: Names of what the user means (``--allow NAME`` of the commands).

    Raises:
        InputError: unless ``name`` is in ``allow``.
        ConfigError: for a name in ``allow`` that is none.
    """
    for word in allow:
        if word not in ALLOWED:
            raise ConfigError(f"'{word}' is nothing that can be allowed; choose from {', '.join(ALLOWED)}")
    if name in allow:
        logger.warning("warning: %s", message)
    else:
        raise InputError(f"{message}; if you mean it: --allow {name}")
