"""The exported graph gives the engine's scores: from constituents and images, at every batch size."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import toy_jets
from test_cli import QUICK, jetad
from test_engine import quick, run_of

onnxruntime = pytest.importorskip("onnxruntime")

from jetad.calibration import Surprise  # noqa: E402
from jetad.errors import ConfigError, OutputError  # noqa: E402
from jetad.export import ParityError, export_onnx  # noqa: E402
from jetad.export.graph import Leading, Observables, Pixels, SurpriseGraph  # noqa: E402
from jetad.export.onnxfile import check_jets, padded_inputs  # noqa: E402
from jetad.jets import Jets  # noqa: E402
from jetad.preprocessing.constituents import ConstituentConfig, JetConstituents  # noqa: E402
from jetad.preprocessing.features import OBSERVABLES, FeatureConfig, JetFeatures  # noqa: E402
from jetad.preprocessing.images import ImageConfig, JetImages  # noqa: E402
from jetad.preprocessing.substructure import CLUSTERED, PAIRWISE  # noqa: E402
from jetad.run import Run  # noqa: E402
from jetad.training.train import train  # noqa: E402
from jetad.writers import write_jets  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory, quick_runs):
    """A run of both members, one of images alone, and fresh background."""
    folder = tmp_path_factory.mktemp("export")
    for name in ("run", "images"):
        shutil.copytree(quick_runs / name, folder / name)
    write_jets(toy_jets(1000, 2, labels=0), folder / "fresh.h5")
    return folder


def constituents(jets: Jets) -> list[torch.Tensor]:
    """pt, eta, phi, mass, mask in float64, jets with NaN left out."""
    pt, eta, phi, mask, mass = padded_inputs(jets, mass=True)
    return [x.double() for x in (pt, eta, phi, mass, mask)]


def good_jets() -> Jets:
    jets = check_jets(300)
    return jets[np.flatnonzero(np.isfinite(jets.jet_pt))]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sigma": 0, "normalize": "max", "n_eta": 24},
        {"rotate": False, "pixel_power": 0.5},
        {"flip": False, "normalize": "none"},
        {"intensity": "log", "pixel_power": 0.5},
    ],
)
def test_pixels_are_those_of_the_engine(settings):
    images = JetImages(ImageConfig(**settings))
    jets = good_jets()
    found, valid = Pixels(images)(*constituents(jets))
    wanted = images.transform(jets)
    np.testing.assert_array_equal(valid.numpy(), np.isfinite(wanted).all((1, 2, 3)))
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-6 * np.nanmax(wanted))


@pytest.mark.parametrize("settings", [{}, {"n_constituents": 12, "pt_power": 1.0, "rotate": False}])
def test_leading_constituents_are_those_of_the_engine(settings):
    constituents_of = JetConstituents(ConstituentConfig(**settings))
    jets = good_jets()
    # many of the same pT: the first of them leads
    for some in (jets, dataclasses.replace(jets, pt=np.ceil(jets.pt / 10) * 10)):
        found, valid = Leading(constituents_of)(*constituents(some))
        wanted = constituents_of.transform(some)
        np.testing.assert_array_equal(valid.numpy(), np.isfinite(wanted).all((1, 2)))
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "settings"),
    [("nae", []), ("ae", ["network.attention_heads=2"]), ("igebm", ["preprocessing.n_constituents=10"])],
)
def test_lists_of_constituents_are_exported(tmp_path, method, settings):
    run = run_of(tmp_path, quick(method, "constituents", *settings))
    detector = train(run, toy_jets(160, 1), device="cpu")
    result = export_onnx(run, tmp_path / "a.onnx", tolerance=1e-5)
    assert result.inputs == ("pt", "eta", "phi", "mask")
    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"))
    jets = toy_jets(300, 9)
    few = jets[jets.n_constituents < 8]  # fewer than the network sees
    for some in (jets, few):
        feed = dict(zip(result.inputs, (c.numpy() for c in padded_inputs(some, mass=False)), strict=True))
        found = session.run(None, feed)[0]
        np.testing.assert_allclose(found, detector.score(some), rtol=1e-5, atol=1e-5)


def test_observables_are_those_of_the_engine():
    names = tuple(name for name in OBSERVABLES if name not in CLUSTERED and name not in PAIRWISE)
    features = JetFeatures(FeatureConfig(observables=names))
    jets = good_jets()
    features.fit(jets)
    found, _ = Observables(features)(*constituents(jets))
    # masses: float32 jets in the engine, float64 in the graph
    np.testing.assert_allclose(found.numpy(), features.transform(jets), atol=1e-5)


def test_surprises_are_those_of_the_engine():
    rng = np.random.default_rng(0)
    for sample in (rng.normal(size=3000), rng.integers(0, 3, 300).astype(float)):
        surprise = Surprise(sample)
        s = np.concatenate([sample, np.linspace(-9, 12, 500), surprise.knots])
        found = SurpriseGraph(surprise)(torch.from_numpy(s)).numpy()
        np.testing.assert_allclose(found, surprise(s), rtol=0, atol=1e-12)


@pytest.mark.parametrize("calibration", ["plain", "bins", "decorrelated"])
def test_graph_gives_scores_and_efficiencies_of_the_engine(folder, tmp_path, calibration):
    if calibration == "bins":
        words = ["--in-bins-of", "jet_mass"]
    else:
        words = ["--decorrelate", "jet_mass"] if calibration == "decorrelated" else []
    assert jetad("calibrate", "--run", folder / "run", "-b", folder / "fresh.h5", *words) == 0
    run = Run.open(folder / "run")
    result = export_onnx(run, tmp_path / "a.onnx")
    assert result.outputs[2:] == (("score_decorrelated",) if calibration == "decorrelated" else ())
    assert {p.batch for p in result.parity} == {1, 2, 1000}
    jets = toy_jets(400, 9)
    detector = run.detector("cpu")
    wanted = detector.evaluate(jets)
    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"))
    for rows, k in ((slice(0, 1), 70), (slice(0, 2), None), (slice(0, 400), 90)):
        columns = padded_inputs(jets[rows], mass="mass" in result.inputs, n_constituents=k)
        feed = dict(zip(result.inputs, (c.numpy() for c in columns), strict=True))
        score, p, *_ = session.run(None, feed)
        np.testing.assert_allclose(score, wanted.score[rows], rtol=1e-5, atol=1e-5)
        differences = np.abs(p - wanted.background_efficiency[rows])
        assert np.mean(differences > 1e-5) < 0.05
        # jets of one constituent are all alike, and their common score is a step of the efficiency
        assert differences[jets[rows].n_constituents > 1].max(initial=0) < 0.02
    properties = session.get_modelmeta().custom_metadata_map
    assert properties["model_hash"] == run.model_hash()
    assert properties["method"] == "nae"


def test_padding_and_bad_jets_do_not_move_others(folder, tmp_path):
    result = export_onnx(Run.open(folder / "run"), tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"))
    columns = [c.numpy() for c in padded_inputs(check_jets(40), mass="mass" in result.inputs)]
    first = session.run(None, dict(zip(result.inputs, columns, strict=True)))[0]
    assert np.flatnonzero(np.isnan(first)).tolist() == [2, 4]  # empty, NaN
    garbage = [np.where(columns[3] > 0, c, np.float32(np.nan)) for c in columns]
    garbage[3] = columns[3]
    np.testing.assert_array_equal(session.run(None, dict(zip(result.inputs, garbage, strict=True)))[0], first)


def test_images_in(folder, tmp_path):
    run = Run.open(folder / "images")
    result = export_onnx(run, tmp_path / "a.onnx", inputs="images")
    assert result.inputs == ("image",)
    assert max(p.score for p in result.parity) < 1e-5
    with pytest.raises(ConfigError, match="member 'features' of this run does not see images"):
        export_onnx(Run.open(folder / "run"), tmp_path / "b.onnx", inputs="images")
    with pytest.raises(ConfigError, match="takes constituents"):
        export_onnx(run, tmp_path / "b.onnx", inputs="images", target="cmssw")


@pytest.mark.parametrize(
    ("method", "score"),
    [("dae", ""), ("vae", "likelihood"), ("vae", "reconstruction"), ("wae", ""), ("dagmm", "")],
)
def test_other_autoencoders(tmp_path, monkeypatch, method, score):
    monkeypatch.chdir(tmp_path)
    write_jets(toy_jets(200, 1, labels=0), "qcd.h5")
    words = [*QUICK[:2], *QUICK[4:], *(["--set", f"model.score={score}"] if score else [])]
    assert jetad("train", "--background", "qcd.h5", "-o", "run", "--method", method, *words) == 0
    result = export_onnx(Run.open("run"), "a.onnx")
    assert max(p.score for p in result.parity) < 2e-5
    jets = toy_jets(300, 9)
    columns = padded_inputs(jets, mass="mass" in result.inputs)
    feed = dict(zip(result.inputs, (c.numpy() for c in columns), strict=True))
    found = onnxruntime.InferenceSession("a.onnx").run(None, feed)[0]
    np.testing.assert_allclose(found, Run.open("run").detector("cpu").score(jets), rtol=1e-4, atol=1e-4)


def test_targets(folder, tmp_path, capsys):
    for target, output in (("cmssw", "cms.onnx"), ("athena", "atlas/a.onnx"), ("triton", "tagger")):
        path = tmp_path / output
        path.parent.mkdir(exist_ok=True)
        words = ["--run", folder / "images", "-o", path, "--target", target, "--check", folder / "fresh.h5"]
        assert jetad("export", *words, "--json") == 0
        result = json.loads(capsys.readouterr().out)
        assert result["n_jets"] == 2000
        assert Path(result["model"]).exists()
        assert jetad("export", *words) == 1  # not replaced
        assert "--force" in capsys.readouterr().err
    cms = json.loads((tmp_path / "preprocess.json").read_text())
    session = onnxruntime.InferenceSession(str(tmp_path / "cms.onnx"))
    assert [i.name for i in session.get_inputs()] == cms["input_names"] == ["pf_features", "pf_mask"]
    assert len(cms["pf_features"]["var_names"]) == session.get_inputs()[0].shape[1]
    atlas = json.loads((tmp_path / "atlas/preprocess.json").read_text())
    assert [i["name"] for i in atlas["inputs"]] == ["pt", "eta", "phi", "mask"]
    config = (tmp_path / "tagger/config.pbtxt").read_text()
    assert 'name: "tagger"' in config
    assert config.count("TYPE_FP32") == 6
    assert (tmp_path / "tagger/1/model.onnx").exists()


def test_disagreement_is_refused(folder, tmp_path, monkeypatch):
    run = Run.open(folder / "images")
    with pytest.raises(ParityError, match="nothing was written"):
        export_onnx(run, tmp_path / "a.onnx", tolerance=1e-9)
    # a graph that bins constituents one pixel off is found out
    forward = Pixels.forward

    def shifted(self, pt, eta, phi, mass, mask):
        images, valid = forward(self, pt, eta, phi, mass, mask)
        return torch.roll(images, 1, dims=2), valid

    monkeypatch.setattr(Pixels, "forward", shifted)
    with pytest.raises(ParityError, match="does not agree with the engine"):
        export_onnx(run, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "b.onnx").touch()
    with pytest.raises(OutputError, match="exists already"):
        export_onnx(run, tmp_path / "b.onnx")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"observables": ("mass", "tau21")}, "the feature 'tau21' cannot be exported.*girth"),
        ({"observables": ("efp_d1_0",)}, "the feature 'efp_d1_0' cannot be exported"),
        ({"scaling": "quantile-normal"}, "'scaling: quantile-normal' cannot be exported"),
    ],
)
def test_features_that_no_graph_computes_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Observables(JetFeatures(FeatureConfig(**settings)))


def test_images_that_no_graph_computes_are_refused():
    with pytest.raises(ConfigError, match="'reference: true' cannot be exported"):
        Pixels(JetImages(ImageConfig(reference=True)))


@pytest.mark.parametrize(
    ("method", "representation"), [("glow", "image"), ("glow", "features"), ("pixelcnn", "image")]
)
def test_exact_likelihoods_are_exported(tmp_path, method, representation):
    run = run_of(tmp_path, quick(method, representation))
    detector = train(run, toy_jets(160, 1), device="cpu")
    # a pixel on the edge of two levels may fall on either side
    result = export_onnx(run, tmp_path / "a.onnx", tolerance=1e-2 if method == "pixelcnn" else 1e-5)
    jets = toy_jets(50, 2)
    columns = padded_inputs(jets, mass="mass" in result.inputs)
    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"))
    feed = dict(zip(result.inputs, (c.numpy() for c in columns), strict=True))
    wanted = detector.score(jets)
    assert np.median(np.abs(session.run(None, feed)[0] - wanted) / (1 + np.abs(wanted))) < 1e-6
