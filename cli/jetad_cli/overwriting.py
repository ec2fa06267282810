"""No command writes over what it reads: one check for all of them, before anything is read."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["files_meant", "keep_inputs"]


def keep_inputs(outputs: Iterable[str | Path | None], *inputs: Any) -> None:
    """Refuse a command that would write over one of its inputs, with or without --force.

    Arguments:
        outputs: Files that the command writes; ``None`` for those that were not asked for.
        inputs: What it reads, as ``files_meant`` takes it; of a run all files that it consists of.

    Raises:
        OutputError: naming the output and the input.
    """
    from jetad.files import refuse_inputs

    refuse_inputs([path for path in outputs if path is not None], files_meant(inputs))


def files_meant(values: Any) -> list[Path]:
    """All files that words of a command line can mean, without opening them.

    A word may be a name, ``NAME=FILE``, a pattern, ``FILE:tree``, a list ``@files.txt`` (which is read, too),
    a run directory, or any of them inside lists, tuples and mappings. A word that means no file is passed
    over.
    """
    from jetad.runs import Run

    if isinstance(values, Run):
        return values.files
    if isinstance(values, (str, Path)):
        return list(dict.fromkeys(path for word in _spellings(str(values)) for path in _files(word)))
    if isinstance(values, dict):
        values = values.values()
    if isinstance(values, Iterable):
        return [path for value in values for path in files_meant(value)]
    return []


def _spellings(word: str) -> list[str]:
    _, equals, rest = word.partition("=")
    return [word, rest] if equals else [word]


def _files(word: str) -> list[Path]:
    from jetad.errors import InputError
    from jetad.readers.containers.remote import remote_url
    from jetad.readers.paths import listed, split_path
    from jetad.runs import Run

    if not word or remote_url(word) is not None:
        return []
    if word.startswith("@") and not os.path.lexists(word):
        try:
            return [Path(word[1:]).expanduser(), *files_meant(listed([word]))]
        except InputError:  # told when it is read
            return []
    file, _ = split_path(Path(word).expanduser())
    if not file.exists() and glob.has_magic(str(file)):
        return [Path(match) for match in glob.glob(str(file), recursive=True)]
    if (file / "provenance.json").is_file():
        return Run(file).files
    return [file]
