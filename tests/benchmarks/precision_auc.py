"""What the precision of matrix products in training does to the AUC of the default detector.

    python tests/benchmarks/precision_auc.py qcd.h5 top.h5 heidelberg.h5 [--device cuda] [--seeds 1]

Trains on the first and on the second file with each ``training.precision``; scores are always in float32 or
better. On a CPU the products of dense layers are emulated: factors rounded to the bits of the format, sums in
float32.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from jetad.config import resolve_config
from jetad.evaluation import roc_curve
from jetad.readers import read
from jetad.training.train import prepare_run, train

PRECISIONS = ("float32", "tf32", "bf16")


def rounded(x: Tensor, precision: str) -> Tensor:
    """float32 numbers with the bits of another format, rounded to the nearest."""
    if precision == "bf16":
        return x.bfloat16().float()
    return ((x.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)  # 10 bits after the point


def emulated_linear(precision: str) -> Any:
    """``torch.nn.functional.linear`` with products as a GPU makes them; float64 is left alone."""
    exact = functional.linear

    class Linear(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            x, weight = rounded(x, precision), rounded(weight, precision)
            ctx.save_for_backward(x, weight)
            y = exact(x, weight, bias)
            return rounded(y, precision) if precision == "bf16" else y

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
            x, weight = ctx.saved_tensors
            g = rounded(g, precision)
            dx = g @ weight if ctx.needs_input_grad[0] else None
            return dx, g.T @ x if ctx.needs_input_grad[1] else None, g.sum(dim=0)

    return lambda x, w, b=None: Linear.apply(x, w, b) if x.dtype == torch.float32 else exact(x, w, b)


@contextmanager
def emulated(precision: str) -> Iterator[None]:
    before = functional.linear
    if precision != "float32":
        functional.linear = emulated_linear(precision)
    try:
        yield
    finally:
        functional.linear = before


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs=3, type=Path, metavar="FILE", help="QCD, top, dark shower")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--train", type=int, default=15_000, help="jets, of which 8 in 10 move weights")
    parser.add_argument("--test", type=int, default=10_000)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    torch.set_num_threads(1)
    qcd, top, dark = (read([path]) for path in args.files)
    directions = {
        "qcd": {"top": top[-args.test :], "dark": dark[: args.test]},
        "top": {"qcd": qcd[-args.test :]},
    }
    print("precision  seed   QCD -> top   top -> QCD   QCD -> dark   seconds")
    for seed in range(1, args.seeds + 1):
        for precision in PRECISIONS:
            aucs, started = {}, time.perf_counter()
            for name, jets, path in (("qcd", qcd, args.files[0]), ("top", top, args.files[1])):
                settings = list(args.settings)
                if args.device != "cpu":
                    settings.append(f"training.precision={precision}")
                config = resolve_config(method="nae", seed=seed, settings=settings)
                with tempfile.TemporaryDirectory() as folder:
                    run = prepare_run(
                        config, [path], output=Path(folder) / "run", command=["benchmark"], device=args.device
                    )
                    with emulated(precision if args.device == "cpu" else "float32"):
                        detector = train(run, jets[: args.train], device=args.device)
                background = detector.score(jets[-args.test :])
                for other, signal in directions[name].items():
                    aucs[name, other] = roc_curve(background, detector.score(signal)).auc
            numbers = [aucs["qcd", "top"], aucs["top", "qcd"], aucs["qcd", "dark"]]
            shown = "".join(f"{auc:13.4f}" for auc in numbers)
            print(f"{precision:9}{seed:6}{shown}{time.perf_counter() - started:12.0f}", flush=True)


if __name__ == "__main__":
    main()
