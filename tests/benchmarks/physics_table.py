"""AUC of methods in several directions, with seeds: trains on one class, tests on the others.

    python tests/benchmarks/physics_table.py --sample qcd=qcd.h5 --sample top=top.h5 --sample dark=dark.h5 \\
        --train qcd --train top --method nae --method ae --seeds 3 --markdown table.md

The first ``--n-train`` jets of a file train, the rest are tested. No signal enters any choice.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from jetad.config import resolve_config
from jetad.evaluation import roc_curve
from jetad.jets import Jets
from jetad.readers import read
from jetad.training.train import prepare_run, train


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--train", action="append", required=True, metavar="NAME")
    parser.add_argument("--method", action="append", default=[])
    parser.add_argument("--representation", action="append", default=[])
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--n-train", type=int, default=12_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    paths = {name: Path(path) for name, _, path in (s.partition("=") for s in args.sample)}
    jets = {name: read([path]) for name, path in paths.items()}

    lines = []
    for method in args.method or ["nae", "ae"]:
        for representation in args.representation or [None]:
            for background in args.train:
                results: dict[str, list[float]] = {}
                seconds = []
                for seed in range(1, args.seeds + 1):
                    config = resolve_config(
                        method=method, representation=representation, settings=args.settings, seed=seed
                    )
                    with tempfile.TemporaryDirectory() as folder:
                        started = time.monotonic()
                        run = prepare_run(
                            config, [paths[background]], output=Path(folder) / "run", command=[], device="cpu"
                        )
                        detector = train(run, jets[background][: args.n_train], device="cpu")
                        seconds.append(time.monotonic() - started)
                        last = [r for r in run.history() if "val_energy_neg" in r]
                    test: Jets = jets[background][args.n_train :]
                    members = {"": detector.score, **{m.name: None for m in detector.members}}
                    energies = {
                        name: detector.energies(test if name == background else j) for name, j in jets.items()
                    }
                    for member in members:
                        if member and len(detector.members) == 1:
                            continue
                        scores = {
                            n: e[member] if member else detector.combine(e) for n, e in energies.items()
                        }
                        for signal in jets:
                            if signal != background:
                                key = f"{member or 'score'}:{signal}"
                                results.setdefault(key, []).append(
                                    roc_curve(scores[background], scores[signal]).auc
                                )
                    if last:
                        gap = {r["member"]: r["val_energy_neg"] / r["val_energy"] for r in last}
                        print(
                            json.dumps({"seed": seed, "E-/E+": {k: round(v, 2) for k, v in gap.items()}}),
                            flush=True,
                        )
                for key, values in results.items():
                    lines.append(
                        f"| {method} | {representation or 'both'} | {background} -> {key} | "
                        f"{np.mean(values):.3f} ± {np.std(values):.3f} | {np.mean(seconds):.0f} |"
                    )
                    print(lines[-1], flush=True)
    header = "| method | representation | direction | AUC (mean ± spread of seeds) | training [s] |"
    table = "\n".join([header, "|---|---|---|---|---|", *lines])
    if args.markdown is not None:
        args.markdown.write_text(table + "\n")


if __name__ == "__main__":
    main()
