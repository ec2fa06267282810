"""Download of published files with pooch: checked, and going on where it was interrupted."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, InputError, OutputError
from ..extras import needing
from ..files import own_folder, refuse_link
from ..files.locks import locked
from ..registry import closest_first, resolve
from .catalogue import SETS, ReferenceFile

__all__ = ["chosen_files", "fetch"]

#: Called with (name of the file, bytes done, bytes in all).
Progress = Callable[[str, int, int | None], None]

_BLOCK = 1 << 16  # what is lost at most when a connection ends
_TIMEOUT = (15.0, 60.0)  # seconds to reach the server, and between two blocks
_PAUSES = (1.0, 5.0, 15.0)  # seconds before a lost connection is taken up again


def chosen_files(name: str, wanted: Sequence[str] = (), *, everything: bool = False) -> list[ReferenceFile]:
    """The files of a set that are asked for; the usual ones if nothing is.

    Arguments:
        name: Of the set.
        wanted: Names or patterns of files.
        everything: All of them.

    Raises:
        ConfigError: for an unknown set, or a pattern that no file of it has.
    """
    found = resolve(SETS, name, "reference set")
    if everything:
        return list(found.files)
    known = [file.name for file in found.files]
    for pattern in wanted:
        if not fnmatch.filter(known, pattern):
            raise ConfigError(
                f"'{name}' has no file '{pattern}'; choose from: {', '.join(closest_first(pattern, known))}"
            )
    patterns = wanted or found.usual
    return [file for file in found.files if any(fnmatch.fnmatch(file.name, p) for p in patterns)]


def fetch(
    name: str,
    folder: str | Path | None = None,
    *,
    files: Sequence[str] = (),
    everything: bool = False,
    progress: Progress = lambda name, done, total: None,
) -> list[Path]:
    """Download a published set of jets, or what is missing of it.

    A file that is there is checked and kept. A download that was interrupted goes on where it ended, as far
    as the server can do that. A file gets its name when it is complete and its checksum is right.

    Arguments:
        name: Of the set, such as ``top-landscape`` (:data:`jetad.reference.SETS`).
        folder: Where to put the files; by default a folder of that name here.
        files: Names or patterns of files; the usual ones of the set by default.
        everything: All files of the set.
        progress: Called with (name of the file, bytes done, bytes in all).

    Returns:
        Paths of the files.

    Raises:
        ConfigError: for an unknown set or file.
        InputError: if the server cannot be reached or sends something else.
        OutputError: if the folder cannot be written, has too little room, or is in use by another download.
        MissingPackageError: without pooch.
    """
    wanted = chosen_files(name, files, everything=everything)
    with needing("fetch", "files are downloaded with pooch"):
        import pooch

    pooch.get_logger().setLevel("WARNING")
    place = own_folder(name if folder is None else folder)
    with locked(
        place / ".fetch.lock", f"{place}: another download into this folder is going on; wait for it"
    ):
        return [_fetch_one(pooch, file, place, progress) for file in wanted]


def _fetch_one(pooch: Any, file: ReferenceFile, folder: Path, progress: Progress) -> Path:
    path, part = folder / file.name, folder / f".{file.name}.part"
    refuse_link(path)
    refuse_link(part)
    if path.exists():
        _check_there(pooch, file, path)
        return path
    _check_room(file, part, folder)
    try:
        downloader = _Resuming(file, part, progress)
        pooch.retrieve(
            file.url, known_hash=file.checksum, fname=file.name, path=folder, downloader=downloader
        )
    except ValueError as error:  # of pooch, which has removed the file
        raise InputError(
            f"{path}: what {file.url} has sent is not the published file (its checksum is another), and was "
            "removed; try again later"
        ) from error
    except OSError as error:
        raise _refused(path, error) from error
    return path


def _check_there(pooch: Any, file: ReferenceFile, path: Path) -> None:
    """See that a file that is there is the published one, as far as that is known.

    Raises:
        InputError: if it is not.
    """
    good = path.is_file() and (file.size is None or path.stat().st_size == file.size)
    if good and file.checksum is not None:
        kind, _, known = file.checksum.partition(":")
        good = pooch.file_hash(str(path), alg=kind) == known
    if not good:
        raise InputError(
            f"{path}: is there, and is not the published file; move it away, and it is downloaded again"
        )


def _check_room(file: ReferenceFile, part: Path, folder: Path) -> None:
    if file.size is None:
        return  # told by the server
    have = part.stat().st_size if part.is_file() else 0
    _require_room(file.size - have, folder / file.name)


def _require_room(n_bytes: int, path: Path) -> None:
    free = shutil.disk_usage(path.parent).free
    if n_bytes > free:
        raise OutputError(
            f"{path}: needs {n_bytes / 1e9:.3g} GB more, and the disk has {free / 1e9:.3g} GB free; choose "
            "another --output"
        )


def _refused(path: Path, error: OSError) -> OutputError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    more = "; make room, and the same command goes on" if full else ""
    return OutputError(f"{path}: cannot be written ({error.strerror or error}){more}")


class _Resuming:
    """A downloader for pooch that keeps what it has got, and asks for the rest the next time.

    Arguments:
        file: What to get.
        part: Where to keep what is there so far.
        progress: Called with name, bytes done, bytes in all.
    """

    def __init__(self, file: ReferenceFile, part: Path, progress: Progress) -> None:
        self.file, self.part, self.progress = file, part, progress
        self._reached = False

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Bring the content of ``url`` to ``output_file``, which pooch then checks."""
        import requests

        for pause in (*_PAUSES, None):
            try:
                self._get(url)
                break
            except (requests.RequestException, _Cut) as error:
                if pause is None or not self._reached:
                    raise InputError(self._lost(error)) from error
                time.sleep(pause)
        os.replace(self.part, output_file)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _get(self, url: str) -> None:
        """One request, for what is missing."""
        import requests

        have = self._size()
        if self.file.size is not None and have == self.file.size:
            return
        # no compression on the way: a range is one of the bytes of the file
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
            self._reached = True
            total = _total(answer)
            if answer.status_code == 416 and total == have:
                return  # it was complete
            if answer.status_code == 416 or (answer.status_code == 206 and _first(answer) != have):
                self.part.unlink(missing_ok=True)
                raise _Cut("the server has another file now")
            if answer.status_code not in (200, 206):
                raise InputError(_refusal(url, answer))
            if answer.status_code == 200:
                have = 0  # a server that sends the whole file only
            if self.file.size is not None and total is not None and total != self.file.size:
                raise InputError(
                    f"{url}: the server has a file of {total} bytes, and the published one has "
                    f"{self.file.size}; the record has changed"
                )
            if total is not None:
                _require_room(total - have, self.part.parent / self.file.name)
            done = have
            with _writing(self.part, append=have > 0) as write:
                for block in answer.iter_content(_BLOCK):
                    write(block)
                    done += len(block)
                    self.progress(self.file.name, done, total)
            if total is not None and done != total:
                raise _Cut(f"the connection ended after {done} of {total} bytes")

    def _lost(self, error: Exception) -> str:
        url, have = self.file.url, self._size()
        if self._reached:
            return (
                f"{url}: the connection is lost again and again; {have / 1e6:.3g} MB are there and kept, and "
                "the same command goes on"
            )
        return (
            f"{url}: the server cannot be reached from here ({_reason(error)}); without a network, put "
            f"{self.file.name} into {self.part.parent}/ by other means, and the same command checks it"
        )


class _Cut(Exception):
    """The server has sent less than it said."""


@contextlib.contextmanager
def _writing(path: Path, *, append: bool) -> Iterator[Callable[[bytes], object]]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_APPEND if append else os.O_TRUNC)
    with os.fdopen(os.open(path, flags, 0o666), "wb", buffering=0) as file:

        def write(data: bytes) -> None:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]

        yield write


def _total(answer: Any) -> int | None:
    """Size of the whole file, if the server says it."""
    of = answer.headers.get("Content-Range", "").rpartition("/")[2]
    if answer.status_code in (206, 416):
        return int(of) if of.isdigit() else None
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _first(answer: Any) -> int:
    """First byte that the server sends."""
    start = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdigit() else -1


def _refusal(url: str, answer: Any) -> str:
    wait = answer.headers.get("Retry-After", "")
    if answer.status_code in (429, 503):
        return f"{url}: the server is busy; try again {f'in {wait} s' if wait.isdigit() else 'later'}"
    return f"{url}: the server refuses it ({answer.status_code} {answer.reason})"


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.Timeout):
        return "no answer"
    for word in ("Name or service not known", "Temporary failure in name resolution", "Connection refused"):
        if word in str(error):
            return word
    return type(error).__name__
