"""What repeats a training: versions, command, input files with hashes, seed, device, state of the code."""

from __future__ import annotations

import datetime
import hashlib
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import without_secrets
from ..files import require_plain

__all__ = ["collect_provenance", "collect_inputs", "file_hash"]


def collect_provenance(command: list[str], inputs: list[Path], seed: int, device: str) -> dict[str, Any]:
    """What repeats a training: versions, command, input files with hashes, seed, device, git state."""
    import importlib.metadata

    packages = ("torch", "numpy", "scipy", "h5py", "awkward", "uproot", "scikit-learn")
    return {
        "jetad": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "command": [without_secrets(word) for word in command],
        "inputs": collect_inputs(inputs),
        "seed": seed,
        "device": device,
        "git": _git_state(),
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def collect_inputs(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Path, size and hash of each file."""
    return [_input(p) for p in paths]


def _input(path: Path) -> dict[str, Any]:
    """Size and content of an input; a remote file is known by its name only."""
    from ..readers.containers.remote import remote_url
    from ..readers.paths import split_path

    if remote_url(path) is not None:
        return {"path": without_secrets(str(path)), "size": None, "sha256": None}
    file, _ = split_path(path)  # without the tree
    return {"path": str(path), "size": file.stat().st_size, "sha256": file_hash(file)}


def file_hash(path: Path) -> str:
    """SHA-256 of a file; an InputError for a pipe or device, which may never end."""
    require_plain(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _git_state() -> dict[str, Any] | None:
    """Commit and cleanliness of the working directory's repository, if there is one."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10)
        status = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if commit.returncode:
        return None
    return {"commit": commit.stdout.strip(), "dirty": bool(status.stdout.strip())}
