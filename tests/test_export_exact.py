"""Parts of the exported graph against their twins in NumPy where mistakes hide: at edges and ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from test_calibration_exact import EDGES, stepped
from test_scoring_exact import mass_detector

from jetad.calibration import BackgroundEfficiency, BinnedEfficiency, DecorrelatedEfficiency, Surprise
from jetad.export.calibration import CalibrationGraph, SurpriseGraph
from jetad.export.features import of_the_jet
from jetad.export.frame import Frame
from jetad.export.graph import JetGraph


def tensor(values) -> torch.Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float64)


def test_bins_of_two_quantities_are_found_on_their_edges_too():
    scores, columns = stepped()
    binned = BinnedEfficiency.fit(scores, columns, EDGES)
    pt, mass = (v.ravel() for v in np.meshgrid([400.0, 499.9, 500.0, 501.0], [0.0, 99.9, 100.0, 1e6]))
    graph = CalibrationGraph(binned)
    for s in (-1.0, 20.0, 1020.0, 2020.0, 3020.0, 1e9):
        asked = np.full(len(pt), s)
        found, nothing = graph(tensor(asked), {"jet_pt": tensor(pt), "jet_mass": tensor(mass)})
        np.testing.assert_allclose(found, binned(asked, {"jet_pt": pt, "jet_mass": mass}), rtol=1e-6)
        assert nothing is None


def test_efficiency_of_equal_and_of_neighbouring_scores():
    rng = np.random.default_rng(1)
    for scores in (rng.normal(size=50), rng.integers(0, 4, 50).astype(float), np.array([1.0, 2.0])):
        efficiency = BackgroundEfficiency(scores)
        s = np.concatenate(
            [f(scores) for f in (np.asarray, lambda v: np.nextafter(v, 99), lambda v: v - 1e-9)]
        )
        np.testing.assert_allclose(CalibrationGraph(efficiency)(tensor(s), {})[0], efficiency(s), rtol=1e-6)


def test_decorrelated_score_at_nodes_between_and_outside():
    scales = [Surprise(np.arange(101.0) * k) for k in (1, 2, 4)]
    smooth = DecorrelatedEfficiency(
        "jet_mass", [10.0, 20.0, 50.0], scales, BackgroundEfficiency([0.5, 1.0, 2])
    )
    mass = np.array([-1e3, 10.0, 12.5, 20.0, 40.0, 50.0, 1e3])
    for s in (0.0, 30.0, 95.0, 500.0):
        asked = np.full(len(mass), s)
        found, d = CalibrationGraph(smooth)(tensor(asked), {"jet_mass": tensor(mass)})
        np.testing.assert_allclose(d, smooth.transform(asked, {"jet_mass": mass}), rtol=1e-6)
        np.testing.assert_allclose(found, smooth(asked, {"jet_mass": mass}), rtol=1e-6)


def test_surprise_goes_on_where_the_sample_ends():
    surprise = Surprise(np.arange(101.0))
    s = np.array([-5.0, 0.0, 33.3, 90.0, 90.0001, 95.5, 1e3])
    np.testing.assert_allclose(SurpriseGraph(surprise)(tensor(s)), surprise(s), rtol=1e-12, atol=1e-12)


def test_more_pt_lies_at_positive_eta_and_phi():
    """Two constituents beside the axis of a third; the heavier one comes to the positive side."""
    pt = tensor([[50.0, 7.0, 3.0]])
    for sign in (1, -1):
        eta, phi = tensor([[0.0, 0.1 * sign, -0.1 * sign]]), tensor([[0.0, 0.02 * sign, 0.2 * sign]])
        for flipped in Frame(rotate=False)(pt, eta, phi):
            side = torch.where(flipped > 0, pt, 0 * pt).sum() - torch.where(flipped < 0, pt, 0 * pt).sum()
            assert float(side) > 0


def test_observables_of_the_jet_follow_from_its_momentum():
    columns = {"jet_mass": tensor([30.0]), "jet_pt": tensor([400.0]), "jet_eta": tensor([1.5]),
               "file:x": tensor([8.0])}  # fmt: skip
    wanted = {"mass": 30.0, "pt": 400.0, "eta": 1.5, "mass_over_pt": 0.075, "file:x": 8.0}
    assert {name: float(of_the_jet(name, columns)) for name in wanted} == wanted


def test_jets_without_the_quantity_have_a_score_and_no_efficiency():
    scores, columns = stepped()
    detector = mass_detector(BinnedEfficiency.fit(scores, columns, {"jet_pt": [500.0]}))
    graph = JetGraph(detector)
    assert graph.inputs == ("jet_pt", "jet_mass")
    pt, mass = tensor([400.0, math.nan, math.inf, 600.0, 600.0]), tensor([20.0, 20.0, 20.0, 2020.0, math.nan])
    score, p = graph(pt.float(), mass.float())
    assert score[:4].tolist() == [20, 20, 20, 2020]
    assert torch.isnan(p).tolist() == [False, True, True, False, True]
    assert math.isnan(score[4])
    want = detector.background_efficiency([20.0, 2020.0], {"jet_pt": [400.0, 600.0]})
    np.testing.assert_allclose(p[[0, 3]], want, rtol=1e-6)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_score_of_the_graph_is_the_largest_of_its_members(order):
    """Twice the mass, on two scales: the one that is more surprised counts, whichever comes first."""
    member = mass_detector().members[0]
    scales = [Surprise(np.arange(101.0)), Surprise(np.arange(101.0) * 10)]
    detector = mass_detector()
    detector.members = [member._replace(name=f"m{i}", surprise=scales[i]) for i in order]
    mass = torch.tensor([3.0, 50.0, 95.0, 2000.0])
    score = JetGraph(detector)(mass)[0]
    np.testing.assert_allclose(score, scales[0](mass.numpy()), rtol=1e-6)
