"""Locks of folders that one process at a time may write in; a lock ends with its process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import OutputError
from . import open_own

__all__ = ["is_locked", "locked", "take_lock"]


def take_lock(path: str | Path) -> BinaryIO | None:
    """The locked file ``path``, made if it is not there; ``None`` if another process holds it.

    Closing it, or the end of the process, lets go of it. Its holder may remove it first.

    Raises:
        OutputError: if the file cannot be opened.
    """
    import fcntl

    while True:
        file = open_own(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except OSError:  # a network file system without locks
            return file
        if _is_at(file, path):
            return file
        file.close()  # its last holder has removed it after it was opened here


def is_locked(path: str | Path) -> bool:
    """Whether another process holds the lock file ``path``; nothing is made, and nobody is kept waiting."""
    import fcntl

    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a network file system without locks
        return False
    finally:
        os.close(number)
    return False


def _is_at(file: BinaryIO, path: str | Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def locked(path: str | Path, message: str) -> Iterator[None]:
    """Hold the lock file ``path`` inside the block, and remove it in the end.

    Raises:
        OutputError: with ``message``, if another process holds it.
    """
    file = take_lock(path)
    if file is None:
        raise OutputError(message)
    with file:
        try:
            yield
        finally:
            # before it is let go: later it may be the lock of another process
            with contextlib.suppress(OSError):
                if _is_at(file, path):
                    os.unlink(path)
