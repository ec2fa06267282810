"""Training end to end on toys: it learns, repeats, resumes bit for bit, and keeps its files together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from jetad.config import resolve_config
from jetad.detector import TrainedDetector
from jetad.detector.negatives import draw_negatives
from jetad.errors import DivergedError, InputError, Interrupted, JetadError, OutputError
from jetad.evaluation import roc_curve
from jetad.interrupts import StopRequest
from jetad.jets import Jets
from jetad.models.distances import energy_distance
from jetad.models.nae import NormalizedAutoencoder
from jetad.models.networks.dense import DenseConfig
from jetad.models.networks.parts import PrincipalComponents
from jetad.objectives.contrastive import Contrastive
from jetad.objectives.reconstruction import Reconstruction
from jetad.runs import Run, find_run
from jetad.training.data import PARTS, BackgroundParts, JetStream, open_background
from jetad.training.train import prepare_run, train
from jetad.writers import write_jets

QUICK = [
    "members.image.training.epochs=2",
    "members.features.training.epochs=2",
    "training.contrastive.steps=12",
    "training.validate_every=5",
    "training.log_every=5",
    "network.hidden=[16]",
    "members.image.network.components=8",
    "training.batch_size=32",
]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "qcd.bin"
    path.write_bytes(b"stands for the input file: only its hash is taken")
    return path


def start(
    tmp_path: Path, source: Path, method: str = "nae", name: str = "run", settings: list[str] | None = None
) -> Run:
    quick = [s for s in QUICK if method == "nae" or "contrastive" not in s]
    config = resolve_config(method=method, settings=quick + (settings or []))
    return prepare_run(config, [source], output=tmp_path / name, command=["test"], device="cpu")


@pytest.mark.parametrize("method", ["ae", "nae"])
def test_run_directory_is_complete_and_loads(tmp_path, source, make_jets, method):
    jets = make_jets(300, seed=1)
    run = start(tmp_path, source, method)
    detector = train(run, jets, monitor={"other": make_jets(40, seed=2, mean=60)})
    names = {p.name for p in run.path.iterdir()}
    assert names == {
        "config.yaml", "model.safetensors", "preprocessing.json", "calibration.json", "history.jsonl",
        "provenance.json", "plots", "checkpoint.pt",
    }  # fmt: skip
    assert run.finished
    assert (tmp_path / "latest").resolve() == run.path.resolve()
    assert run.provenance["n_jets"] == {"train": 240, "validation": 30, "calibration": 30}
    fresh = make_jets(50, seed=3)
    again = TrainedDetector.from_run(Run.open(run.path), "cpu")
    np.testing.assert_array_equal(again.score(fresh), detector.score(fresh))
    records = run.history()
    assert [r["step"] for r in records] == sorted(r["step"] for r in records)
    assert {r["member"] for r in records} == {"image", "features"}
    assert any("monitor_other" in r for r in records)
    efficiency = again.background_efficiency(again.score(fresh))
    assert ((efficiency > 0) & (efficiency <= 1)).all()


def test_same_seed_same_weights_other_seed_others(tmp_path, source, make_jets):
    jets = make_jets(200, seed=1)
    first, second = (start(tmp_path, source, name=name) for name in "ab")
    train(first, jets)
    train(second, jets)
    assert first.model_hash() == second.model_hash()
    third = start(tmp_path, source, name="c", settings=["seed=2"])
    train(third, jets)
    assert third.model_hash() != first.model_hash()


class StopAfter(StopRequest):
    """Asks to stop at the n-th look."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def __bool__(self) -> bool:
        self.n -= 1
        self.signal = 15 if self.n <= 0 else None
        return self.n <= 0


def test_full_memory_of_a_gpu_is_explained_and_the_checkpoint_stands(
    tmp_path, source, make_jets, monkeypatch
):
    jets, after = make_jets(200, seed=1), iter(range(100))
    loss = Contrastive.loss

    def full(self, x, generator):
        if next(after) == 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(self, x, generator)

    more = ["training.checkpoint_minutes=0"]
    run = start(tmp_path, source, settings=more)
    with (
        monkeypatch.context() as patch,
        pytest.raises(JetadError, match="too little memory for this training"),
    ):
        patch.setattr(Contrastive, "loss", full)
        train(run, jets)
    run = start(tmp_path, source, settings=more)
    train(run, jets)
    whole = start(tmp_path, source, name="whole", settings=more)
    train(whole, jets)
    assert run.model_hash() == whole.model_hash()


@pytest.mark.parametrize("after", [1, 9, 14, 20, 31, 38])
def test_stopped_training_goes_on_bit_for_bit(tmp_path, source, make_jets, after):
    jets = make_jets(200, seed=1)
    whole = start(tmp_path, source, name="whole")
    train(whole, jets)
    parts = start(tmp_path, source, name="parts")
    with pytest.raises(Interrupted, match="SIGTERM"):
        train(parts, jets, stop=StopAfter(after))
    assert not parts.finished
    parts = start(tmp_path, source, name="parts")  # the same command finds the unfinished run
    train(parts, jets)
    assert parts.model_hash() == whole.model_hash()
    assert parts.history() == whole.history()


