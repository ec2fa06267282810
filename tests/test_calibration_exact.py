"""Efficiencies, surprises, bins, nodes and distances of a handful of numbers, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from jetad.calibration import BackgroundEfficiency, BinnedEfficiency, DecorrelatedEfficiency, Surprise
from jetad.models.distances import energy_distance, sinkhorn_divergence

# --- one scale for all detectors -----------------------------------------------------------------


def test_surprise_of_a_hundred_and_one_scores():
    """0 ... 100: the threshold is 90, and the mean excess of the ten above it 5.5."""
    surprise = Surprise(np.arange(101.0))
    inside = np.array([0.0, 50.0, 75.0, 90.0])
    np.testing.assert_allclose(surprise(inside), -np.log(1 - inside / 100), rtol=1e-4)
    beyond = np.array([91.0, 95.5, 101.0])
    np.testing.assert_allclose(surprise(beyond), math.log(10) + (beyond - 90) / 5.5, rtol=1e-12)
    assert surprise([-7.0])[0] == 0


# --- thinned and weighted ------------------------------------------------------------------------


def test_thinned_calibration_keeps_every_score_of_its_tail():
    rng = np.random.default_rng(1)
    full = BackgroundEfficiency(rng.exponential(size=30_001))
    state = full.to_dict()
    assert len(state["scores"]) == 20_000
    thin = BackgroundEfficiency.from_dict(state)
    tail = np.sort(full.scores)[-5_000:]
    for s in (tail, np.nextafter(tail, np.inf)):
        np.testing.assert_array_equal(thin(s), full(s))
    assert thin.smallest == full.smallest == 1 / 30_002
    assert thin.working_point(1e-3) == full.working_point(1e-3)


def test_working_point_lets_pass_what_its_efficiency_allows():
    """A fresh jet is the highest of ten once in ten times, and among the highest two twice."""
    efficiency = BackgroundEfficiency(np.arange(1.0, 10.0))
    for alpha, above, measured in ((0.1, 9.0, 0), (0.2, 8.0, 1 / 9), (0.35, 7.0, 2 / 9), (1.0, -math.inf, 1)):
        point = efficiency.working_point(alpha)
        assert point.threshold == (
            np.nextafter(np.float32(above), np.float32(np.inf)) if alpha < 1 else above
        )
        assert point.measured == pytest.approx(measured)


# --- bins ----------------------------------------------------------------------------------------


def stepped(n: int = 40) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Scores 0 ... n - 1 in each of two times two bins, each bin a thousand above the one before."""
    pt, mass = np.repeat([400.0, 600.0], 2 * n), np.tile(np.repeat([50.0, 150.0], n), 2)
    return np.tile(np.arange(float(n)), 4) + np.repeat([0, 1000, 2000, 3000], n), {
        "jet_pt": pt,
        "jet_mass": mass,
    }


EDGES = {"jet_pt": [500.0], "jet_mass": [100.0]}


@pytest.mark.parametrize(
    ("pt", "mass", "cell"),
    [(1.0, 1.0, 0), (499.9, 100.0, 1), (500.0, 99.9, 2), (500.0, 100.0, 3), (9e9, 9e9, 3)],
)
def test_jets_are_compared_with_those_of_their_bin_and_edges_belong_to_the_upper_one(pt, mass, cell):
    scores, columns = stepped()
    binned = BinnedEfficiency.fit(scores, columns, EDGES)
    asked = np.array([-1.0, 20.0, 39.5]) + 1000 * cell
    found = binned(asked, {"jet_pt": [pt] * 3, "jet_mass": [mass] * 3})
    np.testing.assert_allclose(found, [1, 21 / 41, 1 / 41], rtol=1e-6)


