"""One job array on a real SLURM of this machine, its tasks killed at random: is a jet lost or counted twice?

    python tests/benchmarks/array_kills.py RUN FILE [--tasks 2000] [--kill 0.2] [--jets N] [--folder DIR]

Starts the daemons of SLURM (as root; as the tests do), submits ``jetad score`` of the file in so many
parts as one array, kills running tasks with SIGKILL until a part is hit, says what ``jetad status`` says,
resubmits until all is done, merges the parts, and compares the scores with those of one command.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "batch"))
from slurm_cluster import Cluster

from jetad.scores import load_scores


def jetad(*words: object, check: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "jetad", *map(str, words)], capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise SystemExit(f"jetad {words[0]}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def running(scores: Path) -> list[int]:
    """Processes that score a part."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdigit() else []
        except OSError:
            continue
        if b"score" in words and b"--part" in words and str(scores).encode() in words:
            found.append(int(process.name))
    return found


def wait(cluster: Cluster, scores: Path, kills: int, rng: random.Random) -> int:
    """Until the queue is empty; kills some of what runs meanwhile."""
    killed = 0
    while cluster.ask("squeue", "--noheader").strip():
        victims = running(scores)
        if victims and killed < kills and rng.random() < 0.5:
            try:
                os.kill(rng.choice(victims), signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass
        time.sleep(0.3)
    return killed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--kill", type=float, default=0.2, help="part of the tasks")
    parser.add_argument("--jets", type=int, default=None)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    run, file, rng = args.run.resolve(), args.file.resolve(), random.Random(1)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        os.chdir(name)
        scores = Path(name) / "scores"
        limit = ["--max-jets", str(args.jets)] if args.jets else []
        cluster = Cluster(Path(name) / "cluster")
        try:
            cluster.start()
            os.environ["SLURM_CONF"] = str(cluster.conf)
            start = time.perf_counter()
            words = ["--parts", args.tasks, "--time", "10m", "--memory", "1500M", "--name", "array"]
            print(jetad("submit", "slurm", *words, "--", "score", file, "--run", run, "-o", scores, *limit))
            killed = wait(cluster, scores, round(args.kill * args.tasks), rng)
            print(f"{killed} tasks killed, queue empty after {time.perf_counter() - start:.0f} s")
            print(jetad("status", "jobs/array", check=False))
            rounds = 0
            while "jetad resubmit" in jetad("status", "jobs/array", check=False) and rounds < 10:
                jetad("resubmit", "jobs/array", "--force")
                wait(cluster, scores, 0, rng)
                rounds += 1
            print(f"all done after {rounds} resubmissions, {time.perf_counter() - start:.0f} s")
            print(jetad("status", "jobs/array", check=False))
        finally:
            cluster.stop_all()
        parts = sorted(scores.glob("*.part-*-of-*.h5"))
        jetad("merge", *parts, "-o", "merged.h5")
        jetad("score", file, "--run", run, "-o", "whole.h5", *limit)
        merged, whole = load_scores("merged.h5"), load_scores("whole.h5")
        assert len(parts) == args.tasks, f"{len(parts)} parts"
        np.testing.assert_array_equal(merged.entry, np.arange(len(whole)))
        np.testing.assert_array_equal(merged.score, whole.score)
        print(f"{len(merged)} jets in {len(parts)} parts: each once, scores equal to those of one command")


if __name__ == "__main__":
    main()
