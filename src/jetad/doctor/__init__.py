"""What of this machine would make jetad fail or be slow, each thing really tried where that is possible."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import locale
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from .. import __version__

__all__ = ["Finding", "examine"]

_GB = 1e9
_ROOM = 64 << 20  # bytes that are written to see that they can be
_SKEW = 5.0  # seconds between our clock and that of a file server
_LEAST_MEMORY, _GOOD_MEMORY = 0.7e9, 2e9  # scoring takes 0.5 GB
_LEAST_SPACE, _GOOD_SPACE = 1.1e9, 4e9  # on a CPU; libraries map more than they use
_LEAST_FREE = 1e9
_LEAST_FILES = 256
_FIRST_YEAR = 2024


class Finding(NamedTuple):
    """One thing that was looked at: ``status`` is ``ok``, ``warn`` or ``fail``; ``advice`` is what to do."""

    name: str
    status: str
    found: str
    advice: str = ""


def examine(folder: str | Path = ".") -> list[Finding]:
    """Look at the machine, at Python, and at a folder where jetad is to work. Nothing is left behind."""
    folder = Path(folder)
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _memory, _versions, _torch, _device, _threads, _processes, lambda: _folder(folder), _scratch,
        _remote_files, _extras, _clock, _text, _home, _run,
    )  # fmt: skip
    return [finding for check in checks for finding in check()]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _output(*words: str) -> str | None:
    """What a command prints; ``None`` if it is not there or fails."""
    try:
        result = subprocess.run(words, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


# --- Python, torch, device ------------------------------------------------------------------------


def _versions() -> Iterator[Finding]:
    python = sys.version.split()[0]
    yield Finding("jetad", "ok", f"{__version__}, Python {python}, {sys.prefix}")
    broken = []
    for name in (
        "numpy",
        "scipy",
        "h5py",
        "awkward",
        "uproot",
        "sklearn",
        "matplotlib",
        "pydantic",
        "safetensors",
    ):
        try:
            importlib.import_module(name)
        except Exception as error:
            broken.append(f"{name} ({_first_line(error)})")
    if broken:
        yield Finding(
            "packages",
            "fail",
            f"cannot be imported: {', '.join(broken)}",
            "pip install --force-reinstall jetad",
        )


def _torch() -> Iterator[Finding]:
    try:
        import torch

        float(torch.ones(8, 8).matmul(torch.ones(8, 8)).sum())
    except Exception as error:
        yield Finding(
            "torch", "fail", f"does not work: {_first_line(error)}", "pip install --force-reinstall torch"
        )
        return
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    yield Finding("torch", "ok", f"{torch.__version__} ({build})")


def _device() -> Iterator[Finding]:
    try:
        import torch
    except Exception:
        return
    driver = _output("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    if torch.cuda.is_available():
        try:
            x = torch.ones(64, 64, device="cuda")
            float((x @ x).sum())
            free, total = torch.cuda.mem_get_info()
        except RuntimeError as error:
            yield Finding(
                "device", "fail", f"the GPU does not compute: {_first_line(error)}",
                "use --device cpu, or a torch build for this GPU and driver",
            )  # fmt: skip
            return
        card = driver or torch.cuda.get_device_name()
        yield Finding("device", "ok", f"cuda: {card}; {free / _GB:.1f} of {total / _GB:.1f} GB free")
    elif driver:
        why = (
            "torch is a CPU build" if torch.version.cuda is None else f"torch wants CUDA {torch.version.cuda}"
        )
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        why = f"CUDA_VISIBLE_DEVICES is '{hidden}'" if hidden is not None else why
        yield Finding(
            "device", "warn", f"cpu, though there is a GPU ({driver}): {why}",
            "install a CUDA build of torch that this driver supports",
        )  # fmt: skip
    else:
        yield Finding("device", "ok", "cpu (no NVIDIA GPU found)")


def _threads() -> Iterator[Finding]:
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


# --- limits ---------------------------------------------------------------------------------------


def _memory() -> Iterator[Finding]:
    limits = {}
    with contextlib.suppress(OSError, ValueError):
        table = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        limits["available"] = int(table["MemAvailable"].split()[0]) * 1024
    value = _cgroup("memory.max")
    if value is not None:
        limits["cgroup limit"] = int(value)
    if limits:
        found = ", ".join(f"{name} {size / _GB:.3g} GB" for name, size in limits.items())
        yield _judged("memory", min(limits.values()), _LEAST_MEMORY, _GOOD_MEMORY, found)
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    if soft != resource.RLIM_INFINITY:
        yield _judged("ulimit -v", soft, _LEAST_SPACE, _GOOD_SPACE, f"{soft / _GB:.3g} GB of address space")


def _judged(name: str, value: float, least: float, good: float, found: str) -> Finding:
    if value < least:
        return Finding(name, "fail", found, f"jetad needs {least / _GB:.3g} GB: ask for more")
    if value < good:
        return Finding(name, "warn", found, f"lower --chunk and --jobs, or ask for {good / _GB:.3g} GB")
    return Finding(name, "ok", found)


def _processes() -> Iterator[Finding]:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    pids = _cgroup("pids.max")
    users = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    found = f"{files} open files" + (f", {pids} processes by cgroup" if pids else "")
    found += f", {users} by ulimit -u" if users != resource.RLIM_INFINITY else ""
    try:
        subprocess.run([sys.executable, "-c", "pass"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding(
            "processes", "fail", f"no process can be started: {_first_line(error)}", "raise 'ulimit -u'"
        )
        return
    if files < _LEAST_FILES:
        yield Finding("processes", "warn", found, f"raise 'ulimit -n' to {_LEAST_FILES} or more")
    else:
        yield Finding("processes", "ok", found)


# --- files ----------------------------------------------------------------------------------------


def _folder(folder: Path) -> Iterator[Finding]:
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
    found = f"{folder.resolve()}: {free / _GB:.3g} GB free" + (_quota(folder) or "")
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
    path = str(folder.resolve())
    if path.startswith("/afs/"):
        text = _output("fs", "quota", path)
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
            "HDF5", "fail", f"{folder}: a file cannot be locked and written{told}: {_first_line(error)}",
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


def _scratch() -> Iterator[Finding]:
    try:
        place = Path(tempfile.gettempdir())
    except FileNotFoundError:
        yield Finding(
            "scratch", "fail", "no folder for temporary files", "export TMPDIR to one you may write in"
        )
        return
    free = shutil.disk_usage(place).free
    wanted = os.environ.get("TMPDIR")
    found = f"{place}: {free / _GB:.3g} GB free"
    if wanted and Path(wanted).resolve() != place.resolve():
        yield Finding("scratch", "warn", f"{found}; TMPDIR={wanted} cannot be used", "correct TMPDIR")
    elif free < _LEAST_FREE:
        yield Finding("scratch", "warn", found, "export TMPDIR to a folder with more space")
    else:
        yield Finding("scratch", "ok", found)


def _remote_files() -> Iterator[Finding]:
    """XRootD, for ``root://`` inputs."""
    try:
        importlib.metadata.version("fsspec-xrootd")
    except importlib.metadata.PackageNotFoundError:
        yield Finding("XRootD", "ok", "not installed; root:// inputs need pip install 'jetad[xrootd]'")
        return
    try:
        import fsspec_xrootd
        from XRootD import client
    except Exception as error:
        yield Finding(
            "XRootD", "warn", f"does not work: {_first_line(error)}", "install xrootd (conda-forge has it)"
        )
        return
    yield Finding("XRootD", "ok", f"{client.__name__} with {fsspec_xrootd.__name__}")


