"""Files from names, patterns, and lists of names."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from ..files import real, require_plain
from .containers.remote import remote_url
from .paths import PathLike, container_of, split_path

__all__ = ["expand"]

logger = logging.getLogger("jetad.readers")


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
