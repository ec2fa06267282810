"""From background files to a finished run directory, resuming where a stopped training left off."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from ..calibration import BackgroundEfficiency
from ..detector import TrainedDetector
from ..device import select_device
from ..distributed.process_group import Ranks
from ..errors import JetadError, memory_message
from ..interrupts import StopRequest
from ..jets import Jets
from ..runs import Run
from ..samplers.compiling import check_compiler
from ..tracking import tracking
from .checkpoint import RunWriter
from .data import PARTS, BackgroundParts, JetStream, n_labelled
from .member import MemberTraining, Progress, Shared
from .run_folder import prepare_run

__all__ = ["prepare_run", "train"]

logger = logging.getLogger("jetad.training")


def train(
    run: Run,
    background: Jets | JetStream,
    *,
    signal: Jets | JetStream | None = None,
    monitor: Mapping[str, Jets] | None = None,
    device: str = "auto",
    stop: StopRequest | None = None,
    progress: Progress | None = None,
    ranks: Ranks | None = None,
    labels_checked: bool = False,
    track: Sequence[str] = (),
) -> TrainedDetector:
    """Train all members of a run, calibrate, and mark it finished.

    With several processes the first alone reads and writes the run directory; what it measures on the
    background (preprocessing, input layers, temperature) is what all use.

    Arguments:
        run: From ``prepare_run``; goes on from its checkpoint if there is one.
        background: Jets to train on; those that cannot be represented are left out and counted. Of a
            stream only the inputs of the networks are held in memory, not the constituents.
        signal: For a supervised method alone.
        monitor: Signal jets by name, watched in the history and never used.
        device: ``auto``, ``cpu`` or ``cuda``.
        stop: Set by a signal; training stops after the current step with a checkpoint.
        progress: Called with (member, phase, step, n_steps, latest record).
        ranks: The processes that train together; this one alone if ``None``.
        labels_checked: The caller has said what there is to say about truth labels.
        track: Programs that watch, such as ``tensorboard`` (:data:`jetad.tracking.TRACKERS`).

    Raises:
        DivergedError: the last checkpoint stays.
        Interrupted: after a stop signal.
        OutputError: if another process trains in this run directory.
        JetadError: if the memory of the GPU is too small.
    """
    ranks = ranks or Ranks()
    writer = RunWriter(run, ranks)
    with _explained_memory(), writer.locked():
        config = ranks.run_on_main(run.config)
        where = ranks.device(select_device(device))
        if any(member.training.compile for member in config.members.values()):
            check_compiler(where)
        parts = BackgroundParts(background, config)
        signal_parts = None if signal is None else BackgroundParts(signal, config, "signal")
        if not labels_checked:
            _warn_of_labels(background, "training", "signal")
            if signal is not None:
                _warn_of_labels(signal, "signal", "background")
        writer.restore()
        shared = Shared(config, parts, signal_parts, monitor or {}, where, ranks, writer, stop, progress)
        # one after the other: the inputs of one member are let go before the next are made
        members, seen = [], {}
        with tracking(run, track if ranks.first else ()) as writer.watch:
            for name in config.members:
                training = MemberTraining(name, shared)
                members.append(training.train())
                seen = training.seen.to_dict()
        detector = TrainedDetector(members, None, where)
        scores = [detector.score(jets) for jets in parts.chunks("calibration")]
        detector.background_efficiency = background_efficiency = BackgroundEfficiency(np.concatenate(scores))
        writer.finish(members, background_efficiency, {part: parts.size(part) for part in PARTS}, seen)
        return TrainedDetector.from_run(run, device) if ranks.first else detector


def _warn_of_labels(jets: Jets | JetStream, kind: str, other: str) -> None:
    """Say that some jets are labelled as what they should not be."""
    n = n_labelled(jets, other)
    if n:
        logger.warning(
            "%d of the %d %s jets are labelled as %s; labels are ignored in training",
            n,
            len(jets),
            kind,
            other,
        )


@contextlib.contextmanager
def _explained_memory() -> Iterator[None]:
    """Say what to do where the memory is too small.

    Raises:
        JetadError: instead of the error of torch or of the system.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        told = "the GPU has too little memory"
        lower = "training.batch_size or data.max_jets with --set, use --device cpu, or a GPU of your own"
        if not isinstance(error, torch.OutOfMemoryError):
            told = memory_message(error) or ""
            lower = "training.batch_size, data.max_in_memory, data.max_jets or the network, with --set"
        if not told:
            raise
        raise JetadError(
            f"{told} for this training; lower {lower}; the same command goes on from the last checkpoint"
        ) from error