def test_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, source, make_jets, caplog):
    jets = make_jets(200, seed=1)
    whole = start(tmp_path, source, name="whole")
    train(whole, jets)
    run = start(tmp_path, source, name="parts")
    for after in (5, 4):
        with pytest.raises(Interrupted):
            train(run, jets, stop=StopAfter(after))
    checkpoint = run.path / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:200])
    train(run, jets)
    assert run.model_hash() == whole.model_hash()


def test_finished_run_is_not_replaced(tmp_path, source, make_jets):
    run = start(tmp_path, source, "ae")
    train(run, make_jets(150, seed=1))
    with pytest.raises(OutputError, match="finished training"):
        start(tmp_path, source, "ae")
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("precious")
    with pytest.raises(OutputError, match="other files"):
        start(tmp_path, source, name="other")


def test_split_shares_no_jet(make_jets):
    jets = make_jets(200, seed=1)
    parts = BackgroundParts(jets, resolve_config())
    entries = np.concatenate([chunk.entry for name in PARTS for chunk in parts.chunks(name)])
    assert sorted(entries.tolist()) == list(range(200))
    with pytest.raises(InputError, match="too few"):
        BackgroundParts(jets[:40], resolve_config())


def test_streamed_training_equals_one_in_memory(tmp_path, make_jets):
    path = tmp_path / "qcd.h5"
    write_jets(make_jets(260, seed=1), path)
    config = resolve_config(settings=QUICK)
    select = "jet_pt > 0 & entry >= 10"
    hashes = []
    for limit in (10**6, 0):
        jets = open_background([path], select=select, max_jets=240, max_in_memory=limit)
        assert isinstance(jets, JetStream) == (limit == 0)
        assert len(jets) == 240
        run = prepare_run(config, [path], output=tmp_path / f"run{limit}", command=[], device="cpu")
        train(run, jets)
        hashes.append((run.model_hash(), run.read_json("calibration.json")))
    assert hashes[0] == hashes[1]
    with pytest.raises(InputError, match="no jet of the background files"):
        len(open_background([path], select="jet_pt < 0", max_in_memory=0))


def test_divergence_is_an_error_and_leaves_no_model(tmp_path, source, make_jets):
    run = start(
        tmp_path, source, "ae", settings=["training.learning_rate=1e30", "training.max_grad_norm=1e30"]
    )
    with pytest.raises(DivergedError, match=r"3 returns .* did not help; lower training\.learning_rate"):
        train(run, make_jets(200, seed=1))
    assert not (run.path / "model.safetensors").exists()


def test_training_leaves_the_arithmetic_of_the_process_alone(tmp_path, source, make_jets):
    train(start(tmp_path, source, "ae"), make_jets(150, seed=1))
    assert np.float64(1e-310) * 1.0 != 0


def test_only_unusable_jets_are_refused(tmp_path, source):
    with pytest.raises(InputError, match=r"fewer than two|empty or non-finite|too few"):
        train(start(tmp_path, source, "ae"), Jets.from_lists([[]] * 200))


def test_nae_on_two_dimensions_learns_the_density_where_ae_does_not():
    """Ring of radius 1: the AE also reconstructs the inside; the NAE's exp(-E/T) is close to the truth."""
    rng = torch.Generator().manual_seed(0)
    angle = 2 * torch.pi * torch.rand(3000, generator=rng)
    radius = 2 + 0.15 * torch.randn(3000, generator=rng)
    x = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    torch.manual_seed(0)
    model = NormalizedAutoencoder((2,), DenseConfig(components=None, hidden=(64, 64), latent_dim=3))
    config = resolve_config(settings=["training.epochs=5"]).members["features"].training
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    reconstruction = Reconstruction(model, config, len(x))
    for _ in range(100):
        optimizer.zero_grad()
        loss, _ = reconstruction.loss(x[torch.randperm(len(x), generator=rng)[:256]], rng)
        loss.backward()
        optimizer.step()

    axis = torch.linspace(-3, 3, 121)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).view(-1, 2)
    r = grid.norm(dim=1)
    truth = torch.exp(-0.5 * ((r - 2) / 0.15).square()) / r.clamp_min(0.2)
    truth = truth / truth.sum()

    def distance() -> float:
        with torch.no_grad():
            density = torch.softmax(-model.boxed_energy(grid) / model.temperature, dim=0)
        return float(0.5 * (density - truth).abs().sum())

    contrastive = Contrastive(
        model, config.contrastive.model_copy(update={"steps": 400, "learning_rate": 1e-3, "temperature": 0.1})
    )
    contrastive.start(x, x)
    before = distance()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(400):
        for group in optimizer.param_groups:
            group["lr"] = contrastive.learning_rate(step)
        optimizer.zero_grad()
        loss, _ = contrastive.loss(x[torch.randperm(len(x), generator=rng)[:256]], rng)
        loss.backward()
        optimizer.step()
    after = distance()
    assert after < 0.5 * before
    assert after < 0.45