def test_weights_stay_with_the_jets_of_their_bin():
    scores, columns = stepped()
    weights = np.repeat([1.0, 2.0, 3.0, 4.0], 40)
    weights[-1] = 400.0  # the last jet of the last bin
    binned = BinnedEfficiency.fit(scores, columns, EDGES, weights)
    assert [cell.n_eff for cell in binned.cells] == pytest.approx([40, 40, 40, 556**2 / (39 * 16 + 160_000)])
    assert binned.smallest == 1 / (binned.cells[3].n_eff + 1)  # of the bin that can state least


# --- nodes ---------------------------------------------------------------------------------------


def sloped(n: int, seed: int = 1) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    mass = rng.uniform(0, 100, n)
    return rng.exponential(size=n) + mass / 20, {"jet_mass": mass}


def test_efficiency_of_the_decorrelated_score_is_measured_on_other_jets():
    """Every other jet makes the nodes, the rest the efficiency."""
    scores, columns = sloped(2001)
    smooth = DecorrelatedEfficiency.fit(scores, columns, "jet_mass")
    assert smooth.n == 1000
    rest = smooth.transform(scores[1::2], {"jet_mass": columns["jet_mass"][1::2]})
    np.testing.assert_array_equal(smooth.efficiency.scores, np.sort(rest.astype(np.float64)))
    # what happens to their scores moves no node
    changed = scores.copy()
    changed[1::2] *= 7
    again = DecorrelatedEfficiency.fit(changed, columns, "jet_mass")
    np.testing.assert_array_equal(again.nodes, smooth.nodes)
    np.testing.assert_array_equal(again.transform(scores, columns), smooth.transform(scores, columns))


def test_decorrelated_score_is_linear_between_nodes_and_constant_outside():
    scales = [Surprise(np.arange(101.0) * k) for k in (1, 2, 4)]
    smooth = DecorrelatedEfficiency("jet_mass", [10.0, 20.0, 50.0], scales, BackgroundEfficiency([0.0, 1.0]))

    def d(mass: float) -> float:
        return float(smooth.transform([80.0], {"jet_mass": [mass]})[0])

    at = [float(scale([80.0])[0]) for scale in scales]
    assert at[0] > at[1] > at[2] > 0
    wanted = {
        10.0: at[0], 20.0: at[1], 50.0: at[2], -500.0: at[0], 9e3: at[2],
        12.5: 0.75 * at[0] + 0.25 * at[1], 40.0: at[1] / 3 + 2 * at[2] / 3,
    }  # fmt: skip
    assert {mass: d(mass) for mass in wanted} == pytest.approx(wanted, rel=1e-6)


# --- distances -----------------------------------------------------------------------------------


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


@pytest.mark.parametrize(
    ("x", "y", "want"),
    [
        ([0, 2], [5, 5], 2 * 4 - 2 - 0),
        ([0, 2], [0, 2], 2 * 1 - 2 - 2),  # pairs of different jets only
        ([0, 3], [1, 1, 7], 2 * (1 + 1 + 7 + 2 + 2 + 4) / 6 - 3 - (0 + 6 + 6) / 3),
    ],
)
def test_energy_distance_by_hand(x, y, want):
    assert float(energy_distance(column(*x), column(*y))) == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("blur", [0.3, 0.7, 2.0])
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_sinkhorn_divergence_of_two_points_and_two_points(blur, scale):
    """Two costs that are exchanged with the points: transport costs -e ln of the mean of exp(-c / e)."""
    epsilon, y = blur**2 * scale, 0.2

    def cost(a: float, b: float) -> float:
        return -epsilon * math.log((math.exp(-a / epsilon) + math.exp(-b / epsilon)) / 2)

    found = sinkhorn_divergence(column(0, 1), column(y, 1 - y), blur=blur, scale=scale, n_iterations=200)
    want = cost(y**2, (1 - y) ** 2) - (cost(0, 1) + cost(0, (1 - 2 * y) ** 2)) / 2
    assert float(found) == pytest.approx(want, rel=1e-6, abs=1e-12)
