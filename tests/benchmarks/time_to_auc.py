"""How long the default takes to find what the published loop finds, in both directions, as a ratio.

    python tests/benchmarks/time_to_auc.py qcd.h5 top.h5 [--ae-steps 1500] [--nae-steps 40] [--json FILE]

The reference of engine_speed.py (published 40 x 40 network and loop) trains on each class: an autoencoder
first, then the contrastive phase. Now and then both trainings are stopped to measure the AUC of each
against the other class; the worse of the two is the *worst direction*. Then ``jetad train`` does the
same: with ``--method ae``, which is the default up to its contrastive phase, and with the default. What is
compared is the processor time of both trainings together, start-up and calibration included, with that
of the reference up to its best worst direction; measuring does not count. One thread.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from engine_speed import ListBuffer, ReferenceNetwork, reference_step
from sklearn.metrics import roc_auc_score

import jetad
from jetad.jets import Jets
from jetad.preprocessing.images import ImageConfig, JetImages
from jetad.readers import read

BATCH = 128


def auc(background: np.ndarray, signal: np.ndarray) -> float:
    truth = np.repeat([0, 1], [len(background), len(signal)])
    return float(roc_auc_score(truth, np.concatenate([background, signal])))


def reference(
    train: torch.Tensor, tests: list[torch.Tensor], ae_steps: int, nae_steps: int
) -> Iterator[tuple[str, int, float, float]]:
    """Train; now and then the phase, its step, the processor time so far and the AUC."""
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    net = ReferenceNetwork()
    spent = 0.0

    def measure() -> float:
        with torch.no_grad():
            energies = [torch.cat([net.energy(x) for x in t.split(512)]).numpy() for t in tests]
        return auc(*energies)

    def batch() -> torch.Tensor:
        return train[torch.from_numpy(rng.integers(0, len(train), BATCH))]

    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for step in range(1, ae_steps + 1):
        started = time.process_time()
        optimizer.zero_grad()
        net.energy(batch()).mean().backward()
        optimizer.step()
        spent += time.process_time() - started
        if step % 250 == 0 or step == ae_steps:
            yield "autoencoder", step, spent, measure()
    optimizer, buffer = torch.optim.Adam(net.parameters(), lr=1e-5), ListBuffer()
    for step in range(1, nae_steps + 1):
        started = time.process_time()
        reference_step(net, optimizer, buffer, batch())
        spent += time.process_time() - started
        if step % 10 == 0 or step == nae_steps:
            yield "contrastive", step, spent, measure()


def jetad_train(method: str, background: Path, n_train: int, tests: list[Jets]) -> tuple[float, float]:
    """Processor time of ``jetad train`` on the first jets of a file, and its AUC."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "jetad", "train", "-b", str(background), "-o", f"{folder}/run"]
        command += ["--max-jets", str(n_train), "--method", method]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        scores = [jetad.load(f"{folder}/run").score(jets) for jets in tests]
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, auc(*scores)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs=2, type=Path, metavar="FILE")
    parser.add_argument("--n-train", type=int, default=12_000)
    parser.add_argument("--n-test", type=int, default=3000)
    parser.add_argument("--ae-steps", type=int, default=1500)
    parser.add_argument("--nae-steps", type=int, default=40)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)

    jets = [read([path], max_jets=args.n_train + args.n_test) for path in args.files]
    train, test = [j[: args.n_train] for j in jets], [j[args.n_train :] for j in jets]
    pixels = JetImages(ImageConfig(sigma=2.0)).transform
    train_rows, test_rows = ([torch.from_numpy(pixels(j)) for j in part] for part in (train, test))
    found = []
    for (phase, step, t0, forward), (_, _, t1, backward) in zip(
        reference(train_rows[0], test_rows, args.ae_steps, args.nae_steps),
        reference(train_rows[1], test_rows[::-1], args.ae_steps, args.nae_steps),
        strict=True,
    ):
        found.append({"phase": phase, "step": step, "time": t0 + t1, "auc": [forward, backward]})
        print(f"{phase:<12} {step:>5}  {t0 + t1:7.0f} s  AUC {forward:.3f} {backward:.3f}", flush=True)
    best = max(found, key=lambda line: min(line["auc"]))

    print(f"the reference's best worst direction: {min(best['auc']):.3f} after {best['time']:.0f} s")
    ours = {}
    for method in ("ae", "nae"):
        (t0, forward), (t1, backward) = (
            jetad_train(method, path, args.n_train, [test[k], test[1 - k]])
            for k, path in enumerate(args.files)
        )
        ours[method] = {"time": t0 + t1, "auc": [forward, backward]}
        print(
            f"{method:<12} {'':>5}  {t0 + t1:7.0f} s  AUC {forward:.3f} {backward:.3f}  "
            f"{best['time'] / (t0 + t1):.1f} times faster",
            flush=True,
        )
    if args.json is not None:
        out = {"reference": found, **ours}
        args.json.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
