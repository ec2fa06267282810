"""What of this machine would make jetad fail or be slow, each thing really tried where that is possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from .findings import Finding
from .folder import scratch_folder, work_folder
from .machine import clock, home, memory, processes, text, threads
from .software import device, extras, named_run, remote_files, torch_itself, versions

__all__ = ["Finding", "examine"]


def examine(folder: str | Path = ".") -> list[Finding]:
    """Look at the machine, at Python, and at a folder where jetad is to work. Nothing is left behind."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        memory, versions, torch_itself, device, threads, processes, lambda: work_folder(Path(folder)),
        scratch_folder, remote_files, extras, clock, text, home, named_run,
    )  # fmt: skip
    return [finding for check in checks for finding in check()]
