"""The training of one member: one representation of the jets with its network."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..calibration import Surprise
from ..checks.jets import TrainingJets
from ..config import RunConfig
from ..detector import Member
from ..detector.inputs import device_rows
from ..distributed.process_group import Ranks
from ..errors import InputError
from ..interrupts import StopRequest
from ..jets import Jets
from ..models import METHODS, model_class
from ..models.fitted import FittedModel
from ..objectives import make_phases
from ..objectives.base import SignalInputs
from ..preprocessing import PREPROCESSORS
from ..registry import load
from .checkpoint import RunWriter
from .data import BackgroundParts, class_numbers
from .loop import Trainer

__all__ = ["MemberTraining", "Progress", "Shared"]

logger = logging.getLogger("jetad.training")

_FIT_JETS = 50_000  # enough for 60 principal components; 320 MB of images
_MONITOR_JETS = 20_000
_FIT_VALIDATION = 2048  # jets whose energies are computed at once

Progress = Callable[[str, str, int, int, Mapping[str, Any]], None]


class Shared(NamedTuple):
    """What all members of a training have in common."""

    config: RunConfig
    background: BackgroundParts
    signal: BackgroundParts | None  # for a supervised method alone
    monitor: Mapping[str, Jets]
    device: torch.device
    ranks: Ranks
    writer: RunWriter
    stop: StopRequest | None
    progress: Progress | None


class MemberTraining:
    """One member: its preprocessor and network, made for the background, its inputs, and its training.

    Arguments:
        name: Of the member.
        shared: What it has in common with the others.

    Raises:
        InputError: if there is nothing to learn from, or processes read different jets.
    """

    def __init__(self, name: str, shared: Shared) -> None:
        self.name, self.shared = name, shared
        config, ranks = shared.config, shared.ranks
        self.config = config.members[name]
        settings = self.config.preprocessing
        some = shared.background.sample("train", _FIT_JETS)
        self.seen = TrainingJets.of(some)
        preprocessor = ranks.broadcast(
            load(PREPROCESSORS, settings.representation, "representation")(settings).fit(some)
        )
        torch.manual_seed(config.seed)  # the weights' start
        model = model_class(config.method)(preprocessor.shape, self.config.network, self.config.model)
        rows = torch.from_numpy(preprocessor.transform(some))
        _require_variety(rows[_usable(rows)], name)
        model.fit_input(rows[_usable(rows)])
        ranks.broadcast_module(model)
        model.to(shared.device)
        self.member = Member(name, preprocessor, model, None)
        column = config.data.classes
        self.x_train, values = self._inputs(shared.background, "train", column)
        self.x_val, _ = self._inputs(shared.background, "validation")
        found, wanted = (
            (len(self.x_train), len(self.x_val)),
            ranks.broadcast((len(self.x_train), len(self.x_val))),
        )
        if found != wanted:
            raise InputError(
                f"this process reads {found[0]} + {found[1]} background jets where the first one reads "
                f"{wanted[0]} + {wanted[1]}; all need the same files"
            )
        self.classes = (
            None if column is None else torch.from_numpy(class_numbers(values, column)).to(shared.device)
        )
        self.signal = (
            None
            if shared.signal is None
            else SignalInputs(*(self._inputs(shared.signal, part)[0] for part in ("train", "validation")))
        )

    def __repr__(self) -> str:
        return f"MemberTraining('{self.name}', {len(self.x_train)} + {len(self.x_val)} jets)"

    def train(self) -> Member:
        """Train, or go on, or take what an earlier call has trained.

        Returns:
            The member, with the scale that its energies have on held-out background.
        """
        shared, model = self.shared, self.member.model
        finished = shared.writer.checkpoint.finished
        if self.name in finished:
            with shared.writer.restoring():
                model.load_state_dict(finished[self.name]["model"])
        else:
            steps = self._fit_closed_form() if isinstance(model, FittedModel) else self._fit()
            shared.writer.save_finished(self.name, model, steps)
        model.eval().requires_grad_(False)
        energies = [
            self.member.energies(jets, shared.device) for jets in shared.background.chunks("validation")
        ]
        return self.member._replace(surprise=Surprise(np.concatenate(energies)))

    def _fit(self) -> int:
        """Run the phases of the method; returns their optimiser steps."""
        shared, model = self.shared, self.member.model
        if shared.monitor:
            self._prepare_watching()
        phases = METHODS[shared.config.method].phases
        trainer = Trainer(
            model,
            make_phases(model, self.config.training, phases, len(self.x_train), self.signal),
            self.x_train,
            self.x_val,
            self.config.training,
            seed=shared.config.seed,
            record=self._record,
            checkpoint=self._save,
            rewind=shared.writer.rewind,
            monitor=self._watch if shared.monitor else None,
            progress=None if shared.progress is None else self._progress,
            ranks=shared.ranks,
        )
        state = shared.writer.checkpoint.trainer_of(self.name)
        if state is not None:
            with shared.writer.restoring():
                trainer.load_state_dict(state)
        with _flushed_denormals():
            trainer.fit(shared.stop)
            model.finalize(self.x_train)
        return trainer.total_step

    def _fit_closed_form(self) -> int:
        """Fit a model that has no steps."""
        shared, model = self.shared, self.member.model
        assert isinstance(model, FittedModel)
        generator = torch.Generator(shared.device).manual_seed(shared.config.seed)
        model.fit(self.x_train, generator, self.classes)
        shared.ranks.broadcast_module(model)
        with torch.no_grad():
            energy = float(torch.cat([model.energy(x) for x in self.x_val.split(_FIT_VALIDATION)]).mean())
        if shared.ranks.first:
            line = {"step": 0, "phase": "fit", "phase_step": 0, "val_energy": energy}
            if shared.monitor:
                self._prepare_watching()
                line |= {f"monitor_{k}": v for k, v in self._watch().items()}
            self._record(line)
        return 0

    # --- what the loop calls, in the first process ---------------------------------------------------

    def _record(self, line: Mapping[str, Any]) -> None:
        self.shared.writer.record(self.name, line)

    def _save(self, state: Mapping[str, Any]) -> None:
        self.shared.writer.save(self.name, state)

    def _progress(self, phase: str, step: int, n_steps: int, latest: Mapping[str, Any]) -> None:
        assert self.shared.progress is not None
        self.shared.progress(self.name, phase, step, n_steps, latest)

    def _prepare_watching(self) -> None:
        """The rows of the watched jets, and of background to compare them with."""
        validation = self.shared.background.sample("validation", _MONITOR_JETS)
        self._watched = {name: self._rows(jets) for name, jets in self.shared.monitor.items()}
        self._watched_background = self._rows(validation)

    def _rows(self, jets: Jets) -> torch.Tensor:
        return torch.from_numpy(self.member.preprocessor.transform(jets)).to(self.shared.device)

    def _watch(self) -> dict[str, float]:
        """AUC of each kind of watched jets."""
        from ..evaluation import roc_curve

        score = self.member.model.score
        background = score(self._watched_background).cpu().numpy()
        return {k: roc_curve(background, score(v).cpu().numpy()).auc for k, v in self._watched.items()}

    # --- inputs --------------------------------------------------------------------------------------

    @torch.no_grad()
    def _inputs(
        self, parts: BackgroundParts, part: str, column: str | None = None
    ) -> tuple[torch.Tensor, NDArray[np.float64]]:
        """Network inputs of all usable jets, and what a column says of them.

        Only one chunk of images is in memory at a time.
        """
        pieces, values = [], [np.zeros(0)]
        for jets in parts.chunks(part):
            rows = device_rows(self.member.preprocessor, jets, self.shared.device)
            usable = _usable(rows)
            pieces.append(self.member.model.prepare(rows[usable]))
            if column is not None:
                found = jets.column(column, " of classes")
                values.append(found.astype(np.float64)[usable.cpu().numpy()])
        x, n = torch.cat(pieces), parts.size(part)
        if len(x) < 5:
            raise InputError(
                f"nearly all {parts.kind} jets are empty or non-finite; there is nothing to train on"
            )
        if len(x) < n:
            logger.warning(
                "%d of %d %s jets have no %s and are left out", n - len(x), n, parts.kind, self.name
            )
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
