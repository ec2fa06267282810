"""JSON files that are read again after a crash: what a full disk has torn is mended or explained.

A file of lines (one JSON object each) may end in the middle of a line, or in NUL bytes where the file system
had kept the room but lost the content. That tail is cut. Damage anywhere else is an error with a line number.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, OutputError
from . import open_own, require_plain

__all__ = ["append_line", "read_json", "read_lines", "read_object", "whole_lines"]


def whole_lines(path: str | Path) -> list[bytes]:
    """The lines that were written to their end; none if there is no such file.

    Raises:
        InputError: if the file cannot be read.
    """
    lines = _split(path)[0]
    while lines and b"\0" in lines[-1]:
        lines.pop()
    return lines


def read_lines(path: str | Path, *needed: str) -> list[dict[str, Any]]:
    """The records of a file with one JSON object a line, without a torn tail; none without the file.

    Arguments:
        path: The file.
        needed: Names that each record must have.

    Raises:
        InputError: if another line than the last is no such object.
    """
    lines, tail = _split(path)
    lines.append(tail)  # nothing, or torn, or an object that lacks its end of line alone
    while lines and not lines[-1].strip(b"\0 \t\r"):
        lines.pop()
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                break
            raise InputError(
                f"{path}: line {number} is not JSON ({_short(error)}); remove this line, or the file"
            ) from error
        if not isinstance(record, dict) or any(name not in record for name in needed):
            what = f"with {', '.join(needed)}" if needed else "of named values"
            raise InputError(f"{path}: line {number} is not a record {what}; remove this line, or the file")
        records.append(record)
    return records


def _split(path: str | Path) -> tuple[list[bytes], bytes]:
    """Lines, and what follows after the last end of line."""
    require_plain(path)
    try:
        *lines, tail = Path(path).read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], b""
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    return lines, tail


def append_line(path: str | Path, record: Mapping[str, Any]) -> None:
    """Add a record as a line; where the disk refuses it, the file is as before.

    Raises:
        OutputError: if it cannot be written.
    """
    data = json.dumps(record).encode() + b"\n"
    with open_own(path) as file:
        before = os.fstat(file.fileno()).st_size
        try:
            while data:
                data = data[file.write(data) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                file.truncate(before)
            raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def read_json(path: str | Path, advice: str = "") -> Any:
    """What a file of JSON holds.

    Arguments:
        path: The file.
        advice: What to do about a damaged one.

    Raises:
        InputError: if it cannot be read.
        FileNotFoundError: if there is none.
    """
    require_plain(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
        if not text.strip("\0 \t\r\n"):
            raise ValueError("it is empty: what was written is lost")
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({_short(error)}){_end(advice)}") from error


def read_object(path: str | Path, advice: str = "") -> dict[str, Any]:
    """The JSON object that a file holds; as ``read_json``, and an error for anything else."""
    value = read_json(path, advice)
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds {type(value).__name__} instead of named values{_end(advice)}")
    return value


def _finite(text: str) -> float:
    """A number of JSON; NaN and what overflows is none, and nothing could be written back."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no finite number")
    return number


def _end(advice: str) -> str:
    return f"; {advice}" if advice else ""


def _short(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
