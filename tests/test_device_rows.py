"""Images made in torch, as a GPU makes them, against those of NumPy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from jetad.config import resolve_config
from jetad.detector import inputs as device_rows
from jetad.errors import InputError
from jetad.jets import Jets
from jetad.preprocessing.images import ImageConfig, JetImages
from jetad.training.train import prepare_run, train

CPU = torch.device("cpu")


@pytest.fixture
def jets(make_jets):
    """Jets with charges; empty, broken and single-constituent ones among them."""
    jets = make_jets(300, seed=5)
    random = np.random.default_rng(6)
    counts = jets.n_constituents.copy()
    keep = np.ones(len(jets.pt), dtype=bool)
    for i, left in ((3, 0), (4, 1), (5, 2), (299, 0)):
        keep[jets.offsets[i] + left : jets.offsets[i + 1]] = False
        counts[i] = min(left, counts[i])
    pt, eta, phi, mass = (v[keep].copy() for v in (jets.pt, jets.eta, jets.phi, jets.mass))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    pt[offsets[10]] = np.nan
    eta[offsets[11]] = np.inf
    pt[offsets[12]] = -1
    pt[offsets[13] : offsets[14]] = 0
    eta[offsets[14]] += 5  # far outside
    nothing = offsets[16 + np.argmax(counts[16:50])]  # what has no pT comes first, opposite to the jet
    pt[nothing], phi[nothing] = 0, phi[nothing + 1] + np.pi
    charge = random.integers(-1, 2, len(pt)).astype(np.float32)
    charge[offsets[15]] = np.nan  # matters where charges are asked for
    return Jets(pt, eta, phi, mass, offsets, charge=charge)


@pytest.mark.parametrize("settings", [
    {}, {"sigma": 0.0}, {"sigma": 2.0, "normalize": "max"}, {"normalize": "none"}, {"intensity": "log"},
    {"pixel_power": 0.5}, {"rotate": False, "flip": False}, {"n_eta": 20, "n_phi": 30, "sigma": 0.5},
    {"channels": ("charged", "neutral")}, {"reference": True},
    {"channels": ("pt", "charged"), "pixel_power": 0.7, "normalize": "max"},
], ids=str)  # fmt: skip
def test_device_images_are_those_of_numpy(jets, settings, monkeypatch):
    monkeypatch.setattr(device_rows, "_CHUNK", 128)
    imager = JetImages(ImageConfig(**settings))
    expected = imager.transform(jets)
    images = device_rows.device_images(imager, jets, CPU)
    assert images.dtype == torch.float32
    assert np.isnan(expected).all(axis=(1, 2, 3))[[3, 10, 11, 12, 13, 299]].all()
    np.testing.assert_allclose(images.numpy(), expected, rtol=0, atol=1e-6 * np.nanmax(expected))


def test_ready_made_images_and_missing_charges(jets, make_jets):
    imager = JetImages(ImageConfig())
    made = Jets.without_constituents(20, images=imager.transform(make_jets(20)))
    np.testing.assert_array_equal(device_rows.device_images(imager, made, CPU), imager.transform(made))
    with pytest.raises(InputError, match="no charges"):
        device_rows.device_images(
            JetImages(ImageConfig(channels=("charged",))), dataclasses.replace(jets, charge=None), CPU
        )


def test_trained_and_scored_with_images_of_the_device(make_jets, tmp_path, monkeypatch):
    """The way of a GPU, on a CPU: constituents to images, components and scores."""
    calls = []

    def counted(imager, jets, device):
        calls.append(len(jets))
        return device_images(imager, jets, device)

    device_images = device_rows.device_images
    (tmp_path / "qcd").write_bytes(b"only its hash is taken")
    settings = ["training.epochs=1", "training.contrastive.steps=2", "network.components=5"]
    scores = {}
    for where in ("numpy", "device"):
        if where == "device":
            monkeypatch.setattr(device_rows, "_IMAGING", {"cpu"})
            monkeypatch.setattr(device_rows, "device_images", counted)
            monkeypatch.setattr("jetad.detector.Member._projector", lambda member: None)
        config = resolve_config(representation="image", settings=settings)
        run = prepare_run(config, [tmp_path / "qcd"], output=tmp_path / where, command=[], device="cpu")
        detector = train(run, make_jets(160, seed=1), device="cpu")
        scores[where] = detector.score(make_jets(40, seed=2))
    assert 40 in calls
    assert sum(calls) >= 160
    np.testing.assert_allclose(scores["device"], scores["numpy"], rtol=1e-3)
