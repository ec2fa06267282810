"""Energies of AE, NAE, WNAE and MPDR in two dimensions, against the true density.

    python docs/toy_densities.py [--output docs/figures/toy_densities.png]

Two samples: eight Gaussians on a circle, and a ring. Each model has the same dense autoencoder (latent
space: the sphere) and is trained as ``jetad train`` trains, with the sampler that belongs to it. The number
in each panel is the total variation distance between exp(-E / T), normalised on a grid, and the truth: 0 is
perfect, 1 is no overlap. The AE has no temperature; it gets the one that is best for it.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

from jetad.config import resolve_config
from jetad.models import METHODS, model_class
from jetad.models.networks.dense import DenseConfig
from jetad.training.loop import Trainer
from jetad.objectives import make_phases

LIMIT = 3.5
CELLS = 160
NETWORK = DenseConfig(components=None, hidden=(128, 128), latent_dim=3)
COMMON = ["training.batch_size=256", "training.epochs=30", "training.learning_rate=2e-3",
          "training.validate_every=250"]  # fmt: skip
# the posterior of moderate perturbations, which chains of a dozen steps reach
RECOVERY = ["training.contrastive.sampler.max_std=0.5", "training.contrastive.sampler.latent_tether=1",
            "training.contrastive.sampler.visible_tether=1"]  # fmt: skip
SETTINGS = {
    "ae": [],
    "nae": ["training.contrastive.steps=3000", "training.contrastive.learning_rate=1e-3",
            "training.contrastive.temperature=0.05"],
    "wnae": ["training.transport.scale_penalty=0", "training.transport.steps=3000", "training.transport.learning_rate=3e-4",
             "training.transport.temperature=0.05", "training.transport.distance=exact"],
    "mpdr-r": ["training.contrastive.steps=3000", "training.contrastive.learning_rate=1e-3",
               "training.contrastive.temperature=0.05", *RECOVERY],
    "mpdr-s": ["training.contrastive.steps=3000", "training.contrastive.learning_rate=1e-3",
               "training.contrastive.square_penalty=0.001", *RECOVERY],
    "igebm": ["training.contrastive.steps=3000", "training.contrastive.learning_rate=1e-3",
              "training.contrastive.square_penalty=0.001"],
}  # fmt: skip


def eight_gaussians(n: int, generator: torch.Generator) -> Tensor:
    """Centres on a circle of radius 2, width 0.2."""
    angle = torch.randint(8, (n,), generator=generator) * (math.pi / 4)
    centre = 2 * torch.stack([angle.cos(), angle.sin()], dim=1)
    return centre + 0.2 * torch.randn(n, 2, generator=generator)


def eight_density(x: Tensor) -> Tensor:
    angle = torch.arange(8) * (math.pi / 4)
    centres = 2 * torch.stack([angle.cos(), angle.sin()], dim=1)
    return torch.exp(-0.5 * torch.cdist(x, centres).square() / 0.2**2).sum(dim=1)


def ring(n: int, generator: torch.Generator) -> Tensor:
    """Radius 2, width 0.15."""
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    r = 2 + 0.15 * torch.randn(n, generator=generator)
    return r[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)


def ring_density(x: Tensor) -> Tensor:
    r = x.norm(dim=1).clamp_min(0.1)
    return torch.exp(-0.5 * ((r - 2) / 0.15).square()) / r


TOYS = {"eight Gaussians": (eight_gaussians, eight_density), "ring": (ring, ring_density)}


def fit(method: str, x: Tensor, seed: int = 1, scale: float = 1.0) -> torch.nn.Module:
    """Train a method on points ``(n, 2)``; ``scale`` shortens the training."""
    settings = [*COMMON, *SETTINGS[method]]
    config = resolve_config(method=method, representation="features", settings=settings).members["features"]
    training = config.training
    if scale != 1.0:
        changes: dict = {"epochs": max(1, round(scale * training.epochs))}
        for name in ("contrastive", "transport"):
            phase = getattr(training, name)
            if phase is not None:
                changes[name] = phase.model_copy(update={"steps": round(scale * phase.steps)})
        training = training.model_copy(update=changes)
    torch.manual_seed(seed)
    model = model_class(method)((2,), NETWORK)
    cut = len(x) // 10
    trainer = Trainer(
        model, make_phases(model, training, METHODS[method].phases, len(x) - cut), x[cut:], x[:cut], training,
        seed=seed, record=lambda line: None, checkpoint=lambda state: None,
    )  # fmt: skip
    trainer.fit()
    return model.eval().requires_grad_(False)


def grid() -> Tensor:
    axis = (torch.arange(CELLS) + 0.5) / CELLS * 2 * LIMIT - LIMIT
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).view(-1, 2)


def total_variation(energy: Tensor, temperature: float, truth: Tensor) -> float:
    """Half the summed difference of ``exp(-E / T)`` and the truth, both normalised on the grid."""
    model = torch.softmax(-energy.double() / temperature, dim=0)
    return float(0.5 * (model - truth / truth.sum()).abs().sum())


def distance(model: torch.nn.Module, truth: Tensor) -> float:
    """Total variation of a model on the grid, at its temperature; of an AE at its best one."""
    energy = model.energy(grid())
    if hasattr(model, "temperature"):
        return total_variation(model.boxed_energy(grid()), float(model.temperature), truth)
    return min(total_variation(energy, t, truth) for t in np.geomspace(1e-4, 10, 60))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("docs/figures/toy_densities.png"))
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--scale", type=float, default=1.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    plt.rcParams.update({"font.size": 13, "axes.titlesize": 13})
    columns = ["truth", *SETTINGS]
    figure, axes = plt.subplots(
        len(TOYS), len(columns), figsize=(2.5 * len(columns), 2.9 * len(TOYS)), layout="constrained",
        sharex=True, sharey=True,
    )  # fmt: skip
    for row, (toy, (sample, density)) in zip(axes, TOYS.items(), strict=True):
        x = sample(args.n, torch.Generator().manual_seed(1))
        truth = density(grid()).double()
        for axis, name in zip(row, columns, strict=True):
            if name == "truth":
                values, title = truth.log(), toy
                points = x[:500]
                axis.plot(points[:, 0], points[:, 1], ".", markersize=1.5, color="white")
            else:
                model = fit(name, x, scale=args.scale)
                tv = distance(model, truth)
                print(f"{toy:<16} {name:<7} total variation {tv:.3f}", flush=True)
                values, title = -model.energy(grid()), f"{name.upper()}  {tv:.2f}"
            image = values.view(CELLS, CELLS).T.numpy()
            low, high = np.quantile(image, [0.3, 0.999])
            axis.imshow(
                image, origin="lower", extent=(-LIMIT, LIMIT, -LIMIT, LIMIT), vmin=low, vmax=high,
                cmap="viridis",
            )  # fmt: skip
            axis.set_title(title)
            axis.set_xticks([-2, 0, 2])
            axis.set_yticks([-2, 0, 2])
    args.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.output, dpi=100)


if __name__ == "__main__":
    main()
