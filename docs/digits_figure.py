"""What normalisation does to an autoencoder of digits: figure of docs/tables.md.

    python docs/digits_figure.py MNIST_FOLDER --hold-out 1 -o docs/figures/digits.png

Trains ``preset:nae-digits`` on all digits but one. Above: held-out digits that the autoencoder of the first
phase takes for the most normal, what it makes of them, and negatives of the second phase as it goes on;
below, AUC of the held-out digit and mean energies against the step. The digit is watched only.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "benchmarks"))
import image_sets

from jetad.evaluation import roc_curve
from jetad.plots.style import style
from jetad.objectives.contrastive import Contrastive, detached_state
from jetad.objectives.base import frozen
from jetad.training.train import prepare_run, train

N_PICTURES = 16
N_ROWS = 4  # of negatives


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="four IDX files of MNIST")
    parser.add_argument("--hold-out", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("-o", "--output", type=Path, default=Path("digits.png"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    _, digits = image_sets.read(f"mnist=idx:{args.folder}")
    digits = digits._replace(train=digits.train[:50_000], train_class=digits.train_class[:50_000])
    background, tests = image_sets.task("mnist", digits, {}, args.hold_out, None)
    detector = image_sets.DetectorSpec.parse("preset:nae-digits")
    settings = image_sets.shape_settings(background, detector.method, ())
    config = detector._replace(settings=(*settings, *args.set)).config(seed=args.seed)

    inliers, outliers = (torch.from_numpy(t.images).flatten(1) for t in tests.values())
    seen = Watched(inliers[:5000], outliers)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pictures"
        source.write_bytes(b"")
        run = prepare_run(config, [source], output=Path(folder) / "run", command=[], device="cpu")
        seen.every = config.members["image"].training.validate_every
        with seen.watching():
            train(run, background, device="cpu")
    draw(seen, args.hold_out, args.output)
    for step, auc, energies in zip(seen.steps, seen.auc, seen.energies, strict=True):
        print(f"step {step:5d}  AUC {auc:.3f}  energies " + " ".join(f"{e:.2f}" for e in energies))
    print(f"wrote {args.output}")


class Watched:
    """What the second phase shows at its start and at every validation."""

    def __init__(self, inliers: torch.Tensor, outliers: torch.Tensor) -> None:
        self.inliers, self.outliers = inliers, outliers
        self.steps: list[int] = []
        self.auc: list[float] = []
        self.energies: list[tuple[float, float, float]] = []  # background, negatives, held out
        self.negatives: list[np.ndarray] = []
        self.normal: np.ndarray | None = None  # held out, lowest energy first
        self.reconstructed: np.ndarray | None = None
        self.every = 1

    def look(self, phase: Contrastive, step: int) -> None:
        state = detached_state(phase.sampler.state_dict())
        with frozen(phase.model):
            found = phase.sampler.negatives(
                phase.model, self.inliers[:512], torch.Generator().manual_seed(1)
            ).x
        phase.sampler.load_state_dict(state)
        with torch.no_grad():
            e_in, e_out, e_neg = (phase.model.energy(x) for x in (self.inliers, self.outliers, found))
        self.steps.append(step)
        self.auc.append(float(roc_curve(e_in.numpy(), e_out.numpy()).auc))
        self.energies.append((float(e_in.mean()), float(e_neg.mean()), float(e_out.mean())))
        self.negatives.append(found[:N_PICTURES].numpy())
        if self.normal is None:
            lowest = self.outliers[e_out.argsort()[:N_PICTURES]]
            self.normal = lowest.numpy()
            with torch.no_grad():
                self.reconstructed = phase.model.reconstruct(lowest).numpy()

    def watching(self) -> Any:
        from contextlib import contextmanager

        start, validate = Contrastive.start, Contrastive.validate

        @contextmanager
        def patched():
            def first(phase, x_train, x_val):
                found = start(phase, x_train, x_val)
                self.look(phase, 0)
                return found

            def later(phase, x_val, generator):
                found = validate(phase, x_val, generator)
                self.look(phase, self.every * len(self.steps))
                return found

            Contrastive.start, Contrastive.validate = first, later
            try:
                yield
            finally:
                Contrastive.start, Contrastive.validate = start, validate

        return patched()


def draw(seen: Watched, digit: int, output: Path) -> None:
    import matplotlib.pyplot as plt

    chosen = np.unique(np.linspace(0, len(seen.negatives) - 1, N_ROWS).round().astype(int))
    rows = [seen.normal, seen.reconstructed, *(seen.negatives[k] for k in chosen)]
    with style():
        figure = plt.figure(figsize=(8.0, 7.0), layout="constrained")
        grid = figure.add_gridspec(2, 2, height_ratios=[3, 2])
        top, left, right = (figure.add_subplot(grid[part]) for part in ((0, slice(None)), (1, 0), (1, 1)))
        strip = np.concatenate(
            [np.concatenate([p.reshape(28, 28) for p in row], axis=1) for row in rows], axis=0
        )
        top.imshow(strip, cmap="gray_r", vmin=0, vmax=1)
        names = [f"{digit}, held out", "autoencoder"]
        names += [f"negatives, step {seen.steps[k]}" for k in chosen]
        top.set_yticks([14 + 28 * k for k in range(len(rows))], names)
        top.set_xticks([])
        for y in (28, 56):
            top.axhline(y - 0.5, color="C2", lw=1)
        left.plot(seen.steps, seen.auc, color="k", marker="o", ms=3)
        left.set_ylim(0, 1)
        left.set_ylabel(f"AUC of the digit {digit}, watched")
        curves = zip(*seen.energies, strict=True)
        names = ("background", "negatives", f"{digit}, held out")
        for values, name, marker in zip(curves, names, "os^", strict=True):
            right.plot(seen.steps, values, marker=marker, ms=3, label=name)
        right.set_yscale("log")
        right.set_ylabel("mean energy")
        right.legend(frameon=False, fontsize=10)
        for axes in (top, left, right):
            axes.tick_params(labelsize=10, which="both")
            axes.xaxis.label.set_size(11)
            axes.yaxis.label.set_size(11)
        top.tick_params(which="both", length=0)
        for axes in (left, right):
            axes.set_xlabel("step of the second phase")
            axes.xaxis.label.set_size(11)
        output.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(output, dpi=110)


if __name__ == "__main__":
    main()
