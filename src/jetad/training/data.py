"""Background jets in three parts, in memory or read again from their files for every pass."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..checks.jets import check_labels, remark_on_azimuth
from ..config import RunConfig
from ..errors import InputError
from ..jets import Jets, Selection
from ..jets.hashing import jet_hashes
from ..readers import ReadOptions, count, iterate, read

__all__ = [
    "BY_FILE", "BackgroundParts", "JetStream", "check_sample", "class_numbers", "n_labelled",
    "open_background",
]  # fmt: skip

logger = logging.getLogger("jetad.training")

_CHUNK = 10_000
_MAX_CLASSES = 100
_FEW = 0.01  # share of repeated jets that is worth a line

#: What ``data.classes`` says for one class per file, and the observable with the number of the file.
BY_FILE = "files"
PARTS = ("train", "validation", "calibration")


class JetStream:
    """Jets of files, read anew each time they are iterated over; only a chunk is in memory at a time.

    Their observable ``files`` is the number of the file, from 0.

    Arguments:
        paths: Files, one data set.
        select: Cuts, as :class:`~jetad.jets.Selection` takes them.
        max_jets: Stop after that many jets, counted after the selection.
        options: How files are read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        select: str | None = None,
        max_jets: int | None = None,
        options: ReadOptions | None = None,
    ) -> None:
        self.paths = list(paths)
        self.select = select
        self.max_jets = max_jets
        self.options: ReadOptions = options or {}
        self.n_signal = 0  # labelled as signal in the last pass
        self.n_background = 0  # labelled as background
        self._n: int | None = None

    def __repr__(self) -> str:
        return f"JetStream({len(self.paths)} files)"

    def __len__(self) -> int:
        if self._n is None:
            self._n = sum(len(jets) for jets in self)
            if not self._n:
                raise InputError(f"{self.paths[0]}: no jet of the background files is left to train on")
        return self._n

    def __iter__(self) -> Iterator[Jets]:
        selection = None if self.select is None else Selection(self.select)
        left = np.inf if self.max_jets is None else self.max_jets
        n_signal = n_background = 0
        for number, path in enumerate(self.paths):
            for jets in iterate(path, step=_CHUNK, **self.options):
                if selection is not None:
                    jets = selection(jets, where=str(path))
                jets = jets[: int(left)] if len(jets) > left else jets
                left -= len(jets)
                if jets.labels is not None:
                    n_signal += int((jets.labels == 1).sum())
                    n_background += int((jets.labels == 0).sum())
                files = np.full(len(jets), number)
                yield dataclasses.replace(jets, observables={**jets.observables, BY_FILE: files})
                if left <= 0:
                    break
            if left <= 0:
                break
        self.n_signal, self.n_background = n_signal, n_background
        if selection is not None and self._n is None:
            logger.info("%s", selection.flow)


class BackgroundParts:
    """Background in three parts that share no jet, at random, fixed by the seed.

    Arguments:
        jets: All of it, in memory or as a stream.
        config: Of the training.
        kind: What the jets are; signal calibrates nothing, and that part of it is empty.

    Raises:
        InputError: if a part would be too small to use.
    """

    def __init__(self, jets: Jets | JetStream, config: RunConfig, kind: str = "background") -> None:
        self.jets = jets
        self.kind = kind
        n = len(jets) if config.data.max_jets is None else min(len(jets), config.data.max_jets)
        n_val = round(n * config.data.validation_fraction)
        n_cal = round(n * config.data.calibration_fraction) if kind == "background" else 0
        if n - n_val - n_cal < 50 or n_val < 5 or (n_cal < 5 and kind == "background"):
            uses = "train, validate and calibrate" if kind == "background" else "train and validate"
            raise InputError(f"{n} {kind} jets are too few to {uses}; at least 100 are needed")
        order = np.random.default_rng(config.seed).permutation(n)
        self.rows = dict(
            zip(
                ("validation", "calibration", "train"),
                (np.sort(part) for part in np.split(order, [n_val, n_val + n_cal])),
                strict=True,
            )
        )

    def __repr__(self) -> str:
        return ", ".join(f"{len(self.rows[name])} {name}" for name in PARTS)

    def size(self, part: str) -> int:
        """Jets of a part."""
        return len(self.rows[part])

    def chunks(self, part: str) -> Iterator[Jets]:
        """The jets of a part in the order of the files, some thousand at a time."""
        return self._chosen(self.rows[part])

    def sample(self, part: str, n: int) -> Jets:
        """At most ``n`` jets of a part, spread evenly over it."""
        rows = self.rows[part]
        some = np.linspace(0, len(rows) - 1, min(len(rows), n)).round().astype(int)
        return Jets.concatenate(list(self._chosen(rows[some])))

    def _chosen(self, rows: NDArray[np.int64]) -> Iterator[Jets]:
        if isinstance(self.jets, Jets):
            for start in range(0, len(rows), _CHUNK):
                yield self.jets[rows[start : start + _CHUNK]]
            return
        first = 0
        for jets in self.jets:
            low, high = np.searchsorted(rows, [first, first + len(jets)])
            if low < high:
                yield jets[rows[low:high] - first]
            first += len(jets)
            if high == len(rows):
                return


