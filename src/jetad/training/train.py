"""From background files to a finished run directory, resuming where a stopped training left off."""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..calibration import BackgroundEfficiency, Surprise
from ..checks import TrainingJets
from ..config import MemberConfig, RunConfig
from ..detector import Member, TrainedDetector
from ..detector.inputs import device_rows
from ..device import select_device
from ..distributed.process_group import Ranks
from ..errors import ConfigError, InputError, JetadError, OutputError, memory_message
from ..files import refuse_inputs_inside, refuse_link
from ..interrupts import StopRequest
from ..jets import Jets
from ..models import METHODS, model_class
from ..models.fitted import FittedModel
from ..objectives import make_phases
from ..objectives.base import SignalInputs
from ..preprocessing import PREPROCESSORS
from ..readers.base import split_path
from ..readers.containers.remote import remote_url
from ..registry import load
from ..runs import Run
from ..runs.directory import unfinished_runs
from ..runs.provenance import collect_inputs, collect_provenance, file_hash
from ..samplers.compiling import check_compiler
from .data import PARTS, BackgroundParts, JetStream, class_column, class_numbers
from .loop import Trainer

__all__ = [
    "check_inputs",
    "check_no_overlap",
    "check_removal",
    "check_run_folder",
    "new_run",
    "prepare_run",
    "same_content",
    "train",
]

logger = logging.getLogger("jetad.training")

_FIT_JETS = 50_000  # enough for 60 principal components; 320 MB of images
_MONITOR_JETS = 20_000
_FIT_VALIDATION = 2048  # jets whose energies are computed at once

Progress = Callable[[str, str, int, int, Mapping[str, Any]], None]


def prepare_run(
    config: RunConfig,
    background: Sequence[Path],
    *,
    output: Path | None,
    command: list[str],
    device: str,
    force: bool = False,
    reading: Mapping[str, Any] | None = None,
    signal: Sequence[Path] = (),
    also_read: Sequence[Path] = (),
) -> Run:
    """The run directory of this training: a new one, or the unfinished one that the same command began.

    ``reading`` says how the files were read and which jets selected, where that is not the default;
    ``signal`` are the files of signal of a supervised training, ``also_read`` further files and folders that
    the command reads: what is read is never removed.

    Raises:
        ConfigError: as ``check_inputs``.
        OutputError: if ``output`` holds a finished or a different training, or is a link or holds inputs and
            would have to be removed.
    """
    check_inputs(config, background, signal)
    provenance = collect_provenance(command, list(background), config.seed, device)
    parts: list[Any] = [config.model_dump(mode="json"), [i["sha256"] for i in provenance["inputs"]]]
    if reading:
        parts.append(reading)
        provenance["reading"] = dict(reading)
    if signal:
        provenance["signal_inputs"] = collect_inputs(signal)
        parts.append([i["sha256"] for i in provenance["signal_inputs"]])
    fingerprint = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    provenance["fingerprint"] = fingerprint
    _refuse_copies(provenance["inputs"], provenance.get("signal_inputs", []))

    def same(run: Run) -> bool:
        return run.provenance.get("fingerprint") == fingerprint

    if output is None:
        folder = Path("runs")
        for run in unfinished_runs(folder):
            if same(run):
                return run
        return Run.create(new_run(config), config, provenance)
    if output.exists():
        if check_run_folder(output, force=force, same=same):
            return Run.open(output)
        check_removal(output, [*background, *signal, *also_read])
        if any(output.iterdir()):
            Run(output).remove()
    return Run.create(output, config, provenance)


def new_run(config: RunConfig) -> Path:
    """Where a training goes that is told nothing: ``runs/DATE-METHOD``, with a number where that is taken."""
    base = f"{datetime.date.today():%Y%m%d}-{config.method}"
    output, k = Path("runs") / base, 1
    while output.exists():
        k += 1
        output = Path("runs") / f"{base}-{k}"
    return output


