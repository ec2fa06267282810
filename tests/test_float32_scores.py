"""Scores that a CPU computes in float32: the same in every batch, in any order, with any threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jetad.detector import Member, TrainedDetector
from jetad.models import METHODS, model_class
from jetad.models.networks.convolution import ConvolutionConfig
from jetad.models.networks.dense import DenseConfig
from jetad.models.networks.jet40 import Jet40Config
from jetad.preprocessing.images import ImageConfig, JetImages

N_JETS = 140  # more than one block
TRAINED = [k for k, m in METHODS.items() if "image" in m.inputs and not {"fit"} & set(m.phases)]
METHODS_WITH_NETWORKS = [k for k in TRAINED if k not in ("glow", "pixelcnn")]


@pytest.fixture
def images():
    x, y = np.mgrid[-20:20, -20:20] / 4
    random = np.random.default_rng(1)
    centres = random.normal(0, 2, (2, N_JETS, 1, 1))
    blobs = np.exp(-((x - centres[0]) ** 2) - (y - centres[1]) ** 2) + 0.01 * random.random((N_JETS, 40, 40))
    return (blobs / blobs.sum(axis=(1, 2), keepdims=True)).astype(np.float32)[:, None]


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def detector(method, network, images):
    torch.manual_seed(3)
    model = model_class(method)((1, 40, 40), network)
    rows = torch.from_numpy(images)
    model.fit_input(rows)
    with torch.no_grad():
        model.settle(model.prepare(rows))
    model = model.eval().requires_grad_(False)
    return TrainedDetector(
        [Member("image", JetImages(ImageConfig()), model, None)], None, torch.device("cpu")
    )


def assert_same(scores, expected):
    """To 1e-6, as promised; the same bits on the machine where this was written."""
    np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-6 * np.ptp(expected))


@pytest.mark.parametrize(
    ("method", "network"),
    [
        *((method, ConvolutionConfig(channels=(8, 16))) for method in METHODS_WITH_NETWORKS),
        *((method, Jet40Config()) for method in ("nae", "mpdr-s")),
    ],
    ids=lambda v: getattr(v, "kind", v),
)
def test_float32_scores_do_not_depend_on_the_batch(method, network, images, one_thread):
    found = detector(method, network, images)
    whole = found.score(images)
    assert np.ptp(whole) > 0
    order = np.random.default_rng(2).permutation(N_JETS)
    assert_same(found.score(images[order]), whole[order])
    assert_same(np.concatenate([found.score(p) for p in np.split(images, [1, 8])]), whole)
    torch.set_num_threads(2)
    assert_same(found.score(images), whole)
    # what float64 gives, as well as float32 can have it
    double = found.members[0].model.double().score(torch.from_numpy(images[:40]).double()).numpy()
    np.testing.assert_allclose(whole[:40], double, rtol=1e-5, atol=1e-5 * np.ptp(double))


def test_empty_jets_do_not_move_their_neighbours(images):
    found = detector("ae", ConvolutionConfig(), images)
    whole = found.score(images)
    images[[0, 130]] = np.nan
    scores = found.score(images)
    assert np.isnan(scores[[0, 130]]).all()
    others = np.setdiff1d(np.arange(N_JETS), [0, 130])
    assert_same(scores[others], whole[others])


def test_dense_networks_stay_in_float64(images):
    model = detector("ae", DenseConfig(components=10), images).members[0].model
    assert not model.float32_scores
    energies = Member("image", JetImages(ImageConfig()), model, None).image_energies(
        images, torch.device("cpu")
    )
    assert not np.array_equal(energies, energies.astype(np.float32))
