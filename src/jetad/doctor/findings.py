"""What the doctor says of one thing, and how it asks other programs."""

from __future__ import annotations

import subprocess
from typing import NamedTuple

__all__ = ["Finding", "GB", "first_line", "output"]

GB = 1e9


class Finding(NamedTuple):
    """One thing that was looked at: ``status`` is ``ok``, ``warn`` or ``fail``; ``advice`` is what to do."""

    name: str
    status: str
    found: str
    advice: str = ""


def first_line(error: BaseException) -> str:
    """What an error says, its first line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def output(*words: str) -> str | None:
    """What a command prints; ``None`` if it is not there or fails."""
    try:
        result = subprocess.run(words, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
