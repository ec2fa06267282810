"""Settings of chains on energies whose steps are known in closed form: slopes, parabolas, walls."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from jetad.samplers.base import ChainConfig, ChainRunner, independence
from jetad.samplers.buffer import ReplayBuffer


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def flat(x: torch.Tensor) -> torch.Tensor:
    return 0 * x.sum(dim=1)


def moves(x0: torch.Tensor, energy=flat, *, seed: int = 1, temperature: float = 1.0, **settings):
    """Where an unadjusted chain ends, relative to its start."""
    runner = ChainRunner(ChainConfig(adjusted=False, **settings))
    return runner.run(energy, x0, rng(seed), temperature=temperature).x - x0


# --- noise ---------------------------------------------------------------------------------------


def test_annealed_noise_falls_as_one_over_the_step():
    x0 = torch.zeros(50, 2, dtype=torch.float64)
    # of one seed: a longer chain makes the steps of a shorter one first
    plain, annealed = (
        [moves(x0, noise_std=0.7, n_steps=n, anneal=anneal) for n in range(6)] for anneal in (False, True)
    )
    divisors = []
    for t in range(5):
        ratio = (plain[t + 1] - plain[t]) / (annealed[t + 1] - annealed[t])
        torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio))
        divisors.append(float(ratio.mean()))
    assert divisors[0] == pytest.approx(1)
    assert 1 <= round(divisors[1], 9) <= 2  # whether the count begins at the first step or at the second
    assert [divisors[t + 1] - divisors[t] for t in range(1, 4)] == pytest.approx([1, 1, 1])


def test_noise_is_as_set_and_exact_if_left_out():
    x0 = torch.zeros(50, 2, dtype=torch.float64)
    one, half, exact = (
        moves(x0, n_steps=3, step_size=0.32, noise_std=std, seed=2) for std in (1.0, 0.5, None)
    )
    torch.testing.assert_close(half, one / 2)
    torch.testing.assert_close(exact, one * math.sqrt(2 * 0.32))


# --- drift ---------------------------------------------------------------------------------------


def slope(x: torch.Tensor) -> torch.Tensor:
    """A plane: its gradient is (3, 4), of length five."""
    return 3 * x[:, 0] + 4 * x[:, 1]


def tenth(x: torch.Tensor) -> torch.Tensor:
    return slope(x) / 10


QUIET = {"n_steps": 1, "step_size": 0.1, "noise_std": 0.0}


@pytest.mark.parametrize(
    ("energy", "temperature", "length"),
    [(slope, 1.0, 2.0), (tenth, 1.0, 0.5), (slope, 5.0, 1.0), (tenth, 0.1, 2.0)],
    ids=["long", "short", "hot", "cold"],
)
def test_gradients_of_e_over_t_are_shortened_to_the_largest_and_never_lengthened(energy, temperature, length):
    found = moves(points([7.0, -2.0]), energy, temperature=temperature, max_gradient=2.0, **QUIET)
    torch.testing.assert_close(found, -0.1 * length * points([0.6, 0.8]))


@pytest.mark.parametrize("energy", [slope, tenth])
@pytest.mark.parametrize("temperature", [1.0, 50.0])
def test_unit_gradients_have_length_one(energy, temperature):
    found = moves(points([7.0, -2.0]), energy, temperature=temperature, unit_gradient=True, **QUIET)
    torch.testing.assert_close(found, -0.1 * points([0.6, 0.8]))


def test_unit_gradient_of_nothing_is_nothing():
    assert torch.equal(moves(points([1.0, 2.0]), unit_gradient=True, **QUIET), points([0.0, 0.0]))


def test_every_step_follows_the_gradient_where_it_stands():
    x0 = points([1.0, -3.0], [0.2, 0.0])
    for n in (1, 2, 5):
        end = x0 + moves(x0, lambda x: 1.5 * x.square().sum(dim=1), temperature=2.0, n_steps=n,
                         step_size=0.1, noise_std=0.0)  # fmt: skip
        torch.testing.assert_close(end, (1 - 0.1 * 3 / 2) ** n * x0)


def test_unadjusted_chains_are_clamped_after_every_step():
    """Down a slope to a wall at zero, and down along it."""
    runner = ChainRunner(ChainConfig(adjusted=False, n_steps=3, step_size=0.1, noise_std=0.0))
    chain = runner.run(slope, points([0.5, 9.0]), rng(), clamp=lambda x: x.clamp_min(0))
    torch.testing.assert_close(chain.x, points([0.0, 9 - 3 * 0.4]))


# --- the step size of adjusted chains ------------------------------------------------------------


def cliff(x: torch.Tensor) -> torch.Tensor:
    """No move from zero is accepted."""
    return 1e12 * x.square().sum(dim=1)


@pytest.mark.parametrize(("energy", "rate"), [(flat, 1), (cliff, 0)])
def test_step_grows_where_more_is_accepted_than_wanted_and_shrinks_where_less(energy, rate):
    runner = ChainRunner(ChainConfig(n_steps=2, step_size=0.1, acceptance=0.6))
    for call in range(1, 4):
        chain = runner.run(energy, torch.zeros(5, 2, dtype=torch.float64), rng(call))
        assert float(chain.acceptance_rate) == rate
        assert float(runner.step_size) == pytest.approx(0.1 * math.exp(0.1 * call * (rate - 0.6)))


def test_step_does_not_grow_beyond_the_largest_nor_without_a_step():
    runner = ChainRunner(ChainConfig(n_steps=2, step_size=0.1, max_step_size=0.102))
    runner.run(flat, torch.zeros(5, 2), rng(), n_steps=0)
    assert float(runner.step_size) == pytest.approx(0.1)
    runner.run(flat, torch.zeros(5, 2), rng())
    assert float(runner.step_size) == 0.102


def test_visible_chains_step_in_units_of_the_temperature():
    """On a flat energy every proposal is taken; it goes as far as sqrt(T)."""
    x0, ends = torch.zeros(20, 2, dtype=torch.float64), []
    for t in (1.0, 9.0):
        model = SimpleNamespace(temperature=torch.tensor(t, dtype=torch.float64), energy=flat,
                                clamp=None, fold=None)  # fmt: skip
        ends.append(ChainRunner(ChainConfig(n_steps=3)).visible(model, x0, rng(3)).x)
    torch.testing.assert_close(ends[1], 3 * ends[0])


# --- restarts ------------------------------------------------------------------------------------


def test_restarts_compare_with_where_the_chain_is_now():
    """From a peak into a valley, and not up the hill that is lower than the peak."""
    peak, valley, hill = 900.0, 0.0, 500.0
    x = torch.full((6, 1), peak)
    proposals = torch.tensor([valley, hill]).view(2, 1, 1).expand(2, 6, 1)
    end, rate = independence(lambda v: v[:, 0], x, proposals, rng())
    assert torch.equal(end, torch.full((6, 1), valley))
    assert float(rate) == 0.5
    end, rate = independence(lambda v: v[:, 0], x, proposals.flip(0), rng())
    assert torch.equal(end, torch.full((6, 1), valley))
    assert float(rate) == 1


def test_uphill_restarts_are_taken_with_the_boltzmann_factor():
    n = 20_000
    end, rate = independence(lambda v: v[:, 0], torch.zeros(n, 1), torch.full((1, n, 1), 1.2), rng(5))
    want = math.exp(-1.2)
    assert abs(float(rate) - want) < 5 * math.sqrt(want * (1 - want) / n)
    assert float((end > 0).float().mean()) == pytest.approx(float(rate))


# --- the buffer ----------------------------------------------------------------------------------


def kept(buffer: ReplayBuffer) -> set[float]:
    return set(buffer.starts(torch.full((300, 1), -1.0), rng()).flatten().tolist())


def test_of_more_points_than_fit_the_last_are_kept():
    buffer = ReplayBuffer(4, 1.0)
    buffer.push(torch.arange(10.0)[:, None])
    assert kept(buffer) == {6.0, 7.0, 8.0, 9.0}
    buffer.push(torch.tensor([[20.0]]))
    assert kept(buffer) == {7.0, 8.0, 9.0, 20.0}
