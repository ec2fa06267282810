"""The training loop of one member: steps, validation, checkpoints, divergence.

Long, because a training that goes on after a stop, or back after a divergence, restores all of its state at
once: one class holds it, and every part of the loop changes it.
"""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..config import TrainingConfig
from ..device import computing_in
from ..distributed.process_group import Ranks
from ..distributed.shared_batch import SharedGenerator, means, share
from ..errors import ConfigError, DivergedError, Interrupted
from ..interrupts import StopRequest
from ..objectives.base import Phase
from ..objectives.contrastive import detached_state
from ..samplers.compiling import compiled_chains

__all__ = ["Trainer"]

logger = logging.getLogger("jetad.training")


def _require_moments(optimizer: torch.optim.Optimizer) -> None:
    """Refuse a state of Adam that does not fit its parameters."""
    for parameter, state in optimizer.state.items():
        moments = [state.get(name) for name in ("exp_avg", "exp_avg_sq")]
        if not all(isinstance(m, Tensor) and m.shape == parameter.shape for m in moments):
            raise ValueError("its optimiser has moments of other parameters")
        if not isinstance(state.get("step"), Tensor):
            raise ValueError("its optimiser has lost the number of its steps")
    for group in optimizer.param_groups:
        for name, usual in optimizer.defaults.items():
            if name != "lr" and group.get(name, usual) != usual:
                raise ValueError(f"its optimiser has {name} = {group[name]!r:.50}, not {usual!r}")


