"""Chains against closed forms: moments, sphere, Metropolis with mismatched noise, replay."""

from __future__ import annotations

import math

import pytest
import torch

from jetad.samplers.buffer import ReplayBuffer
from jetad.samplers.geometry import EUCLIDEAN, SPHERE
from jetad.samplers.langevin import langevin


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x.square().sum(dim=1)


def test_unadjusted_chain_has_the_known_discretisation_bias():
    # x <- (1 - s) x + sqrt(2 s) xi has stationary variance 1 / (1 - s / 2)
    step = 0.4
    x0 = torch.zeros(20_000, 2, dtype=torch.float64)
    chain = langevin(gaussian, x0, n_steps=60, step_size=step, generator=generator())
    expected = 1 / (1 - step / 2)
    assert chain.x.mean(0).abs().max() < 0.04
    assert chain.x.var(0).sub(expected).abs().max() < 5 * expected * math.sqrt(2 / 20_000)


@pytest.mark.parametrize(("step", "noise"), [(0.4, None), (0.1, 0.9), (0.5, 0.6)])
def test_metropolis_is_exact_for_any_step_and_noise(step, noise):
    x0 = torch.zeros(20_000, 2, dtype=torch.float64)
    chain = langevin(
        gaussian, x0, n_steps=80, step_size=step, noise_std=noise, metropolis=True, generator=generator(1)
    )
    assert 0.1 < chain.acceptance_rate < 1
    assert chain.x.var(0).sub(1).abs().max() < 5 * math.sqrt(2 / 20_000)


def test_temperature_scales_the_variance():
    x0 = torch.zeros(20_000, 1, dtype=torch.float64)
    chain = langevin(
        gaussian, x0, n_steps=80, step_size=0.1, temperature=0.25, metropolis=True, generator=generator(2)
    )
    assert chain.x.var().sub(0.25).abs() < 0.25 * 5 * math.sqrt(2 / 20_000)


def test_double_well_fills_both_wells_equally():
    def energy(x: torch.Tensor) -> torch.Tensor:
        return (x.square() - 1).square().sum(dim=1) * 2

    x0 = torch.ones(4_000, 1, dtype=torch.float64)
    chain = langevin(energy, x0, n_steps=600, step_size=0.1, metropolis=True, generator=generator(3))
    assert abs((chain.x > 0).double().mean() - 0.5) < 5 * 0.5 / math.sqrt(4_000)
    grid = torch.linspace(-4, 4, 4001, dtype=torch.float64)
    density = torch.exp(-energy(grid[:, None]))
    exact = (grid.square() * density).sum() / density.sum()
    assert abs(chain.x.square().mean() - exact) < 0.05


@pytest.mark.parametrize("metropolis", [False, True])
def test_sphere_chain_is_uniform_under_a_constant_energy(metropolis):
    x0 = torch.zeros(20_000, 3, dtype=torch.float64)
    x0[:, 0] = 1
    chain = langevin(
        lambda x: 0 * x.sum(dim=1),
        x0,
        n_steps=80,
        step_size=0.1,
        geometry=SPHERE,
        metropolis=metropolis,
        generator=generator(4),
    )
    assert chain.x.norm(dim=1).sub(1).abs().max() < 1e-12
    assert chain.x.mean(0).abs().max() < 5 / math.sqrt(3 * 20_000)
    second = chain.x.T @ chain.x / len(chain.x)
    assert (second - torch.eye(3, dtype=torch.float64) / 3).abs().max() < 0.01


def test_sphere_metropolis_samples_von_mises_fisher():
    kappa = 4.0
    x0 = torch.zeros(20_000, 3, dtype=torch.float64)
    x0[:, 0] = 1
    chain = langevin(
        lambda x: -kappa * x[:, 2],
        x0,
        n_steps=120,
        step_size=0.08,
        geometry=SPHERE,
        metropolis=True,
        generator=generator(5),
    )
    exact = 1 / math.tanh(kappa) - 1 / kappa
    assert abs(chain.x[:, 2].mean() - exact) < 0.01


def test_sphere_direction_inverts_move():
    g = generator(7)
    x = torch.randn(50, 5, generator=g, dtype=torch.float64)
    x = x / x.norm(dim=1, keepdim=True)
    v = 0.4 * SPHERE.tangent(x, torch.randn(50, 5, generator=g, dtype=torch.float64))
    torch.testing.assert_close(SPHERE.direction(x, SPHERE.move(x, v)), v)
    torch.testing.assert_close(EUCLIDEAN.direction(x, EUCLIDEAN.move(x, v)), v)


def test_start_is_left_as_it_is_and_seed_repeats():
    x0 = torch.zeros(5, 2)
    a = langevin(gaussian, x0, n_steps=3, step_size=0.1, generator=generator(8))
    b = langevin(gaussian, x0, n_steps=3, step_size=0.1, generator=generator(8))
    assert torch.equal(a.x, b.x)
    assert torch.equal(x0, torch.zeros(5, 2))
    assert a.energy_trace.shape == (3, 5)
    assert not a.x.requires_grad


def test_wrong_energy_shape_is_refused():
    with pytest.raises(ValueError, match="returns shape"):
        langevin(lambda x: x.sum(), torch.zeros(3, 2), n_steps=1, step_size=0.1)


def test_metropolis_with_projection_is_refused():
    with pytest.raises(ValueError, match="plain proposal"):
        langevin(gaussian, torch.zeros(3, 2), n_steps=1, step_size=0.1, metropolis=True, project=lambda x: x)


def test_replay_buffer_is_a_ring():
    buffer = ReplayBuffer(4, 1.0)
    fresh = torch.full((3, 1), -1.0)
    assert torch.equal(buffer.starts(fresh), fresh)
    buffer.push(torch.arange(3.0)[:, None])
    buffer.push(torch.arange(3.0, 6.0)[:, None])
    assert len(buffer) == 4
    seen = set(buffer.starts(torch.full((500, 1), -1.0), generator()).flatten().tolist())
    assert seen == {2.0, 3.0, 4.0, 5.0}


def test_replay_fraction_is_a_probability():
    buffer = ReplayBuffer(10, 0.9)
    buffer.push(torch.zeros(10, 1))
    fresh = (buffer.starts(torch.ones(20_000, 1), generator(9)) == 1).double().mean()
    assert abs(fresh - 0.1) < 5 * math.sqrt(0.09 / 20_000)
