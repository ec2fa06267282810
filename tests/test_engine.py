"""Methods, networks, samplers and distances of the engine, against closed forms where there are any."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from jetad.config import TransportConfig, resolve_config
from jetad.detector import TrainedDetector
from jetad.detector.negatives import draw_negatives
from jetad.errors import ConfigError, InputError, Interrupted
from jetad.interrupts import StopRequest
from jetad.jets import Jets
from jetad.models import METHODS, model_class
from jetad.models.distances import (
    energy_distance,
    exact_transport,
    sinkhorn_divergence,
    sliced_transport,
)
from jetad.models.igebm import ScalarEnergy
from jetad.models.nae import NormalizedAutoencoder
from jetad.models.networks.convolution import ConvolutionConfig
from jetad.models.networks.deepset import DeepSetConfig
from jetad.models.networks.dense import DenseConfig
from jetad.models.networks.jet40 import Jet40Config
from jetad.models.networks.mnist28 import Mnist28Config
from jetad.models.networks.parts import Codec, ScaledInput
from jetad.models.wnae import WassersteinNormalizedAutoencoder
from jetad.objectives import make_phases
from jetad.objectives.base import SignalInputs, frozen
from jetad.objectives.contrastive import Contrastive
from jetad.objectives.transport import Transport, langevin_with_graph
from jetad.preprocessing import PREPROCESSORS
from jetad.preprocessing.constituents import ConstituentConfig, JetConstituents
from jetad.preprocessing.images import align
from jetad.presets import preset, presets
from jetad.registry import load
from jetad.samplers.base import ChainConfig, ChainRunner
from jetad.samplers.on_manifold import OnManifoldConfig, OnManifoldSampler
from jetad.samplers.recovery import RecoveryConfig, RecoverySampler, geodesic_square
from jetad.training.loop import Trainer
from jetad.training.train import prepare_run, train

SECOND = {"nae": "contrastive", "wnae": "transport", "mpdr-s": "contrastive", "mpdr-r": "contrastive",
          "igebm": "contrastive"}  # fmt: skip


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- every method, every representation ----------------------------------------------------------


SMALL = {"dense": ["network.hidden=[16]"], "deepset": ["network.hidden=[16]"]}  # settings by kind of network
SMALL_MODEL = {
    "glow": ["model.steps=1", "model.hidden=4"],
    "pixelcnn": ["model.filters=4", "model.blocks=1", "model.mixtures=2"],
}


def quick(method: str, representation: str, *more: str, seed: int | None = None):
    settings = ["training.epochs=1", "training.validate_every=4", "training.log_every=4",
                "training.batch_size=32"]  # fmt: skip
    network = preset(method)["members"][representation]["network"]
    settings += SMALL.get(network["kind"], []) + SMALL_MODEL.get(method, [])
    if network.get("components") is not None:
        settings.append("network.components=8")
    if method in SECOND:
        settings.append(f"training.{SECOND[method]}.steps=8")
    if METHODS[method].classes == "required":
        settings.append("data.classes=kind")
    settings += more
    return resolve_config(method=method, representation=representation, settings=settings, seed=seed)


class StopAt(StopRequest):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def __bool__(self) -> bool:
        self.n -= 1
        self.signal = 15 if self.n <= 0 else None
        return self.n <= 0


def run_of(tmp_path, config, name="run"):
    source, signal = tmp_path / "qcd.bin", tmp_path / "top.bin"
    source.write_bytes(b"only its hash is taken")
    signal.write_bytes(b"of this too")
    return prepare_run(
        config, [source], output=tmp_path / name, command=["test"], device="cpu",
        signal=[signal] if METHODS[config.method].signal else [],
    )  # fmt: skip


def started(tmp_path, make_jets, config, name="run"):
    """A run with the jets of its training: of three kinds, and signal for a method that takes it."""
    jets = make_jets(160, seed=1)
    jets = dataclasses.replace(jets, observables={"kind": np.arange(160) % 3})
    signal = make_jets(160, seed=3, mean=60) if METHODS[config.method].signal else None
    return run_of(tmp_path, config, name), jets, signal


@pytest.mark.parametrize(("method", "representation"), [(m, r) for m in METHODS for r in METHODS[m].inputs])
def test_every_method_trains_loads_and_scores_one_by_one(tmp_path, make_jets, method, representation):
    run, jets, signal = started(tmp_path, make_jets, quick(method, representation))
    detector = train(run, jets, signal=signal)
    fresh = make_jets(20, seed=2)
    scores = detector.score(fresh)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    seen = detector.members[0].preprocessor.transform(fresh)
    assert len(set(scores.tolist())) > 0.75 * len(np.unique(seen, axis=0))  # jets may look the same to it
    np.testing.assert_array_equal(TrainedDetector.from_run(run, "cpu").score(fresh), scores)
    alone = np.concatenate([detector.score(fresh[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(alone, scores[:5], rtol=2e-5)
    sevens = np.concatenate([detector.score(fresh[i : i + 7]) for i in range(0, 20, 7)])
    np.testing.assert_allclose(sevens, scores, rtol=1e-5)
    phases = list(dict.fromkeys(record["phase"] for record in run.history()))
    assert phases == list(METHODS[method].phases)
    empty = Jets.from_lists([[], [(90.0, 0.0, 0.0, 0.0), (50.0, 0.2, 0.1, 0.0), (9.0, 0.1, 0.3, 0.0)]])
    assert np.isnan(detector.score(empty)).tolist() == [True, False]


RESUMED = {
    "wnae": 7,
    "mpdr-s": 8,
    "mpdr-r": 3,
    "igebm": 5,
    "dae": 2,
    "vae": 3,
    "wae": 3,
    "dagmm": 3,
    "classifier": 3,
    "glow": 2,
    "pixelcnn": 2,
}


@pytest.mark.parametrize(("method", "after"), RESUMED.items())
def test_every_method_resumes_bit_for_bit(tmp_path, make_jets, method, after):
    config = quick(method, "features" if "features" in METHODS[method].inputs else "image")
    whole, jets, signal = started(tmp_path, make_jets, config, "whole")
    train(whole, jets, signal=signal)
    with pytest.raises(Interrupted):
        train(run_of(tmp_path, config, "parts"), jets, signal=signal, stop=StopAt(after))
    parts = run_of(tmp_path, config, "parts")
    train(parts, jets, signal=signal)
    assert parts.model_hash() == whole.model_hash()


TRAINED = [(m, r) for m in METHODS for r in METHODS[m].inputs if METHODS[m].phases != ("fit",)]


@pytest.mark.parametrize(("method", "representation"), TRAINED)
def test_gradients_of_every_method_are_finite(method, representation):
    member = quick(method, representation).members[representation]
    shape = load(PREPROCESSORS, representation, "representation")(member.preprocessing).shape
    torch.manual_seed(0)
    model = model_class(method)(shape, member.network, member.model)
    rows = torch.rand(40, *shape, generator=rng(1))
    model.fit_input(rows)
    x = model.prepare(rows)
    signal = SignalInputs(2 * x, 2 * x) if METHODS[method].signal else None
    for phase in make_phases(model, member.training, METHODS[method].phases, len(x), signal):
        model.zero_grad()
        phase.start(x, x)
        loss, _ = phase.loss(x, rng(2))
        loss.backward()
        gradients = [p.grad for p in phase.parameters() if p.requires_grad]
        assert all(g is None or torch.isfinite(g).all() for g in gradients)
        assert any(g is not None and g.abs().max() > 0 for g in gradients)
        # and of the energy with respect to the inputs, far from the background, too
        far = (100 * x).requires_grad_(True)
        (slope,) = torch.autograd.grad(model.energy(far).sum(), far)
        assert torch.isfinite(slope).all()


@pytest.mark.parametrize("method", [m for m in METHODS if METHODS[m].kind != "trivial reference"])
def test_seed_decides_the_weights(tmp_path, make_jets, method):
    representation = "features" if "features" in METHODS[method].inputs else METHODS[method].inputs[-1]
    hashes = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run, jets, signal = started(tmp_path, make_jets, quick(method, representation, seed=seed), name)
        train(run, jets, signal=signal)
        hashes.append(run.model_hash())
    assert hashes[0] == hashes[1] != hashes[2]


def test_negatives_of_mpdr_start_at_background(tmp_path, make_jets):
    run = run_of(tmp_path, quick("mpdr-s", "image"))
    train(run, make_jets(160, seed=1))
    with pytest.raises(ConfigError, match="start at background jets; give some"):
        draw_negatives(run, n=4)
    drawn = draw_negatives(run, n=4, background=make_jets(6, seed=2), rounds=1)
    assert drawn.end.shape == (4, 1, 40, 40)
    assert np.isfinite(drawn.energy).all()


def test_manifolds_stay_frozen_and_the_ensemble_shares_the_batch(tmp_path, make_jets):
    config = quick("mpdr-s", "features", "network.manifold_dims=[2,3,4]")
    member = config.members["features"]
    torch.manual_seed(0)
    model = model_class("mpdr-s")((3,), member.network)
    x = torch.randn(64, 3, generator=rng())
    assert [codec.latent_dim for codec in model.manifolds] == [2, 3, 4]
    phase = Contrastive(model, member.training.contrastive)
    phase.start(x, x)
    before = [p.clone() for p in model.manifolds.parameters()]
    optimizer = torch.optim.Adam(phase.parameters(), lr=0.1)
    loss, _ = phase.loss(x, rng())
    loss.backward()
    optimizer.step()
    assert all(p.grad is None for p in model.manifolds.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, model.manifolds.parameters(), strict=True))
    assert all(p.grad is not None for p in model.network.parameters())
    assert phase.sampler.negatives(model, x[:2], rng()).x.shape == (2, 3)  # fewer jets than manifolds


def test_sampler_that_a_method_cannot_use_is_refused():
    with pytest.raises(ConfigError, match=r"'igebm' cannot use sampler 'omi'.*choose one of: pcd, cd"):
        resolve_config(method="igebm", settings=["training.contrastive.sampler.kind=omi"])
    with pytest.raises(ConfigError, match="has no contrastive phase"):
        resolve_config(method="wnae", settings=["members.image.training.contrastive={steps: 3}"])


def test_network_that_cannot_take_the_input_is_refused_before_anything_is_written():
    with pytest.raises(ConfigError, match=r"members\.features: network kind 'convolution' takes images"):
        resolve_config(representation="features", settings=["network.kind=convolution"])
    with pytest.raises(ConfigError, match="takes images of 1 x 40 x 40"):
        resolve_config(preset="heidelberg", settings=["preprocessing.n_eta=30"])


def test_published_presets_resolve_and_train(make_jets):
    for name in presets():
        config = resolve_config(preset=name)
        assert config.method in METHODS
        for member in config.members.values():
            if name in METHODS or member.preprocessing.representation != "image":
                continue
            torch.manual_seed(0)
            shape = load(PREPROCESSORS, "image", "representation")(member.preprocessing).shape
            model = model_class(config.method)(shape, member.network)
            x = torch.rand(3, model.input.n_features, generator=rng()) / 800
            phase = make_phases(model, member.training, METHODS[config.method].phases, 100)[-1]
            phase.start(x, x)
            loss, _ = phase.loss(x, rng())
            assert torch.isfinite(loss), name
    with pytest.raises(ConfigError, match="unknown preset 'heidelbreg'; choose one of: heidelberg"):
        preset("heidelbreg")
    with pytest.raises(ConfigError, match="is one of method"):
        resolve_config(preset="wnae", method="nae")


# --- networks ------------------------------------------------------------------------------------


def test_published_jet_network_has_its_number_of_parameters():
    codec = Jet40Config().codec(Jet40Config().input_layer((1, 40, 40)))
    assert sum(p.numel() for p in codec.parameters()) == 84_442
    with pytest.raises(ConfigError, match="1 x 40 x 40"):
        Jet40Config().input_layer((1, 28, 28))


def test_spectral_norm_is_computed_once_while_frozen():
    codec = Jet40Config().codec(Jet40Config().input_layer((1, 40, 40)))
    x = torch.rand(2, 1600, generator=rng())
    with frozen(codec):
        first, second = codec(x), codec(x)
        assert not first.requires_grad
    assert torch.equal(first, second)
    assert all(p.requires_grad for p in codec.parameters())
    assert not torch.equal(codec(x), codec(x))  # the power iteration goes on at every forward


@pytest.mark.parametrize("shape", [(1, 40, 40), (2, 28, 28), (1, 37, 41)])
def test_strided_network_gives_back_any_shape(shape):
    config = ConvolutionConfig(channels=(4, 8, 8))
    layer = config.input_layer(shape)
    x = torch.rand(3, layer.n_features, generator=rng())
    assert config.codec(layer)(x).shape == x.shape
    assert config.scalar(layer)(x).shape == (3, 1)
    with pytest.raises(ConfigError, match="takes images"):
        config.input_layer((7,))


@pytest.mark.parametrize("heads", [0, 2])
def test_set_network_does_not_see_the_order(heads):
    config = DeepSetConfig(per_constituent=(8, 8), hidden=(8,), attention_heads=heads)
    layer = config.input_layer((6, 3))
    torch.manual_seed(0)
    net = config.scalar(layer)
    x = torch.rand(4, 6, 3, generator=rng())
    shuffled = x[:, torch.randperm(6, generator=rng())]
    torch.testing.assert_close(net(x.flatten(1)), net(shuffled.flatten(1)))
    assert not torch.allclose(net(x.flatten(1)), net(x.flip(2).flatten(1)))
    with pytest.raises(ConfigError, match="takes constituents"):
        config.input_layer((1, 40, 40))


def test_scaled_input_spreads_by_one_and_restores():
    layer = ScaledInput((1, 4, 4))
    rows = torch.rand(500, 1, 4, 4, generator=rng()) * 1e-3
    layer.fit(rows)
    assert float(layer(rows).var(dim=0).sum()) == pytest.approx(1, rel=1e-4)
    torch.testing.assert_close(layer.restore(layer(rows)), rows)


def test_network_kinds_are_chosen_in_the_configuration():
    with pytest.raises(ConfigError, match="'inputs' has no layers to train"):
        resolve_config(representation="image", settings=["network.kind=inputs"])
    config = resolve_config(
        representation="image", settings=["network.kind=convolution", "network.channels=[4,8]"]
    )
    assert config.members["image"].network == ConvolutionConfig(channels=(4, 8))
    with pytest.raises(ConfigError, match=r"unknown setting 'members\.image\.network\.components'"):
        resolve_config(representation="image", settings=["network.kind=convolution", "network.components=3"])


def test_decoder_of_pixels_ends_in_a_sigmoid():
    torch.manual_seed(0)
    config = DenseConfig(components=None, hidden=(8,), output="sigmoid")
    layer, x = config.input_layer((1, 4, 4)), torch.randn(50, 16, generator=rng())
    with torch.no_grad():
        pixels = config.codec(layer)(x)
        assert 0 < float(pixels.min()) < float(pixels.max()) < 1
        assert float(DenseConfig(components=None, hidden=(8,)).codec(layer)(x).min()) < 0
    layer.fit(pixels.view(-1, 1, 4, 4))
    with pytest.raises(InputError, match=r"between 0 and 250, .*normalize=sum or max"):
        layer.fit(250 * torch.eye(4)[None, None])
    with pytest.raises(ConfigError, match="give components=null"):
        resolve_config(representation="image", settings=["network.output=sigmoid"])


def test_published_network_for_digits_trains_with_its_preset(tmp_path):
    config = Mnist28Config()
    layer = config.input_layer((1, 28, 28))
    codec = config.codec(layer)
    # 3 x 3: 1-32, 32-64, 64-64, 64-128; 4 x 4: 128-1024; 1 x 1: 1024-32; biases: the numbers of channels
    encoder = (
        9 * (32 + 32 * 64 + 64 * 64 + 64 * 128) + 16 * 128 * 1024 + 1024 * 32 + 32 + 64 + 64 + 128 + 1024 + 32
    )
    decoder = 16 * 32 * 128 + 9 * (128 * 64 + 64 * 64 + 64 * 32 + 32) + 128 + 64 + 64 + 32 + 1
    assert [sum(p.numel() for p in part.parameters()) for part in (codec.encoder, codec.decoder)] == [
        encoder, decoder
    ]  # fmt: skip
    assert config.scalar(layer)(torch.rand(3, 784)).shape == (3, 1)
    small = Mnist28Config(channels=(2, 3, 4, 5), units=6, latent_dim=7).codec(layer)
    encoder = 9 * (2 + 2 * 3 + 3 * 4 + 4 * 5) + 16 * 5 * 6 + 6 * 7 + 2 + 3 + 4 + 5 + 6 + 7
    decoder = 16 * 7 * 5 + 9 * (5 * 4 + 4 * 3 + 3 * 2 + 2) + 5 + 4 + 3 + 2 + 1
    assert [sum(p.numel() for p in part.parameters()) for part in (small.encoder, small.decoder)] == [
        encoder, decoder
    ]  # fmt: skip
    assert small(torch.rand(3, 784)).shape == (3, 784)
    with pytest.raises(ConfigError, match="takes images of 1 x 28 x 28"):
        config.input_layer((1, 40, 40))
    images = torch.rand(100, 1, 28, 28, generator=rng()).numpy()
    contrastive = "training.contrastive"
    settings = ["training.epochs=1", "training.batch_size=8", f"{contrastive}.steps=2",
                f"{contrastive}.sampler.latent_chain.n_steps=1",
                f"{contrastive}.sampler.visible_chain.n_steps=1"]  # fmt: skip
    run = run_of(tmp_path, resolve_config(preset="nae-mnist", settings=settings))
    detector = train(run, Jets.without_constituents(100, images=images), device="cpu")
    assert np.isfinite(detector.score(images)).all()
    with torch.no_grad():
        model = detector.members[0].model
        assert float(model.low.min()) >= 0
        assert float(model.high.max()) <= 1


# --- constituents --------------------------------------------------------------------------------


def test_constituents_equal_a_plain_loop(make_jets):
    jets = make_jets(30, seed=4)
    config = ConstituentConfig(n_constituents=12)
    rows = JetConstituents(config).transform(jets)
    assert rows.shape == (30, 12, 3)
    assert rows.dtype == np.float32
    eta, phi, _ = align(jets)
    for i in range(30):
        part = slice(jets.offsets[i], jets.offsets[i + 1])
        pt = np.asarray(jets.pt[part], dtype=float)
        order = np.argsort(-pt, kind="stable")[:12]
        w = (pt / pt.sum())[order] ** 0.5
        expected = np.zeros((12, 3))
        expected[: len(order)] = np.stack([w, w * eta[part][order] / 0.4, w * phi[part][order] / 0.4], axis=1)
        np.testing.assert_allclose(rows[i], expected, atol=1e-6)
    part = JetConstituents(config).transform(jets[7:9])
    np.testing.assert_array_equal(part, rows[7:9])


def test_jets_without_constituents_are_nan():
    rows = JetConstituents(ConstituentConfig(n_constituents=3)).transform(
        Jets.from_lists([[], [(100.0, 0.0, 0.0, 0.1), (50.0, 0.1, 0.1, 0.1)]])
    )
    assert np.isnan(rows[0]).all()
    assert np.isfinite(rows[1]).all()
    assert (rows[1, 2] == 0).all()


# --- distances -----------------------------------------------------------------------------------


def test_exact_transport_is_that_of_pot():
    ot = pytest.importorskip("ot")
    x, y = torch.randn(80, 5, generator=rng(1)), 0.5 + torch.randn(80, 5, generator=rng(2))
    weights = np.full(80, 1 / 80)
    want = ot.emd2(weights, weights, ot.dist(x.double().numpy(), y.double().numpy()))
    assert float(exact_transport(x, y)) == pytest.approx(want, rel=1e-5)
    with pytest.raises(ValueError, match="one size"):
        exact_transport(x, y[:3])


def test_distances_of_shifted_samples():
    x = torch.randn(400, 3, generator=rng(3), dtype=torch.float64)
    shift = torch.tensor([0.5, -0.3, 0.2], dtype=torch.float64)
    want = float(shift.square().sum())
    assert float(exact_transport(x, x + shift)) == pytest.approx(want, rel=1e-9)
    assert float(sliced_transport(x, x + shift, rng(), 4000)) == pytest.approx(want, rel=0.1)
    assert float(sinkhorn_divergence(x, x + shift)) == pytest.approx(want, rel=0.02)
    assert float(sinkhorn_divergence(x, x)) == pytest.approx(0, abs=1e-9)
    # of two unit normals in one dimension, mu apart: 2 (E|N(mu, 2)| - E|N(0, 2)|)
    a = torch.special.ndtri((torch.arange(3000, dtype=torch.float64) + 0.5) / 3000)[:, None]
    b = 1 + a
    mean = 2 * math.exp(-1 / 4) / math.sqrt(math.pi) + math.erf(1 / 2)
    assert float(energy_distance(a, b)) == pytest.approx(2 * (mean - 2 / math.sqrt(math.pi)), abs=3e-3)


@pytest.mark.parametrize("distance", [exact_transport, sliced_transport, energy_distance])
def test_gradients_of_distances_agree_with_finite_differences(distance):
    x = torch.randn(7, 2, generator=rng(6), dtype=torch.float64)
    y = torch.randn(7, 2, generator=rng(7), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: distance(x, v, rng(8)), (y,))


def test_gradient_of_sinkhorn_agrees_with_finite_differences():
    x = torch.randn(12, 2, generator=rng(6), dtype=torch.float64)
    y = torch.randn(12, 2, generator=rng(7), dtype=torch.float64, requires_grad=True)

    def value(v: torch.Tensor) -> torch.Tensor:
        return sinkhorn_divergence(x, v, blur=0.3, n_iterations=500, scale=4.0)

    (g,) = torch.autograd.grad(value(y), y)
    h = 1e-5
    with torch.no_grad():
        for i, j in [(0, 0), (5, 1), (11, 0)]:
            step = torch.zeros_like(y)
            step[i, j] = h
            difference = float(value(y + step) - value(y - step)) / (2 * h)
            assert float(g[i, j]) == pytest.approx(difference, rel=1e-3, abs=1e-6)


# --- samplers ------------------------------------------------------------------------------------


def test_recovery_chain_has_the_posterior_of_a_gaussian_energy():
    """Plane with E = r^2 / 2 and the angle as latent space: radius and angle are independent."""
    std = 0.3

    class Plane:
        temperature = torch.ones(())
        manifolds = (Codec(torch.nn.Identity(), torch.nn.Identity(), 2),)

        def energy(self, x):
            return 0.5 * x.square().sum(dim=1)

        def clamp(self, x):
            return x

        fold = clamp

    config = RecoveryConfig.model_validate(
        {"min_std": std, "max_std": std, "latent_chain": {"n_steps": 0}, "visible_chain": {"n_steps": 150}}
    )
    n = 8000
    x = torch.zeros(n, 2, dtype=torch.float64)
    x[:, 0] = 1
    sampler = RecoverySampler(config)
    sampler.negatives(Plane(), x, rng(1))  # tunes the step
    end = sampler.negatives(Plane(), x, rng(2)).x
    radius, angle = end.norm(dim=1), torch.atan2(end[:, 1], end[:, 0])
    assert float(radius.mean()) == pytest.approx(math.sqrt(math.pi / 2), abs=0.04)
    assert float(radius.square().mean()) == pytest.approx(2, abs=0.15)
    # the perturbation and the posterior around it, each of width std
    assert float(angle.square().mean()) == pytest.approx(2 * std**2, rel=0.06)


def test_geodesic_is_the_angle_with_a_finite_slope_everywhere():
    a = torch.tensor([[1.0, 0.0, 0.0]] * 4, dtype=torch.float64)
    t = torch.tensor([0.0, 1e-5, 1.0, 3.0], dtype=torch.float64)
    b = torch.stack([t.cos(), t.sin(), 0 * t], dim=1).requires_grad_(True)
    d = geodesic_square(a, b)
    torch.testing.assert_close(d, t.square(), rtol=1e-4, atol=1e-11)
    (g,) = torch.autograd.grad(d.sum(), b)
    assert torch.isfinite(g).all()


def test_adjusted_chains_move_although_some_pixels_are_always_empty():
    """A box has a width in every direction, and chains that start on the manifold start inside."""
    torch.manual_seed(0)
    images = torch.rand(400, 1, 12, 12, generator=rng(1))
    images[:, :, :3] = 0
    model = NormalizedAutoencoder((1, 12, 12), ConvolutionConfig(channels=(4, 4), latent_dim=3))
    model.fit_input(images)
    x = model.prepare(images)
    model.fit_temperature(x)
    model.fit_box(x)
    assert (model.high - model.low).min() > 0
    sampler = OnManifoldSampler(OnManifoldConfig(visible_chain=ChainConfig(n_steps=8, step_size=1e-4)))
    for step in range(40):
        negatives = sampler.negatives(model, x[:64], rng(step))
    assert negatives.metrics["visible_acceptance"] > 0.2
    assert bool(((negatives.x >= model.low) & (negatives.x <= model.high)).all())
    assert float((negatives.x - negatives.x0).abs().max()) > 0


def test_chains_reflected_at_the_walls_have_the_density_of_the_box():
    """exp(-x / T) between two walls near the start, in one direction; nothing but walls in the other."""
    model = IncreasingEnergy((2,), DenseConfig(components=None, hidden=(4,), latent_dim=3)).double()
    model.temperature.fill_(0.5)
    model.low.copy_(torch.tensor([0.0, -1.0]))
    model.high.copy_(torch.tensor([1.0, 1.0]))
    runner = ChainRunner(ChainConfig(n_steps=60, step_size=0.1))
    x0 = model.random_input(6000, rng(1))
    for step in range(4):
        chain = runner.visible(model, x0, rng(step))
        x0 = chain.x
    assert bool(((x0 >= model.low) & (x0 <= model.high)).all())
    b = math.exp(-2)  # of x / T at the upper wall
    mean = 0.5 * (1 - 3 * b) / (1 - b)
    assert float(x0[:, 0].mean()) == pytest.approx(mean, abs=0.01)
    assert float(x0[:, 1].mean()) == pytest.approx(0, abs=0.03)
    assert float(x0[:, 1].square().mean()) == pytest.approx(1 / 3, abs=0.02)
    assert float(chain.acceptance_rate) > 0.3
    model.high[1] = math.inf
    torch.testing.assert_close(model.fold(torch.tensor([[1.25, -7.0]], dtype=torch.float64)),
                               torch.tensor([[0.75, -7.0]], dtype=torch.float64))  # fmt: skip


class IncreasingEnergy(NormalizedAutoencoder):
    def energy(self, x):
        return x[:, 0]


# --- the Wasserstein NAE -------------------------------------------------------------------------


def two_dimensional(model_type, hidden=(32, 32)):
    torch.manual_seed(0)
    return model_type((2,), DenseConfig(components=None, hidden=hidden, latent_dim=3))


def test_gradient_through_the_chain_agrees_with_finite_differences():
    model = two_dimensional(WassersteinNormalizedAutoencoder, (8,)).double()
    x = torch.randn(40, 2, generator=rng(1), dtype=torch.float64)
    model.fit_box(x)
    x0 = 0.5 * torch.randn(40, 2, generator=rng(2), dtype=torch.float64)

    def value() -> torch.Tensor:
        ends = langevin_with_graph(model, x0, n_steps=3, step_size=0.05, generator=rng(3))
        return sliced_transport(x, ends, rng(4))

    weight = model.codec.decoder[0].weight
    (g,) = torch.autograd.grad(value(), weight)
    h = 1e-6
    for i, j in [(0, 0), (3, 1), (7, 2)]:
        with torch.no_grad():
            weight[i, j] += h
        up = value().item()
        with torch.no_grad():
            weight[i, j] -= 2 * h
        down = value().item()
        with torch.no_grad():
            weight[i, j] += h
        assert float(g[i, j]) == pytest.approx((up - down) / (2 * h), rel=1e-4, abs=1e-8)


def test_gradient_through_the_chain_passes_attention():
    torch.manual_seed(0)
    network = DeepSetConfig(attention_heads=2, per_constituent=(8,), hidden=(8,), latent_dim=3)
    model = WassersteinNormalizedAutoencoder((6, 3), network)
    x = torch.rand(20, 18, generator=rng(1))
    model.fit_box(x)
    ends = langevin_with_graph(model, x, n_steps=2, step_size=0.01, generator=rng(2))
    sliced_transport(x, ends, rng(3)).backward()
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and bool(torch.isfinite(g).all()) for g in gradients)
    assert any(float(g.abs().max()) > 0 for g in gradients)


def test_transport_distance_falls_in_training():
    g = rng(5)
    x = torch.randn(2000, 2, generator=g) * torch.tensor([1.0, 0.3])
    model = two_dimensional(WassersteinNormalizedAutoencoder)
    config = resolve_config(
        method="wnae", representation="features",
        settings=["training.transport.steps=200", "training.transport.learning_rate=1e-3",
                  "training.batch_size=256", "training.epochs=2", "training.validate_every=10"],
    ).members["features"]  # fmt: skip
    lines: list = []
    phases = make_phases(model, config.training, METHODS["wnae"].phases, len(x))
    assert isinstance(phases[1], Transport)
    trainer = Trainer(
        model, phases, x, x[:500], config.training, seed=1, record=lines.append, checkpoint=lambda s: None
    )
    trainer.fit()
    distances = [r["val_distance"] for r in lines if r["phase"] == "transport" and "val_distance" in r]
    assert min(distances[1:]) < 0.3 * distances[0]


def test_scale_penalty_is_its_formula_and_outlives_a_checkpoint():
    x = torch.randn(500, 2, generator=rng(6))
    losses, gradients = {}, {}
    for penalty in (0.0, 0.7):
        torch.manual_seed(1)
        model = two_dimensional(WassersteinNormalizedAutoencoder)
        phase = Transport(model, TransportConfig(steps=10, scale_penalty=penalty))
        phase.start(x, x[:100])
        first = float(model.energy(x[:100]).mean().detach())
        with torch.no_grad():  # energies move away from where they began
            model.codec.decoder[-1].weight.mul_(30)
        again = Transport(model, phase.config)
        again.load_state_dict(phase.state_dict())
        loss, _ = again.loss(x[100:300], rng(7))
        model.zero_grad()
        loss.backward()
        losses[penalty], gradients[penalty] = float(loss.detach()), model.codec.decoder[-1].bias.grad
    growth = float(model.energy(x[100:300]).mean().detach()) / first
    assert abs(math.log(growth)) > 0.1
    assert losses[0.7] - losses[0.0] == pytest.approx(0.7 * math.log(growth) ** 2, rel=1e-4)
    model.zero_grad()
    (0.7 * (model.energy(x[100:300]).mean() / first).log().square()).backward()
    expected = model.codec.decoder[-1].bias.grad
    torch.testing.assert_close(gradients[0.7] - gradients[0.0], expected, rtol=1e-4, atol=1e-5)


# --- divergence ----------------------------------------------------------------------------------


class Diverging(Contrastive):
    """A contrastive phase that sees trouble for as long as its rate is high."""

    limit = 0.3
    trainer: Trainer

    def trouble(self, metrics):
        return "made up" if self.trainer.rate_factor > self.limit else super().trouble(metrics)


def diverging(limit: float, retries: int = 3):
    torch.manual_seed(0)
    x = torch.randn(300, 2, generator=rng(1))
    model = ScalarEnergy((2,), DenseConfig(components=None, hidden=(8,)))
    config = resolve_config(
        method="igebm", representation="features",
        settings=["training.contrastive.steps=12", "training.validate_every=4",
                  f"training.retries={retries}"],
    ).members["features"].training  # fmt: skip
    phase = Diverging(model, config.contrastive)
    phase.limit = limit
    lines: list = []
    rewound: list = []
    trainer = Trainer(
        model, [phase], x, x[:50], config, seed=1, record=lines.append, checkpoint=lambda s: None,
        rewind=rewound.append,
    )  # fmt: skip
    phase.trainer = trainer
    return trainer, lines, rewound


def test_divergence_goes_back_at_half_the_rate_and_says_so(caplog):
    trainer, lines, rewound = diverging(0.3)
    trainer.fit()
    assert rewound == [0, 0]  # 1 -> 0.5 -> 0.25
    rates = [r["learning_rate"] for r in lines if "learning_rate" in r]
    assert rates[0] == pytest.approx(0.25 * 3e-4)
    assert "made up; back to step 0 with 0.5 of the learning rate" in caplog.text


def test_runaway_energies_are_noticed():
    trainer, _, _ = diverging(2.0)
    phase = trainer.phases[0]
    phase.start(trainer.x_train, trainer.x_val)
    healthy = {"val_energy": 0.1, "val_energy_neg": 0.3, "val_distance": 0.1}
    assert phase.trouble(healthy) is None
    assert "ran away" in phase.trouble({**healthy, "val_energy_neg": 500.0})
    assert "no number" in phase.trouble({**healthy, "val_energy": math.nan})
    phase.stuck = 3
    assert "do not move" in phase.trouble(healthy)


def test_real_divergence_is_repaired(tmp_path, make_jets, caplog):
    config = quick(
        "nae", "features", "training.contrastive.learning_rate=1.5", "training.contrastive.steps=12",
        "training.retries=12", "training.contrastive.divergence=3", "training.contrastive.ceiling=2",
    )  # fmt: skip
    run = run_of(tmp_path, config)
    detector = train(run, make_jets(160, seed=1))
    assert "back to step" in caplog.text
    assert np.isfinite(detector.score(make_jets(10, seed=2))).all()
    steps = [r["step"] for r in run.history()]
    assert steps == sorted(steps)