class Trainer:
    """Runs the phases of one member on inputs that lie on the device.

    The whole state is in ``state_dict``; restored into a new trainer, training goes on as if it had
    never stopped (bit-identical on CPU).

    Where several processes train, each computes its rows of every batch and of the chains; gradients are
    summed, and everything else (weights, optimiser, generator, replay buffer, decisions) is the same in
    all of them. The state of one is the state of the training, whatever their number.

    Arguments:
        model: The detector, already fitted to its inputs.
        phases: In order.
        x_train, x_val: Background inputs ``(n, d)``; never the same jets.
        config: Batch size and frequencies.
        seed: Of batches and chains.
        record: Called with each line of the history.
        checkpoint: Called with ``state_dict()`` when it is time to save.
        rewind: Called with the step that training has gone back to after divergence.
        monitor: Called at each validation; what it returns is recorded and never used.
        progress: Called with (phase name, step, n_steps, latest record).
        ranks: The processes; the functions above are called in the first only.

    Raises:
        ConfigError: for more processes than a batch has rows.
    """

    def __init__(
        self,
        model: nn.Module,
        phases: list[Phase],
        x_train: Tensor,
        x_val: Tensor,
        config: TrainingConfig,
        *,
        seed: int,
        record: Callable[[dict[str, Any]], None],
        checkpoint: Callable[[dict[str, Any]], None],
        rewind: Callable[[int], None] = lambda step: None,
        monitor: Callable[[], Mapping[str, float]] | None = None,
        progress: Callable[[str, int, int, Mapping[str, Any]], None] | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.ranks = Ranks() if ranks is None else ranks
        rows = min(config.batch_size, len(x_train), len(x_val))
        if rows < self.ranks.size:
            raise ConfigError(
                f"{self.ranks.size} processes are too many for batches of {rows} jets; start fewer, or set "
                "training.batch_size"
            )
        self.model = model
        self.phases = phases
        self.x_train, self.x_val = x_train, x_val
        self.config, self.seed = config, seed
        self.record, self.checkpoint, self.monitor, self.progress = record, checkpoint, monitor, progress
        self.rewind = rewind
        if not self.ranks.first:
            self.record, self.rewind = lambda line: None, lambda step: None
            self.monitor = self.progress = None
        self.generator = SharedGenerator(x_train.device, self.ranks)
        self.generator.manual_seed(seed)
        self.phase_index = self.step = self.total_step = 0
        self.best: tuple[float, dict[str, Tensor]] | None = None
        self.average: dict[str, Tensor] | None = None  # of the weights, where the phase keeps one
        self.optimizer: torch.optim.Optimizer | None = None
        self.rate_factor = 1.0
        self.retries = 0  # in this phase
        self.good: dict[str, Any] | None = None  # where a diverged phase goes back to
        self._last: dict[str, Any] = {}

    # --- state ------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": {k: v.clone() for k, v in self.model.state_dict().items()},
            "phase_state": self.phases[self.phase_index].state_dict() if not self.done else {},
            "optimizer": self.optimizer.state_dict() if self.optimizer is not None else None,
            "generator": self.generator.get_state(),
            "phase": self.phase_index,
            "step": self.step,
            "total_step": self.total_step,
            "best": None if self.best is None else list(self.best),
            "average": self.average,
            "rate_factor": self.rate_factor,
            "retries": self.retries,
            "good": self.good,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        counts = [state[name] for name in ("phase", "step", "total_step", "retries")]
        if not all(type(n) is int and n >= 0 for n in counts) or counts[0] > len(self.phases):
            raise ValueError(f"its phase and steps are {counts}")
        if not 0 < state["rate_factor"] <= 1:
            raise ValueError(f"its factor of the learning rate is {state['rate_factor']}")
        self.phase_index, self.step, self.total_step = counts[:3]
        # what is needed later is tried first: nothing may turn out wrong after hours
        best, good = state["best"], state["good"]
        if best is not None:
            if type(best[0]) is not float or not math.isfinite(best[0]):
                raise ValueError(f"its best criterion is {best[0]!r:.50}")
            self._require_weights(best[1], "best")
        if state["optimizer"] is not None and good is not None:
            self._restore_parts(good)
            if type(good["step"]) is not int or not 0 <= good["step"] <= self.step:
                raise ValueError(f"the step to go back to is {good['step']!r:.50}")
        self._restore_parts(state)
        self.best = None if best is None else (best[0], best[1])
        self.rate_factor, self.retries, self.good = state["rate_factor"], state["retries"], good

    def _restore_parts(self, state: Mapping[str, Any]) -> None:
        """Weights, their average, generator, optimiser and phase, of now or of where a phase goes back to."""
        self._require_weights(state["model"], "model's")
        self.model.load_state_dict(state["model"])
        if state["average"] is not None:
            self._require_weights(state["average"], "averaged")
        self.average = self._on_device(state["average"])
        self.generator.set_state(state["generator"])
        if state["optimizer"] is not None:
            self.optimizer = self._new_optimizer()
            self.optimizer.load_state_dict(state["optimizer"])
            _require_moments(self.optimizer)
            self.phases[self.phase_index].load_state_dict(state["phase_state"])

    def _require_weights(self, weights: Any, what: str) -> None:
        """Refuse weights that are not those of this model."""
        own = self.model.state_dict()
        if not isinstance(weights, Mapping) or set(weights) != set(own):
            raise ValueError(f"its {what} weights are of another model")
        for name, value in own.items():
            if not isinstance(weights[name], Tensor) or weights[name].shape != value.shape:
                raise ValueError(f"its {what} weight '{name}' is of another model")

    @property
    def done(self) -> bool:
        return self.phase_index >= len(self.phases)

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.phases[self.phase_index].parameters(), lr=1e-3)

    def _on_device(self, state: dict[str, Tensor] | None) -> dict[str, Tensor] | None:
        if state is None:
            return None
        return {k: v.to(self.x_train.device, copy=True) for k, v in state.items()}

    def _weights(self) -> dict[str, Tensor]:
        """What is kept of the model: its weights, or their average where the phase has one."""
        return {k: v.clone() for k, v in (self.average or self.model.state_dict()).items()}

    @torch.no_grad()
    def _update_average(self, phase: Phase) -> None:
        """One step of the exponential average of the parameters; buffers are those of the model.

        The first steps count more: the average forgets where the phase began.
        """
        if phase.average is None:
            return
        current = self.model.state_dict()
        if self.average is None:
            self.average = {k: v.clone() for k, v in current.items()}
            return
        decay = min(phase.average, (1 + self.step) / (3 + self.step))
        averaged = {name for name, _ in self.model.named_parameters()}
        for name, value in current.items():
            if name in averaged:
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Inside, the model has its averaged weights, where there are any."""
        if self.average is None:
            yield
            return
        current = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        try:
            yield
        finally:
            self.model.load_state_dict(current)

    # --- the loop ---------------------------------------------------------------------------------

    def fit(self, stop: StopRequest | None = None) -> None:
        """Run what is left of all phases; the best model of the last one stays in ``model``.

        A phase that diverges goes back to its last good validation and on at half the learning rate, at
        most ``retries`` times.

        Raises:
            DivergedError: when that did not help; the model is the last good one, and a checkpoint holds it.
            Interrupted: after a stop signal, with a checkpoint saved.
        """
        self._saved_at = time.monotonic()
        while not self.done:
            phase = self.phases[self.phase_index]
            if self.optimizer is None:
                self.optimizer = self._new_optimizer()
                started = phase.start(self.x_train, self.x_val)
                self.ranks.broadcast_module(self.model)
                phase.load_state_dict(self.ranks.broadcast(phase.state_dict()))
                if started:
                    self._write(phase, started)
                self._remember()
            while self.step < phase.n_steps:
                self._one_step(phase)
                number = self.ranks.max((stop.signal or 0) if stop else 0)
                if number:
                    self.ranks.run_on_main(self._save)
                    name = signal.Signals(number).name
                    raise Interrupted(
                        f"stopped by {name} after step {self.step} of the {phase.name} phase; "
                        "a checkpoint is saved, run the same command again to go on"
                    )
            if self.best is not None:
                self.model.load_state_dict(self.best[1])
            elif self.average is not None:
                self.model.load_state_dict(self.average)
            self.phase_index += 1
            self.step, self.optimizer, self.best, self.average = 0, None, None, None
            self.rate_factor, self.retries, self.good = 1.0, 0, None

    def _save(self) -> None:
        """Save a checkpoint, in the first process."""
        self.checkpoint(self.state_dict())

    def _remember(self) -> None:
        """Keep this state as the one to go back to."""
        assert self.optimizer is not None
        self.good = detached_state(
            {
                "model": self.model.state_dict(),
                "average": self.average,
                "optimizer": self.optimizer.state_dict(),
                "phase_state": self.phases[self.phase_index].state_dict(),
                "generator": self.generator.get_state(),
                "step": self.step,
            }
        )

    def _go_back(self, phase: Phase, reason: str) -> None:
        """Return to the last good state with half the learning rate, or give up."""
        good, failed_at = self.good, self.step
        assert good is not None
        good = detached_state(good)
        self.model.load_state_dict(good["model"])
        self.average = self._on_device(good["average"])
        phase.load_state_dict(good["phase_state"])
        self.optimizer = self._new_optimizer()
        self.optimizer.load_state_dict(good["optimizer"])
        self.generator.set_state(good["generator"])
        self.step = good["step"]
        self.total_step -= failed_at - self.step
        self.retries += 1
        if self.retries > self.config.retries:
            self.ranks.run_on_main(self._save)
            where = "training" if phase.Settings is None else f"training.{phase.name}"
            raise DivergedError(
                f"training diverged at step {failed_at} of the {phase.name} phase: {reason}; "
                f"{self.config.retries} returns to the last good state, each at half the learning rate, did "
                f"not help; lower {where}.learning_rate with --set"
            )
        self.rate_factor /= 2
        logger.warning(
            "training diverged at step %d of the %s phase: %s; back to step %d with %g of the learning rate",
            failed_at, phase.name, reason, self.step, self.rate_factor,
        )  # fmt: skip
        self.rewind(self.total_step)
        self._write(phase, {"rate_factor": self.rate_factor, "retries": self.retries})

    def _one_step(self, phase: Phase) -> None:
        assert self.optimizer is not None
        rate = self.rate_factor * phase.learning_rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        x = share(self._batch(), self.generator)
        weight = self.generator.weight
        device = self.x_train.device
        with computing_in(self.config.precision, device), compiled_chains(self.config.compile):
            loss, metrics = phase.loss(x, self.generator)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.ranks.mean_gradients(parameters, weight)
        longest = math.inf if phase.max_grad_norm is None else phase.max_grad_norm
        norm = nn.utils.clip_grad_norm_(parameters, longest)
        if not math.isfinite(float(norm)):
            found = ", ".join(f"{k} = {float(v):.4g}" for k, v in metrics.items() if k.startswith("energy"))
            return self._go_back(phase, f"the gradient is no number any more ({found})")
        self.optimizer.step()
        self.step += 1
        self.total_step += 1
        self._update_average(phase)

        last = self.step == phase.n_steps
        validate = last or self.step % self.config.validate_every == 0
        if validate or self.step % self.config.log_every == 0:
            values = {"loss": loss.detach(), "learning_rate": rate, **metrics}
            line: dict[str, Any] = means(values, self.generator)
            if validate:
                with self._averaged():
                    criterion, measured = self.ranks.broadcast(phase.validate(self.x_val, self.generator))
                reason = phase.check_divergence(measured)
                if reason is not None:
                    return self._go_back(phase, reason)
                if math.isfinite(criterion) and (self.best is None or criterion < self.best[0]):
                    self.best = (criterion, self._weights())
                line |= measured
                if self.monitor is not None:
                    with self._averaged():
                        line |= {f"monitor_{k}": v for k, v in self.monitor().items()}
                self._remember()
            self._write(phase, line)
            if validate and phase.enough(measured):
                logger.info("the %s phase ends after step %d: its aim is reached", phase.name, self.step)
                self.step = phase.n_steps
        if self.progress is not None:
            self.progress(phase.name, self.step, phase.n_steps, self._last)
        due = time.monotonic() - self._saved_at >= 60 * self.config.checkpoint_minutes
        if self.ranks.first and validate and due and not last:
            self._save()
            self._saved_at = time.monotonic()

    def _batch(self) -> Tensor:
        """The batch of this step; each epoch has its own permutation, set by seed, phase and epoch alone."""
        n, b = len(self.x_train), min(self.config.batch_size, len(self.x_train))
        per_epoch = n // b
        epoch, position = divmod(self.step, per_epoch)
        key = (self.phase_index, epoch)
        if getattr(self, "_order_key", None) != key:
            # CPU, so that a run on a GPU sees the same batches
            number = (self.seed * 1_000_003 + self.phase_index) * 1_000_003 + epoch
            order = torch.Generator().manual_seed(number % (1 << 63))
            self._order = torch.randperm(n, generator=order).to(self.x_train.device)
            self._order_key = key
        return self.x_train[self._order[position * b : (position + 1) * b]]

    def _write(self, phase: Phase, values: Mapping[str, Any]) -> None:
        line = {"step": self.total_step, "phase": phase.name, "phase_step": self.step}
        line |= {k: _plain(v) for k, v in values.items()}
        self._last = line
        self.record(line)


def _plain(value: Any) -> Any:
    number = float(value)
    return float(f"{number:.7g}") if math.isfinite(number) else None
