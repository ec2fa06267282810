"""On a real GPU (``pytest -m gpu``): it trains, resumes and scores as a CPU does."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from test_engine import StopAt, quick, run_of, started

from jetad.detector import TrainedDetector
from jetad.errors import Interrupted
from jetad.training.train import train

pytestmark = pytest.mark.gpu

# 'cpu' tries the tests themselves where there is no GPU
DEVICE = os.environ.get("JETAD_TEST_DEVICE", "cuda")
METHODS = ["ae", "nae", "wnae", "mpdr-s", "mpdr-r", "igebm"]


@pytest.fixture(autouse=True)
def _needs_it():
    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.fail("torch sees no GPU here")


@pytest.mark.parametrize("method", METHODS)
def test_a_detector_of_the_device_scores_as_on_the_cpu(tmp_path, make_jets, method):
    run, jets, _ = started(tmp_path, make_jets, quick(method, "image"))
    detector = train(run, jets, device=DEVICE)
    fresh = make_jets(40, seed=2)
    np.testing.assert_allclose(
        detector.score(fresh), TrainedDetector.from_run(run, "cpu").score(fresh), rtol=2e-3, atol=1e-4
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("average", [None, 0.9])
def test_training_on_the_device_resumes_bit_for_bit(tmp_path, make_jets, method, average):
    phase = {"wnae": "transport", "ae": None}.get(method, "contrastive")
    if phase is None and average is not None:
        pytest.skip("no second phase")
    more = [] if average is None else [f"training.{phase}.average={average}"]
    config = quick(method, "image", *more)
    whole, jets, _ = started(tmp_path, make_jets, config, "whole")
    train(whole, jets, device=DEVICE)
    with pytest.raises(Interrupted):
        train(run_of(tmp_path, config, "parts"), jets, device=DEVICE, stop=StopAt(6 if phase else 2))
    parts = run_of(tmp_path, config, "parts")
    train(parts, jets, device=DEVICE)
    assert parts.model_hash() == whole.model_hash()


def test_compiled_chains_train(tmp_path, make_jets):
    run, jets, _ = started(tmp_path, make_jets, quick("nae", "image", "training.compile=true"))
    assert np.isfinite(train(run, jets, device=DEVICE).score(make_jets(20, seed=2))).all()
