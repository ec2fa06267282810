"""Does the background of 'jetad select' close on jets without signal, and is a signal found that is put in?

    python tests/benchmarks/closure.py --run RUN --background qcd.h5 [--signal w=w.h5:70,100 ...]

The background is cut in two halves. Each half calibrates (decorrelates) the score for the other one, which is
cut into toys: no jet is in two toys, and none has calibrated its own. Printed are mean and width of the pulls
of the count in each window, (observed - expected) / error, and those of all bins. Then jets of the signals
are put into the toys, so many that a significance of 1, 3 and 5 is expected, and those found are printed.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

import jetad
from jetad.calibration import DecorrelatedEfficiency
from jetad.scores import Scores
from jetad.spectra import Cut, Spectrum, select
from jetad.spectra.spectrum import significance

WINDOWS = ((70.0, 100.0), (100.0, 140.0), (150.0, 195.0))


def decorrelated(scores: Scores, calibration: DecorrelatedEfficiency) -> Scores:
    """Scores as a run with this calibration gives them."""
    p = calibration(scores.score, {"jet_mass": scores.jet_mass})
    return Scores(score=scores.score, jet_mass=scores.jet_mass, background_efficiency=p)


def spectrum(data: Scores, efficiency: float, window: tuple[float, float], **more: object) -> Spectrum:
    edges = sorted({*np.arange(20, 241, 20).tolist(), *window})
    return select(data, cut=Cut("background_efficiency", efficiency), bins=edges, window=window, **more)  # type: ignore[arg-type]


def toys_of(scores: Scores, n_toys: int, seed: int) -> list[tuple[Scores, DecorrelatedEfficiency]]:
    """Toys with the calibration that has seen none of their jets."""
    order = np.random.default_rng(seed).permutation(len(scores))
    halves = np.array_split(order, 2)
    found = []
    for own, other in (halves, halves[::-1]):
        held_out = scores[other]
        calibration = DecorrelatedEfficiency.fit(held_out.score, {"jet_mass": held_out.jet_mass}, "jet_mass")
        for rows in np.array_split(own, n_toys // 2):
            found.append((decorrelated(scores[rows], calibration), calibration))
    return found


def shown(values: list[float]) -> str:
    n = len(values)
    width = float(np.std(values, ddof=1))
    errors = width / math.sqrt(n), width / math.sqrt(2 * (n - 1))
    return f"{np.mean(values):+.2f} ± {errors[0]:.2f}, width {width:.2f} ± {errors[1]:.2f}"


def jets_for(
    strength: float, toys: list[Scores], signals: list[Scores], efficiency: float, window: tuple[float, float]
) -> int | None:
    """Signal jets before the cut for which ``strength`` is expected in the mean toy.

    What the signal adds to the estimate counts, and the errors that grow with it: ``None`` where that is
    too much for any number of jets.
    """
    found = [
        spectrum(toy, efficiency, window, signals={"s": signal}, expected={"s": 1.0})
        for toy, signal in zip(toys, signals, strict=True)
    ]
    b = np.mean([f.counts.background for f in found])
    error = math.sqrt(np.mean([f.counts.error**2 for f in found]))
    selected = np.mean([f.signals["s"].selected.total(f.inside)[0] for f in found])
    feigned = selected - np.mean([f.net("s").total(f.inside)[0] for f in found])
    n = np.arange(1, 2000)
    expected = [significance(b + k * selected, b + k * feigned, error * (1 + k * feigned / b)) for k in n]
    return int(n[np.argmax(np.array(expected) >= strength)]) if max(expected) >= strength else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True)
    parser.add_argument("--background", required=True, nargs="+")
    parser.add_argument("--signal", nargs="*", default=[], metavar="NAME=FILE:LOW,HIGH")
    parser.add_argument("--working-point", type=float, nargs="*", default=[0.1, 0.03])
    parser.add_argument("--toys", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    detector = jetad.load(options.run, device="cpu")
    background = Scores.concatenate(detector.evaluate(jetad.read(path)) for path in options.background)
    toys = toys_of(background, options.toys, options.seed)
    print(f"{len(background)} background jets, {len(toys)} toys of {len(toys[0][0])}")
    for efficiency in options.working_point:
        print(f"\nbackground efficiency {efficiency:g}")
        bins: list[float] = []
        for window in WINDOWS:
            found = [spectrum(toy, efficiency, window) for toy, _ in toys]
            observed, expected = (
                np.mean([getattr(f.counts, x) for f in found]) for x in ("observed", "background")
            )
            bins = [pull for f in found for pull in f.pulls[np.isfinite(f.pulls)]]
            pulls = shown([f.counts.pull for f in found])
            counts = f"{observed:.1f} jets, expected {expected:.1f}"
            print(f"  {window[0]:g} to {window[1]:g}: {counts}; pulls {pulls}")
        print(f"  all bins, with the last window: pulls {shown(bins)}")
        for text in options.signal:
            name, _, rest = text.partition("=")
            path, _, ends = rest.rpartition(":")
            low, high = map(float, ends.split(","))
            signal, rng = detector.evaluate(jetad.read(path)), np.random.default_rng(options.seed)
            signals = [decorrelated(signal, calibration) for _, calibration in toys]
            for strength in (1, 3, 5):
                n = jets_for(strength, [toy for toy, _ in toys], signals, efficiency, (low, high))
                if n is None or n > len(signal):
                    print(
                        f"  {name}, {strength} sigma: out of reach, the error of the estimate grows with it"
                    )
                    continue
                z = []
                for (toy, _), scored in zip(toys, signals, strict=True):
                    drawn = scored[rng.choice(len(scored), n, replace=False)]
                    data = Scores.concatenate([toy, drawn])
                    z.append(spectrum(data, efficiency, (low, high)).counts.significance)
                print(f"  {name}, {strength} sigma put in ({n} jets): found {shown(z)}")


if __name__ == "__main__":
    main()
