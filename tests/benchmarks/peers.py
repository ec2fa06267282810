"""What a user would take in the place of jetad, side by side on the same jets: speed, training, memory.

    pip install pyod weaver-core      # in an environment of its own, with jetad; what is missing is left out
    python tests/benchmarks/peers.py qcd_train.h5 qcd.h5 top.h5 [--jets 20000] [--repeat 3] [--only NAME]

Every contestant trains on the first file in one process, and then scores the second in another one:
from the file of jets to a file of scores, start of Python included, on one thread. Rates are jets a second of
processor time (user and system), the best of a few runs; wall time stands beside it. The AUC is that of
the second file against the third.

- *jetad*: ``jetad train`` and ``jetad score`` with the default.
- *pyod*, *scikit-learn*: a script that reads the table with h5py, computes six features of all jets at once
  with NumPy, and gives them to the package with its own defaults.
- *plain script*: the same as jetad's default, as one writes it first: one image a jet in a loop, principal
  components and a mixture by scikit-learn; on a tenth of the jets.
- *published loop*: the 40 x 40 network and the training loop of the normalized autoencoder, restated, on
  images by jetad; a few steps of the training are timed, and 1500 computed from them.
- *weaver-core*: the inference of its smallest ParticleNet, with random weights, on 64 constituents a jet.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

N_STEPS = 1500  # of the published loop, computed from a few


class Contestant(NamedTuple):
    """Both get paths as text; ``fit`` may say how many times longer its real training takes."""

    fit: Callable[[str, str], float | None]  # jets, model
    score: Callable[[str, str, str, int], None]  # jets, model, scores, how many
    part: float = 1.0  # of the jets, where all would take too long


# --- reading and features, as a script does ----------------------------------------------------------------


def momenta(path: str, n: int | None = None) -> np.ndarray:
    """Padded (E, px, py, pz), ``(n, 200, 4)``."""
    with h5py.File(path) as file:
        table = file["table/table"]
        return table[:n]["values_block_0"][:, :800].reshape(-1, 200, 4).astype(np.float64)


def angles(p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pt = np.hypot(p[..., 1], p[..., 2])
    eta = np.arcsinh(np.divide(p[..., 3], pt, out=np.zeros_like(pt), where=pt > 0))
    phi = np.arctan2(p[..., 2], p[..., 1])
    return pt, eta, phi


def features(path: str, n: int | None = None) -> np.ndarray:
    """Multiplicity, mass, pT, girth, pTD, largest fraction, ``(n, 6)``."""
    parts = []
    everything = momenta(path, n)
    for start in range(0, len(everything), 2000):
        p = everything[start : start + 2000]
        pt, eta, phi = angles(p)
        jet = p.sum(axis=1)
        jet_pt = np.hypot(jet[:, 1], jet[:, 2])
        jet_eta, jet_phi = np.arcsinh(jet[:, 3] / jet_pt), np.arctan2(jet[:, 2], jet[:, 1])
        mass = np.sqrt(np.maximum(jet[:, 0] ** 2 - (jet[:, 1:] ** 2).sum(axis=1), 0))
        dphi = (phi - jet_phi[:, None] + np.pi) % (2 * np.pi) - np.pi
        r = np.hypot(eta - jet_eta[:, None], dphi)
        z = pt / pt.sum(axis=1, keepdims=True)
        shape = (z * r).sum(axis=1), np.sqrt((z * z).sum(axis=1)), z.max(axis=1)
        parts.append(np.stack([(pt > 0).sum(axis=1), mass, jet_pt, *shape], axis=1))
    return np.concatenate(parts)


def save(path: str, scores: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["score"] = scores.astype(np.float32)


def dump(path: str, model: Any) -> None:
    Path(path).write_bytes(pickle.dumps(model))


def undump(path: str) -> Any:
    return pickle.loads(Path(path).read_bytes())


# --- the contestants ----------------------------------------------------------------------------------------


def by_jetad(method: str) -> Contestant:
    def command(*words: str) -> None:
        from jetad_cli.main import main as jetad

        sys.argv = ["jetad", *words]
        try:
            jetad()
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"jetad {words[0]} ended with {end.code}") from end

    return Contestant(
        lambda jets, model: command("train", "-b", jets, "-m", method, "-o", model),
        lambda jets, model, scores, n: command(
            "score", jets, "--run", model, "-o", scores, "--max-jets", str(n)
        ),
    )


def on_features(make: Callable[[], Any], score: Callable[[Any, np.ndarray], np.ndarray]) -> Contestant:
    """A detector with ``fit``, on features in units of their spread."""

    def fit(jets: str, model: str) -> None:
        x = features(jets)
        mean, std = x.mean(axis=0), x.std(axis=0)
        detector = make()
        detector.fit((x - mean) / std)
        dump(model, (mean, std, detector))

    def scored(jets: str, model: str, scores: str, n: int) -> None:
        mean, std, detector = undump(model)
        save(scores, score(detector, (features(jets, n) - mean) / std))

    return Contestant(fit, scored)


def pyod(module: str, name: str, **settings: Any) -> Contestant:
    def make() -> Any:
        detector = getattr(__import__(f"pyod.models.{module}", fromlist=[name]), name)
        return detector(**settings)

    return on_features(make, lambda detector, x: detector.decision_function(x))


def isolation_forest() -> Any:
    from sklearn.ensemble import IsolationForest

    return IsolationForest(random_state=1)


def mixture() -> Any:
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(10, random_state=1)


def plain_images(jets: str, n: int | None = None) -> np.ndarray:
    """Blurred 40 x 40 images in a loop, flat."""
    from scipy.ndimage import gaussian_filter

    images = []
    for p in momenta(jets, n):
        pt, eta, phi = angles(p[p[:, 0] > 0])
        phi = (phi - phi[0] + np.pi) % (2 * np.pi) - np.pi
        eta, phi = eta - np.average(eta, weights=pt), phi - np.average(phi, weights=pt)
        major = (
            np.linalg.eigh(np.cov(eta, phi, aweights=pt))[1][:, 1] if len(pt) > 1 else np.array([0.0, 1.0])
        )
        eta, phi = eta * major[1] - phi * major[0], eta * major[0] + phi * major[1]
        for axis in (eta, phi):
            if pt[axis > 0].sum() < pt[axis < 0].sum():
                axis *= -1
        image, _, _ = np.histogram2d(
            eta, phi, bins=40, range=[[-0.58, 0.58], [-0.7, 0.7]], weights=pt / pt.sum()
        )
        images.append(gaussian_filter(image, 2.0).ravel())
    return np.array(images)


def fit_plain(jets: str, model: str) -> None:
    from sklearn.decomposition import PCA

    images = plain_images(jets)
    components = PCA(60, whiten=True, random_state=1).fit(images)
    dump(model, (components, mixture().fit(components.transform(images))))


def score_plain(jets: str, model: str, scores: str, n: int) -> None:
    components, fitted = undump(model)
    save(scores, -fitted.score_samples(components.transform(plain_images(jets, n))))


def published_rows(jets: str, n: int | None = None) -> Any:
    import torch

    import jetad
    from jetad.preprocessing.images import ImageConfig, JetImages

    return torch.from_numpy(JetImages(ImageConfig(sigma=2.0)).transform(jetad.read(jets, max_jets=n)))


def fit_published(jets: str, model: str) -> float:
    import torch
    from engine_speed import ListBuffer, ReferenceNetwork, reference_step

    torch.manual_seed(1)
    net, buffer = ReferenceNetwork(), ListBuffer()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-5)
    rows = published_rows(jets, 4000)
    steps = 3
    start = time.process_time()
    for k in range(steps):
        reference_step(net, optimizer, buffer, rows[128 * k : 128 * (k + 1)])
    spent = time.process_time() - start
    torch.save(net.state_dict(), model)
    return spent * (N_STEPS / steps - 1)


def score_published(jets: str, model: str, scores: str, n: int) -> None:
    import torch
    from engine_speed import ReferenceNetwork

    net = ReferenceNetwork()
    rows = published_rows(jets, n)
    net.energy(rows[:2])
    net.load_state_dict(torch.load(model, weights_only=True))
    net.eval()
    with torch.no_grad():
        save(scores, torch.cat([net.energy(x) for x in rows.split(128)]).numpy())


def weaver_network() -> Any:
    import torch
    from weaver.nn.model.ParticleNet import ParticleNet

    torch.manual_seed(1)
    return ParticleNet(4, 2, conv_params=[(7, (32, 32, 32)), (7, (64, 64, 64))], fc_params=[(128, 0.1)])


def fit_weaver(jets: str, model: str) -> None:
    weaver_network()
    Path(model).touch()


def score_weaver(jets: str, model: str, scores: str, n: int) -> None:
    import torch

    net, out = weaver_network().eval(), []
    p = momenta(jets, n)[:, :64]
    with torch.no_grad():
        for start in range(0, len(p), 256):
            some = p[start : start + 256]
            pt, eta, phi = angles(some)
            mask = pt > 0
            eta, phi = eta - eta[:, :1], (phi - phi[:, :1] + np.pi) % (2 * np.pi) - np.pi
            logs = [np.log(np.where(mask, v, 1)) for v in (pt, some[..., 0])]
            points = torch.from_numpy(np.stack([eta * mask, phi * mask], axis=1)).float()
            seen = torch.from_numpy(np.stack([eta * mask, phi * mask, *logs], axis=1)).float()
            out.append(net(points, seen, torch.from_numpy(mask[:, None]).float())[:, 0])
    save(scores, torch.cat(out).numpy())


CONTESTANTS = {
    "jetad gmm (default)": by_jetad("gmm"),
    "jetad nae": by_jetad("nae"),
    "scikit-learn isolation forest": on_features(isolation_forest, lambda d, x: -d.score_samples(x)),
    "scikit-learn Gaussian mixture": on_features(mixture, lambda d, x: -d.score_samples(x)),
    "pyod isolation forest": pyod("iforest", "IForest", random_state=1),
    "pyod ECOD": pyod("ecod", "ECOD"),
    "pyod autoencoder": pyod("auto_encoder", "AutoEncoder", verbose=0, random_state=1),
    "plain script (images, PCA, mixture)": Contestant(fit_plain, score_plain, part=0.1),
    "published loop of the NAE": Contestant(fit_published, score_published, part=0.1),
    "weaver-core ParticleNet": Contestant(fit_weaver, score_weaver, part=0.1),
}
NEEDS = {"pyod": "pyod", "weaver-core": "weaver"}


# --- one process each ---------------------------------------------------------------------------------------


def work(words: list[str]) -> None:
    """In the process of a contestant: ``fit NAME JETS MODEL`` or ``score NAME JETS MODEL SCORES N``."""
    what, name, *rest = words
    contestant = CONTESTANTS[name]
    more = contestant.fit(*rest) if what == "fit" else contestant.score(*rest[:3], int(rest[3]))
    used = resource.getrusage(resource.RUSAGE_SELF)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    facts = {
        "cpu": used.ru_utime + used.ru_stime,
        "memory": int(status["VmHWM"].split()[0]) / 1024,
        "more": more or 0.0,
    }
    Path(os.environ["PEERS_FACTS"]).write_text(json.dumps(facts))


def measured(words: list[str], folder: Path) -> dict[str, float]:
    facts = folder / "facts.json"
    single = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--work", *words],
        env={**os.environ, **single, "PEERS_FACTS": str(facts)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip().splitlines()[-1:]}")
    return {**json.loads(facts.read_text()), "wall": time.perf_counter() - start}


def read_scores(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        return np.asarray(file["score"])


def compete(name: str, files: list[str], n: int, repeat: int, folder: Path) -> dict[str, float]:
    """The figures of one contestant."""
    from sklearn.metrics import roc_auc_score

    folder.mkdir()
    train, background, signal = files
    n = int(n * CONTESTANTS[name].part)
    model = str(folder / "model")
    fit = measured(["fit", name, train, model], folder)
    runs = []
    for k in range(repeat):
        words = ["score", name, background, model, str(folder / f"background{k}.h5"), str(n)]
        runs.append(measured(words, folder))
    measured(["score", name, signal, model, str(folder / "signal.h5"), str(min(n, 2000))], folder)
    scores = [read_scores(folder / f"{kind}.h5") for kind in ("background0", "signal")]
    truth = np.repeat([0, 1], [len(s) for s in scores])
    return {
        "jets": n,
        "cpu": min(run["cpu"] for run in runs),
        "wall": min(run["wall"] for run in runs),
        "memory": max(run["memory"] for run in runs),
        "train": fit["cpu"] + fit["more"],
        "train_memory": fit["memory"],
        "auc": float(roc_auc_score(truth, np.concatenate(scores))),
    }


def table(results: dict[str, dict[str, float]]) -> str:
    lines = [
        "| | jets/s, processor time | jets/s, wall time | memory [MB] | training [s, processor time] | AUC |",
        "|---|---|---|---|---|---|",
    ]
    for name, r in results.items():
        untrained = name.startswith("weaver")
        auc = "-" if untrained or name.startswith("published") else f"{r['auc']:.3f}"
        lines.append(
            f"| {name} | {r['jets'] / r['cpu']:,.0f} | {r['jets'] / r['wall']:,.0f} | {r['memory']:.0f} | "
            f"{'-' if untrained else format(r['train'], ',.1f')} | {auc} |"
        )
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "files", nargs=3, metavar="FILE", help="training, background, signal (top-tagging HDF5)"
    )
    parser.add_argument("--jets", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="a contestant; repeatable"
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as name:
        for k, contestant in enumerate(args.only or CONTESTANTS):
            package = NEEDS.get(contestant.split()[0])
            if (
                package
                and subprocess.run(
                    [sys.executable, "-c", f"import {package}"], capture_output=True
                ).returncode
            ):
                print(f"{contestant}: left out, there is no {package} here", file=sys.stderr)
                continue
            results[contestant] = compete(contestant, args.files, args.jets, args.repeat, Path(name) / str(k))
            print(table({contestant: results[contestant]}).splitlines()[-1], flush=True)
    print(f"\nload of the machine: {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores\n")
    print(table(results))
    if args.json:
        args.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
