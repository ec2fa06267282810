"""Training steps of the normalized autoencoder against the published loop, as ratios in one run.

    python tests/benchmarks/engine_speed.py [--steps 3] [--batch 128] [--device cpu]

Three loops with the same batch and the same chain lengths (30 latent + 30 visible steps):

1. *reference*: a restatement of the published loop: stride-1 transposed convolutions, spectral norm
   recomputed by every forward, parameters that require gradients while sampling, copies of every step's
   samples, drifts and noise to lists on the CPU, a list as replay buffer, numbers read out every step.
2. *same network*: the same mathematics in this engine. Energies and their gradients are compared first.
3. *default*: the networks of ``jetad train --method nae`` on principal components of the same images.

The limits are those of the steps without a compiler: the time that their products and convolutions alone
would take at the rate of one large product, and their reads and writes at the rate of a large copy (a CPU
keeps small tensors in its cache and is faster).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from jetad.config import ContrastiveConfig, resolve_config
from jetad.models.nae import NormalizedAutoencoder
from jetad.models.networks.jet40 import Jet40Config
from jetad.objectives.contrastive import Contrastive
from jetad.preprocessing.images import ImageConfig, JetImages
from jetad.readers import read
from jetad.samplers.compiling import compiled_chains

N_STEPS = 30
LATENT = {"step": 50.0, "noise": 0.01, "clip": 0.01}
VISIBLE = {"step": 50.0, "noise": 1e-4, "clip": 0.01}


class ReferenceNetwork(nn.Module):
    """The published autoencoder as it is built there, with the hook that normalises at every forward."""

    def __init__(self) -> None:
        super().__init__()
        norm = nn.utils.spectral_norm

        def conv(a: int, b: int) -> nn.Module:
            return norm(nn.Conv2d(a, b, 3, padding=1))

        def back(a: int, b: int) -> nn.Module:
            return norm(nn.ConvTranspose2d(a, b, 3, padding=1))

        def dense(a: int, b: int) -> nn.Module:
            return norm(nn.Linear(a, b))

        self.encoder = nn.Sequential(
            conv(1, 8), nn.PReLU(), conv(8, 8), nn.PReLU(), nn.MaxPool2d(2), nn.PReLU(),
            conv(8, 8), nn.PReLU(), conv(8, 8), nn.PReLU(), conv(8, 1), nn.PReLU(), nn.Flatten(),
            dense(400, 100), nn.PReLU(), dense(100, 3),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            dense(3, 100), nn.PReLU(), dense(100, 400), nn.PReLU(), nn.Unflatten(1, (1, 20, 20)),
            back(1, 8), nn.PReLU(), back(8, 8), nn.PReLU(), nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.PReLU(), back(8, 8), nn.PReLU(), back(8, 1), nn.Sigmoid(),
        )  # fmt: skip

    def encode(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(self.encoder(x), dim=1)

    def energy(self, x: Tensor) -> Tensor:
        return (x - self.decoder(self.encode(x))).square().flatten(1).mean(dim=1)


class ListBuffer:
    """A replay buffer as a list of samples on the CPU."""

    def __init__(self, capacity: int = 10_000) -> None:
        self.capacity = capacity
        self.samples: list[Tensor] = []
        self.rng = np.random.default_rng(1)

    def draw(self, n: int) -> Tensor:
        replayed = int((self.rng.random(n) < 0.95).sum()) if self.samples else 0
        fresh = nn.functional.normalize(torch.randn(n - replayed, 3), dim=1)
        old = [self.samples[i] for i in self.rng.integers(0, max(len(self.samples), 1), replayed)]
        return torch.cat([torch.stack(old), fresh]) if old else fresh

    def push(self, z: Tensor) -> None:
        for row in z.detach().cpu():
            self.samples.append(row)
            if len(self.samples) > self.capacity:
                self.samples.pop(0)


def reference_chain(
    energy: Callable[[Tensor], Tensor], x: Tensor, settings: dict[str, float], project: Callable, anneal: bool
) -> Tensor:
    """Langevin steps that keep everything they see."""
    kept: dict[str, list[Tensor]] = {"samples": [], "drift": [], "noise": [], "step": []}
    x = x.requires_grad_(True)
    for k in range(N_STEPS):
        (g,) = torch.autograd.grad(energy(x).sum(), x, only_inputs=True)
        norm = g.flatten(1).norm(dim=1).view(-1, *[1] * (g.dim() - 1))
        g = g * (settings["clip"] / norm.clamp_min(settings["clip"]))
        std = settings["noise"] / (1 + k) if anneal else settings["noise"]
        drift, noise = -settings["step"] * g, std * torch.randn_like(x)
        x = project(x + drift + noise)
        for name, value in zip(kept, (x, drift, noise, drift + noise), strict=True):
            kept[name].append(value.detach().cpu().clone())
        x = x.detach().requires_grad_(True)  # the published loop grows its graph instead
    return x.detach()


def reference_step(net: ReferenceNetwork, optimizer, buffer: ListBuffer, x: Tensor) -> dict[str, float]:
    z = buffer.draw(len(x)).to(x.device)
    z = reference_chain(
        lambda v: net.energy(net.decoder(v)), z, LATENT, lambda v: nn.functional.normalize(v, dim=1), False
    )
    buffer.push(z)
    x_neg = net.decoder(z).detach().clamp(0, 1)
    x_neg = reference_chain(net.energy, x_neg, VISIBLE, lambda v: v.clamp(0, 1), True)
    optimizer.zero_grad()
    e_pos, e_neg = net.energy(x), net.energy(x_neg)
    loss = e_pos.mean() - e_neg.mean() + e_neg.square().mean()
    weights = sum(p.square().sum() for p in net.parameters())
    (loss + 1e-8 * weights).backward()
    optimizer.step()
    with torch.no_grad():
        reconstructed = net.decoder(net.encode(x_neg))
    return {
        "loss": loss.item(), "pos": e_pos.mean().item(), "neg": e_neg.mean().item(),
        "weights": weights.item(), "max": x_neg.max().item(), "again": reconstructed.cpu().mean().item(),
    }  # fmt: skip


def same_network(net: ReferenceNetwork) -> NormalizedAutoencoder:
    """The model of this engine with the weights of the reference network."""
    model = NormalizedAutoencoder((1, 40, 40), Jet40Config(spectral_norm=True))
    for ours, theirs in ((model.codec.encoder, net.encoder), (model.codec.decoder, net.decoder)):
        for a, b in zip(_layers(ours), _layers(theirs), strict=True):
            if isinstance(b, nn.PReLU):
                a.weight.data.copy_(b.weight.data)
                continue
            w, v = b.weight_orig.data, b.weight_v.data
            if isinstance(b, nn.ConvTranspose2d):
                w = w.flip(2, 3).transpose(0, 1)
                v = v.view(w.shape[1:]).flip(1, 2).flatten()
            norm = a.parametrizations.weight
            norm.original.data.copy_(w)
            norm[0]._u.copy_(b.weight_u.data)
            norm[0]._v.copy_(v)
            a.bias.data.copy_(b.bias.data)
    return model


def _layers(sequence: nn.Module) -> list:
    return [m for m in sequence if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.PReLU))]


def contrastive(chain: dict, latent: dict, **more) -> ContrastiveConfig:
    return ContrastiveConfig.model_validate(
        {"sampler": {"kind": "omi", "latent_chain": latent, "visible_chain": chain, "n_restarts": 0}, **more}
    )


def timed(step: Callable[[], object], n: int, device: str) -> float:
    step()
    times = []
    for _ in range(n):
        started = time.perf_counter()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


class Work(TorchDispatchMode):
    """Counts operations of products and convolutions, and what every kernel reads and writes."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func._overloadpacket in flop_registry:
            self.operations += flop_registry[func._overloadpacket](*args, **kwargs, out_val=out)
        if not func.is_view:
            tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor)]
            self.bytes += sum(t.numel() * t.element_size() for t in tensors)
        return out


