"""Outputs that are never half-written: a temporary name first, then a rename."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from .errors import OutputError

__all__ = ["atomic_output", "check_output"]


def check_output(path: str | Path, *, force: bool = False) -> Path:
    """Refuse an output that exists (unless ``force``) or whose folder is missing or not writable.

    Call it before any long work, so that nothing is computed in vain.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"{path}: is a folder, a file name is needed")
    if path.exists() and not force:
        raise OutputError(f"{path}: exists already; choose another name or pass --force to replace it")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path}: no permission to write in {path.parent}")
    return path


@contextlib.contextmanager
def atomic_output(path: str | Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary path with the same suffix; rename it to ``path`` when the block ends well.

    On any error the temporary file is removed and ``path`` is left as it was.

    Raises:
        OutputError: if ``path`` exists and not ``force``, or the disk refuses the write.
    """
    path = check_output(path, force=force)
    # process ids are not enough: other machines may write here, too
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
