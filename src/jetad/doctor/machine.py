"""Cores, memory, limits, clock and locale of this machine."""

from __future__ import annotations

import contextlib
import locale
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .findings import GB, Finding, first_line

__all__ = ["clock", "home", "memory", "processes", "text", "threads"]

_LEAST_MEMORY, _GOOD_MEMORY = 0.7e9, 2e9  # scoring takes 0.5 GB
_LEAST_SPACE, _GOOD_SPACE = 1.1e9, 4e9  # on a CPU; libraries map more than they use
_LEAST_FILES = 256


_FIRST_YEAR = 2024


def threads() -> Iterator[Finding]:
    """Cores, and the threads that are asked for."""
    usable = len(os.sched_getaffinity(0))
    quota = _cpu_quota()
    given = os.environ.get("OMP_NUM_THREADS")
    found = f"{usable} CPU cores" + (f", {quota:.2g} of them by cgroup" if quota else "")
    found += f", OMP_NUM_THREADS={given}" if given else ""
    allowed = min(usable, quota or usable)
    if given and given.isdigit() and int(given) > allowed + 0.5:
        yield Finding(
            "threads", "warn", found, "threads will fight for cores: unset OMP_NUM_THREADS or lower it"
        )
    else:
        yield Finding("threads", "ok", found)


def _cgroup(name: str) -> str | None:
    """A limit of the innermost cgroup (version 2) that has one."""
    try:
        entry = Path("/proc/self/cgroup").read_text().splitlines()[-1].rpartition(":")[2]
    except (OSError, IndexError):
        return None
    root = Path("/sys/fs/cgroup")
    place = root / entry.strip("/")
    while place == root or root in place.parents:
        with contextlib.suppress(OSError):
            value = (place / name).read_text().strip()
            if not value.startswith("max"):
                return value
        place = place.parent
    return None


def _cpu_quota() -> float | None:
    value = (_cgroup("cpu.max") or "").split()
    return int(value[0]) / int(value[1]) if len(value) == 2 else None


def memory() -> Iterator[Finding]:
    """Memory and address space that a process may have."""
    limits = {}
    with contextlib.suppress(OSError, ValueError):
        table = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        limits["available"] = int(table["MemAvailable"].split()[0]) * 1024
    value = _cgroup("memory.max")
    if value is not None:
        limits["cgroup limit"] = int(value)
    if limits:
        found = ", ".join(f"{name} {size / GB:.3g} GB" for name, size in limits.items())
        yield _judged("memory", min(limits.values()), _LEAST_MEMORY, _GOOD_MEMORY, found)
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    if soft != resource.RLIM_INFINITY:
        yield _judged("ulimit -v", soft, _LEAST_SPACE, _GOOD_SPACE, f"{soft / GB:.3g} GB of address space")


def _judged(name: str, value: float, least: float, good: float, found: str) -> Finding:
    if value < least:
        return Finding(name, "fail", found, f"jetad needs {least / GB:.3g} GB: ask for more")
    if value < good:
        return Finding(name, "warn", found, f"lower --chunk and --jobs, or ask for {good / GB:.3g} GB")
    return Finding(name, "ok", found)


def processes() -> Iterator[Finding]:
    """Processes and open files that a user may have."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    pids = _cgroup("pids.max")
    users = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    found = f"{files} open files" + (f", {pids} processes by cgroup" if pids else "")
    found += f", {users} by ulimit -u" if users != resource.RLIM_INFINITY else ""
    try:
        subprocess.run([sys.executable, "-c", "pass"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding(
            "processes", "fail", f"no process can be started: {first_line(error)}", "raise 'ulimit -u'"
        )
        return
    if files < _LEAST_FILES:
        yield Finding("processes", "warn", found, f"raise 'ulimit -n' to {_LEAST_FILES} or more")
    else:
        yield Finding("processes", "ok", found)


def clock() -> Iterator[Finding]:
    """Whether the clock can be right."""
    now = time.localtime()
    shown = time.strftime("%Y-%m-%d %H:%M %Z", now)
    if now.tm_year < _FIRST_YEAR:
        yield Finding("clock", "warn", shown, "the clock is wrong: certificates and time stamps will be, too")
    else:
        yield Finding("clock", "ok", shown)


def text() -> Iterator[Finding]:
    """Whether names with accents can be written."""
    names = {sys.getfilesystemencoding().lower(), locale.getpreferredencoding(False).lower()}
    found = (
        f"{', '.join(sorted(names))}; LC_ALL={os.environ.get('LC_ALL', '')} LANG={os.environ.get('LANG', '')}"
    )
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, "")
    except locale.Error:
        yield Finding("locale", "warn", f"{found}: not known here", "export LC_ALL=C.UTF-8")
        return
    finally:
        locale.setlocale(locale.LC_ALL, before)
    if {name.replace("-", "") for name in names} != {"utf8"}:
        yield Finding("locale", "warn", found, "names with accents will fail: export LC_ALL=C.UTF-8")
    else:
        yield Finding("locale", "ok", found)


def home() -> Iterator[Finding]:
    """Where settings and caches are kept."""
    try:
        home = Path.home()
    except RuntimeError:
        yield Finding("settings", "warn", "there is no home folder", "export HOME")
        return
    place = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "jetad"
    there = place
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding(
            "settings", "warn", f"{place} cannot be written", "export XDG_CONFIG_HOME to a folder of yours"
        )
    else:
        yield Finding("settings", "ok", f"{place}" + ("" if place.exists() else " (not there yet)"))