# --- the rest -------------------------------------------------------------------------------------


def _extras() -> Iterator[Finding]:
    try:
        requirements = importlib.metadata.requires("jetad") or []
    except importlib.metadata.PackageNotFoundError:
        return
    needed: dict[str, list[str]] = {}
    for text in requirements:
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", text)
        name = re.match(r"[\w.-]+", text)
        if extra and name and name[0] != "jetad":
            needed.setdefault(extra[1], []).append(name[0])
    have: list[str] = []
    lacking: list[str] = []
    for extra_name, names in sorted(needed.items()):
        (have if all(map(_installed, names)) else lacking).append(extra_name)
    found = f"{', '.join(have) or 'none'} installed; {', '.join(lacking) or 'none'} not"
    yield Finding("extras", "ok", found)


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _clock() -> Iterator[Finding]:
    now = time.localtime()
    shown = time.strftime("%Y-%m-%d %H:%M %Z", now)
    if now.tm_year < _FIRST_YEAR:
        yield Finding("clock", "warn", shown, "the clock is wrong: certificates and time stamps will be, too")
    else:
        yield Finding("clock", "ok", shown)


def _text() -> Iterator[Finding]:
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


def _home() -> Iterator[Finding]:
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


def _run() -> Iterator[Finding]:
    named = os.environ.get("JETAD_RUN")
    if named and not (Path(named) / "config.yaml").is_file():
        yield Finding("JETAD_RUN", "fail", f"{named}: is no run directory", "unset JETAD_RUN, or correct it")
    elif named:
        yield Finding("JETAD_RUN", "ok", named)
