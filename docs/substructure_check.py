"""Draw the substructure features of several samples and time each of them.

    python docs/substructure_check.py qcd=data_samples/qcd_test.h5 top=data_samples/top.h5 \
        heidelberg=data_samples/heidelberg.h5 -o substructure.png

Prints medians, the AUC of each feature alone against the first sample, and jets per second of processor time.
Needs the extra ``[simulate]`` for soft drop and N-subjettiness.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from jetad.jets import Jets
from jetad.plots.style import save, styled
from jetad.preprocessing.features import OBSERVABLES, observable
from jetad.preprocessing.substructure import CLUSTERED, PAIRWISE
from jetad.readers import read

DRAWN = {
    "soft_drop_mass": (0, 250, r"$m_\mathrm{SD}$ [GeV]"),
    "tau21": (0, 1, r"$\tau_{21}$"),
    "tau32": (0, 1, r"$\tau_{32}$"),
    "c2": (0, 0.5, r"$C_2$"),
    "d2": (0, 6, r"$D_2$"),
    "efp_d1_0": (0, 0.4, r"EFP, one edge"),
}


def auc(background: np.ndarray, signal: np.ndarray) -> float:
    """Probability that a signal jet has the larger value, ties counted half."""
    low, high = (np.searchsorted(np.sort(background), signal, side=side) for side in ("left", "right"))
    return float(np.mean(low + high)) / 2 / len(background)


@styled
def draw(samples: dict[str, dict[str, np.ndarray]]) -> Figure:
    """One panel per feature, one line per sample."""
    figure, axes = plt.subplots(2, 3, figsize=(11, 6.4), layout="constrained")
    for axis, (name, (low, high, label)) in zip(axes.flat, DRAWN.items(), strict=True):
        for sample, values in samples.items():
            axis.hist(values[name], np.linspace(low, high, 51), density=True, histtype="step", label=sample)
        axis.set(xlabel=label, ylabel="jets, normalised", xlim=(low, high))
    axes.flat[4].legend()
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("samples", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--max-jets", type=int, default=5000)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    jets: dict[str, Jets] = {}
    for text in options.samples:
        name, path = text.split("=", 1)
        jets[name] = read(path, max_jets=options.max_jets)
    samples: dict[str, dict[str, np.ndarray]] = {name: {} for name in jets}
    first = next(iter(jets))
    print(f"{'feature':18} {'jets/s':>8}  " + "  ".join(f"{name:>20}" for name in jets) + "  (median, AUC)")
    for feature in OBSERVABLES:
        times = []
        for _ in range(3):
            start = time.process_time()
            samples[first][feature] = observable(jets[first], (feature,))[:, 0]
            times.append(time.process_time() - start)
        cells = []
        for name, of_sample in samples.items():
            of_sample[feature] = observable(jets[name], (feature,))[:, 0]
            values = of_sample[feature][np.isfinite(of_sample[feature])]
            background = samples[first][feature]
            cells.append(f"{np.median(values):12.4g} {auc(background, values):7.3f}")
        print(f"{feature:18} {len(jets[first]) / min(times):8.0f}  " + "  ".join(cells), flush=True)
    for names in ((*CLUSTERED,), (*PAIRWISE,)):
        start = time.process_time()
        observable(jets[first], names)
        rate = len(jets[first]) / (time.process_time() - start)
        print(f"{', '.join(names)} together: {rate:.0f} jets/s")
    save(draw(samples), options.output, force=True)


if __name__ == "__main__":
    main()
