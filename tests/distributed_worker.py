"""Trains every method that has steps on toys in double precision; test_distributed.py starts it by torchrun.

In double precision rounding decides no Metropolis step, so that one process and several can be compared
to the last digits.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from jetad.config import resolve_config
from jetad.distributed.process_group import Ranks, join
from jetad.errors import Interrupted
from jetad.interrupts import StopRequest
from jetad.models import METHODS, model_class
from jetad.objectives import make_phases
from jetad.objectives.base import SignalInputs
from jetad.preprocessing import PREPROCESSORS
from jetad.registry import load
from jetad.training.loop import Trainer

# no multiples of each other, of the number of processes, or of that of manifolds
N_TRAIN, N_VALIDATION, BATCH = 203, 41, 31
STEPS = 12  # of a phase; of the first one, two epochs
SAMPLERS = {"nae": ("omi", "pcd", "cd"), "mpdr-r": ("recovery",)}
SMALL = {
    "pixelcnn": ["preprocessing.n_eta=6", "preprocessing.n_phi=6"],
    "clr": ["network.latent_dim=8"],  # with more, the covariance of the few held-out jets is singular
}
CASES = [
    (method, kind)
    for method, info in METHODS.items()
    if info.phases != ("fit",)
    for kind in SAMPLERS.get(method, ("",))
]


@contextmanager
def double_precision() -> Iterator[None]:
    """Also what is drawn."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class StopAfter(StopRequest):
    """Gets a signal before the n-th look."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def __bool__(self) -> bool:
        self.n -= 1
        self.signal = signal.SIGTERM if self.n <= 0 else None
        return self.n <= 0


def trained(
    method: str,
    kind: str,
    ranks: Ranks,
    *,
    stop: StopRequest | None = None,
    resume: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Weights and history of a training, or its state where it was stopped."""
    info = METHODS[method]
    settings = [f"training.contrastive.sampler={{kind: {kind}}}"] if kind else []
    settings += [
        f"training.{name}.steps={STEPS}" for name in info.phases if name in ("contrastive", "transport")
    ]
    settings += ["training.epochs=2", f"training.batch_size={BATCH}", *SMALL.get(method, [])]
    settings += ["training.validate_every=5", "training.log_every=2"]
    representation = "features" if "features" in info.inputs else info.inputs[0]
    config = resolve_config(method=method, representation=representation, settings=settings)
    member = config.members[representation]
    shape = load(PREPROCESSORS, representation, "representation")(member.preprocessing).shape
    torch.manual_seed(3)
    rows = torch.rand(N_TRAIN + N_VALIDATION, *shape).square()
    model = model_class(method)(shape, member.network, member.model)
    model.fit_input(rows)
    x, other = model.prepare(rows).detach(), model.prepare(1 - rows).detach()
    signal = SignalInputs(other[:N_TRAIN], other[N_TRAIN:]) if info.signal else None
    history: list[dict[str, Any]] = []
    state: dict[str, Any] = {}
    trainer = Trainer(
        model, make_phases(model, member.training, info.phases, N_TRAIN, signal), x[:N_TRAIN], x[N_TRAIN:],
        member.training, seed=1, record=history.append, checkpoint=state.update, ranks=ranks,
    )  # fmt: skip
    if resume is not None:
        trainer.load_state_dict(resume)
    try:
        trainer.fit(stop)
    except Interrupted:
        return state
    return {"weights": dict(model.state_dict()), "history": history}


def main(folder: Path) -> None:
    """All methods; one stopped by a signal in the last process alone; one that a single process began."""
    torch.set_num_threads(1)
    with join(torch.device("cpu")) as ranks, double_precision():
        whole = {f"{method} {kind}": trained(method, kind, ranks) for method, kind in CASES}
        last = ranks.rank == ranks.size - 1
        stopped = trained("nae", "omi", ranks, stop=StopAfter(STEPS + 8) if last else None)
        resumed = trained("nae", "omi", ranks, resume=torch.load(folder / "alone.pt"))
        if ranks.first:
            torch.save(
                {"size": ranks.size, "whole": whole, "stopped": stopped, "resumed": resumed},
                folder / "ranks.pt",
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
