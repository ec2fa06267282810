"""Files on servers: their URLs, the packages they need, and asking again when a server does not answer."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import io
import logging
import re
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ...errors import InputError, JetadError, MissingPackageError

__all__ = [
    "Attempts",
    "UnansweredError",
    "first_line",
    "may_pass",
    "open_remote",
    "remote_reason",
    "remote_url",
    "require_client",
    "tree_of_remote",
    "with_retries",
]

logger = logging.getLogger("jetad.readers")

_Result = TypeVar("_Result")

# `root://host//file` becomes `root:/host/file` as a Path; a scheme has no dot, so that `x.root:/tree` is none
_REMOTE = re.compile(r"([a-zA-Z][a-zA-Z0-9+]+):/+(?=[^/])(.*)", re.DOTALL)

_XROOTD = ("root:", "roots:", "xroot:")
_XROOTD_LIMITS = {"ConnectionWindow": 30, "ConnectionRetry": 1, "StreamErrorWindow": 5, "RequestTimeout": 60}

#: Waits before a remote read is tried again [s]
RETRY_DELAYS = (1.0, 4.0, 15.0)

_UNCACHED: dict[str, Any] = {"cache_type": "none"}
_IN_BLOCKS: dict[str, Any] = {
    "cache_type": "blockcache",
    "block_size": 1 << 19,
    "cache_options": {"maxblocks": 64},
}

_HDF5_OWN = re.compile("synchronously|signature not found|truncated file")  # what HDF5 says of the content

_WHOLE = re.compile("range requests|Cannot seek streaming")  # what fsspec says of a server without ranges

_TRANSIENT = re.compile(
    r"(?i)expired|time.?out|timed out|connection|temporar|unreachable|reset by peer|try again|socket|redirect"
    r"|50[234]|disconnected|closed file"
    r"|Error' object is not subscriptable"  # the error that fsspec gave to uproot in the place of bytes
)

_REFUSED = re.compile(r"(?i)no such file|\[301[01]\]|not authorized|unauthorized|forbidden|permission denied")


class UnansweredError(InputError):
    """A server did not deliver a file, and may when it is asked again."""


def remote_url(path: str | Path) -> str | None:
    """The URL of a remote file, without a tree; ``None`` for a file on this machine."""
    match = _REMOTE.fullmatch(str(path))
    if match is None or Path(str(path)).exists():
        return None
    scheme, rest = match[1].lower(), tree_of_remote(match[2])[0]
    if f"{scheme}:" in _XROOTD:  # an absolute path on the server begins with a second //
        host, _, file = rest.partition("/")
        rest = f"{host}//{file.lstrip('/')}"
    return f"{scheme}://{rest}"


def tree_of_remote(text: str) -> tuple[str, str | None]:
    """``host:1094/file.root:tree`` to file and tree."""
    head, _, tail = text.rpartition(":")
    return (head, tail.strip("/")) if tail and "/" in head and Path(head).suffix else (text, None)


def open_remote(path: str | Path, *, in_blocks: bool = False) -> Any:
    """A remote file as a binary stream that fetches what is read, and no more.

    Arguments:
        path: The file.
        in_blocks: Fetch blocks of 512 KiB and keep the last 64: for formats with many small pieces.
    """
    import fsspec

    require_client(path)
    try:
        file = fsspec.open(remote_url(path), "rb", **(_IN_BLOCKS if in_blocks else _UNCACHED)).open()
    except FileNotFoundError as error:  # fsspec says so of a server that is not there, too
        cause = error.__cause__
        if not isinstance(cause, OSError) or isinstance(cause, FileNotFoundError):
            raise
        raise cause from None
    return _Blocks(file) if in_blocks else file


class _Blocks(io.RawIOBase):
    """A stream that HDF5 may read: while it is open, Python looks for no reference cycles to free.

    h5py holds a lock while it reads, and needs that lock to throw its objects away. Bytes come from a
    thread of fsspec: if that one happens to collect garbage in which h5py has objects, both wait for ever.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        _COLLECTION.pause()

    def readinto(self, buffer: Any) -> int:
        n: int = self._file.readinto(buffer)
        return n

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        place: int = self._file.seek(offset, whence)
        return place

    def tell(self) -> int:
        place: int = self._file.tell()
        return place

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        _COLLECTION.resume()
        self._file.close()


