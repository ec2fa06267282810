"""Names and files of samples, as the commands take them: [NAME=]FILE..."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from ..files import real
from ..registry import parted

__all__ = ["expand_pattern", "named_files", "split_name"]

logger = logging.getLogger("jetad.evaluation")


def named_files(given: Iterable[str]) -> dict[str, list[Path]]:
    """Files by name from ``NAME=FILE`` or ``FILE``, patterns expanded.

    Without a NAME each file is called after itself: ``out/top.scores.h5`` is ``top``, or ``out/top`` where
    another file of the list is ``top`` as well.

    Raises:
        InputError: if a pattern matches no file.
    """
    found: list[tuple[str, Path]] = []
    for text in given:
        name, rest = split_name(text)
        found += [(name, path) for path in expand_pattern(rest)]
    used = [name or _stem(path) for name, path in found]
    files: dict[str, list[Path]] = {}
    for (name, path), shown in zip(found, used, strict=True):
        if not name and used.count(shown) > 1 and len({real(p) for _, p in found}) > 1:
            shown = f"{path.absolute().parent.name}/{shown}"
        same = [other for other in files.get(shown, []) if real(other) == real(path)]
        if same:
            logger.warning("warning: %s: named twice, read once", path)
        else:
            files.setdefault(shown, []).append(path)
    return files


def split_name(text: str) -> tuple[str, str]:
    """NAME and FILE of ``NAME=FILE``; no name for ``FILE``, even with an equals sign in it."""
    name, equals, rest = parted(text)
    return (name, rest) if equals and name and not Path(text).exists() else ("", text)


def expand_pattern(pattern: str) -> list[Path]:
    """Score files of a pattern, without the ledgers beside them; InputError if there is none."""
    if pattern.endswith(".ledger.json"):  # beside a score file, and caught by patterns of shells
        return []
    if Path(pattern).exists() or not any(c in pattern for c in "*?["):
        return [Path(pattern)]
    found = sorted(path for path in glob.glob(pattern) if not path.endswith(".ledger.json"))
    if not found:
        raise InputError(f"{pattern}: no file matches")
    return [Path(path) for path in found]


def _stem(path: Path) -> str:
    return path.stem.removesuffix(".scores") or path.stem
