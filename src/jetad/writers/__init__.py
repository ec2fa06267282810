"""Jets to files: the layout follows the suffix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import ConfigError
from ..files import atomic_output
from ..jets import Jets
from ..registry import load

__all__ = ["WRITERS", "check_suffix", "write_jets"]

# suffix -> "module:attribute", a function (jets, path, metadata)
WRITERS = {
    ".h5": "jetad.writers.top_landscape:write",
    ".hdf5": "jetad.writers.top_landscape:write",
    ".root": "jetad.writers.jetclass:write",
}


def check_suffix(path: str | Path) -> str:
    """The suffix of ``path`` if jets can be written to it.

    Raises:
        ConfigError: otherwise.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        found = f"'{suffix}'" if suffix else "no suffix"
        raise ConfigError(f"{path}: jets are written to {', '.join(WRITERS)}; found {found}")
    return suffix


def write_jets(
    jets: Jets, path: str | Path, *, force: bool = False, metadata: Mapping[str, str] | None = None
) -> None:
    """Write jets in the layout of the suffix; the same jets and metadata give the same bytes.

    Arguments:
        jets: The jets.
        path: ``.h5`` or ``.hdf5`` for the top-landscape layout, ``.root`` for the JetClass layout.
        force: Replace a file that exists.
        metadata: Texts to keep in the file. ``class_label`` names the JetClass column that is 1 for signal.

    Raises:
        ConfigError: for another suffix.
        OutputError: if the file exists or cannot be written.
    """
    write = load(WRITERS, check_suffix(path), "suffix")
    with atomic_output(path, force=force) as temporary:
        write(jets, temporary, dict(metadata or {}))
