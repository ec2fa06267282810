"""The errors a user can meet, each naming what is wrong, where, and what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

__all__ = [
    "ConfigError",
    "DivergedError",
    "InputError",
    "JetadError",
    "MissingPackageError",
    "OutputError",
    "Interrupted",
    "RankError",
    "of_file",
]


class JetadError(Exception):
    """Base of all errors that are shown to the user as one sentence (exit code 1)."""

    exit_code = 1


class InputError(JetadError):
    """An input file cannot be read: missing, broken, or without what is needed."""


class OutputError(JetadError):
    """An output cannot be written, or exists already."""


class ConfigError(JetadError):
    """A setting, name or combination of options is not valid (exit code 2)."""

    exit_code = 2


@contextlib.contextmanager
def of_file(path: str | Path) -> Iterator[None]:
    """Put the name of the file in front of what is wrong with its jets, where it is not named yet."""
    try:
        yield
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path}: {error}") from error


class DivergedError(JetadError):
    """Training stopped on non-finite or run-away energies."""


class RankError(JetadError):
    """The processes of one training do not find each other, or one of them has ended."""


class MissingPackageError(JetadError):
    """An optional package is needed; the message gives the install line."""


class Interrupted(JetadError):
    """A signal asked to stop; a checkpoint was saved and the same command goes on (exit code 85)."""

    exit_code = 85
