"""Check simulated samples against a background: means, what pT and mass alone tell, and the ceiling.

    python docs/simulation_check.py data_samples/qcd_test.h5 data_samples/top.h5 data_samples/heidelberg.h5

The ceiling is the AUC of boosted trees trained with truth on substructure variables: no unsupervised
detector should be expected above it. Errors are Hanley-McNeil standard deviations. Needs the extra
``[simulate]`` for N-subjettiness.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jetad.jets import Jets
from jetad.jets.kinematics import cartesian, delta_r
from jetad.readers import read

VARIABLES = [
    "mass/pt", "constituents", "girth", "pTD", "LHA", "C2", "D2", "tau21", "tau32", "z1", "z2", "z3",
]  # fmt: skip
N_HARDEST = 80  # constituents used for energy correlators


def substructure(jets: Jets) -> NDArray[np.float64]:
    """The variables of the table in `VARIABLES`, ``(n_jets, 12)``; NaN where a ratio is not defined."""
    parts = [_substructure(jets[start : start + 1000]) for start in range(0, len(jets), 1000)]
    return np.concatenate(parts)


def _substructure(jets: Jets) -> NDArray[np.float64]:
    padded, _ = jets.padded(N_HARDEST)
    pt, eta, phi = (padded[:, :, k].astype(np.float64) for k in range(3))
    sum_pt = jets.sum_over_constituents(jets.pt)
    z = pt / sum_pt[:, None]
    angle = delta_r(eta, phi, jets.jet_eta[:, None], jets.jet_phi[:, None]) / 0.8
    pairs = delta_r(eta[:, :, None], phi[:, :, None], eta[:, None], phi[:, None])
    # energy correlation functions (1305.0007), beta = 1: sums over pairs and triples
    e2 = np.einsum("ni,nj,nij->n", z, z, pairs, optimize=True) / 2
    paths = np.einsum("nik,nk,nkj->nij", pairs, z, pairs, optimize=True)
    e3 = np.einsum("ni,nj,nij,nij->n", z, z, pairs, paths, optimize=True) / 6
    tau = n_subjettiness(jets)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = [
            jets.jet_mass / jets.jet_pt,
            jets.n_constituents,
            np.sum(z * angle, axis=1),
            np.sqrt(np.sum(z**2, axis=1)),
            np.sum(z * np.sqrt(angle), axis=1),
            e3 / e2**2,
            e3 / e2**3,
            tau[:, 1] / tau[:, 0],
            tau[:, 2] / tau[:, 1],
            z[:, 0],
            z[:, 1],
            z[:, 2],
        ]
    table = np.stack([np.asarray(c, dtype=np.float64) for c in columns], axis=1)
    table[~np.isfinite(table)] = np.nan
    return table


def n_subjettiness(jets: Jets) -> NDArray[np.float64]:
    """tau_1, tau_2, tau_3 with one-pass kT axes and beta 1 (1011.2268), ``(n_jets, 3)``."""
    import awkward as ak

    from jetad.simulation.clustering import import_fastjet

    fastjet = import_fastjet("compute tau21 and tau32")
    energy_gev, px, py, pz = cartesian(jets.pt, jets.eta, jets.phi, jets.mass)
    particles = ak.unflatten(ak.zip({"px": px, "py": py, "pz": pz, "E": energy_gev}), jets.n_constituents)
    sequence = fastjet.ClusterSequence(particles, fastjet.JetDefinition(fastjet.antikt_algorithm, 0.8))
    return np.asarray(sequence.njettiness(njets=[1, 2, 3])).reshape(len(jets), 3)


def auc(background: NDArray[np.floating], signal: NDArray[np.floating]) -> float:
    """Probability that a signal jet has the larger value, folded above one half."""
    from sklearn.metrics import roc_auc_score

    labels = np.repeat([0, 1], [len(background), len(signal)])
    value = float(roc_auc_score(labels, np.concatenate([background, signal])))
    return max(value, 1 - value)


def ceiling(background: NDArray[np.float64], signal: NDArray[np.float64]) -> tuple[float, float]:
    """AUC of boosted trees with truth, five-fold, and its standard deviation from the sample sizes."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    x = np.concatenate([background, signal])
    y = np.repeat([0, 1], [len(background), len(signal)])
    trees = HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=200, random_state=0, class_weight="balanced"
    )
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    score = cross_val_predict(trees, x, y, cv=folds, method="predict_proba")[:, 1]
    a = auc(score[y == 0], score[y == 1])
    # Hanley and McNeil 1982
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    n_b, n_s = len(background), len(signal)
    variance = (a * (1 - a) + (n_s - 1) * (q1 - a * a) + (n_b - 1) * (q2 - a * a)) / (n_b * n_s)
    return a, float(np.sqrt(variance))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("background")
    parser.add_argument("signals", nargs="*")
    parser.add_argument("--plot", help="draw the mean image of each file here")
    parser.add_argument("--max-jets", type=int, default=5000, help="of each file (default: 5000)")
    arguments = parser.parse_args()
    paths = [arguments.background, *arguments.signals]
    samples = {Path(path).name: read(path, max_jets=arguments.max_jets) for path in paths}
    tables = {name: substructure(jets) for name, jets in samples.items()}
    names = list(samples)
    background = samples[names[0]]
    print(
        f"{'sample':<22} {'jets':>6} {'pT':>7} {'mass':>7} {'median':>7} {'const.':>7}"
        f" {'tau21':>6} {'tau32':>6}"
        f" {'pT AUC':>7} {'mass AUC':>8} {'n AUC':>6} {'ceiling':>15}"
    )
    for name in names:
        jets, table = samples[name], tables[name]
        means = dict(zip(VARIABLES, np.nanmean(table, axis=0), strict=True))
        line = (
            f"{name:<22} {len(jets):>6} {jets.jet_pt.mean():>7.1f} {jets.jet_mass.mean():>7.1f}"
            f" {np.median(jets.jet_mass):>7.1f}"
            f" {means['constituents']:>7.1f} {means['tau21']:>6.2f} {means['tau32']:>6.2f}"
        )
        if name != names[0]:
            value, error = ceiling(tables[names[0]], table)
            line += (
                f" {auc(background.jet_pt, jets.jet_pt):>7.3f}"
                f" {auc(background.jet_mass, jets.jet_mass):>8.3f}"
                f" {auc(background.n_constituents, jets.n_constituents):>6.3f} {value:>6.3f} +- {error:.3f}"
            )
        print(line, flush=True)
    if arguments.plot:
        draw(samples, arguments.plot)


def draw(samples: dict[str, Jets], path: str) -> None:
    """Mean images side by side."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.colors import LogNorm

    from jetad.preprocessing.images import JetImages

    figure, axes = plt.subplots(1, len(samples), figsize=(3.2 * len(samples), 3.4), squeeze=False)
    for axis, (name, jets) in zip(axes[0], samples.items(), strict=True):
        image = JetImages().transform(jets)[:, 0].mean(axis=0)
        axis.imshow(image, origin="lower", norm=LogNorm(1e-6, 0.1))
        axis.set_title(name, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
