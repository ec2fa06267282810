"""Which points samplers start at, return and keep: cold chains on circles and parabolas, by hand."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from jetad.samplers.base import ChainConfig
from jetad.samplers.geometry import SPHERE
from jetad.samplers.on_manifold import OnManifoldConfig, OnManifoldSampler
from jetad.samplers.persistent import PersistentConfig, PersistentSampler
from jetad.samplers.recovery import RecoveryConfig, RecoverySampler
from jetad.samplers.short_chain import ShortChainConfig, ShortChainSampler

SLOPE = 0.3


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def on_circle(*angles: float) -> torch.Tensor:
    a = torch.tensor(angles, dtype=torch.float64)
    return torch.stack([a.cos(), a.sin()], dim=1)


def angle_of(x: torch.Tensor) -> torch.Tensor:
    return torch.atan2(x[:, 1], x[:, 0])


class Circle:
    """Decodes an angle to one ``twist`` larger, at a distance ``radius`` from the origin."""

    geometry = SPHERE
    latent_dim = 2

    def __init__(self, radius: float = 1.0, twist: float = 0.0) -> None:
        self.radius = radius
        c, s = math.cos(twist), math.sin(twist)
        self.rotation = torch.tensor([[c, s], [-s, c]], dtype=torch.float64)

    def encode(self, x):
        return torch.nn.functional.normalize(x, dim=1)

    def decode(self, z):
        return self.radius * z @ self.rotation

    def random_latent(self, n, generator):
        z = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        return torch.nn.functional.normalize(z, dim=1)


class Plane:
    """A model of the plane, ``E(x) = height - slope x_0`` in a box."""

    def __init__(self, codec=None, *, temperature=1.0, slope=SLOPE, box=50.0) -> None:
        self.codec = codec or Circle()
        self.manifolds = (self.codec,)
        self.temperature = torch.tensor(temperature, dtype=torch.float64)
        self.slope, self.box = slope, box

    def energy(self, x):
        return 7.0 - self.slope * x[:, 0]

    boxed_energy = energy

    def latent_energy(self, z):
        return self.energy(self.codec.decode(z))

    def clamp(self, x):
        return x.clamp(-self.box, self.box)

    fold = clamp

    def random_input(self, n, generator=None):
        return self.box * (2 * torch.rand(n, 2, generator=generator, dtype=torch.float64) - 1)


class Bowl(Plane):
    """``E(x) = |x|^2 / 2``: a step of the size s multiplies x by 1 - s / T."""

    def energy(self, x):
        return 0.5 * x.square().sum(dim=1)

    boxed_energy = energy


def cold(n_steps: int, step_size: float = 0.1) -> ChainConfig:
    """A chain that only follows the gradient."""
    return ChainConfig(n_steps=n_steps, step_size=step_size, adjusted=False, noise_std=0.0)


def kept(sampler, n: int = 200) -> torch.Tensor:
    """What the buffer of a sampler holds, each point once."""
    found = sampler.buffer.starts(torch.full((n, 2), 99.0, dtype=torch.float64), rng(9))
    return torch.unique(found, dim=0)


def test_helpers_turn_the_way_they_say():
    torch.testing.assert_close(Circle(2.0, 0.4).decode(on_circle(0.3)), 2 * on_circle(0.7))


# --- on-manifold initialisation ------------------------------------------------------------------


def on_manifold(latent_steps: int, visible_steps: int = 0, **settings) -> OnManifoldSampler:
    """Keeps two points and always goes on from one of them."""
    settings = {"n_restarts": 0, "buffer_size": 2, "replay_fraction": 1.0} | settings
    return OnManifoldSampler(
        OnManifoldConfig(latent_chain=cold(latent_steps), visible_chain=cold(visible_steps), **settings)
    )


def slide(angle: torch.Tensor, n: int, rate: float) -> torch.Tensor:
    """Steps down ``-cos`` along the circle: the angle falls by ``rate * sin`` each time."""
    for _ in range(n):
        angle = angle - rate * angle.sin()
    return angle


@pytest.mark.parametrize("temperature", [1.0, 0.2, 3.0])
@pytest.mark.parametrize("steps", [1, 3])
def test_visible_chains_start_where_latent_ones_end_and_those_are_kept(steps, temperature):
    model = Plane(Circle(radius=2.0), temperature=temperature)
    sampler = on_manifold(steps)
    starts = torch.tensor([0.4, 2.5], dtype=torch.float64)
    sampler.buffer.push(on_circle(*starts.tolist()))
    ends = slide(starts, steps, 0.1 * SLOPE * 2 / temperature)
    found = sampler.negatives(model, torch.zeros(40, 2, dtype=torch.float64), rng(1))
    assert torch.equal(found.x, found.x0)  # no visible step
    near = (angle_of(found.x0)[:, None] - ends).abs()
    assert float(near.min(dim=1).values.max()) < 1e-9
    assert set(near.argmin(dim=1).tolist()) == {0, 1}
    torch.testing.assert_close(found.x0.norm(dim=1), torch.full((40,), 2.0, dtype=torch.float64))
    for point in kept(sampler):
        assert float((angle_of(point[None]) - ends).abs().min()) < 1e-9


def test_chains_that_are_kept_go_on_call_by_call():
    sampler, model = on_manifold(2, buffer_size=1), Plane()
    sampler.buffer.push(on_circle(1.0))
    for call in range(1, 4):
        found = sampler.negatives(model, torch.zeros(1, 2, dtype=torch.float64), rng(call))
        want = slide(torch.tensor([1.0], dtype=torch.float64), 2 * call, 0.1 * SLOPE)
        torch.testing.assert_close(angle_of(found.x), want)


def test_decoded_starts_are_moved_into_the_box():
    sampler = on_manifold(0)
    sampler.buffer.push(on_circle(0.0, math.pi / 2))
    found = sampler.negatives(Plane(Circle(radius=3.0), box=0.5), torch.zeros(30, 2), rng(1))
    assert torch.equal(found.x0.abs().max(dim=1).values, torch.full((30,), 0.5, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["omi", "pcd"])
@pytest.mark.parametrize(("temperature", "rate"), [(1e12, 1.0), (1e-12, 0.0)])
def test_restarts_are_taken_at_the_temperature(kind, temperature, rate):
    """From the lowest point of all, hot chains take every proposal and cold ones none."""
    model = Plane(temperature=temperature, slope=1000.0)
    more = {"n_restarts": 3, "buffer_size": 1, "replay_fraction": 1.0}
    if kind == "omi":
        sampler = on_manifold(0, **more)
        sampler.buffer.push(on_circle(0.0))
    else:
        sampler = PersistentSampler(PersistentConfig(visible_chain=cold(0), **more))
        sampler.buffer.push(torch.full((1, 2), 50.0, dtype=torch.float64))
    found = sampler.negatives(model, torch.zeros(50, 2, dtype=torch.float64), rng(2))
    assert float(found.metrics["restart_rate"]) == pytest.approx(rate, abs=1e-12)


# --- persistent and short chains -----------------------------------------------------------------


def test_persistent_chains_go_on_from_their_ends():
    settings = {"n_restarts": 0, "buffer_size": 2, "replay_fraction": 1.0}
    sampler = PersistentSampler(PersistentConfig(visible_chain=cold(3, 0.1), **settings))
    start = torch.tensor([[1.0, -2.0], [0.5, 4.0]], dtype=torch.float64)
    sampler.buffer.push(start)
    model, factor = Bowl(temperature=0.5), (1 - 0.1 / 0.5) ** 3
    found = sampler.negatives(model, torch.zeros(60, 2, dtype=torch.float64), rng(1))
    torch.testing.assert_close(torch.unique(found.x0, dim=0), torch.unique(start, dim=0))
    torch.testing.assert_close(found.x, factor * found.x0)
    for point in kept(sampler):
        assert float((point - factor * start).abs().sum(dim=1).min()) < 1e-12


def test_short_chains_start_at_the_batch():
    sampler = ShortChainSampler(ShortChainConfig(visible_chain=cold(2, 0.1)))
    x = torch.tensor([[1.0, -2.0], [0.5, 4.0]], dtype=torch.float64)
    found = sampler.negatives(Bowl(temperature=0.5), x, rng(1))
    assert torch.equal(found.x0, x)
    torch.testing.assert_close(found.x, (1 - 0.1 / 0.5) ** 2 * x)


# --- recovery ------------------------------------------------------------------------------------


def recovery(latent_steps: int, visible_steps: int, step_size: float = 1e-3, **settings) -> RecoverySampler:
    latent, visible = cold(latent_steps, step_size), cold(visible_steps, step_size)
    return RecoverySampler(RecoveryConfig(latent_chain=latent, visible_chain=visible, **settings))


def moments_of_the_angle(low: float, high: float) -> tuple[float, float]:
    """Of z + width noise, projected on the circle: by quadrature over two normal numbers and the width."""
    xi, wi = np.polynomial.hermite_e.hermegauss(60)
    u, wu = np.polynomial.legendre.leggauss(20)
    width = low + (high - low) * (u + 1) / 2
    angle = np.arctan2(width * xi[:, None, None], 1 + width * xi[None, :, None])
    weight = wi[:, None, None] * wi[None, :, None] * wu / (2 * 2 * np.pi)
    return float((weight * angle**2).sum()), float((weight * angle**4).sum())


SAMPLERS = {
    "recovery": lambda **widths: recovery(0, 0, **widths),
    "omi": lambda **widths: on_manifold(0, start="background", replay_fraction=0.0, **widths),
}


@pytest.mark.parametrize("kind", SAMPLERS)
def test_each_jet_draws_its_perturbation_between_the_smallest_and_the_largest(kind):
    low, high, n = 0.05, 0.3, 20_000
    x = on_circle(*[0.0] * n)
    a = angle_of(SAMPLERS[kind](min_std=low, max_std=high).negatives(Plane(), x, rng(3)).x0)
    second, fourth = moments_of_the_angle(low, high)
    assert float(a.square().mean()) == pytest.approx(second, abs=5 * math.sqrt((fourth - second**2) / n))
    assert float(a.pow(4).mean()) == pytest.approx(fourth, rel=0.2)
    fixed = angle_of(SAMPLERS[kind](min_std=low, max_std=low).negatives(Plane(), x, rng(3)).x0)
    want, _ = moments_of_the_angle(low, low)
    assert float(fixed.square().mean()) == pytest.approx(want, rel=5 * math.sqrt(2 / n))


def test_fresh_chains_begin_at_the_batch_and_others_where_they_were():
    sampler = on_manifold(0, start="background", replay_fraction=0.5, min_std=1e-9, max_std=1e-9)
    sampler.buffer.push(on_circle(2.0, 2.0))
    found = angle_of(sampler.negatives(Plane(), on_circle(*[0.5] * 400), rng(5)).x0)
    near = [int(((found - a).abs() < 1e-6).sum()) for a in (0.5, 2.0)]
    assert sum(near) == 400
    assert abs(near[0] - 200) < 5 * 10
    with pytest.raises(ValueError, match=r"max_std 0\.1 is smaller than min_std 0\.2"):
        OnManifoldConfig(min_std=0.2, max_std=0.1)


# the slope of the squared distance with respect to the angle, over two
DISTANCES = {"geodesic": lambda a: a, "euclidean": math.sin}


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("weight", [1.0, 0.3, 0.0])
def test_latent_tether_pulls_back_to_the_perturbed_projection(weight, distance):
    """A decoder that turns by 0.2: what is decoded is encoded 0.2 beside its target."""
    std, twist, step, n = 0.1, 0.2, 1e-3, 4
    model, x = Plane(Circle(twist=twist), slope=0.0), on_circle(0.0, 0.5, -2.0)
    before, after = (
        recovery(k, 0, step, min_std=std, max_std=std, latent_tether=weight, distance=distance)
        .negatives(model, x, rng(4)).x0
        for k in (0, n)
    )  # fmt: skip
    beside = twist
    for _ in range(n):
        beside -= step * weight / std**2 * DISTANCES[distance](beside)
    torch.testing.assert_close(
        angle_of(after) - angle_of(before), torch.full((3,), beside - twist, dtype=torch.float64)
    )


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("weight", [1.0, 0.3, 0.0])
def test_visible_tether_pulls_back_to_the_perturbed_projection(weight, distance):
    """A step along the tangent, towards the target."""
    std, twist, step = 0.1, 0.2, 1e-3
    model, x = Plane(Circle(twist=twist), slope=0.0), on_circle(0.0, 0.5, -2.0)
    sampler = recovery(0, 1, step, min_std=std, max_std=std, visible_tether=weight, distance=distance)
    found = sampler.negatives(model, x, rng(4))
    length = step * weight / std**2 * DISTANCES[distance](twist)
    tangent = torch.stack([-found.x0[:, 1], found.x0[:, 0]], dim=1)
    torch.testing.assert_close(found.x - found.x0, -length * tangent)


def test_latent_energy_of_the_recovery_is_over_the_temperature():
    x, moved = on_circle(0.0, 0.5, -2.0), {}
    settings = {"min_std": 0.1, "max_std": 0.1, "latent_tether": 0.0}
    for t in (1.0, 0.25):
        start, end = (
            angle_of(recovery(k, 0, 0.1, **settings).negatives(Plane(temperature=t), x, rng(4)).x0)
            for k in (0, 1)
        )
        torch.testing.assert_close(end, slide(start, 1, 0.1 * SLOPE / t))
        moved[t] = end - start
    torch.testing.assert_close(moved[0.25], 4 * moved[1.0])


# --- state ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: OnManifoldSampler(OnManifoldConfig()),
        lambda: PersistentSampler(PersistentConfig()),
        lambda: ShortChainSampler(ShortChainConfig()),
        lambda: RecoverySampler(RecoveryConfig()),
    ],
    ids=["omi", "pcd", "cd", "recovery"],
)
def test_restored_samplers_go_on_as_if_nothing_had_happened(make):
    model, x = Plane(), on_circle(0.0, 0.5, -2.0)
    first, second = make(), make()
    for call in range(3):
        first.negatives(model, x, rng(call))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    wanted, found = (sampler.negatives(model, x, rng(9)) for sampler in (first, second))
    assert torch.equal(found.x, wanted.x)
    assert found.metrics.keys() == wanted.metrics.keys()
    for name, value in wanted.metrics.items():
        assert float(found.metrics[name]) == float(value), name
