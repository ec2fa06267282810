"""Training and scoring on a device that is not the CPU: a simulated one, see simulated_device.py.

It computes what the CPU computes, so that numbers must be equal; tensors left on the wrong side fail, and the
times the host waits for it are counted. ``test_device.py`` runs these tests in a process of their own: a
device must be there before the first gradient.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
import simulated_device
import torch
from simulated_device import waits
from test_engine import TRAINED, StopAt, quick, rng, run_of, started

from jetad.detector import detector, member
from jetad.detector import inputs as device_rows
from jetad.distributed.process_group import Ranks
from jetad.distributed.shared_batch import SharedGenerator
from jetad.errors import Interrupted
from jetad.models import METHODS, model_class
from jetad.objectives import make_phases
from jetad.objectives.base import SignalInputs
from jetad.preprocessing import PREPROCESSORS
from jetad.registry import load
from jetad.training import train as training
from jetad.training.train import train


@pytest.fixture
def sim(monkeypatch):
    """The device, taken by ``--device cuda`` and with images made on it."""
    device = simulated_device.register(os.environ["SIMULATED_DEVICE"])
    for module in (training, detector):
        monkeypatch.setattr(
            module, "select_device", lambda name: device if name == "cuda" else torch.device("cpu")
        )
    monkeypatch.setattr(device_rows, "_IMAGING", {device.type})
    monkeypatch.setitem(member._BATCH, device.type, member._BATCH["cuda"])
    return device


def test_the_simulated_device_is_strict_and_counts(sim):
    with waits() as one:
        x = torch.randn(4, 3).to(sim)
    with pytest.raises(RuntimeError, match=r"(same device)|(on the CPU meets)"):
        x + torch.ones(4, 3)
    with pytest.raises(RuntimeError):
        torch.randn(3, device=sim, generator=torch.Generator())
    with waits() as none:
        y = (x @ x.T).relu().sum()
    with waits() as two:
        float(y), y.cpu()
    assert (none, one, two) == ([0], [1], [2])
    numbers = torch.randn(3, device=sim, generator=torch.Generator(sim).manual_seed(3))
    assert torch.equal(numbers.cpu(), torch.randn(3, generator=rng(3)))


def kind(network: str | None) -> list[str]:
    return [] if network is None else [f"network.kind={network}"]


# every method, one with every representation; networks on constituents take long here
SOME = [(m, r) for m, r in TRAINED if r == METHODS[m].inputs[-1] or m == "nae"]


@pytest.mark.parametrize(
    ("method", "representation", "network"),
    [*((m, r, None) for m, r in SOME), ("nae", "image", "convolution")],
)
def test_every_method_gives_the_numbers_of_the_cpu(tmp_path, make_jets, sim, method, representation, network):
    config = quick(method, representation, *kind(network))
    detectors = {}
    for device in ("cpu", "cuda"):
        run, jets, signal = started(tmp_path, make_jets, config, device)
        detectors[device] = train(
            run, jets, signal=signal, device=device, monitor={"some": make_jets(30, seed=5)}
        )
    models = {device: detector.members[0].model.state_dict() for device, detector in detectors.items()}
    for name, value in models["cuda"].items():
        assert value.device == sim
        torch.testing.assert_close(value.cpu(), models["cpu"][name], rtol=1e-4, atol=1e-5)
    fresh = make_jets(40, seed=2)
    scores = {device: detector.score(fresh) for device, detector in detectors.items()}
    # a GPU scores in float32, a CPU in float64
    np.testing.assert_allclose(
        scores["cuda"], scores["cpu"], rtol=1e-3 if method == "clr" else 2e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("method", "representation", "network"),
    [*((m, r, None) for m, r in SOME), ("nae", "image", "convolution"), ("nae", "image", "jet40")],
)
def test_the_loss_waits_for_nothing(sim, method, representation, network):
    member = quick(method, representation, *kind(network)).members[representation]
    shape = load(PREPROCESSORS, representation, "representation")(member.preprocessing).shape
    torch.manual_seed(0)
    model = model_class(method)(shape, member.network, member.model)
    rows = torch.rand(40, *shape, generator=rng(1))
    model.fit_input(rows)
    model.to(sim)
    x = model.prepare(rows.to(sim))
    signal = SignalInputs(2 * x, 2 * x) if METHODS[method].signal else None
    generator = SharedGenerator(sim, Ranks()).manual_seed(1)
    for phase in make_phases(model, member.training, METHODS[method].phases, len(x), signal):
        phase.start(x, x)
        phase.loss(x, generator)  # the first puts step sizes on the device
        for _ in range(2):
            with waits() as counted:
                loss, _ = phase.loss(x, generator)
                loss.backward()
            # the Cholesky factors of dagmm are checked
            assert counted == [1 if method == "dagmm" else 0]


def test_a_training_step_waits_once(tmp_path, make_jets, sim):
    counts, jets = {}, make_jets(160, seed=1)
    for epochs in (2, 10):
        steps = epochs * 4  # of 32 of the 128 training jets
        more = [
            f"training.contrastive.steps={steps}", "training.validate_every=1000", "training.log_every=1000"
        ]  # fmt: skip
        run = run_of(tmp_path, quick("nae", "features", *more), str(steps))
        with waits() as counted:
            train(run, jets, device="cuda")
        counts[epochs] = counted[0]
    # whether the gradient is finite; and the order of the jets, once an epoch
    assert counts[10] - counts[2] == 8 * 4 + 8


@pytest.mark.parametrize(
    ("method", "more"), [("nae", []), ("nae", ["training.contrastive.average=0.9"]), ("wnae", [])]
)
def test_training_on_a_device_resumes_bit_for_bit(tmp_path, make_jets, sim, method, more):
    config = quick(method, "image", *more)
    whole, jets, _ = started(tmp_path, make_jets, config, "whole")
    train(whole, jets, device="cuda")
    with pytest.raises(Interrupted):
        train(run_of(tmp_path, config, "parts"), jets, device="cuda", stop=StopAt(8))
    parts = run_of(tmp_path, config, "parts")
    train(parts, jets, device="cuda")
    assert parts.model_hash() == whole.model_hash()
