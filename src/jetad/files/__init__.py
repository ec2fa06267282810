"""Outputs that are never half-written, and never written over what is read or through somebody's link."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError, OutputError

__all__ = [
    "atomic_output",
    "check_output",
    "open_own",
    "own_folder",
    "own_token",
    "publish",
    "refuse_inputs",
    "refuse_inputs_inside",
    "refuse_link",
    "remove_leftovers",
    "require_plain",
    "real",
    "refuse_url",
    "require_readable",
    "same_file",
]


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # of a URL


def real(path: str | Path) -> Path:
    """Where a path leads, through all links; one that goes in a circle leads to itself.

    ``Path.resolve`` raises for circles before Python 3.13.
    """
    return Path(os.path.realpath(path))


def refuse_url(path: Path) -> None:
    """Refuse to write to a server: what begins like a URL would become a folder ``http:``.

    Raises:
        OutputError: saying so.
    """
    if len(path.parts) > 1 and _SCHEME.fullmatch(path.parts[0]):
        raise OutputError(f"{path}: jetad writes to this machine and not to a server; copy the file there")


def _special(path: str | Path) -> str | None:
    """Whether something is a pipe, socket or device, behind links, too; ``None`` for files and folders."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return None  # the caller explains it
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    return "pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"


def check_output(path: str | Path, *, force: bool = False) -> Path:
    """Refuse an output that exists (unless ``force``) or whose folder is missing or not writable.

    A pipe or device is refused even with ``force``: the finished file would take its place. Call it
    before any long work, so that nothing is computed in vain.
    """
    path = Path(path)
    refuse_url(path)
    if path.is_dir():
        raise OutputError(f"{path}: is a folder, a file name is needed")
    if what := _special(path):
        raise OutputError(f"{path}: is a {what}, and a finished file would take its place; give another name")
    if os.path.lexists(path) and not force:  # also a link to nothing
        raise OutputError(f"{path}: exists already; choose another name or pass --force to replace it")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path}: no permission to write in {path.parent}")
    return path


@contextlib.contextmanager
def atomic_output(path: str | Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary path with the same suffix; rename it to ``path`` when the block ends well.

    On any error the temporary file is removed and ``path`` is left as it was. The file gets the permissions
    that the umask gives, whatever the library that wrote it thinks.

    Raises:
        OutputError: if ``path`` exists in the beginning or the end and not ``force``, or the disk refuses
            the write.
    """
    path = check_output(path, force=force)
    remove_leftovers(path.parent, f".{path.stem}.", f".tmp{path.suffix}")
    temporary = path.with_name(f".{path.stem}.{own_token()}.tmp{path.suffix}")
    try:
        mode = _mode_of_new(temporary)
        yield temporary
        if stat.S_IMODE(temporary.stat().st_mode) != mode:
            temporary.chmod(mode)
        publish(temporary, path, force=force)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


# --- temporary names -------------------------------------------------------------------------------


@functools.cache
def _machine() -> str:
    """Eight digits for this start of this machine and what counts its processes (a container does)."""
    parts = [os.uname().nodename]
    for place in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            parts.append(os.readlink(place) if place.startswith("/proc/self") else Path(place).read_text())
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:8]


def own_token() -> str:
    """A part of a temporary name that no other process of any machine makes, and that tells whose it was."""
    return f"{_machine()}_{os.getpid()}_{secrets.token_hex(3)}"


def remove_leftovers(folder: Path, start: str, end: str) -> None:
    """Remove what a killed process of this machine has left half made under temporary names.

    Only files and folders of this user whose process has ended; nothing behind a link.

    Arguments:
        folder: Where.
        start: Of the name, before the token.
        end: Of the name, after the token.
    """
    pattern = re.compile(rf"{re.escape(start)}{_machine()}_(\d+)_[0-9a-f]{{6}}{re.escape(end)}")
    try:
        names = [name for name in os.listdir(folder) if pattern.fullmatch(name)]
    except OSError:
        return
    for name in names:
        match = pattern.fullmatch(name)
        assert match is not None
        path = folder / name
        with contextlib.suppress(OSError):
            if _alive(int(match[1])) or path.lstat().st_uid != os.geteuid():
                continue
            if stat.S_ISDIR(path.lstat().st_mode):
                shutil.rmtree(path)
            else:
                path.unlink()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # of somebody else
    return True


def _mode_of_new(path: Path) -> int:
    """The permissions of a new file here: asking for the umask would change it for all threads."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        return stat.S_IMODE(os.fstat(number).st_mode)
    finally:
        os.close(number)
        os.unlink(path)


def publish(temporary: Path, path: Path, *, force: bool) -> None:
    """Give a finished file its name; without ``force`` only if no file of that name has appeared meanwhile.

    Raises:
        OutputError: if there is one; the temporary file stays.
        OSError: if the disk refuses it.
    """
    if force:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path, follow_symlinks=False)  # unlike a rename it replaces nothing
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        if not os.path.lexists(path):
            os.replace(temporary, path)
            return
    else:
        os.unlink(temporary)
        return
    raise OutputError(
        f"{path}: has appeared while it was being made here, and is left as it is; choose another name or "
        "pass --force to replace it"
    )


