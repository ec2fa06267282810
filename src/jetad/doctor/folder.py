"""The folder where jetad is to work, and the one for temporary files."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ..files import real
from .findings import GB, Finding, first_line, output

__all__ = ["scratch_folder", "work_folder"]

_LEAST_FREE = 1e9
_ROOM = 64 << 20  # bytes that are written to see that they can be
_SKEW = 5.0  # seconds between our clock and that of a file server


def work_folder(folder: Path) -> Iterator[Finding]:
    """Write, lock and rename in the folder."""
    if not folder.is_dir():
        yield Finding("folder", "fail", f"{folder}: no such folder", "make it, or name another")
        return
    try:
        scratch = Path(tempfile.mkdtemp(prefix=".jetad-doctor-", dir=folder))
    except OSError as error:
        yield Finding(
            "folder", "fail", f"{folder}: cannot be written ({error.strerror})", "work in another folder"
        )
        return
    try:
        yield _room(folder, scratch)
        yield _hdf5_lock(folder, scratch)
        yield _file_lock(folder, scratch)
        yield _file_clock(folder, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _room(folder: Path, scratch: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    found = f"{real(folder)}: {free / GB:.3g} GB free" + (_quota(folder) or "")
    full = re.search(r"(\d+)% of quota", found)
    try:
        with (scratch / "room").open("wb") as file:
            file.write(b"\0" * _ROOM)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch / "room", scratch / "renamed")
    except OSError as error:
        return Finding(
            "folder", "fail", f"{found}, but {_ROOM >> 20} MB cannot be written ({error.strerror})",
            "free some space or quota, raise 'ulimit -f', or work elsewhere",
        )  # fmt: skip
    if free < _LEAST_FREE or (full and int(full[1]) > 90):
        return Finding("folder", "warn", found, "nearly full: write runs and scores elsewhere (-o)")
    return Finding("folder", "ok", found)


def _quota(folder: Path) -> str | None:
    """What AFS says of its quota, or how EOS is asked; ``disk_usage`` knows neither."""
    path = str(real(folder))
    if path.startswith("/afs/"):
        text = output("fs", "quota", path)
        return f", {text}" if text else None
    if path.startswith("/eos/"):
        return " on the whole of EOS ('eos quota' shows yours)"
    return None


def _hdf5_lock(folder: Path, scratch: Path) -> Finding:
    import h5py

    setting = os.environ.get("HDF5_USE_FILE_LOCKING")
    told = f" (HDF5_USE_FILE_LOCKING={setting})" if setting else ""
    path = scratch / "lock.h5"
    try:
        with h5py.File(path, "w") as file:
            file["x"] = [1.0]
        with h5py.File(path, "r") as file:
            file["x"][:]
    except OSError as error:
        return Finding(
            "HDF5", "fail", f"{folder}: a file cannot be locked and written{told}: {first_line(error)}",
            "export HDF5_USE_FILE_LOCKING=FALSE, or work on a file system with locks",
        )  # fmt: skip
    return Finding("HDF5", "ok", f"{h5py.version.hdf5_version}: files are locked, written and read{told}")


def _file_lock(folder: Path, scratch: Path) -> Finding:
    import fcntl

    advice = "do not make the same output by two commands at the same time"
    with (scratch / "lock").open("w") as one, (scratch / "lock").open("w") as other:
        try:
            fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return Finding("locks", "warn", f"{folder}: there are none ({error.strerror})", advice)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Finding("locks", "ok", "a second holder is kept out")
    return Finding("locks", "warn", f"{folder}: they keep nobody out", advice)


def _file_clock(folder: Path, scratch: Path) -> Finding:
    before = time.time()
    (scratch / "now").write_text("x")
    skew = (scratch / "now").stat().st_mtime - before
    if abs(skew) > _SKEW:
        return Finding(
            "file times", "warn", f"{folder}: {skew:+.0f} s from the clock of this machine",
            "changed inputs may look unchanged: have the clocks set",
        )  # fmt: skip
    return Finding("file times", "ok", f"agree with the clock within {_SKEW:g} s")


def scratch_folder() -> Iterator[Finding]:
    """The folder for temporary files."""
    try:
        place = Path(tempfile.gettempdir())
    except FileNotFoundError:
        yield Finding(
            "scratch", "fail", "no folder for temporary files", "export TMPDIR to one you may write in"
        )
        return
    free = shutil.disk_usage(place).free
    wanted = os.environ.get("TMPDIR")
    found = f"{place}: {free / GB:.3g} GB free"
    if wanted and real(wanted) != real(place):
        yield Finding("scratch", "warn", f"{found}; TMPDIR={wanted} cannot be used", "correct TMPDIR")
    elif free < _LEAST_FREE:
        yield Finding("scratch", "warn", found, "export TMPDIR to a folder with more space")
    else:
        yield Finding("scratch", "ok", found)