def limits(device: str) -> tuple[float, float]:
    """Operations a second in a large product of float32, and bytes a second in a large copy."""
    a = torch.rand(2048, 2048, device=device)
    big = torch.rand(64_000_000, device=device)
    copy = torch.empty_like(big)
    product, copying = timed(lambda: a @ a, 5, device), timed(lambda: copy.copy_(big), 5, device)
    return 2 * 2048**3 / product, 2 * 4 * len(big) / copying


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default_file = Path(__file__).parents[2] / "data_samples" / "qcd_train.h5"
    parser.add_argument("--file", type=Path, default=default_file)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="compiled chains, too")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = True  # for all, as in training
    generator = torch.Generator(device=args.device).manual_seed(1)
    rows = torch.from_numpy(JetImages(ImageConfig(sigma=2.0)).transform(read([args.file], max_jets=4000)))
    images = rows[: args.batch].to(args.device)

    net = ReferenceNetwork().to(args.device)
    net.energy(images)  # a first power iteration
    model = same_network(net).to(args.device)
    net.eval(), model.eval()
    x = images.flatten(1)
    noisy = torch.rand_like(images)  # the empty margins of jets are ties, of which pooling may take any
    y = noisy.clone().requires_grad_(True)
    (g_ref,) = torch.autograd.grad(net.energy(y).sum(), y)
    v = noisy.flatten(1).clone().requires_grad_(True)
    e_ours = model.energy(v) / 1600
    (g_ours,) = torch.autograd.grad(e_ours.sum(), v)
    scale = g_ref.abs().max()
    print(
        f"energies differ by {float((net.energy(noisy) / e_ours - 1).detach().abs().max()):.1e} relatively, "
        f"gradients by {float((g_ours - g_ref.flatten(1)).abs().max() / scale):.1e} of the largest"
    )
    net.train(), model.train()

    steps: dict[str, tuple[Callable[[], object], int]] = {}
    buffer, optimizer = ListBuffer(), torch.optim.Adam(net.parameters(), lr=1e-5)
    steps["reference"] = lambda: reference_step(net, optimizer, buffer, images), args.steps

    unadjusted = {"n_steps": N_STEPS, "adjusted": False}
    published = contrastive(
        {**unadjusted, "step_size": 50, "noise_std": 1e-4, "max_gradient": 0.01, "anneal": True},
        {**unadjusted, "step_size": 50, "noise_std": 0.01, "max_gradient": 0.01},
        temperature=1600.0, ceiling=None, square_penalty=1.0,
    )  # fmt: skip

    def engine(
        model: NormalizedAutoencoder, config: ContrastiveConfig, x: Tensor, compiled: bool = False
    ) -> Callable[[], object]:
        phase = Contrastive(model, config)
        phase.start(x, x)
        optimizer = torch.optim.Adam(phase.parameters(), lr=1e-5)

        def step() -> None:
            with compiled_chains(compiled):
                loss, _ = phase.loss(x, generator)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

        return step

    steps["same network"] = engine(model, published, x), args.steps

    member = resolve_config(method="nae", representation="image").members["image"]
    default = NormalizedAutoencoder((1, 40, 40), member.network)
    default.fit_input(rows)
    default.to(args.device)
    assert member.training.contrastive is not None
    chains = member.training.contrastive.sampler
    config = contrastive(
        {**chains.visible_chain.model_dump(), "n_steps": N_STEPS},
        {**chains.latent_chain.model_dump(), "n_steps": N_STEPS},
    )
    with torch.no_grad():
        components = default.prepare(images)
    chosen, many = member.training.contrastive, 5 * args.steps
    steps["network of nae, 30 + 30 adjusted steps"] = engine(default, config, components), many
    steps["network and chains of nae"] = engine(default, chosen, components), many
    if args.compile:
        steps["network of nae, 30 + 30, compiled"] = engine(default, config, components, True), many
        steps["network and chains of nae, compiled"] = engine(default, chosen, components, True), many

    results: dict[str, float] = {}
    operations, traffic = limits(args.device)
    print(f"large product {operations / 1e9:.0f} GFLOP/s, large copy {traffic / 1e9:.1f} GB/s")
    head = ("[ms]", "ratio", "jets/s", "GFLOP", "limit [ms]", "GB", "limit [ms]")
    print(f"{'training step':<42}" + "".join(f"{h:>11}" for h in head))
    for name, (step, n) in steps.items():
        seconds = results[name] = timed(step, n, args.device)
        line = f"{name:<42}{1e3 * seconds:11.1f}{results['reference'] / seconds:10.1f}x"
        line += f"{args.batch / seconds:11.0f}"
        if "compiled" not in name:
            with Work() as counted:
                step()
            line += f"{counted.operations / 1e9:11.2f}{1e3 * counted.operations / operations:11.2f}"
            line += f"{counted.bytes / 1e9:11.3f}{1e3 * counted.bytes / traffic:11.2f}"
        print(line, flush=True)
    if args.json:
        ratios = {name: results["reference"] / seconds for name, seconds in results.items()}
        args.json.write_text(json.dumps({"seconds": results, "ratios": ratios}))


if __name__ == "__main__":
    main()