def check_removal(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse to remove a run directory that is a link to another, or holds what the command reads.

    Raises:
        OutputError: naming the link or the input.
    """
    refuse_link(output)
    refuse_inputs_inside(output, (split_path(path)[0] for path in inputs if remote_url(path) is None))


def check_run_folder(output: Path, *, force: bool, same: Callable[[Run], bool] = lambda run: True) -> bool:
    """Whether a folder holds an unfinished training to go on with; otherwise it may be replaced.

    Raises:
        OutputError: if it holds something that must be kept.
    """
    if not output.exists():
        return False
    if not output.is_dir():
        raise OutputError(f"{output}: exists and is not a folder")
    if (output / "provenance.json").is_file():
        run, finished = Run.open(output), False
        try:
            finished = run.finished
            if not finished and same(run):
                return True
        except InputError as error:
            if not force:
                raise OutputError(
                    f"{error}; choose another --output or pass --force to replace this training"
                ) from error
        if not force:
            state = (
                "a finished training" if finished else "an unfinished training with other settings or inputs"
            )
            raise OutputError(
                f"{output}: holds {state}; choose another --output or pass --force to replace it"
            )
    elif any(output.iterdir()):
        raise OutputError(f"{output}: is a folder with other files in it; choose another --output")
    return False


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

    Raises:
        DivergedError: the last checkpoint stays.
        Interrupted: after a stop signal.
        OutputError: if another process trains in this run directory.
        JetadError: if the memory of the GPU is too small.
    """
    ranks = Ranks() if ranks is None else ranks
    try:
        with contextlib.ExitStack() as stack:

            def take() -> None:
                stack.enter_context(run.locked())

            ranks.first_does(take)
            return _train(run, background, signal, monitor or {}, device, stop, progress, ranks)
    except torch.OutOfMemoryError as error:
        raise JetadError(
            "the GPU has too little memory for this training; lower training.batch_size or data.max_jets "
            "with --set, use --device cpu, or a GPU that nobody else uses; the same command goes on from the "
            "last checkpoint"
        ) from error
    except (MemoryError, RuntimeError) as error:
        told = memory_message(error)
        if told is None:
            raise
        raise JetadError(
            f"{told} for this training; lower training.batch_size, data.max_in_memory, data.max_jets or the "
            "sizes of the network, with --set; the same command goes on from the last checkpoint"
        ) from error


def _train(
    run: Run,
    background: Jets | JetStream,
    signal: Jets | JetStream | None,
    monitor: Mapping[str, Jets],
    device: str,
    stop: StopRequest | None,
    progress: Progress | None,
    ranks: Ranks,
) -> TrainedDetector:
    config = ranks.first_does(run.config)
    where = ranks.device(select_device(device))
    if any(member.training.compile for member in config.members.values()):
        check_compiler(where)
    parts = BackgroundParts(background, config)
    signal_parts = None if signal is None else BackgroundParts(signal, config, "signal")
    n_signal = background.n_signal if isinstance(background, JetStream) else _n_labelled(background, 1)
    if n_signal:
        logger.warning(
            "%d of the %d training jets are labelled as signal; labels are ignored in training",
            n_signal,
            len(background),
        )
    if signal is not None:
        n_background = signal.n_background if isinstance(signal, JetStream) else _n_labelled(signal, 0)
        if n_background:
            logger.warning(
                "%d of the %d signal jets are labelled as background; labels are ignored in training",
                n_background, len(signal),
            )  # fmt: skip

    checkpoint = ranks.first_does(lambda: _restore(run))
    finished: dict[str, Any] = checkpoint["finished"] if checkpoint else {}
    offset = int(checkpoint["offset"]) if checkpoint else 0

    members: list[Member] = []
    seen: TrainingJets | None = None
    energies_val: dict[str, NDArray[np.float64]] = {}
    for name, member_config in config.members.items():
        member, inputs = _build_member(name, config, member_config, parts, signal_parts, where, ranks)
        seen = inputs.jets
        if name in finished:
            with _checkpoint_of(run):
                member.model.load_state_dict(finished[name]["model"])
        else:
            resume = checkpoint["trainer"] if checkpoint and checkpoint["member"] == name else None
            steps = _fit_member(
                run, member, member_config, inputs,
                seed=config.seed, method=config.method, resume=resume, offset=offset, finished=finished,
                monitor=monitor, validation=parts.sample("validation", _MONITOR_JETS), stop=stop,
                progress=progress, ranks=ranks,
            )  # fmt: skip
            finished[name] = {
                "model": {k: v.cpu() for k, v in member.model.state_dict().items()},
                "steps": steps,
            }
            offset += steps
            state = {"finished": finished, "member": name, "trainer": None, "offset": offset}
            ranks.first_does(functools.partial(run.save_checkpoint, state))
        member.model.eval().requires_grad_(False)
        energies_val[name] = np.concatenate(
            [member.energies(jets, where) for jets in parts.chunks("validation")]
        )
        members.append(member._replace(surprise=Surprise(energies_val[name])))

    detector = TrainedDetector(members, None, where)
    calibration = BackgroundEfficiency(
        np.concatenate([detector.score(jets) for jets in parts.chunks("calibration")])
    )

    def finish() -> None:
        run.save_weights({f"{m.name}.{k}": v for m in members for k, v in m.model.state_dict().items()})
        run.write_json("preprocessing.json", {m.name: m.preprocessor.to_dict() for m in members})
        run.write_calibration(
            {
                "background": calibration.to_dict(),
                "members": {m.name: m.surprise.to_dict() for m in members if m.surprise is not None},
                "source": "held-out part of the training files",
            }
        )
        run.finish(
            n_jets={part: parts.size(part) for part in PARTS},
            processes=ranks.size,
            training_jets=None if seen is None else seen.to_dict(),
        )

    ranks.first_does(finish)
    return (
        TrainedDetector.from_run(run, device) if ranks.first else TrainedDetector(members, calibration, where)
    )


def _restore(run: Run) -> dict[str, Any] | None:
    """The checkpoint to go on from, if there is one; the history ends where it does."""
    checkpoint, problems = run.load_checkpoint()
    for problem in problems:
        logger.warning("%s", problem)
    if checkpoint:
        trainer = checkpoint["trainer"]
        run.truncate_history(int(checkpoint["offset"]) + int(trainer["total_step"] if trainer else 0))
        logger.info("going on from the checkpoint in %s", run.path)
    elif (run.path / "history.jsonl").exists():
        run.truncate_history(-1)
    return checkpoint


@contextlib.contextmanager
def _checkpoint_of(run: Run) -> Iterator[None]:
    """Say of a checkpoint that can be read, but does not fit this training, what to do about it."""
    try:
        yield
    except (
        RuntimeError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        OverflowError,
    ) as error:
        what = " ".join(str(error).split())[:200]
        raise InputError(
            f"{run.path}/checkpoint.pt: does not fit this training ({what}); "
            "remove the checkpoints there to begin again, or pass --force"
        ) from error


def _n_labelled(jets: Jets, label: int) -> int:
    return 0 if jets.labels is None else int((jets.labels == label).sum())


class _MemberInputs(NamedTuple):
    """What a member is trained on."""

    train: torch.Tensor
    validation: torch.Tensor
    classes: torch.Tensor | None  # of the training inputs
    signal: SignalInputs | None
    jets: TrainingJets


def _build_member(
    name: str,
    config: RunConfig,
    member_config: MemberConfig,
    parts: BackgroundParts,
    signal: BackgroundParts | None,
    where: torch.device,
    ranks: Ranks,
) -> tuple[Member, _MemberInputs]:
    """Preprocessor and untrained network of a member, with its inputs."""
    settings = member_config.preprocessing
    some = parts.sample("train", _FIT_JETS)
    preprocessor = ranks.same(
        load(PREPROCESSORS, settings.representation, "representation")(settings).fit(some)
    )
    torch.manual_seed(config.seed)  # the weights' start
    model = model_class(config.method)(preprocessor.shape, member_config.network, member_config.model)
    rows = torch.from_numpy(preprocessor.transform(some))
    _require_variety(rows[_usable(rows)], name)
    model.fit_input(rows[_usable(rows)])
    ranks.align(model)
    model.to(where)
    member = Member(name, preprocessor, model, None)
    column = config.data.classes
    x_train, values = _inputs(member, parts, "train", where, column)
    x_val, _ = _inputs(member, parts, "validation", where)
    found, wanted = (len(x_train), len(x_val)), ranks.same((len(x_train), len(x_val)))
    if found != wanted:
        raise InputError(
            f"this process reads {found[0]} + {found[1]} background jets where the first one reads "
            f"{wanted[0]} + {wanted[1]}; all need the same files"
        )
    classes = None if column is None else torch.from_numpy(class_numbers(values, column)).to(where)
    supervised = (
        None
        if signal is None
        else SignalInputs(*(_inputs(member, signal, part, where)[0] for part in ("train", "validation")))
    )
    return member, _MemberInputs(x_train, x_val, classes, supervised, TrainingJets.of(some))


@torch.no_grad()
def _inputs(
    member: Member, parts: BackgroundParts, part: str, where: torch.device, column: str | None = None
) -> tuple[torch.Tensor, NDArray[np.float64]]:
    """Network inputs of all usable jets, and what a column says of them.

    Only one chunk of images is in memory at a time.
    """
    pieces, values = [], [np.zeros(0)]
    for jets in parts.chunks(part):
        rows = device_rows(member.preprocessor, jets, where)
        usable = _usable(rows)
        pieces.append(member.model.prepare(rows[usable]))
        if column is not None:
            values.append(class_column(jets, column)[usable.cpu().numpy()])
    x, n = torch.cat(pieces), parts.size(part)
    if len(x) < 5:
        raise InputError(
            f"nearly all {parts.kind} jets are empty or non-finite; there is nothing to train on"
        )
    if len(x) < n:
        logger.warning("%d of %d %s jets have no %s and are left out", n - len(x), n, parts.kind, member.name)
    return x, np.concatenate(values)


def _require_variety(rows: torch.Tensor, name: str) -> None:
    """Refuse background whose jets all look the same: every detector of it would call all others alike.

    Raises:
        InputError: saying what they may be.
    """
    if len(rows) < 2:
        return  # told later
    flat = rows.flatten(1)
    width = float((flat.amax(0) - flat.amin(0)).max())
    if width <= 1e-6 * float(flat.abs().max()):
        raise InputError(
            f"all {len(rows)} background jets look the same to the detector '{name}': there is nothing to "
            "learn from copies of one jet or from jets of one constituent; 'jetad inspect' shows the file"
        )


def _usable(rows: torch.Tensor) -> torch.Tensor:
    return torch.isfinite(rows.flatten(1)).all(dim=1)


@contextlib.contextmanager
def _flushed_denormals() -> Iterator[None]:
    """Denormals are zero inside: small activations and moments of Adam make them, and they are slow on CPU.

    The flag belongs to the process; leaving it set would change the arithmetic of everybody else.
    """
    already = float(torch.tensor(1e-310, dtype=torch.float64) * 1.0) == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)


