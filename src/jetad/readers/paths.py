"""Names of files, the kinds of their containers, and the one place low-level errors are translated."""

from __future__ import annotations

import contextlib
import difflib
import glob
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import InputError, JetadError
from ..files import real, require_plain
from ..registry import closest_first
from .containers.delimiters import csv_delimiter
from .containers.remote import (
    UnansweredError,
    first_line,
    may_pass,
    remote_reason,
    remote_url,
    tree_of_remote,
)

__all__ = [
    "CONTAINER_NAMES",
    "PathLike",
    "container_of",
    "expand",
    "listed",
    "nearest",
    "plain_name",
    "reading",
    "require_container",
    "split_path",
]

PathLike = str | Path

logger = logging.getLogger("jetad.readers")

_CONTAINERS = {b"PAR1": "parquet", b"PK\x03\x04": "numpy", b"\x93NUMPY": "numpy"}
CONTAINER_NAMES = {
    "hdf5": "an HDF5 file",
    "root": "a ROOT file",
    "parquet": "a Parquet file",
    "numpy": "a NumPy file",
    "text": "a text file",
    "csv": "a table of text",
    "hepmc": "a file of generated events (HepMC)",
    "lhe": "a file of generated events (Les Houches)",
}

_TEXT_BYTES = 1 << 20  # of a text file, looked at to find out what it is

_HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf")
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_OTHER_MAGIC = {
    b"\x1f\x8b": "gzip-compressed (decompress it first)",
    b"BZh": "bzip2-compressed (decompress it first)",
    b"\xfd7zXZ\x00": "xz-compressed (decompress it first)",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself (run 'git lfs pull')",
    b"<!DOCTYPE": "a web page, so the download went wrong",
    b"<html": "a web page, so the download went wrong",
}


