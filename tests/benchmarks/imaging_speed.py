"""How fast jets become images, against two plain implementations, in one run.

    python tests/benchmarks/imaging_speed.py [--jets 200000] [--constituents 50] [--processes 2] [--repeat 5]

Prints jets per second of the default images (40 x 40, unit sum, blurred), all in the same number of processes
of one thread each:

- *jetad*: ``JetImages.transform`` on all jets, 4096 at a time like the others; and the same with the two
  channels ``charged`` and ``neutral``;
- *loop*: one jet at a time with NumPy, ``histogram2d`` and the scipy filter, on a part of the jets;
- *padded*: whole arrays, jets padded with zeros to the longest one, a thousand at a time, ``np.add.at`` and
  the scipy filter, on a part of the jets; and the same padded to the 200 slots of the top-tagging format;

their ratios, how many of their images differ, and where the time of jetad goes. Times are processor times (on
an idle machine the same as wall times), the shortest of repetitions that take turns: other programs may run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.ndimage import gaussian_filter

from jetad.jets import Jets
from jetad.preprocessing.images import ImageConfig, JetImages, align

CONFIG = ImageConfig()
CHANNELS = ImageConfig(channels=("charged", "neutral"))
AT_ONCE = 4096  # jets whose images are held, as in scoring


def toy_jets(n_jets: int, mean: int, seed: int) -> Jets:
    """Jets of Poisson multiplicity, constituents falling in pT and spread around random axes."""
    rng = np.random.default_rng(seed)
    counts = np.maximum(rng.poisson(mean, n_jets), 1)
    n = int(counts.sum())
    jet = np.repeat(np.arange(n_jets), counts)
    eta = rng.uniform(-2, 2, n_jets)[jet] + rng.normal(0, 0.15, n)
    phi = rng.uniform(-np.pi, np.pi, n_jets)[jet] + rng.normal(0, 0.15, n)
    phi = (phi + np.pi) % (2 * np.pi) - np.pi
    return Jets(rng.exponential(12, n) + 0.5, eta, phi, np.zeros(n), np.concatenate([[0], np.cumsum(counts)]))


def by_loop(jets: Jets) -> np.ndarray:
    """What one writes first: a loop over jets."""
    c = CONFIG
    half_eta, half_phi = c.n_eta * c.pixel_eta / 2, c.n_phi * c.pixel_phi / 2
    images = np.zeros((len(jets), c.n_eta, c.n_phi), dtype=np.float32)
    for j in range(len(jets)):
        rows = slice(jets.offsets[j], jets.offsets[j + 1])
        pt, eta, phi = (v[rows].astype(np.float64) for v in (jets.pt, jets.eta, jets.phi))
        phi = (phi - phi[0] + np.pi) % (2 * np.pi) - np.pi
        eta, phi = eta - np.average(eta, weights=pt), phi - np.average(phi, weights=pt)
        ee, ep, pp = np.sum(pt * eta * eta), np.sum(pt * eta * phi), np.sum(pt * phi * phi)
        theta = np.pi / 2 - 0.5 * np.arctan2(2 * ep, ee - pp)
        cos, sin = np.cos(theta), np.sin(theta)
        eta, phi = eta * cos - phi * sin, eta * sin + phi * cos
        for axis in (eta, phi):
            if pt[axis > 0].sum() < pt[axis < 0].sum():
                axis *= -1
        image, _, _ = np.histogram2d(
            eta,
            phi,
            bins=(c.n_eta, c.n_phi),
            range=[[-half_eta, half_eta], [-half_phi, half_phi]],
            weights=pt,
        )
        images[j] = gaussian_filter(image / image.sum(), c.sigma, mode="reflect", truncate=4.0)
    return images


def by_padding(jets: Jets, *, slots: int | None = None, at_once: int = 1000) -> np.ndarray:
    """What one writes next: the same on arrays ``(n_jets, slots)``, zeros where there is no constituent."""
    c = CONFIG
    array, _ = jets.padded(slots or int(jets.n_constituents.max()))
    images = np.zeros((len(jets), c.n_eta, c.n_phi), dtype=np.float32)
    for start in range(0, len(jets), at_once):
        pt, eta, phi = np.moveaxis(array[start : start + at_once, :, :3], 2, 0).astype(np.float64)
        norm = pt.sum(axis=1, keepdims=True)
        phi = (phi - phi[:, :1] + np.pi) % (2 * np.pi) - np.pi
        eta = eta - (pt * eta).sum(axis=1, keepdims=True) / norm
        phi = phi - (pt * phi).sum(axis=1, keepdims=True) / norm
        ee, ep, pp = ((pt * v).sum(axis=1, keepdims=True) for v in (eta * eta, eta * phi, phi * phi))
        theta = np.pi / 2 - 0.5 * np.arctan2(2 * ep, ee - pp)
        cos, sin = np.cos(theta), np.sin(theta)
        eta, phi = eta * cos - phi * sin, eta * sin + phi * cos
        for axis in (eta, phi):
            axis *= np.where((pt * np.sign(axis)).sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
        i_eta = np.floor(eta / c.pixel_eta + c.n_eta / 2).astype(int)
        i_phi = np.floor(phi / c.pixel_phi + c.n_phi / 2).astype(int)
        inside = (i_eta >= 0) & (i_eta < c.n_eta) & (i_phi >= 0) & (i_phi < c.n_phi)
        jet = np.broadcast_to(np.arange(len(pt))[:, None], pt.shape)
        pixels = np.zeros((len(pt), c.n_eta, c.n_phi))
        np.add.at(pixels, (jet[inside], i_eta[inside], i_phi[inside]), pt[inside])
        pixels /= pixels.sum(axis=(1, 2), keepdims=True)
        images[start : start + at_once] = gaussian_filter(
            pixels, (0, c.sigma, c.sigma), mode="reflect", truncate=4.0
        )
    return images


def by_jetad(jets: Jets) -> np.ndarray:
    return JetImages(CONFIG).transform(jets)[:, 0]


def by_channels(jets: Jets) -> np.ndarray:
    return JetImages(CHANNELS).transform(jets)


def with_charges(jets: Jets) -> Jets:
    """Half of the constituents charged."""
    return dataclasses.replace(jets, charge=np.random.default_rng(2).integers(0, 2, len(jets.pt)))


def worker(make: Callable[[Jets], np.ndarray], jets: Jets, start, done) -> None:
    """Make the images as often as asked and say how long it took; the first time warms up."""
    make(jets[:1000])
    while start.get():
        begin = time.process_time()
        for first in range(0, len(jets), AT_ONCE):
            make(jets[first : first + AT_ONCE])
        done.put(time.process_time() - begin)


class Contestant:
    """One implementation, waiting in its processes with a share of the jets each."""

    def __init__(self, make: Callable[[Jets], np.ndarray], jets: Jets, processes: int) -> None:
        context = multiprocessing.get_context("fork")
        self.n, self.done = len(jets), context.Queue()
        self.starts = [context.Queue() for _ in range(processes)]
        self.best = np.inf
        for start, rows in zip(self.starts, np.array_split(np.arange(len(jets)), processes), strict=True):
            part = jets[rows]
            context.Process(target=worker, args=(make, part, start, self.done), daemon=True).start()

    def run(self) -> None:
        for start in self.starts:
            start.put(True)
        self.best = min(self.best, max(self.done.get() for _ in self.starts))

    @property
    def rate(self) -> float:
        return self.n / self.best


def stages(jets: Jets) -> dict[str, float]:
    """Microseconds a jet of the steps of ``JetImages.transform``, one process; memory is warm."""
    jets = jets[:512]
    imager, counts = JetImages(CONFIG), jets.n_constituents
    images = np.empty((len(jets), CONFIG.n_eta, CONFIG.n_phi), dtype=np.float32)
    found = imager._contents(jets)
    share = imager._shares(jets, found)
    basis = np.random.default_rng(0).normal(size=(2 * images[0].size, 60))
    project = imager.projector(basis[: images[0].size])
    channels, charged = JetImages(CHANNELS), with_charges(jets)
    project_channels = channels.projector(basis)
    assert project is not None
    assert project_channels is not None
    g_eta, _ = imager._filters

    def best(task: Callable[[], object]) -> float:
        times = []
        for _ in range(200):
            begin = time.process_time()
            task()
            times.append(time.process_time() - begin)
        return min(times) / len(jets) * 1e6

    whole, aligned = best(lambda: imager.transform(jets)), best(lambda: align(jets))
    rows = np.repeat(np.arange(len(jets)) * CONFIG.n_eta, counts) + found.i_eta
    blurred = best(lambda: imager._blur_constituents(share, rows, found.i_phi, images))
    product = best(lambda: np.matmul(g_eta, images))
    return {
        "all": whole,
        "alignment": aligned,
        "blur along phi'": blurred - product,
        "blur along eta', a matrix product": product,
        "pixel indices, sums, memory": whole - aligned - blurred,
        "60 components without images, all": best(lambda: project(jets)),
        "all, charged and neutral": best(lambda: channels.transform(charged)),
        "60 components, charged and neutral": best(lambda: project_channels(charged)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jets", type=int, default=200_000)
    parser.add_argument("--constituents", type=int, default=50)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    jets = toy_jets(options.jets, options.constituents, 1)
    some = jets[: max(options.jets // 20, 1000)]
    few = jets[: max(options.jets // 100, 500)]
    contestants = {
        "jetad": Contestant(by_jetad, jets, options.processes),
        "jetad, two channels": Contestant(by_channels, with_charges(jets), options.processes),
        "loop": Contestant(by_loop, few, options.processes),
        "padded": Contestant(by_padding, some, options.processes),
        "padded, 200 slots": Contestant(partial(by_padding, slots=200), some, options.processes),
    }
    for _ in range(options.repeat):
        for contestant in contestants.values():
            contestant.run()
    rates = {name: contestant.rate for name, contestant in contestants.items()}
    ratios = {name: rates["jetad"] / rate for name, rate in rates.items() if name != "jetad"}
    check = jets[:500]
    ours = by_jetad(check)
    # a constituent on the border of a pixel may fall to either side
    differences = {
        name: float(np.mean(np.abs(other - ours).max(axis=(1, 2)) > 1e-6))
        for name, other in (("loop", by_loop(check)), ("padded", by_padding(check)))
    }
    times = stages(jets)
    print(
        f"{options.jets} jets of {jets.n_constituents.mean():.1f} constituents, {options.processes} processes"
    )
    for name, rate in rates.items():
        print(f"{name:20} {rate:12.0f} jets/s")
    for name, ratio in ratios.items():
        print(f"jetad / {name:20} {ratio:8.1f}")
    for name, fraction in differences.items():
        print(f"images that differ from {name} by more than 1e-6: {fraction:.1%}")
    for name, value in times.items():
        print(f"{name:36} {value:6.2f} us/jet")
    if options.json:
        result = {"rates": rates, "ratios": ratios, "stages_us": times, "differences": differences}
        options.json.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
