"""Trains every method that has steps on toys in double precision; the first process saves the weights.

Started by test_distributed.py, alone and by torchrun. In double precision a Metropolis step is not
decided otherwise by rounding, so that one process and several can be compared to the last digits.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from jetad.config import resolve_config
from jetad.models import METHODS, model_class
from jetad.models.fitted import FittedModel
from jetad.preprocessing import PREPROCESSORS
from jetad.ranks import Ranks, join
from jetad.registry import load
from jetad.training.loop import Trainer
from jetad.training.phases import make_phases

# not a multiple of the batch, of the number of processes, or of that of manifolds
N_TRAIN, N_VALIDATION, BATCH = 203, 41, 31
SAMPLERS = {"nae": ("omi", "pcd", "cd"), "mpdr-r": ("recovery",)}


def weights(method: str, settings: list[str], ranks: Ranks) -> dict[str, torch.Tensor]:
    info = METHODS[method]
    settings = [*settings, "training.epochs=2", f"training.batch_size={BATCH}"]
    settings += [f"training.{name}.steps=12" for name in info.phases if name in ("contrastive", "transport")]
    settings += ["training.validate_every=5", "training.log_every=2", "network.hidden=[16]"]
    representation = "features" if "features" in info.inputs else info.inputs[0]
    config = resolve_config(method=method, representation=representation, settings=settings)
    member = config.members[representation]
    shape = load(PREPROCESSORS, representation, "representation")(member.preprocessing).shape
    generator = torch.Generator().manual_seed(3)
    rows = torch.rand((N_TRAIN + N_VALIDATION, *shape), generator=generator).square()
    torch.manual_seed(0)
    model = model_class(method)(shape, member.network, member.model)
    model.fit_input(rows)
    if isinstance(model, FittedModel):
        return {}
    x = model.prepare(rows).detach()
    history: list[dict[str, float]] = []
    trainer = Trainer(
        model, make_phases(model, member.training, info.phases, N_TRAIN), x[:N_TRAIN], x[N_TRAIN:],
        member.training, seed=1, record=history.append, checkpoint=lambda state: None, ranks=ranks,
    )  # fmt: skip
    trainer.fit()
    found = dict(model.state_dict())
    found["history"] = torch.tensor([[v for k, v in sorted(line.items()) if k != "phase"] for line in history if len(line) == len(history[-2])])
    return found


def main(output: Path) -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    with join(torch.device("cpu")) as ranks:
        states = {}
        for method in METHODS:
            for kind in SAMPLERS.get(method, ("",)):
                settings = [f"training.contrastive.sampler={{kind: {kind}}}"] if kind else []
                states[f"{method} {kind}".strip()] = weights(method, settings, ranks)
        if ranks.first:
            torch.save(states, output)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
