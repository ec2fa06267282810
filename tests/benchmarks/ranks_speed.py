"""Steps a second of one process and of several that share each batch, and where the time of several goes.

    python tests/benchmarks/ranks_speed.py
    torchrun --standalone --nproc-per-node 2 tests/benchmarks/ranks_speed.py

Numbers are of the fastest block of steps: on a machine that others use, too, the least disturbed one. The
CPU time of the first process is what a step takes undisturbed and without waiting.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from jetad.config import resolve_config
from jetad.device import select_device
from jetad.distributed import shared_batch as batches
from jetad.distributed.process_group import Ranks, join
from jetad.models import model_class
from jetad.objectives import make_phases
from jetad.preprocessing.images import JetImages
from jetad.readers import read
from jetad.training.loop import Trainer

CASES = {
    "default, batch 128": [],
    "default, batch 1024": ["training.batch_size=1024"],
    "jet40, batch 128": ["network={kind: jet40}"],
}
spent = {"talking": 0.0, "drawing": 0.0}


def clocked(function: Callable[..., Any], what: str) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = function(*args, **kwargs)
        spent[what] += time.perf_counter() - start
        return result

    return timed


def measure(
    name: str, settings: list[str], phases: tuple[str, ...], rows: torch.Tensor, args: Any, ranks: Ranks
) -> None:
    never = ["training.validate_every=1000000", "training.log_every=1000000"]
    config = resolve_config(method="nae", representation="image", settings=[*settings, *never]).members[
        "image"
    ]
    where = ranks.device(select_device(args.device))
    torch.manual_seed(1)
    model = model_class("nae")(tuple(rows.shape[1:]), config.network, config.model)
    model.fit_input(rows)
    model.to(where)
    with torch.no_grad():
        x = model.prepare(rows.to(where))
    trainer = Trainer(
        model, make_phases(model, config.training, phases, len(x)), x, x[:500], config.training,
        seed=1, record=lambda line: None, checkpoint=lambda state: None, ranks=ranks,
    )  # fmt: skip
    phase = trainer.phases[0]
    trainer._saved_at = time.monotonic()
    trainer.optimizer = trainer._new_optimizer()
    phase.start(x, x[:500])
    ranks.align(model)
    steps = args.steps if "jet40" not in name else max(1, args.steps // 10)
    best = (float("inf"), 0.0, 0.0)
    cpu = float("inf")
    for _ in range(args.blocks):
        ranks.max(0)
        spent.update(talking=0.0, drawing=0.0)
        start, busy = time.perf_counter(), time.process_time()
        for _ in range(steps):
            trainer._one_step(phase)
            ranks.max(0)
        wall = (time.perf_counter() - start) / steps
        cpu = min(cpu, (time.process_time() - busy) / steps)
        best = min(best, (wall, spent["talking"] / steps, spent["drawing"] / steps))
    if ranks.first:
        print(
            f"{ranks.size} process(es)  {name:20s} {phase.name:15s} {1 / best[0]:8.2f} steps/s  "
            f"{1e3 * best[0]:8.2f} ms a step (CPU {1e3 * cpu:8.2f}), of it "
            f"talking and waiting {1e3 * best[1]:6.2f}, drawing {1e3 * best[2]:6.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default_file = Path(__file__).parents[2] / "data_samples" / "qcd_train.h5"
    parser.add_argument("--file", type=Path, default=default_file)
    parser.add_argument("--steps", type=int, default=20, help="in a block; a tenth for the large network")
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    Ranks._call = clocked(Ranks._call, "talking")  # type: ignore[method-assign]
    batches._rows = clocked(batches._rows, "drawing")
    settings = resolve_config(method="nae", representation="image").members["image"].preprocessing
    rows = torch.from_numpy(JetImages(settings).transform(read([args.file], max_jets=4000)))
    with join(select_device(args.device)) as ranks:
        for name, case in CASES.items():
            for phases in (("reconstruction",), ("contrastive",)):
                measure(name, case, phases, rows, args, ranks)


if __name__ == "__main__":
    main()
