"""How fast `jetad score` is, against the bare network and against a plain script, in one run.

    python tests/benchmarks/scoring_throughput.py RUN BACKGROUND.h5 [--jets 20000] [--processor-time]

Prints jets per second of

- *end to end*: read, image, score, write; from HDF5 and from ROOT, one process, one thread;
- *read*, *member* (from jets to energies, of each), *write*, *hash*: the steps of it, one after the other;
- *network*: the forward pass of the image member alone, on images that lie in memory, in float32, in batches
  of 128 or 512, whichever is faster;
- *plain script*: pandas, one image a jet in a Python loop, one call of the scipy filter each, the network
  jet by jet (on a thousand jets, this takes a while);

and their ratios, and the peak memory of scoring the file once and three times as long.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter

import jetad
import jetad.readers
from jetad.detector import TrainedDetector
from jetad.jets import Jets
from jetad.production import score_file
from jetad.runs import Run
from jetad.runs.provenance import file_hash
from jetad.writers import write_jets

N_PLAIN = 1000


clock = time.perf_counter


def best(repeat: int, task) -> float:
    """Shortest time of a few repetitions [s]."""
    times = []
    for _ in range(repeat):
        start = clock()
        task()
        times.append(clock() - start)
    return min(times)


def plain_script(path: Path, detector: TrainedDetector, n: int) -> np.ndarray:
    """What one writes first: a loop over jets."""
    member = detector.members[0]
    c = member.preprocessor.config
    frame = pd.read_hdf(path, key="table", start=0, stop=n)
    scores = []
    for _, row in frame.iterrows():
        p = np.array(
            [[row[f"{c}_{i}"] for c in ("E", "PX", "PY", "PZ")] for i in range(200) if f"E_{i}" in row]
        )
        p = p[p[:, 0] > 0]
        pt = np.hypot(p[:, 1], p[:, 2])
        eta, phi = np.arcsinh(p[:, 3] / pt), np.arctan2(p[:, 2], p[:, 1])
        phi = (phi - phi[0] + np.pi) % (2 * np.pi) - np.pi
        eta, phi = eta - np.average(eta, weights=pt), phi - np.average(phi, weights=pt)
        moments = np.cov(eta, phi, aweights=pt)
        major = np.linalg.eigh(moments)[1][:, 1]
        eta, phi = eta * major[1] - phi * major[0], eta * major[0] + phi * major[1]
        for axis in (eta, phi):
            if pt[axis > 0].sum() < pt[axis < 0].sum():
                axis *= -1
        half_eta, half_phi = c.n_eta * c.pixel_eta / 2, c.n_phi * c.pixel_phi / 2
        image, _, _ = np.histogram2d(
            eta,
            phi,
            bins=(c.n_eta, c.n_phi),
            range=[[-half_eta, half_eta], [-half_phi, half_phi]],
            weights=pt,
        )
        image = gaussian_filter(image / image.sum(), c.sigma, mode="reflect", truncate=4.0)
        x = torch.tensor(image[None, None], dtype=torch.float32)
        scores.append(float(member.model.score(x)))
    return np.array(scores)


def peak_memory(run: Path, path: Path, folder: Path) -> float:
    """Peak resident memory of a scoring process [MB]."""
    code = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from jetad.runs import Run; from jetad.production import score_files; from pathlib import Path\n"
        "files = {Path(sys.argv[2]): Path(sys.argv[3])}\n"
        "score_files([Run.open(sys.argv[1])], files, device='cpu', force=True)\n"
        # ru_maxrss is handed down by the parent
        "status = dict(l.split(':', 1) for l in open('/proc/self/status') if ':' in l)\n"
        "print(int(status['VmHWM'].split()[0]) / 1024)\n"
    )
    words = [sys.executable, "-c", code, str(run), str(path), str(folder / "memory.h5")]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("background", type=Path)
    parser.add_argument("--jets", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="of all threads, in the place of wall time: for a busy machine",
    )
    options = parser.parse_args()
    global clock
    clock = time.process_time if options.processor_time else time.perf_counter
    torch.set_num_threads(1)
    detector = TrainedDetector.from_run(Run.open(options.run), "cpu")
    jets = jetad.read(options.background, max_jets=options.jets)
    n = len(jets)
    image = detector.members[0]
    rows = torch.from_numpy(image.preprocessor.transform(jets[:8192]))

    def network(at_once: int) -> None:
        for part in rows.split(at_once):
            image.model.score(part)

    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_jets(jets, folder / "a.h5")
        write_jets(jets, folder / "a.root")
        write_jets(Jets.concatenate([jets] * 3), folder / "long.h5")
        for suffix in (".h5", ".root"):
            task = lambda s=suffix: score_file(  # noqa: E731
                detector, folder / f"a{s}", folder / f"out{s}", force=True
            )
            rates[f"end to end, {suffix[1:]}"] = n / best(3, task)
            rates[f"read, {suffix[1:]}"] = n / best(
                3, lambda s=suffix: [len(piece) for piece in jetad.readers.iterate(folder / f"a{s}")]
            )
            rates[f"hash, {suffix[1:]}"] = n / best(3, lambda s=suffix: file_hash(folder / f"a{s}"))
        for member in detector.members:
            rates[f"member {member.name}"] = n / best(
                3, lambda m=member: m.energies(jets, torch.device("cpu"))
            )
        scores = detector.evaluate(jets)
        rates["write, h5"] = n / best(3, lambda: scores.save(folder / "scores.h5", force=True))
        rates["write, root"] = n / best(3, lambda: scores.save(folder / "scores.root", force=True))
        rates["network"] = len(rows) / min(best(3, lambda k=k: network(k)) for k in (128, 512))
        start = clock()
        plain = plain_script(folder / "a.h5", detector, N_PLAIN)
        rates["plain script"] = N_PLAIN / (clock() - start)
        energies = image.energies(jets[:N_PLAIN], torch.device("cpu"))
        memory = [peak_memory(options.run, folder / f"{f}.h5", folder) for f in ("a", "long")]
    ratios = {
        f"{name} / {other}": rates[name] / rates[other]
        for name in ("end to end, h5", "end to end, root")
        for other in ("network", "plain script")
    }
    agreement = float(np.median(np.abs(plain / energies - 1)))
    for name, rate in rates.items():
        print(f"{name:30} {rate:12.0f} jets/s")
    for name, ratio in ratios.items():
        print(f"{name:45} {ratio:8.2f}")
    print(f"plain script and jetad agree: median relative difference of energies {agreement:.1e}")
    print(f"peak memory: {memory[0]:.0f} MB for {n} jets, {memory[1]:.0f} MB for {3 * n}")
    if options.json:
        options.json.write_text(json.dumps({"rates": rates, "ratios": ratios, "memory_mb": memory}))


if __name__ == "__main__":
    main()
