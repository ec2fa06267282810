"""How far a training has come, and the one place that writes it down."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from ..calibration import BackgroundEfficiency
from ..detector import Member
from ..distributed.process_group import Ranks
from ..errors import InputError
from ..runs import Run

__all__ = ["Checkpoint", "RunWriter"]

logger = logging.getLogger("jetad.training")


@dataclasses.dataclass
class Checkpoint:
    """How far the members of a run have come; its fields are what ``checkpoint.pt`` holds.

    Arguments:
        finished: The trained members by name, each with its weights (``model``) and optimiser ``steps``.
        member: The member that was trained last.
        trainer: The state of its training; ``None`` once it has ended.
        offset: Optimiser steps of the trained members together.
    """

    finished: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    member: str = ""
    trainer: Mapping[str, Any] | None = None
    offset: int = 0

    def trainer_of(self, member: str) -> Mapping[str, Any] | None:
        """Where the training of a member goes on; ``None`` where it begins."""
        return self.trainer if member == self.member else None

    def finish(self, member: str, model: nn.Module, steps: int) -> None:
        """Note that a member is trained."""
        weights = {k: v.cpu() for k, v in model.state_dict().items()}
        self.finished[member] = {"model": weights, "steps": steps}
        self.member, self.trainer = member, None
        self.offset += steps


class RunWriter:
    """What a training writes into its run directory; only the first process does.

    Arguments:
        run: The directory.
        ranks: The processes. All of them call ``locked``, ``restore``, ``save_finished`` and ``finish``; the
            first alone calls ``record``, ``save`` and ``rewind``.
    """

    def __init__(self, run: Run, ranks: Ranks) -> None:
        self.run = run
        self.ranks = ranks
        self.checkpoint = Checkpoint()
        self.watch: Callable[[Mapping[str, Any]], None] = lambda line: None  # takes lines of the history, too

    def __repr__(self) -> str:
        return f"RunWriter({self.run.path})"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from training in this folder.

        Raises:
            OutputError: if another process does.
        """
        with contextlib.ExitStack() as stack:
            self.ranks.run_on_main(stack.enter_context, self.run.locked())
            yield

    def restore(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        state = self.ranks.run_on_main(self._restore)
        if state:
            # the file of an earlier version may hold more
            self.checkpoint = Checkpoint(**{f.name: state[f.name] for f in dataclasses.fields(Checkpoint)})

    def _restore(self) -> dict[str, Any] | None:
        """The checkpoint to go on from; the history ends where it does."""
        run = self.run
        state, problems = run.load_checkpoint()
        for problem in problems:
            logger.warning("%s", problem)
        if state:
            trainer = state["trainer"]
            run.truncate_history(int(state["offset"]) + int(trainer["total_step"] if trainer else 0))
            logger.info("going on from the checkpoint in %s", run.path)
        elif (run.path / "history.jsonl").exists():
            run.truncate_history(-1)
        return state

    def record(self, member: str, line: Mapping[str, Any]) -> None:
        """Add a line to the history; its step counts those of the members before."""
        whole = {**line, "step": self.checkpoint.offset + line["step"], "member": member}
        self.run.append_history(whole)
        self.watch(whole)

    def rewind(self, step: int) -> None:
        """Forget the history of this member after a step."""
        self.run.truncate_history(self.checkpoint.offset + step)

    def save(self, member: str, trainer: Mapping[str, Any]) -> None:
        """Write a checkpoint in the middle of a member."""
        self.run.save_checkpoint(vars(dataclasses.replace(self.checkpoint, member=member, trainer=trainer)))

    def save_finished(self, member: str, model: nn.Module, steps: int) -> None:
        """Note that a member is trained, and write a checkpoint."""
        self.checkpoint.finish(member, model, steps)
        self.ranks.run_on_main(self.run.save_checkpoint, vars(self.checkpoint))

    @contextlib.contextmanager
    def restoring(self) -> Iterator[None]:
        """Say of a checkpoint that can be read, but does not fit this training, what to do about it."""
        try:
            yield
        except (
            RuntimeError, KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError,
        ) as error:  # fmt: skip
            what = " ".join(str(error).split())[:200]
            raise InputError(
                f"{self.run.path}/checkpoint.pt: does not fit this training ({what}); "
                "remove the checkpoints there to begin again, or pass --force"
            ) from error

    def finish(
        self,
        members: Sequence[Member],
        background: BackgroundEfficiency,
        n_jets: Mapping[str, int],
        training_jets: Mapping[str, Any],
    ) -> None:
        """Write what was learned and from which jets, and mark the run as finished."""
        self.ranks.run_on_main(self._finish, members, background, n_jets, training_jets)

    def _finish(
        self,
        members: Sequence[Member],
        background: BackgroundEfficiency,
        n_jets: Mapping[str, int],
        training_jets: Mapping[str, Any],
    ) -> None:
        run = self.run
        run.save_weights({f"{m.name}.{k}": v for m in members for k, v in m.model.state_dict().items()})
        run.write_json("preprocessing.json", {m.name: m.preprocessor.to_dict() for m in members})
        run.write_calibration(
            {
                "background": background.to_dict(),
                "members": {m.name: m.surprise.to_dict() for m in members if m.surprise is not None},
                "source": "held-out part of the training files",
            }
        )
        run.finish(n_jets=dict(n_jets), processes=self.ranks.size, training_jets=dict(training_jets))
