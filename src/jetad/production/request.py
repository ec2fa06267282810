"""What is asked for: which runs, which columns, which selection; and the scores of a chunk of jets by it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..calibration import flag_name
from ..detector import TrainedDetector
from ..errors import ConfigError, of_file
from ..jets import Jets, Selection
from ..scores import Scores

__all__ = ["Part", "Request", "run_names", "score_jets"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """Everything that the content of a score file depends on, besides the jets and the runs.

    Arguments:
        keep: Columns of the input to carry along.
        select: Cuts as :class:`jetad.jets.Selection` takes them; jets that fail are selected out.
        max_jets: Only so many jets of each file.
        working_points: Background efficiencies that become columns ``pass_...``.
        options: How files are read, as the functions of ``jetad.readers`` take it (``reader``).
        copy: Write a full copy of the ROOT tree with the scores as branches.
        rntuple: Write an RNTuple instead of a TTree.
        layout: ``jets`` for one row per jet, ``events`` for one row per event with lists (ROOT only).
        chunk: Jets per part, the unit of restarting and sharing.
        allow: What is refused otherwise, as :func:`jetad.checks.allowed.refuse` takes it.
    """

    keep: tuple[str, ...] = ()
    select: str | None = None
    max_jets: int | None = None
    working_points: tuple[float, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    copy: bool = False
    rntuple: bool = False
    layout: Literal["jets", "events"] = "jets"
    chunk: int = 20_000
    allow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.chunk < 1:
            raise ConfigError(f"jets per part must be at least 1, found {self.chunk}")
        if self.select is not None:
            Selection(self.select)  # a mistake is found before any file is opened
        if self.copy and (self.select or self.max_jets or self.rntuple):
            raise ConfigError(
                "--copy copies all entries of a TTree: leave out --select, --max-jets and --output-format"
            )
        if self.layout == "events" and (self.select or self.max_jets or self.copy):
            raise ConfigError(
                "--layout events holds every jet of every event: leave out --select, --max-jets and --copy"
            )
        for point in self.working_points:
            if not 0 < point < 1:
                raise ConfigError(f"--working-point {point:g}: is a background efficiency, between 0 and 1")


class Part(NamedTuple):
    """The scores of a chunk of jets with its account."""

    scores: Scores
    n_read: int
    n_selected_out: int
    n_failed: int


def run_names(names: list[str]) -> list[str]:
    """Words for columns from the names of runs, made different by a number where they are the same."""
    words: list[str] = []
    for name in names:
        word = re.sub(r"\W", "_", name)
        k, unique = 1, word
        while unique in words:
            k, unique = k + 1, f"{word}_{k + 1}"
        words.append(unique)
    return words


def score_jets(detectors: Mapping[str, TrainedDetector], jets: Jets, request: Request, source: Path) -> Part:
    """Scores of a chunk of jets as the request wants them.

    The first detector fills ``score`` and ``background_efficiency``; with several, each also has columns
    ``score_NAME`` and ``background_efficiency_NAME``.

    Event weights of the file are carried along as ``weight``.

    Raises:
        InputError: for jets whose units are not those of the training, a column to keep or cut on that the
            file does not have, or if a detector needs more of the jets than it holds.
    """
    n_read = len(jets)
    if request.select is not None:
        jets = Selection(request.select)(jets, where=str(source))
    first, *_ = detectors.values()
    for point in request.working_points:
        if first.background_efficiency is None or point < first.background_efficiency.smallest:
            smallest = 1.0 if first.background_efficiency is None else first.background_efficiency.smallest
            raise ConfigError(
                f"--working-point {point:g}: no jet can pass, the smallest background efficiency of this "
                f"calibration is {smallest:.2g}; 'jetad calibrate' on more background makes it smaller"
            )
    for detector in detectors.values():
        detector.training.check(jets, source, request.allow)
    with of_file(source):
        scores = first.evaluate(jets)
    extra: dict[str, NDArray[Any]] = dict(scores.extra)
    with of_file(source):
        extra.update({name: jets.column(name) for name in request.keep})
    if jets.weights is not None and not (request.copy or request.layout == "events"):
        extra.setdefault("weight", jets.weights)  # 'jetad roc' without them would be another result
    if len(detectors) > 1:
        for name, detector in detectors.items():
            with of_file(source):
                own = scores if detector is first else detector.evaluate(jets)
            extra[f"score_{name}"] = own.score
            extra[f"background_efficiency_{name}"] = own.background_efficiency
    for point in request.working_points:
        extra[flag_name(point)] = scores.background_efficiency <= point  # False for NaN
    clash = sorted(set(extra) & set(scores.columns()) - set(scores.extra))
    if clash:
        raise ConfigError(f"'{clash[0]}' is in every score file already; leave out --keep {clash[0]}")
    scores = dataclasses.replace(scores, extra=extra)
    failed = int(np.isnan(scores.score).sum())
    return Part(scores, n_read, n_read - len(jets), failed)
