"""The errors a user can meet, each naming what is wrong, where, and what to do."""

from __future__ import annotations

import contextlib
import os
import re
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
    "encodable",
    "memory_message",
    "of_file",
    "without_secrets",
]

# what stands before the @ of a server, and values that give access in the query of a URL
_USER = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*:/+)[^\s/'\"]*@")
_KEY = re.compile(
    r"(?i)([?&;][^\s=&;?]*(?:token|authz|secret|passw|signature|credential|apikey|api_key|accesskey|access_key"
    r"|sig|key|pwd|auth)[^\s=&;?]*=)[^\s&;'\"]+"
)


def without_secrets(text: str) -> str:
    """The text with names and passwords of servers, and keys in the query of a URL, written as ``***``.

    Arguments:
        text: Any, with or without URLs; ``root:/host`` of a :class:`~pathlib.Path` is known, too.

    Returns:
        The same text where there is nothing to hide.

    Example:
        >>> without_secrets("http://ann:pw@host/x.root?token=abc&n=1: no such file")
        'http://***@host/x.root?token=***&n=1: no such file'
    """
    if ":/" not in text:
        return text
    return _KEY.sub(r"\1***", _USER.sub(r"\1***@", text))


def encodable(text: str) -> str:
    r"""The text in characters that every file can hold: bytes of a name that are none are written ``\xNN``.

    Example:
        >>> print(encodable("jets_\udce9.h5"))
        jets_\xe9.h5
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text).decode("utf-8", "backslashreplace")
    return text


_MEMORY = re.compile(
    r"(?i)can't allocate memory|cannot allocate memory|not enough memory|bad_alloc|out of memory|"
    r"failed to map segment"  # of a library that is loaded
)
_BYTES = re.compile(r"allocate (\d+ bytes|[\d.]+ [KMGTPE]i?B)")


def memory_message(error: BaseException) -> str | None:
    """What to tell of an error that says that there is too little memory; ``None`` for any other."""
    text = str(error)
    if not isinstance(error, MemoryError) and not (
        isinstance(error, (RuntimeError, OSError, ImportError)) and _MEMORY.search(text)
    ):
        return None
    asked = _BYTES.search(text)
    return "there is not enough memory" + (f" ({asked[1]} were asked for at once)" if asked else "")


class JetadError(Exception):
    """Base of all errors that are shown to the user as one sentence (exit code 1).

    What is secret in a URL is not in its text.
    """

    exit_code = 1

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(without_secrets(x) if isinstance(x, str) else x for x in arguments))


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
