"""Contrastive encoders, and detectors on what they make of a jet."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from test_cli import jetad

from jetad.config import RunConfig, resolve_config
from jetad.detector import TrainedDetector
from jetad.errors import ConfigError, InputError
from jetad.models.clr import ContrastiveEncoder, ContrastiveEncoderSettings, drop, equivalent
from jetad.models.networks.deepset import DeepSetConfig
from jetad.preprocessing.constituents import ConstituentConfig, JetConstituents
from jetad.presets import presets
from jetad.runs import describe_encoder
from jetad.training.train import prepare_run, train

QUICK = ["training.epochs=1", "training.batch_size=32", "training.validate_every=4"]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def run_of(tmp_path, config: RunConfig, name: str):
    source = tmp_path / "qcd.bin"
    source.write_bytes(b"only its hash is taken")
    return prepare_run(config, [source], output=tmp_path / name, command=["test"], device="cpu")


@pytest.fixture
def rows(make_jets) -> torch.Tensor:
    config = ConstituentConfig(n_constituents=30, rotate=False, flip=False)
    return torch.from_numpy(JetConstituents(config).transform(make_jets(40, seed=3))).double()


def momenta(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Fractions of pT and positions of (w, w eta, w phi) rows."""
    w = rows[..., 0]
    return w.square(), rows[..., 1:] / w.clamp_min(1e-12)[..., None]


# --- views ---------------------------------------------------------------------------------------


def test_turned_and_reflected_jets_keep_pt_and_distances(rows):
    settings = ContrastiveEncoderSettings(smear=0, split=0)
    view = equivalent(rows, settings, rng())
    assert not torch.allclose(view, rows)
    (z, at), (z2, at2) = momenta(rows), momenta(view)
    torch.testing.assert_close(z2, z)
    present = (z > 0)[:, :, None] & (z > 0)[:, None, :]
    torch.testing.assert_close(torch.cdist(at2, at2)[present], torch.cdist(at, at)[present])
    # both handednesses occur: the sign of the area that three constituents span
    area = lambda p: torch.linalg.det(p[:, 1:3] - p[:, :1])  # noqa: E731
    turned = torch.sign(area(at)) * torch.sign(area(at2))
    assert {-1.0, 1.0} <= set(turned.tolist())


def test_collinear_splitting_moves_no_pt(rows):
    rows[:, -1] = 0
    view = equivalent(rows, ContrastiveEncoderSettings(smear=0, split=1.0), rng())
    assert (view[:, -1, 0] > 0).all()
    torch.testing.assert_close(view[..., 0].square().sum(1), rows[..., 0].square().sum(1))
    for power in (1, 2):  # radial moments of pT do not see the splitting
        (z, at), (z2, at2) = momenta(rows), momenta(view)
        moment = (z * at.norm(dim=2) ** power).sum(1)
        torch.testing.assert_close((z2 * at2.norm(dim=2) ** power).sum(1), moment)


def test_smearing_falls_with_pt_and_spares_absent_constituents(rows):
    rows[:, -3:] = 0
    settings = ContrastiveEncoderSettings(smear=1e-4, split=0)
    shifts = []
    for seed in range(200):
        turned = equivalent(rows, settings, rng(seed))
        radius = momenta(turned)[1].norm(dim=2) - momenta(rows)[1].norm(dim=2)
        assert (turned[:, -3:] == 0).all()
        shifts.append(radius)
    spread = torch.stack(shifts).std(dim=0)
    z = rows[..., 0].square()
    hard, soft = spread[z > 0.1].mean(), spread[(z > 1e-3) & (z < 3e-3)].mean()
    assert float(soft) > 5 * float(hard) > 0


def test_jets_that_lost_constituents_are_centred_and_have_the_same_pt(rows):
    view = drop(rows, 0.8, rng())
    (z, _), (z2, at2) = momenta(rows), momenta(view)
    assert ((z2 > 0).sum(1) < (z > 0).sum(1)).sum() > 25
    torch.testing.assert_close(z2.sum(1), z.sum(1))
    centre = (z2[..., None] * at2).sum(1)
    torch.testing.assert_close(centre, torch.zeros_like(centre), atol=1e-6, rtol=0)


def test_objective_is_zero_information_for_a_constant_encoder_and_falls_in_training(tmp_path, make_jets):
    network = DeepSetConfig(per_constituent=(8,), hidden=(8,), latent_dim=4)
    model = ContrastiveEncoder((30, 3), network)
    rows = torch.from_numpy(
        JetConstituents(ConstituentConfig(n_constituents=30)).transform(make_jets(64, seed=1))
    )
    model.fit_input(rows)
    x = model.prepare(rows)
    with torch.no_grad():
        for p in model.encoder.parameters():
            p.zero_()
    # all similarities are equal: the right view is one of 64 jets and 64 jets with losses
    assert model.objective(x, rng()).item() == pytest.approx(np.log(128), rel=1e-5)
    config = resolve_config(method="clr", settings=[*QUICK, "training.epochs=8"])
    run = run_of(tmp_path, config, "clr")
    train(run, make_jets(400, seed=1))
    losses = [line["val_energy"] for line in run.history() if "val_energy" in line]
    assert losses[-1] < losses[0] < np.log(128)


def test_settings_that_leave_nothing_to_learn_are_refused():
    with pytest.raises(ConfigError, match="nothing to tell apart"):
        resolve_config(method="clr", settings=["model.other_jets=false", "model.anomalous=false"])
    with pytest.raises(ConfigError, match="'clr' does not take representation 'image', only: constituents"):
        resolve_config(method="clr", representation="image")