class _Collection:
    """The search for reference cycles in this process, paused while anybody wants it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a search may find an open stream, and close it
        self._wishes = 0
        self._was_on = False

    def pause(self) -> None:
        """No search runs when this returns, nor afterwards."""
        with self._lock:
            self._wishes += 1
            if self._wishes == 1:
                self._was_on = gc.isenabled()
                gc.disable()
                end = time.monotonic() + 5
                while not _collected() and time.monotonic() < end:
                    time.sleep(0.001)  # another thread is in the middle of one

    def resume(self) -> None:
        with self._lock:
            self._wishes -= 1
            if not self._wishes and self._was_on:
                gc.enable()


def _collected() -> bool:
    """Search the youngest objects; ``False`` where another thread is at it: Python does not search twice."""
    before = gc.get_stats()[0]["collections"]
    gc.collect(0)
    result: bool = gc.get_stats()[0]["collections"] > before
    return result


_COLLECTION = _Collection()


def require_client(path: str | Path) -> None:
    """Raise MissingPackageError where the package for files on an XRootD server is missing.

    Its client asks a silent server for half an hour by default; here each attempt ends in a minute.
    """
    url = remote_url(path) or ""
    if not url.startswith(_XROOTD):
        return
    if importlib.util.find_spec("fsspec_xrootd") is None:
        raise MissingPackageError(
            f"{url}: files on an XRootD server need fsspec-xrootd: pip install 'jetad[xrootd]'; "
            "or copy the file here first (xrdcp)"
        )
    from XRootD.client.env import EnvPutInt

    for name, value in _XROOTD_LIMITS.items():
        EnvPutInt(name, value)  # without effect where the user has set XRD_CONNECTIONWINDOW etc.
    # it looks at all objects when Python ends, and so at deprecated ones of torch
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"XRootD\.")


def with_retries(path: str | Path, action: Callable[[], _Result]) -> _Result:
    """What ``action`` returns; for a remote file it is tried again after transient errors, a few times.

    It has to open the file anew: a handle does not outlive its connection.
    """
    attempts = Attempts(path)
    while True:
        try:
            return action()
        except Exception as error:
            if not attempts.wait(error):
                raise


class Attempts:
    """Counts how often a remote file was asked for, and waits longer before each further time.

    XRootD servers answer "Operation expired" when they are busy, and do answer later.
    """

    def __init__(self, path: str | Path) -> None:
        self.url = remote_url(path)
        self.success()

    def success(self) -> None:
        """Begin to count anew."""
        self._delays = iter(RETRY_DELAYS if self.url is not None else ())

    def wait(self, error: Exception) -> bool:
        """Wait before the next attempt; ``False`` if there is to be none."""
        delay = next(self._delays, None) if may_pass(error) else None
        if delay is None:
            return False
        text = first_line(error).removeprefix(f"{self.url}: ")
        logger.warning("%s: %s; trying again in %g s", self.url, text, delay)
        time.sleep(delay)
        import fsspec

        with contextlib.suppress(Exception):  # of closing what is broken
            system, file = fsspec.core.url_to_fs(self.url)
            system.invalidate_cache(file)  # or it would give the handle of the broken connection
        return True


def may_pass(error: Exception) -> bool:
    """Whether a server may do better when it is asked again."""
    if isinstance(error, UnansweredError):
        return True
    lasting = (JetadError, ImportError, FileNotFoundError, PermissionError)
    if isinstance(error, lasting) or _REFUSED.search(str(error)) or _HDF5_OWN.search(str(error)):
        return False
    return isinstance(error, (OSError, TimeoutError)) or _TRANSIENT.search(str(error)) is not None


def first_line(error: BaseException) -> str:
    """The first line of a message that says something, 200 characters at most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def remote_reason(error: Exception) -> str | None:
    """What went wrong on a server, for a message; ``None`` if it is the file that is wrong."""
    text = re.sub(r"<bound method .*?>+ request: ", "", first_line(error))
    if isinstance(error, FileNotFoundError) or "no such file" in text.lower():
        return "no such file on the server"
    if _REFUSED.search(text):
        return f"its server refuses to give it ({text})"
    if _WHOLE.search(text):
        return "its server sends files only as a whole; copy the file here first"
    if may_pass(error):
        return f"its server does not answer ({text})"
    return None