def class_numbers(values: NDArray[np.float64], column: str) -> NDArray[np.int64]:
    """Classes counted from 0 in rising order of the values of their column, ``(n,)``.

    Raises:
        InputError: if a jet has no class, or there are too many to be classes.
    """
    missing = int((~np.isfinite(values)).sum())
    if missing:
        raise InputError(f"column '{column}' has no class for {missing} of {len(values)} background jets")
    found, numbers, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(found) > _MAX_CLASSES:
        raise InputError(
            f"column '{column}' has {len(found)} values in {len(values)} background jets; classes are at "
            f"most {_MAX_CLASSES}"
        )
    shown = ", ".join(f"{value:g}: {count}" for value, count in zip(found, counts, strict=True))
    logger.info("jets of each class of '%s': %s", column, shown)
    return numbers.astype(np.int64)


def n_labelled(jets: Jets | JetStream, label: str) -> int:
    """How many jets the files call ``background`` or ``signal``; of a stream, in its last pass."""
    if isinstance(jets, JetStream):
        return jets.n_signal if label == "signal" else jets.n_background
    return 0 if jets.labels is None else int((jets.labels == (label == "signal")).sum())


def open_background(
    paths: Sequence[Path],
    *,
    select: str | None = None,
    max_jets: int | None = None,
    options: ReadOptions | None = None,
    max_in_memory: int,
    number_files: bool = False,
) -> Jets | JetStream:
    """The jets of files: as one collection, or as a stream if the files hold more than ``max_in_memory``.

    With ``number_files`` a collection has the observable ``files``, too.

    Raises:
        InputError: if a file cannot be read, or no jet is left.
    """
    options = options or {}
    counts = [count(path, **options) for path in paths]
    n = sum(counts)
    if max_jets is not None and select is None:
        _say_what_is_left_out(paths, counts, max_jets)
    stream = JetStream(paths, select=select, max_jets=max_jets, options=options)
    if min(n, max_jets or n) > max_in_memory:
        return stream
    if number_files:
        return Jets.concatenate(stream)
    selection = None if select is None else Selection(select)
    jets = read(paths, max_jets=max_jets, select=selection, **options)
    if selection is not None:
        logger.info("%s", selection.flow)
    return jets


def check_sample(
    jets: Jets | JetStream, where: str, allow: Collection[str] = (), *, role: str = "background"
) -> None:
    """Look at what a detector will be trained on: truth, repeated jets, event weights.

    Arguments:
        jets: All of them.
        where: What holds them, for messages.
        allow: As :func:`jetad.checks.allowed.refuse` takes it.
        role: What the jets are used as, ``background`` or ``signal``.

    Raises:
        InputError: if jets are labelled as the other class and ``labels`` is not allowed.
    """
    if isinstance(jets, JetStream):
        len(jets)  # reads all of it, and counts
        check_labels(jets.n_signal, jets.n_background, where, allow, role=role)
        return
    if jets.labels is not None:
        n_signal, n_background = (int((jets.labels == value).sum()) for value in (1, 0))
        check_labels(n_signal, n_background, where, allow, role=role)
    if sentence := remark_on_azimuth(jets.jet_phi):
        logger.warning("warning: %s: %s", where, sentence)
    hashes = jet_hashes(jets)
    hashes = hashes[hashes != 0]
    n_twice = len(hashes) - len(np.unique(hashes))
    if n_twice > _FEW * len(jets):
        logger.warning(
            "warning: %s: %d of %d jets repeat an earlier one: jets held out of the training are then not "
            "unseen, and background efficiencies are too small",
            where, n_twice, len(jets),
        )  # fmt: skip
    if jets.weights is not None and np.ptp(jets.weights) > 0:
        logger.warning(
            "warning: %s: the jets have event weights; the training and its background efficiencies count "
            "every jet once ('jetad calibrate --weight weight' uses the weights)",
            where,
        )


def _say_what_is_left_out(paths: Sequence[Path], counts: Sequence[int], max_jets: int) -> None:
    """Warn of files of which no jet is read."""
    before = np.cumsum([0, *counts[:-1]])
    unread = [str(path) for path, start in zip(paths, before, strict=True) if start >= max_jets]
    if unread:
        logger.warning(
            "warning: the first %d jets are in the first %d of %d files: nothing of %s is read",
            max_jets, len(paths) - len(unread), len(paths), ", ".join(unread[:3]),
        )  # fmt: skip
