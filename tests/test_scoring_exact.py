"""Detectors put together by hand: how energies become scores, what is kept between calls, and calibration."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from conftest import toy_jets
from test_engine import quick, run_of

from jetad.calibration import DecorrelatedEfficiency, Surprise
from jetad.detector import Member, TrainedDetector, calibrate
from jetad.models.autoencoder import Autoencoder
from jetad.models.mahalanobis import Mahalanobis
from jetad.models.networks.dense import DenseConfig
from jetad.models.networks.inputs import InputsConfig
from jetad.models.observable import JetMass
from jetad.preprocessing.features import FeatureConfig, JetFeatures
from jetad.preprocessing.images import ImageConfig, JetImages
from jetad.training.train import train
from jetad.writers import write_jets

CPU = torch.device("cpu")


def mass_detector(calibration=None) -> TrainedDetector:
    """The score is the mass of the jet."""
    features = JetFeatures(FeatureConfig(observables=("mass",), scaling="none"))
    features.fit(toy_jets(20, 1))
    return TrainedDetector([Member("m", features, JetMass((1,), InputsConfig()), None)], calibration, CPU)


# --- several members -----------------------------------------------------------------------------


def test_score_is_the_largest_surprise_of_all_members():
    low, high = Surprise(np.arange(101.0)), Surprise(np.arange(101.0) * 10)
    members = [Member(name, None, None, scale) for name, scale in (("a", low), ("b", high))]
    detector = TrainedDetector(members, None, CPU)
    energies = {"a": np.array([50.0, 5.0, math.nan, 1.0]), "b": np.array([50.0, 999.0, 1.0, math.nan])}
    found = detector.combine(energies)
    want = [low(50.0), high(999.0), math.nan, math.nan]
    np.testing.assert_allclose(found, np.asarray(want, dtype=np.float32), rtol=1e-6)
    assert found.dtype == np.float32


# --- what a score file holds ---------------------------------------------------------------------


class Quantity:
    """A calibration that gives a quantity of the jet as its efficiency."""

    n, smallest = 10, 0.1

    def __init__(self, name: str) -> None:
        self.columns = (name,)

    def __call__(self, scores, columns=None):
        assert set(columns) == set(self.columns)
        return np.asarray(columns[self.columns[0]], dtype=np.float32)


@pytest.mark.parametrize("name", ["jet_pt", "jet_mass", "jet_eta"])
def test_columns_of_scores_are_those_of_the_jets(name):
    jets = toy_jets(30, 2)
    scores = mass_detector(Quantity(name)).evaluate(jets)
    for column in ("jet_pt", "jet_eta", "jet_phi", "jet_mass", "entry"):
        np.testing.assert_allclose(getattr(scores, column), getattr(jets, column), rtol=1e-6)
    np.testing.assert_array_equal(scores.jet, jets.position)
    np.testing.assert_allclose(scores.score, jets.jet_mass, rtol=1e-6)
    np.testing.assert_allclose(scores.background_efficiency, getattr(jets, name), rtol=1e-6)


def test_decorrelated_score_is_written_beside_the_score():
    jets = toy_jets(2000, 3)
    detector = mass_detector()
    smooth = DecorrelatedEfficiency.fit(detector.score(jets), {"jet_pt": jets.jet_pt}, "jet_pt")
    scores = mass_detector(smooth).evaluate(jets)
    want = smooth.transform(scores.score, {"jet_pt": jets.jet_pt})
    np.testing.assert_array_equal(scores.extra["score_decorrelated"], want)
    np.testing.assert_array_equal(scores.background_efficiency, smooth.efficiency(want))


# --- what is kept between calls ------------------------------------------------------------------


def test_scores_follow_weights_that_are_changed_in_place():
    torch.manual_seed(0)
    jets, features = toy_jets(50, 1), JetFeatures(FeatureConfig())
    features.fit(jets)
    model = Autoencoder((3,), DenseConfig(components=None, hidden=(4,), latent_dim=2))
    member = Member("m", features, model, None)
    before = member.energies(jets, CPU)
    np.testing.assert_array_equal(member.energies(jets, CPU), before)
    with torch.no_grad():
        model.codec.decoder[0].weight.zero_()
        model.codec.decoder[0].bias.zero_()
        model.codec.decoder[-1].bias.zero_()  # reconstructs nothing
        rows = torch.from_numpy(features.transform(jets)).double()
    want = rows.square().sum(dim=1).numpy()
    np.testing.assert_allclose(member.energies(jets, CPU), want, rtol=1e-6)


def test_scores_follow_a_model_that_is_fitted_again():
    """Constants that are replaced by new tensors, whose versions begin anew."""
    features = JetFeatures(FeatureConfig())
    jets, others = toy_jets(60, 1), toy_jets(60, 2, mean=60)
    features.fit(jets)
    model = Mahalanobis((3,), InputsConfig())
    member = Member("m", features, model, None)
    found = []
    for part in (jets, others):
        model.fit(torch.from_numpy(features.transform(part)), torch.Generator())
        found.append(member.energies(jets, CPU))
        rows = torch.from_numpy(features.transform(jets)).double()
        np.testing.assert_allclose(found[-1], model.energy(rows).numpy(), rtol=1e-5)
    assert not np.allclose(found[0], found[1])


def test_scores_of_images_follow_components_that_are_measured_again():
    torch.manual_seed(0)
    jets, images = toy_jets(60, 1), JetImages(ImageConfig(n_eta=8, n_phi=8))
    model = Autoencoder(images.shape, DenseConfig(components=5, hidden=(4,), latent_dim=2))
    rows = torch.from_numpy(images.transform(jets))
    member = Member("m", images, model, None)
    found = []
    for part in (rows[:30], rows[30:]):
        model.fit_input(part)
        found.append(member.energies(jets, CPU))
        exact = copy.deepcopy(model).double().requires_grad_(False)
        want = exact.energy(exact.prepare(rows.double()))
        np.testing.assert_allclose(found[-1], want, rtol=1e-4, atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-2


# --- calibration on files ------------------------------------------------------------------------


def test_calibration_stops_after_so_many_jets_of_all_files(tmp_path):
    run = run_of(tmp_path, quick("mass", "features"))
    train(run, toy_jets(160, 1))
    jets = toy_jets(60, 2)
    paths = [tmp_path / f"{i}.h5" for i in range(3)]
    for i, path in enumerate(paths):
        write_jets(jets[20 * i : 20 * (i + 1)], path)
    found = calibrate(run, paths, device="cpu", max_jets=30)
    assert found.n == 30
    np.testing.assert_allclose(found.scores, np.sort(jets.jet_mass[:30]), rtol=1e-5)
    assert run.read_json("calibration.json")["background"]["n"] == 30
    np.testing.assert_array_equal(
        TrainedDetector.from_run(run, "cpu").background_efficiencies(jets), found(jets.jet_mass)
    )