# --- detectors on embeddings ---------------------------------------------------------------------


@pytest.fixture
def encoder(tmp_path, make_jets):
    run = run_of(tmp_path, resolve_config(method="clr", settings=QUICK), "encoder")
    train(run, make_jets(160, seed=1))
    return run


@pytest.mark.parametrize("method", ["ae", "nae", "mpdr-r", "igebm"])
def test_detector_on_an_embedding_needs_its_encoder_no_more(tmp_path, make_jets, encoder, method):
    second = [] if method == "ae" else ["training.contrastive.steps=6"]
    config = resolve_config(
        method=method,
        encoder=describe_encoder(encoder.path),
        settings=[*QUICK, "network.components=6", *second],
    )
    run = run_of(tmp_path, config, "detector")
    before = train(run, make_jets(160, seed=1)).score(make_jets(20, seed=2))
    weights = run.load_weights()
    own = encoder.load_weights()
    for name, value in own.items():
        copied = weights["embedding.input.encoder." + name.removeprefix("constituents.")]
        assert torch.equal(copied, value), name
    shutil.rmtree(encoder.path)
    after = TrainedDetector.from_run(run, "cpu").score(make_jets(20, seed=2))
    np.testing.assert_array_equal(after, before)
    assert len(set(after.tolist())) > 15


def test_every_preset_takes_an_encoder_or_says_why_not(encoder):
    """Presets with one member only, such as those of images, too."""
    refused = []
    for name in presets():
        try:
            config = resolve_config(preset=name, encoder=describe_encoder(encoder.path))
        except ConfigError:
            refused.append(name)
        else:
            assert list(config.members) == ["embedding"], name
    assert set(refused) == {"clr", "glow", "mass", "multiplicity", "pixelcnn"}


def test_inputs_are_white_on_the_background(tmp_path, make_jets, encoder):
    config = resolve_config(method="ae", encoder=describe_encoder(encoder.path), settings=QUICK)
    run = run_of(tmp_path, config, "detector")
    jets = make_jets(400, seed=1)
    member = train(run, jets).members[0]
    x = member.model.prepare(torch.from_numpy(member.preprocessor.transform(jets)))
    covariance = torch.cov(x.T) * x.shape[1]
    torch.testing.assert_close(covariance, torch.eye(len(covariance)), atol=0.35, rtol=0)


def test_other_runs_encode_too(tmp_path, make_jets):
    for method in ("ae", "vae"):
        config = resolve_config(
            method=method,
            representation="image",
            settings=[*QUICK, "network.components=8", "network.hidden=[16]"],
        )
        run = run_of(tmp_path, config, method)
        train(run, make_jets(160, seed=1))
        on_top = resolve_config(method="ae", encoder=describe_encoder(run.path), settings=QUICK)
        top = run_of(tmp_path, on_top, f"on-{method}")
        scores = train(top, make_jets(160, seed=1)).score(make_jets(20, seed=2))
        assert np.isfinite(scores).all()


def test_changed_or_missing_encoder_is_named(tmp_path, make_jets, encoder):
    config = resolve_config(method="ae", encoder=describe_encoder(encoder.path), settings=QUICK)
    weights = encoder.path / "model.safetensors"
    encoder.save_weights({k: v + 1 for k, v in encoder.load_weights().items()})
    with pytest.raises(InputError, match="another encoder than the one this training began with"):
        train(run_of(tmp_path, config, "a"), make_jets(160, seed=1))
    weights.write_bytes(b"no weights")
    with pytest.raises(InputError, match="the encoder cannot be read"):
        train(run_of(tmp_path, config, "b"), make_jets(160, seed=1))


def test_runs_that_are_no_encoders_are_refused(tmp_path, make_jets):
    several = run_of(tmp_path, resolve_config(settings=QUICK), "several")
    with pytest.raises(ConfigError, match="has the members image, features"):
        describe_encoder(several.path)
    features = run_of(tmp_path, resolve_config(representation="features", settings=QUICK), "features")
    with pytest.raises(ConfigError, match="encodes a few features"):
        describe_encoder(features.path)
    unfinished = run_of(tmp_path, resolve_config(method="clr", settings=QUICK), "unfinished")
    with pytest.raises(InputError, match="weights cannot be read"):
        describe_encoder(unfinished.path)
    config = resolve_config(
        method="igebm", representation="image",
        settings=[*QUICK, "network.components=8", "network.hidden=[16]", "training.contrastive.steps=2"],
    )  # fmt: skip
    scalar = run_of(tmp_path, config, "scalar")
    train(scalar, make_jets(160, seed=1))
    with pytest.raises(ConfigError, match="has no encoder; train one with --method clr"):
        resolve_config(method="ae", encoder=describe_encoder(scalar.path))


def test_commands_train_on_an_encoder(tmp_path, capsys, encoder):
    assert jetad("train", "--encoder", str(encoder.path), "--print-config") == 0
    printed = capsys.readouterr().out
    assert "kind: embedding" in printed
    assert "model_hash: " + encoder.model_hash() in printed
    for arguments, message in (
        (["--representation", "embedding"], "needs --encoder RUN"),
        (["--encoder", str(encoder.path), "--representation", "image"], "leave out 'image'"),
        (["--encoder", str(tmp_path / "nowhere")], "no such run directory"),
        (["--encoder", str(encoder.path), "--method", "clr"], "does not take representation 'features'"),
    ):
        assert jetad("train", *arguments, "--print-config") in (1, 2)
        assert message in capsys.readouterr().err
