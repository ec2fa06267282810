"""AUC of methods in several directions, with seeds: trains on one class, tests on the others.

    python tests/benchmarks/physics_table.py --sample qcd=qcd.h5 --sample top=top.h5 --sample dark=dark.h5 \\
        --train qcd --train top --detector ae --detector nae \\
        --detector "nae-cd=nae training.contrastive.sampler.kind=cd" --results table.jsonl --markdown table.md

A detector is a method (or preset:NAME), with a label and settings where wanted. The first ``--n-train`` jets
of a file train, the rest are tested; ``--train-file top=other.h5`` trains on another file of the class.
One line of JSON per training goes to ``--results``; trainings that are there already are not repeated.
No signal enters any choice. A supervised reference is trained once for each signal, on half of its jets, and
tested on the other half.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jetad.config import resolve_config
from jetad.evaluation import roc_curve
from jetad.jets import Jets
from jetad.models import METHODS
from jetad.readers import read
from jetad.training.train import prepare_run, train


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--train", action="append", required=True, metavar="NAME")
    parser.add_argument("--train-file", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--detector", action="append", default=[], metavar="[LABEL=]METHOD [KEY=VALUE...]")
    parser.add_argument("--representation")
    parser.add_argument("--n-train", type=int, default=12_000)
    parser.add_argument("--max-test", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=Path("physics_table.jsonl"))
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    paths = pairs(args.sample)
    training_paths = {**paths, **pairs(args.train_file)}
    jets = {name: read([path], max_jets=args.n_train + args.max_test) for name, path in paths.items()}
    training = {name: read([training_paths[name]], max_jets=args.n_train) for name in args.train}

    done = (
        [json.loads(line) for line in args.results.read_text().splitlines()] if args.results.exists() else []
    )
    for seed in range(1, args.seeds + 1):
        for spec in args.detector or ["nae", "ae"]:
            label, method, settings = parse(spec)
            for background in args.train:
                key = {"detector": label, "train": background, "seed": seed}
                if any(all(row[k] == v for k, v in key.items()) for row in done):
                    continue
                preset = method.removeprefix("preset:") if method.startswith("preset:") else None
                config = resolve_config(
                    method=None if preset else method, preset=preset, settings=settings, seed=seed,
                    representation=args.representation,
                )  # fmt: skip
                separate = training_paths[background] != paths[background]
                tests = {
                    name: j[args.n_train :] if name == background and not separate else j[: args.max_test]
                    for name, j in jets.items()
                }
                supervised = METHODS[config.method].signal
                train_and_test = ceiling if supervised else one
                found = train_and_test(config, training[background], background, tests, paths)
                row = {**key, "spec": spec, **found}
                done.append(row)
                with args.results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
    table = markdown(done)
    print(table)
    if args.markdown is not None:
        args.markdown.write_text(table + "\n")


def pairs(values: list[str]) -> dict[str, Path]:
    return {name: Path(path) for name, _, path in (v.partition("=") for v in values)}


def parse(spec: str) -> tuple[str, str, list[str]]:
    """Label, method and settings of a detector."""
    first, *settings = spec.split()
    label, _, method = first.rpartition("=")
    return label or method, method, settings


def ceiling(
    config: Any, background: Jets, name: str, tests: dict[str, Jets], paths: dict[str, Path]
) -> dict[str, Any]:
    """Train on background and each of the signals; AUC against that one."""
    rows = {}
    for signal in tests:
        if signal == name:
            continue
        half = len(tests[signal]) // 2
        pair = {name: tests[name], signal: tests[signal][half:]}
        rows[signal] = one(config, background, name, pair, paths, (signal, tests[signal][:half]))
    members = next(iter(rows.values()))["auc"]
    auc = {m: {signal: row["auc"][m][signal] for signal, row in rows.items()} for m in members}
    return {"auc": auc, "seconds": sum(row["seconds"] for row in rows.values()) / len(rows), "end": {}}


def one(
    config: Any,
    background: Jets,
    name: str,
    tests: dict[str, Jets],
    paths: dict[str, Path],
    signal: tuple[str, Jets] | None = None,
) -> dict[str, Any]:
    """Train once; AUC of the score and of every member against every class."""
    files, jets = ([], None) if signal is None else ([paths[signal[0]]], signal[1])
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        run = prepare_run(
            config, [paths[name]], output=Path(folder) / "run", command=[], device="cpu", signal=files
        )
        detector = train(run, background, signal=jets, device="cpu")
        seconds = time.monotonic() - started
        history = run.history()
    energies = {k: detector.energies(j) for k, j in tests.items()}
    auc = {}
    for member in ["score", *[m.name for m in detector.members]]:
        scores = {k: detector.combine(e) if member == "score" else e[member] for k, e in energies.items()}
        auc[member] = {k: round(roc_curve(scores[name], s).auc, 5) for k, s in scores.items() if k != name}
    last = {r["member"]: r for r in history if "val_energy_neg" in r}
    ends = {k: {v: r[v] for v in ("val_energy", "val_energy_neg", "val_distance")} for k, r in last.items()}
    return {"auc": auc, "seconds": round(seconds, 1), "end": ends}


def markdown(rows: list[dict[str, Any]]) -> str:
    """One line a detector: mean and spread over the seeds of the score's AUC, and the worst direction."""
    labels = list(dict.fromkeys(row["detector"] for row in rows))
    columns = list(dict.fromkeys((row["train"], k) for row in rows for k in row["auc"]["score"]))
    lines = [
        "| detector | " + " | ".join(f"{a} → {b}" for a, b in columns) + " | time [s] | seeds |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for label in labels:
        mine = [row for row in rows if row["detector"] == label]
        cells = []
        for background, signal in columns:
            values = [row["auc"]["score"][signal] for row in mine if row["train"] == background]
            cells.append(f"{np.mean(values):.3f} ± {np.std(values):.3f}" if values else "")
        seconds = np.mean([row["seconds"] for row in mine])
        seeds = len({row["seed"] for row in mine})
        lines.append(f"| {label} | " + " | ".join(cells) + f" | {seconds:.0f} | {seeds} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