def test_contrastive_gradient_is_that_of_the_exact_likelihood():
    """Two dimensions, so that the normalisation can be summed on a grid."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, generator=g) * torch.tensor([1.0, 0.5])
    torch.manual_seed(1)
    model = NormalizedAutoencoder((2,), DenseConfig(components=None, hidden=(16,), latent_dim=2))
    config = resolve_config(method="nae").members["features"].training.contrastive
    phase = Contrastive(model, config)
    phase.start(x, x)
    model.temperature.fill_(0.5)
    phase.ceiling = float("inf")

    n = 200
    cells = (torch.arange(n) + 0.5) / n
    axes = [low + (high - low) * cells for low, high in zip(model.low, model.high, strict=True)]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(-1, 2)
    u = model.energy(grid) / model.temperature
    # -log p(x) = u(x) + log of the integral of exp(-u)
    exact = (model.energy(x) / model.temperature).mean() + torch.logsumexp(-u, dim=0)
    want = torch.cat([v.flatten() for v in torch.autograd.grad(exact, list(model.parameters()))])

    repeated = x.repeat(10, 1)  # 4000 chains
    model.requires_grad_(False)
    for _ in range(40):  # to equilibrium
        phase.sampler.negatives(model, repeated, g)
    model.requires_grad_(True)
    estimates = []
    for _ in range(10):
        loss, _ = phase.loss(repeated, g)
        estimates.append(
            torch.cat([v.flatten() for v in torch.autograd.grad(loss, list(model.parameters()))])
        )
    found = torch.stack(estimates)
    error = found.std(dim=0) / len(found) ** 0.5
    assert ((found.mean(dim=0) - want) / (error + 1e-3 * want.abs().max())).abs().max() < 6
    assert torch.cosine_similarity(found.mean(dim=0), want, dim=0) > 0.995


def test_negatives_are_drawn_from_a_finished_run(tmp_path, source, make_jets):
    run = start(tmp_path, source)
    train(run, make_jets(200, seed=1))
    drawn = draw_negatives(run, "image", 4, rounds=2)
    assert drawn.end.shape == (4, 1, 40, 40)
    assert np.isfinite(drawn.energy).all()


def test_principal_components_whiten_and_restore(make_jets):
    x = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) @ torch.diag(
        torch.tensor([5.0, 3, 2, 1, 0.5, 0.1])
    )
    layer = PrincipalComponents((6,), 6)
    layer.fit(x)
    y = layer(x)
    torch.testing.assert_close(y.T @ y / len(y), torch.eye(6) / 6, atol=1e-4, rtol=0)
    torch.testing.assert_close(layer.restore(y), x, atol=1e-4, rtol=1e-4)


def test_energy_distance_tells_samples_apart():
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(800, 3, generator=g), torch.randn(800, 3, generator=g)
    assert energy_distance(a, b) < 0.02
    # two normals a distance 2 apart in one of three dimensions, by Monte Carlo of the definition
    assert energy_distance(a, b + torch.tensor([2.0, 0, 0])) > 0.5


def test_single_member_scores_are_its_energies(tmp_path, source, make_jets):
    config = resolve_config(
        method="ae",
        representation="image",
        settings=[s for s in QUICK if "features" not in s and "contrastive" not in s],
    )
    run = prepare_run(config, [source], output=tmp_path / "image", command=[], device="cpu")
    detector = train(run, make_jets(200, seed=1))
    jets = make_jets(30, seed=2)
    np.testing.assert_allclose(detector.score(jets), detector.energies(jets)["image"], rtol=1e-6)


def test_scores_do_not_depend_on_company(tmp_path, source, make_jets):
    run = start(tmp_path, source, "nae")
    detector = train(run, make_jets(200, seed=1))
    jets = make_jets(60, seed=2)
    together = detector.score(jets)
    alone = np.concatenate([detector.score(jets[i : i + 1]) for i in range(60)])
    np.testing.assert_allclose(alone, together, rtol=1e-5)
    np.testing.assert_allclose(detector.score(jets[::-1]), together[::-1], rtol=1e-5)
    assert roc_curve(together, detector.score(make_jets(60, seed=4, mean=90))).auc > 0.6


def test_provenance_names_inputs_and_versions(tmp_path, source):
    provenance = start(tmp_path, source).provenance
    assert provenance["inputs"][0]["sha256"]
    assert provenance["packages"]["torch"]
    assert json.dumps(provenance)


def test_run_is_found_by_variable_or_latest(tmp_path, source, make_jets, monkeypatch):
    run = start(tmp_path, source, "ae")
    monkeypatch.setenv("JETAD_RUN", str(run.path))
    assert find_run(None).path == run.path
