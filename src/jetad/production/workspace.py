"""Finished parts of a score file that is still being made, in a hidden folder beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import secrets
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import OutputError
from ..files import atomic_output, own_folder, refuse_link
from ..files.locks import take_lock
from ..scores import COLUMNS, Scores
from .request import Part

__all__ = ["PartRange", "Workspace", "gaps"]

_PART = re.compile(r"part-\d+\.npz")
# hidden ones are not finished, or kept by a network file system
_OWN = re.compile(
    rf"lock|plan|{_PART.pattern}|merged\.\w+|\.(plan|part-\d+|merged)\.\w+\.tmp(\.\w+)?|\.nfs\w+"
)


class Workspace:
    """The folder ``.NAME.parts`` beside the output ``NAME``; each part in it is whole or not there.

    The folder belongs to one plan (inputs, runs, options). Parts of another plan are thrown away. A lock
    keeps a second process from making the same output at the same time; it ends with its process. The lock
    names the session of its holder, so that workers that have outlived theirs, perhaps on other machines,
    can tell.

    Arguments:
        output: The score file to be made.
        session: Of the holder of the lock, for a worker; ``open`` begins a new one.
    """

    def __init__(self, output: Path, session: str = "") -> None:
        self.output = output
        self.path = output.with_name(f".{output.name}.parts")
        self.session = session
        self._lock: BinaryIO | None = None

    def __repr__(self) -> str:
        return f"Workspace({self.path}, {len(self.done())} parts)"

    @property
    def exists(self) -> bool:
        return self.path.is_dir() and not self.path.is_symlink()

    def open(self, fingerprint: str, before: str | None = None) -> bool:
        """Take the folder for a plan; returns whether parts of it are there already.

        Arguments:
            fingerprint: Of the plan.
            before: Of the same plan, as an earlier version wrote it.

        Raises:
            OutputError: if another process works on it, it cannot be made, is a symbolic link, or holds
                files of somebody else.
        """
        own_folder(self.path)
        try:
            for found in self.path.iterdir():
                if not _OWN.fullmatch(found.name) or (found.is_dir() and not found.is_symlink()):
                    raise OutputError(
                        f"{self.path}: holds '{found.name}', which jetad did not make; move it elsewhere, or "
                        "choose another output"
                    )
            self._take_lock()
            plan = self.path / "plan"
            known = ""
            if plan.is_file() and not plan.is_symlink():
                known = plan.read_text(errors="replace")
            for leftover in self.path.iterdir():
                # what a killed process was writing when it ended, or parts of another plan
                stale = leftover.name.startswith((".", "merged")) or known not in (fingerprint, before)
                if (stale or leftover.is_symlink()) and leftover.name != "lock":
                    leftover.unlink()
            if known != fingerprint:
                with atomic_output(plan, force=True) as temporary:
                    temporary.write_text(fingerprint)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be used ({error.strerror or error})") from error
        return bool(self.done())

    def _take_lock(self) -> None:
        self._lock = take_lock(self.path / "lock")
        if self._lock is None:
            raise OutputError(f"{self.output}: another process is making this file now; wait for it to end")
        self.session = secrets.token_hex(8)
        self._lock.truncate(0)
        self._lock.write(self.session.encode())

    @property
    def wanted(self) -> bool:
        """Whether the holder of the lock still waits for parts of this session."""
        return self._holder() == self.session

    def _holder(self) -> str:
        try:
            return (self.path / "lock").read_text(errors="replace")
        except OSError:
            return ""

    def dismiss(self) -> None:
        """Tell the workers to stop after the part that they are at."""
        if self._lock is not None:
            self._lock.truncate(0)

    def close(self) -> None:
        """Let go of the lock and keep the parts."""
        self.dismiss()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Throw everything away that is ours."""
        if self.exists:
            with contextlib.suppress(OSError):
                for path in self.path.iterdir():
                    if _OWN.fullmatch(path.name):
                        path.unlink()
                self.path.rmdir()
        self.close()

    # --- parts -----------------------------------------------------------------------------------

    def _part(self, number: int) -> Path:
        return self.path / f"part-{number:08d}.npz"

    def done(self) -> set[int]:
        """Numbers of the parts that are there."""
        if not self.exists:
            return set()
        return {int(path.stem[5:]) for path in self.path.glob("part-*.npz") if _PART.fullmatch(path.name)}

    def save(self, number: int, part: Part) -> None:
        """Keep a part; it appears when it is complete.

        Raises:
            OutputError: if the disk refuses it, or another process has taken the folder meanwhile.
        """
        refuse_link(self.path)
        if self._holder() not in ("", self.session):
            raise OutputError(f"{self.output}: another process is making this file now")
        account = json.dumps([part.n_read, part.n_selected_out, part.n_failed])
        with atomic_output(self._part(number), force=True) as temporary, temporary.open("wb") as file:
            # prefixed: a column may have the name of an argument of savez
            columns: dict[str, Any] = {f"c_{name}": v for name, v in part.scores.columns().items()}
            np.savez(file, account=np.array(account), **columns)

    def load(self, number: int) -> Part | None:
        """A part, or ``None`` if the file is damaged; then it is removed."""
        try:
            with self._part(number).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                columns: dict[str, Any] = {name[2:]: file[name] for name in file.files if name[:2] == "c_"}
                n_read, n_selected_out, n_failed = json.loads(str(file["account"]))
            standard = {name: columns.pop(name) for name in COLUMNS}
            return Part(Scores(**standard, extra=columns), n_read, n_selected_out, n_failed)
        except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile, zlib.error):
            with contextlib.suppress(FileNotFoundError):
                self._part(number).unlink()
            return None

    def parts(self, numbers: range) -> Iterator[Part]:
        """All parts in order.

        Raises:
            OutputError: if one is damaged or gone.
        """
        for number in numbers:
            part = self.load(number)
            if part is None:
                raise OutputError(
                    f"{self.path}: part {number} is damaged; run the same command again to make it anew"
                )
            yield part


@dataclasses.dataclass(frozen=True)
class PartRange:
    """Consecutive parts ``first`` to ``last`` of one file, read in one go."""

    first: int
    last: int  # exclusive


def gaps(done: set[int], n_parts: int, longest: int) -> list[PartRange]:
    """What is missing, as ranges of at most ``longest`` parts.

    Example:
        >>> [(r.first, r.last) for r in gaps({0, 3}, 8, 3)]
        [(1, 3), (4, 7), (7, 8)]
    """
    ranges: list[PartRange] = []
    for number in range(n_parts):
        if number in done:
            continue
        if ranges and ranges[-1].last == number and number - ranges[-1].first < longest:
            ranges[-1] = PartRange(ranges[-1].first, number + 1)
        else:
            ranges.append(PartRange(number, number + 1))
    return ranges
