"""What tells an input file from every other: the hash of all of it, or of its ends if it is on a server."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..readers.containers.remote import open_remote, remote_url, with_retries
from ..readers.paths import reading, split_path
from ..runs.provenance import file_hash

__all__ = ["CONTENT", "Stamp", "content_of", "hash_of_ends", "stamp_of"]

#: Names of what identifies the content; a ledger has one of them.
CONTENT = ("input_sha256", "input_ends_sha256")

_END = 1 << 16  # bytes


class Stamp(NamedTuple):
    """What shows that a file was changed: size, and the time of a local file or the ends of a remote one."""

    size: int
    mtime_ns: int | None
    ends: str | None

    @property
    def remote(self) -> bool:
        return self.ends is not None

    def fits(self, ledger: Mapping[str, Any]) -> bool:
        """Whether the file is as it was when the ledger was written."""
        names = ("input_size", "input_mtime_ns", "input_ends_sha256")
        return tuple(ledger.get(name) for name in names) == self


def stamp_of(path: Path) -> Stamp:
    """Look at a file, without reading all of it.

    Raises:
        InputError: if it is gone, or its server does not answer.
    """
    if remote_url(path) is not None:
        size, ends = hash_of_ends(path)
        return Stamp(size, None, ends)
    with reading(path):
        stat = split_path(path)[0].stat()
    return Stamp(stat.st_size, stat.st_mtime_ns, None)


def hash_of_ends(path: Path) -> tuple[int, str]:
    """Size, and SHA-256 of the first and the last 64 KiB of a file, local or remote.

    The header and the directory of a ROOT file are there, with an identifier of its own, the times of
    writing, and the names and places of all objects: two files that were ever written differ in them.

    Raises:
        InputError: if it cannot be read.
    """

    def hashed() -> tuple[int, str]:
        with reading(path), _opened(path) as file:
            size = file.seek(0, 2)
            digest = hashlib.sha256(str(size).encode())
            for start in (0, max(_END, size - _END)):
                file.seek(start)
                digest.update(file.read(_END))
            return size, digest.hexdigest()

    return with_retries(path, hashed)


def _opened(path: Path) -> Any:
    return split_path(path)[0].open("rb") if remote_url(path) is None else open_remote(path)


def content_of(path: Path, stamp: Stamp, ledger: Mapping[str, Any] | None) -> dict[str, str]:
    """The content of a file by its name among ``CONTENT``; not read again where the ledger fits the stamp."""
    if stamp.ends is not None:
        return {"input_ends_sha256": stamp.ends}
    if ledger is not None and "input_sha256" in ledger and stamp.fits(ledger):
        return {"input_sha256": str(ledger["input_sha256"])}
    return {"input_sha256": file_hash(split_path(path)[0])}