@contextlib.contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Turn any error of the libraries below into an :class:`InputError` that names the file.

    A broken file makes HDF5, uproot and zlib raise nearly every type of exception, so all are caught
    here; the original one stays chained and is shown by ``jetad -vv``.
    """
    try:
        yield
    except JetadError:
        raise
    except MemoryError as error:
        raise InputError(
            f"{path}: more memory was asked for than there is ({first_line(error)}); "
            "the file is broken, or its jets must be read in smaller steps"
        ) from error
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read this file") from error
    except Exception as error:
        url = remote_url(path)
        if url is None:
            raise InputError(f"{path}: cannot be read, {_reason(error)}") from error
        kind = UnansweredError if may_pass(error) else InputError
        raise kind(f"{url}: {remote_reason(error) or f'cannot be read, {_reason(error)}'}") from error


def _reason(error: BaseException) -> str:
    text = str(error)
    eof = re.search(r"truncated file: eof = (\d+).*stored_eof = (\d+)", text)
    if eof:
        return f"the file is truncated: {eof[1]} of {eof[2]} bytes are there; copy or download it again"
    if isinstance(error, ImportError):
        return f"a package is missing: {' '.join(text.split())[:300]}"
    return f"the file is broken or of another kind ({type(error).__name__}: {first_line(error)})"


def nearest(wanted: str, available: Iterable[str], n: int = 8) -> str:
    """The available names most like the wanted one, as text for a message."""
    names = list(available)
    if not names:
        return "none"
    # the full comparison is slow for thousands of branches: keep those that share letters first
    if len(names) > 500:
        names = difflib.get_close_matches(wanted, names, n=50, cutoff=0.3) or names[:50]
    text = ", ".join(closest_first(wanted, names)[:n])
    return text if len(names) <= n else f"{text}, ..."


def plain_name(path: str | Path) -> Path:
    """The name of a file, without its folder, its tree, and the query of a URL."""
    name = split_path(path)[0].name
    return Path(name.partition("?")[0] if remote_url(path) is not None else name)


def split_path(path: str | Path) -> tuple[Path, str | None]:
    """``file.root:dir/tree`` to the file and the object inside; ``None`` where no object is named."""
    text = str(path)
    if remote_url(text) is not None:
        scheme, _, rest = str(Path(text)).partition(":")
        remote_file, tree = tree_of_remote(rest.lstrip("/"))
        return Path(f"{scheme}:/{remote_file}"), tree
    if not Path(text).exists():
        head, _, tail = text.rpartition(":")
        if tail and Path(head).suffix and "://" not in text:
            return Path(head), tail.strip("/")
    return Path(text), None


def container_of(path: str | Path) -> str:
    """``"hdf5"``, ``"root"``, ``"parquet"``, ``"numpy"`` or ``"text"`` from the first bytes of the file.

    Raises:
        InputError: for anything else, saying what was found.
    """
    file, _ = split_path(path)
    if remote_url(path) is not None:
        suffix = plain_name(path).suffix
        if suffix == ".root" or suffix in _HDF5_SUFFIXES:
            return "root" if suffix == ".root" else "hdf5"
        raise InputError(
            f"{path}: only files named .root or {', '.join(_HDF5_SUFFIXES)} are read from a server; "
            "copy the file here first"
        )
    with reading(file):
        if file.is_dir():
            raise InputError(f"{file}: is a folder; name the files in it, for example '{file}/*.root'")
        if not file.exists():
            raise InputError(f"{file}: no such file{_similar_file(file)}")
        require_plain(file)
        size = file.stat().st_size
        if size == 0:
            raise InputError(f"{file}: is empty (0 bytes); copy or download it again")
        with open(file, "rb") as stream:
            start = stream.read(64)
            if start.startswith(b"root"):
                _check_root_size(file, start, size)
                return "root"
            offset = 0  # HDF5 allows a user block of 512, 1024, 2048, ... bytes before its signature
            while offset < min(size, 1 << 20):
                stream.seek(offset)
                if stream.read(8) == _HDF5_MAGIC:
                    return "hdf5"
                offset = 2 * offset or 512
    for magic, container in _CONTAINERS.items():
        if start.startswith(magic):
            return container
    for magic, what in _OTHER_MAGIC.items():
        if start.startswith(magic):
            raise InputError(f"{file}: is {what}; jets are read from HDF5 and ROOT files")
    if file.suffix == ".root":
        raise InputError(f"{file}: not a ROOT file: first four bytes are {start[:4]!r} instead of b'root'")
    if file.suffix in _HDF5_SUFFIXES:
        raise InputError(f"{file}: not an HDF5 file: first eight bytes are {start[:8]!r}")
    kind = _text_kind(file)
    if kind != "csv" and start.count(b";") >= 3 and all(32 <= b < 127 or b in b"\t\r\n" for b in start):
        return "text"
    if kind is not None:
        return kind
    raise InputError(
        f"{file}: unknown format: first four bytes are {start[:4]!r}; "
        "jets are read from HDF5, ROOT, Parquet, NumPy and CSV files"
    )


def _text_kind(file: Path) -> str | None:
    """``"csv"``, ``"hepmc"`` or ``"lhe"`` from the first lines of a text file, ``None`` for anything else."""
    with reading(file), open(file, "rb") as stream:
        start = stream.read(_TEXT_BYTES)
    if b"\0" in start:
        return None
    text = start.decode("utf-8", errors="replace")
    if text.lstrip().startswith("HepMC::"):
        return "hepmc"
    if "<LesHouchesEvents" in text[:4096]:
        return "lhe"
    return "csv" if "\ufffd" not in text[:-4] and csv_delimiter(text) is not None else None


def require_container(path: str | Path, wanted: str | tuple[str, ...], reader: str) -> None:
    """Raise InputError if the file is not of a container that the reader needs."""
    found, wanted = container_of(path), (wanted,) if isinstance(wanted, str) else wanted
    if found not in wanted:
        is_a, needs = CONTAINER_NAMES[found], " or ".join(CONTAINER_NAMES[name] for name in wanted)
        raise InputError(f"{path}: is {is_a}, but reader '{reader}' needs {needs}")


def _check_root_size(file: Path, start: bytes, size: int) -> None:
    """A ROOT header says where the file ends (fEND); a shorter file lost its tail and its directory."""
    version = int.from_bytes(start[4:8], "big", signed=True)  # uproot 3 wrote negative ones
    end = int.from_bytes(start[12:20] if version >= 1_000_000 else start[12:16], "big")
    if len(start) < 64 or size < end:
        raise InputError(
            f"{file}: the file is truncated: {size} of {end} bytes are there; copy or download it again"
        )


def _similar_file(file: Path) -> str:
    if not file.parent.is_dir():
        return f" (nor is there a folder {file.parent})"
    names = [p.name for p in file.parent.iterdir() if p.is_file()]
    close = difflib.get_close_matches(file.name, names, n=1, cutoff=0.7)
    return f"; did you mean '{file.parent / close[0]}'?" if close else ""


def expand(
    patterns: PathLike | Iterable[PathLike], *, broken: dict[Path, InputError] | None = None
) -> list[Path]:
    """Files from names and globs, in the order given, those of a glob sorted; ``:tree`` suffixes are kept.

    ``@list.txt`` stands for the files named in a text file, one a line; ``#`` begins a comment, and names
    are relative to the folder of the list.

    Arguments:
        patterns: File names and globs.
        broken: Files that cannot be opened are put here, with the reason, instead of ending the search.


    Raises:
        InputError: if a file is missing, a glob matches nothing, or a folder is named.
    """
    names = listed([patterns] if isinstance(patterns, (str, Path)) else patterns)
    if not names:
        raise InputError("no input file was given")
    files: list[Path] = []
    seen: set[tuple[Path, str | None]] = set()
    for name in names:
        file, inside = split_path(Path(name).expanduser() if "://" not in str(name) else name)
        found = [file]
        remote = remote_url(name) is not None
        if remote and glob.has_magic(str(file).partition("?")[0]):
            raise InputError(f"{name}: patterns are not expanded on a server; list the files: @files.txt")
        if (
            not remote and glob.has_magic(str(file)) and not file.exists()
        ):  # a file may be named like a pattern
            found = [Path(match) for match in sorted(glob.glob(str(file), recursive=True))]
            if not found:
                raise InputError(f"{name}: no file matches this pattern")
        for match in found:
            full = Path(f"{match}:{inside}") if inside else match
            try:
                container_of(full)
            except InputError as error:
                if broken is None:
                    raise
                broken[full] = error
                continue
            match = match if remote else real(match)
            if (match, inside) in seen:
                logger.warning("%s: named twice, read once", full)
            else:
                seen.add((match, inside))
                files.append(full)
    return files


def listed(names: Iterable[PathLike]) -> list[PathLike]:
    """Names with every ``@list.txt`` replaced by what it lists."""
    found: list[PathLike] = []
    for name in names:
        text = str(name)
        if not text.startswith("@") or Path(text).exists():  # a file may be called so
            found.append(name)
            continue
        file = Path(text[1:]).expanduser()
        require_plain(file)
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{name}: the list of files cannot be read ({error})") from error
        listed = [line.split("#", 1)[0].strip() for line in lines]
        listed = [line for line in listed if line]
        if not listed:
            raise InputError(f"{name}: the list names no files")
        found += [line if "://" in line else file.parent / Path(line).expanduser() for line in listed]
    return found