def _fit_member(
    run: Run,
    member: Member,
    member_config: MemberConfig,
    inputs: _MemberInputs,
    *,
    seed: int,
    method: str,
    resume: Mapping[str, Any] | None,
    offset: int,
    finished: Mapping[str, Any],
    monitor: Mapping[str, Jets],
    validation: Jets,
    stop: StopRequest | None,
    progress: Progress | None,
    ranks: Ranks,
) -> int:
    """Train one member; returns the optimiser steps of all its phases."""
    where = inputs.train.device
    rows = {
        key: torch.from_numpy(member.preprocessor.transform(jets)).to(where) for key, jets in monitor.items()
    }
    rows_val = torch.from_numpy(member.preprocessor.transform(validation)).to(where) if monitor else None

    def watch() -> dict[str, float]:
        if rows_val is None:
            return {}
        from ..evaluation import roc_curve

        background = member.model.score(rows_val).cpu().numpy()
        return {k: roc_curve(background, member.model.score(v).cpu().numpy()).auc for k, v in rows.items()}

    def record(line: dict[str, Any]) -> None:
        run.append_history({**line, "step": offset + line["step"], "member": member.name})

    def save(state: dict[str, Any]) -> None:
        run.save_checkpoint(
            {"finished": dict(finished), "member": member.name, "trainer": state, "offset": offset}
        )

    phases = METHODS[method].phases
    if isinstance(member.model, FittedModel):
        generator = torch.Generator(where).manual_seed(seed)
        member.model.fit(inputs.train, generator, inputs.classes)
        ranks.align(member.model)
        with torch.no_grad():
            parts = [member.model.energy(x) for x in inputs.validation.split(_FIT_VALIDATION)]
        energy = float(torch.cat(parts).mean())
        line = {"step": 0, "phase": "fit", "phase_step": 0, "val_energy": energy}
        if ranks.first:
            record(line | {f"monitor_{k}": v for k, v in watch().items()})
        return 0
    trainer = Trainer(
        member.model,
        make_phases(member.model, member_config.training, phases, len(inputs.train), inputs.signal),
        inputs.train,
        inputs.validation,
        member_config.training,
        seed=seed,
        record=record,
        checkpoint=save,
        rewind=lambda step: run.truncate_history(offset + step),
        monitor=watch if monitor else None,
        progress=None if progress is None else lambda *args: progress(member.name, *args),
        ranks=ranks,
    )
    if resume is not None:
        with _checkpoint_of(run):
            trainer.load_state_dict(resume)
    with _flushed_denormals():
        trainer.fit(stop)
        member.model.settle(inputs.train)
    return trainer.total_step


