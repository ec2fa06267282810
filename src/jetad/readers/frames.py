"""Readers of pandas frames in HDF5, one jet or event a row."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from numpy.typing import NDArray

from ..errors import InputError
from ..jets import Jets
from .containers.hdf5 import open_hdf5
from .containers.pandasframes import Frame, check_frame, choose_frame, find_frames
from .paths import reading, require_container
from .rows import RowReader

__all__ = ["FrameReader", "OpenFrame"]

PlanT = TypeVar("PlanT")


@dataclass(frozen=True)
class OpenFrame(Generic[PlanT]):
    """A frame of an open file, and what its columns are."""

    handle: Any  # h5py.File
    frame: Frame
    plan: PlanT


class FrameReader(RowReader[OpenFrame[PlanT]]):
    """Base of readers of frames: ``recognises`` says which frames are meant, ``plan`` what their columns are.

    Where a file holds several such frames, ``file.h5:key`` names one.
    """

    container = "hdf5"
    options: ClassVar[Mapping[str, Any]] = {"external": False}

    @abc.abstractmethod
    def lacks(self, path: str | Path) -> str: ...

    @abc.abstractmethod
    def recognises(self, frame: Frame) -> bool:
        """Whether a frame is of this layout."""

    @abc.abstractmethod
    def plan(self, frame: Frame) -> PlanT:
        """What the columns of a recognised frame are; InputError if something needed is missing."""

    @abc.abstractmethod
    def convert(self, blocks: dict[str, NDArray[Any]], table: OpenFrame[PlanT], first: int) -> Jets:
        """The jets of rows of the blocks, of which the first is row ``first`` of the file."""

    def not_found(self, path: str | Path, frames: list[Frame]) -> str:
        """What to say of a file in which no frame is meant."""
        return self.lacks(path)

    @contextlib.contextmanager
    def opened(self, path: str | Path) -> Iterator[OpenFrame[PlanT]]:
        with self._frames(path) as (handle, frames):
            with reading(path):
                frame = choose_frame([f for f in frames if self.recognises(f)], path)
                if frame is None:
                    raise InputError(f"{path}: {self.not_found(path, frames)}")
                check_frame(handle, frame)
                table = OpenFrame(handle, frame, self.plan(frame))
            yield table

    @contextlib.contextmanager
    def _frames(self, path: str | Path) -> Iterator[tuple[Any, list[Frame]]]:
        require_container(path, self.container, self.name)
        with open_hdf5(path, self.settings["external"]) as handle:
            yield handle, find_frames(handle, path)

    def matches(self, path: str | Path) -> bool:
        with self._frames(path) as (_, frames):
            return any(map(self.recognises, frames))

    def n_rows(self, table: OpenFrame[PlanT], path: str | Path) -> int:
        return table.frame.n_rows

    def jets(self, table: OpenFrame[PlanT], start: int, stop: int, path: str | Path) -> Jets:
        return self.convert(table.frame.rows(table.handle, start, stop), table, start)

    def contents(self, table: OpenFrame[PlanT], path: str | Path) -> dict[str, Any]:
        columns = {name: str(block.dtype) for name, (block, _) in table.frame.columns.items()}
        container = f"HDF5 (pandas {table.frame.layout})"
        return {"container": container, "dataset": table.frame.key, "columns": columns}