def require_readable(path: str | Path) -> None:
    """Refuse a file that is there but must not be read; some libraries say then that there is none.

    Raises:
        InputError: naming the file.
    """
    try:
        with open(path, "rb"):
            pass
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read this file") from error
    except OSError:
        pass  # the caller explains it


def require_plain(path: str | Path) -> None:
    """Refuse to read a pipe, device or socket: it may never end, or wait for ever.

    Raises:
        InputError: saying what it is.
    """
    if what := _special(path):
        raise InputError(
            f"{path}: is a {what}, and only plain files are read; write its content to a file first"
        )


# --- links -----------------------------------------------------------------------------------------


def refuse_link(path: str | Path) -> None:
    """Refuse a symbolic link at a name that jetad chose: what is behind it belongs to somebody else.

    Raises:
        OutputError: naming the link.
    """
    path = Path(path)
    if path.is_symlink():
        raise OutputError(
            f"{path}: is a symbolic link to {os.readlink(path)}, and jetad writes through no link here; "
            "remove the link, or choose another output"
        )


def own_folder(path: str | Path) -> Path:
    """Make a folder of a name that jetad chose, or take the one that is there; never through a link.

    Raises:
        OutputError: if it is a symbolic link or no folder, or cannot be made.
    """
    path = Path(path)
    refuse_url(path)
    refuse_link(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: the folder cannot be made ({error.strerror or error})") from error
    return path


def open_own(path: str | Path) -> BinaryIO:
    """Open a file of a name that jetad chose, to add to it or to change it; made if it is not there.

    Raises:
        OutputError: if it is a symbolic link, has another name somewhere (hard link), is no plain file, or
            cannot be opened.
    """
    path = Path(path)
    refuse_link(path)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        number = os.open(path, flags, 0o666)
    except OSError as error:
        raise OutputError(f"{path}: cannot be opened for writing ({error.strerror or error})") from error
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(number)
        what = "is no plain file" if not stat.S_ISREG(found.st_mode) else "is a hard link to another file"
        raise OutputError(f"{path}: {what}, and jetad does not write to it; remove it")
    return os.fdopen(number, "r+b", buffering=0)


# --- inputs and outputs ----------------------------------------------------------------------------


def same_file(one: str | Path, other: str | Path) -> bool:
    """Whether two names are of one file: spelled otherwise, or a symbolic or hard link to it."""
    return not set(_identities(one)).isdisjoint(_identities(other))


def refuse_inputs(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> None:
    """Refuse to write over a file that is read, whatever it is called; ``force`` does not allow it either.

    Call it before anything is read, with all files that a command will write.

    Raises:
        OutputError: naming the output and the input.
    """
    known: dict[object, str | Path] = {}
    for path in inputs:
        for key in _identities(path):
            known.setdefault(key, path)
    for output in outputs:
        for key in _identities(output):
            if key in known:
                also = "" if str(output) == str(known[key]) else f" (as {known[key]})"
                raise OutputError(
                    f"{output}: is read by this command{also} and would be overwritten; choose another output"
                )


def _identities(path: str | Path) -> list[object]:
    """What two names of one file have in common."""
    found: list[object] = [os.path.realpath(path)]
    try:
        status = os.stat(path)
        found.append((status.st_dev, status.st_ino))
    except (OSError, ValueError):
        pass
    return found


def refuse_inputs_inside(folder: str | Path, inputs: Iterable[str | Path]) -> None:
    """Refuse to remove a folder that holds files, or is a folder, that are read.

    Raises:
        OutputError: naming the folder and the input.
    """
    full = Path(os.path.realpath(folder))
    for path in inputs:
        real = Path(os.path.realpath(path))
        if real == full or full in real.parents or same_file(folder, path):
            raise OutputError(
                f"{folder}: holds {path}, which is read by this command, and would be removed; choose "
                "another --output"
            )