def check_inputs(config: RunConfig, background: Sequence[Path], signal: Sequence[Path]) -> None:
    """Refuse to train without what the method needs, or with signal that must not enter.

    Raises:
        ConfigError: if signal or classes of the background are missing or make no sense.
    """
    info = METHODS[config.method]
    if signal and not info.signal:
        supervised = ", ".join(name for name, other in METHODS.items() if other.signal)
        raise ConfigError(
            f"--signal: no signal enters the training of method '{config.method}', only that of the "
            f"supervised reference ({supervised}); watch signal with --monitor"
        )
    if info.signal and not signal:
        raise ConfigError(
            f"method '{config.method}' is a supervised reference and trains on signal, too: give it with "
            "'jetad train --signal FILE'"
        )
    same = {os.path.realpath(p) for p in background} & {os.path.realpath(p) for p in signal}
    if same:
        raise ConfigError(f"--signal {same.pop()}: is given as background, too")
    if info.classes == "required" and config.data.classes is None:
        raise ConfigError(
            f"method '{config.method}' needs classes of the background: --set data.classes=COLUMN, or "
            "data.classes=files for one class a file; with a single class its two distances are the same "
            "and every score is zero"
        )


def check_no_overlap(background: Sequence[Path], monitor: Mapping[str, Path]) -> None:
    """Refuse to monitor a file that is trained on, or a copy of one."""
    for name, path in monitor.items():
        if any(same_content(path, other) for other in background):
            raise ConfigError(
                f"--monitor {name}={path}: is a training file; monitor jets the detector does not see"
            )


def same_content(first: Path, second: Path) -> bool:
    """Whether two names are one file, or a file and a copy of it; files on servers are known by name."""
    if str(first) == str(second):
        return True
    if remote_url(first) is not None or remote_url(second) is not None:
        return False
    (one, inside), (two, other) = split_path(first), split_path(second)
    if inside != other:
        return False
    if os.path.realpath(one) == os.path.realpath(two):
        return True
    return one.stat().st_size == two.stat().st_size and file_hash(one) == file_hash(two)


def _refuse_copies(*samples: Sequence[Mapping[str, Any]]) -> None:
    """Refuse inputs of which one is a copy of another: jets held out would be jets trained on.

    Raises:
        InputError: naming both.
    """
    known: dict[tuple[str, str | None], str] = {}
    for entry in (entry for sample in samples for entry in sample if entry["sha256"] is not None):
        content = (entry["sha256"], split_path(entry["path"])[1])
        if content in known:
            raise InputError(
                f"{entry['path']}: holds the same jets as {known[content]}, byte for byte; give one of them"
            )
        known[content] = entry["path"]
