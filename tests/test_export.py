"""The exported graph gives the engine's scores: from constituents and images, at every batch size."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import toy_jets
from test_cli import QUICK, jetad
from test_engine import quick, run_of

onnxruntime = pytest.importorskip("onnxruntime")

from jetad.calibration import Surprise  # noqa: E402
from jetad.calibration.conditional import BinnedEfficiency  # noqa: E402
from jetad.detector import TrainedDetector  # noqa: E402
from jetad.errors import ConfigError, InputError, OutputError  # noqa: E402
from jetad.export import ParityError, export_onnx  # noqa: E402
from jetad.export.common import make_graph  # noqa: E402
from jetad.export.features import NormalQuantile, Observables, Scaling  # noqa: E402
from jetad.export.frame import four_momentum  # noqa: E402
from jetad.export.graph import Leading, Pixels, SurpriseGraph  # noqa: E402
from jetad.export.parity import check_jets, graph_inputs, padded_inputs  # noqa: E402
from jetad.jets import Jets  # noqa: E402
from jetad.preprocessing.constituents import ConstituentConfig, JetConstituents  # noqa: E402
from jetad.preprocessing.features import OBSERVABLES, FeatureConfig, JetFeatures  # noqa: E402
from jetad.preprocessing.images import ImageConfig, JetImages, align  # noqa: E402
from jetad.preprocessing.substructure import CLUSTERED  # noqa: E402
from jetad.runs import Run  # noqa: E402
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
    return jets[np.flatnonzero(align(jets)[2])]


def astray(n: int = 12) -> Jets:
    """Toys of which rows 0, 3 and 6 are as usual; one number of a constituent of the others is odd."""
    jets = toy_jets(n, 5)
    jets = jets[np.repeat(np.flatnonzero(jets.n_constituents > 3)[:1], n)]
    pt, eta, phi, mass = (v.copy() for v in (jets.pt, jets.eta, jets.phi, jets.mass))
    odd = {1: (eta, 50.1), 2: (eta, -1e6), 4: (phi, 100.1), 5: (phi, -1e30), 7: (pt, -5), 8: (pt, np.inf),
           9: (eta, np.nan), 10: (eta, 49.9), 11: (phi, 2 * np.pi * 15 + 0.1)}  # fmt: skip
    for row, (values, value) in odd.items():
        values[jets.offsets[row] + 2] = value
    for nothing in (jets.offsets[3], jets.offsets[3] + 2):  # do not count
        pt[nothing], eta[nothing], phi[nothing] = 0, 1e6, 1e6
    return dataclasses.replace(jets, pt=pt, eta=eta, phi=phi, mass=mass)


#: Rows of ``astray`` that have no score.
ASTRAY = [1, 2, 4, 5, 7, 8, 9]


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
    [("ae", ["network.attention_heads=2"]), ("igebm", ["preprocessing.n_constituents=10"])],
)
def test_lists_of_constituents_are_exported(tmp_path, method, settings):
    run = run_of(tmp_path, quick(method, "constituents", *settings))
    detector = train(run, toy_jets(160, 1), device="cpu")
    result = export_onnx(run, tmp_path / "a.onnx", tolerance=1e-5)
    assert result.inputs == ("pt", "eta", "phi", "mask")
    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"))
    jets = toy_jets(300, 9)
    few = jets[jets.n_constituents < 8]  # fewer than the network sees
    for some in (jets, few, astray()):
        feed = dict(zip(result.inputs, (c.numpy() for c in padded_inputs(some, mass=False)), strict=True))
        found = session.run(None, feed)[0]
        np.testing.assert_allclose(found, detector.score(some), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scaling", ["standard", "quantile-normal"])
def test_observables_are_those_of_the_engine(scaling):
    names = tuple(name for name in OBSERVABLES if name not in CLUSTERED)
    features = JetFeatures(FeatureConfig(observables=names, scaling=scaling))
    jets = good_jets()
    # some constituents have mass, some have none
    jets = dataclasses.replace(jets, mass=np.where(np.arange(len(jets.pt)) % 3, jets.mass, 0))
    features.fit(jets[50:])
    pt, eta, phi, mass, mask = constituents(jets)
    momentum = four_momentum(pt, eta, phi, mass, mask)
    columns = {
        n: v.float().double() for n, v in zip(("jet_pt", "jet_mass", "jet_eta"), momentum, strict=True)
    }
    found, _ = Observables(features)(pt, eta, phi, mass, mask, columns)
    np.testing.assert_allclose(found.numpy(), features.transform(jets), rtol=2e-6, atol=2e-6)


def test_normal_quantiles_are_those_of_scipy():
    from scipy.stats import norm

    p = np.concatenate([np.geomspace(1e-10, 0.5, 2000), 1 - np.geomspace(1e-10, 0.5, 2000)])
    np.testing.assert_allclose(NormalQuantile()(torch.from_numpy(p)), norm.ppf(p), rtol=1e-13, atol=1e-15)


def test_quantile_scaling_of_repeated_values_and_beyond_the_range():
    jets = toy_jets(3000, 1)
    counts = jets.n_constituents.astype(float)
    columns = {"n": np.minimum(counts, 40), "zeros": np.where(counts < 30, 0, counts), "x": 1e-9 * counts}
    names = ("file:n", "file:zeros", "file:x")
    features = JetFeatures(FeatureConfig(observables=names, scaling="quantile-normal"))
    jets = dataclasses.replace(jets, observables=columns)
    features.fit(jets)
    wider = {name: np.concatenate([values[:500] * 1.1 - 1, values[500:]]) for name, values in columns.items()}
    wider["n"][700] = np.nan
    found, valid = Scaling(features)([torch.from_numpy(values) for values in wider.values()])
    wanted = features.transform(dataclasses.replace(jets, observables=wider))
    valid = valid.numpy()
    assert np.flatnonzero(~valid).tolist() == [700]
    np.testing.assert_allclose(found.numpy()[valid], wanted[valid], rtol=1e-6, atol=1e-6)
    assert np.isnan(wanted[700]).all()
    assert (np.abs(wanted[valid]) > 5).any()


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
    detector = TrainedDetector.from_run(run, "cpu")
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
    assert np.flatnonzero(np.isnan(first)).tolist() == [2, 4, 6, 7]  # empty, NaN, directions that are none
    garbage = [np.where(columns[3] > 0, c, np.float32(np.nan)) for c in columns]
    garbage[3] = columns[3]
    np.testing.assert_array_equal(session.run(None, dict(zip(result.inputs, garbage, strict=True)))[0], first)


@pytest.mark.parametrize("calibration", ["plain", "bins"])
def test_directions_that_are_none_have_no_score_in_the_graph_either(folder, tmp_path, calibration):
    words = ["--in-bins-of", "jet_pt"] if calibration == "bins" else []
    assert jetad("calibrate", "--run", folder / "run", "-b", folder / "fresh.h5", *words) == 0
    run = Run.open(folder / "run")
    result = export_onnx(run, tmp_path / "a.onnx")
    wanted = TrainedDetector.from_run(run, "cpu").evaluate(astray())
    assert np.flatnonzero(np.isnan(wanted.score)).tolist() == ASTRAY
    columns = padded_inputs(astray(), mass="mass" in result.inputs)
    score, p = through(result.model, result.inputs, columns)
    np.testing.assert_allclose(score, wanted.score, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(p, wanted.background_efficiency, atol=0.02)
    image = export_onnx(Run.open(folder / "images"), tmp_path / "b.onnx")
    columns = padded_inputs(astray(), mass="mass" in image.inputs)
    wanted = TrainedDetector.from_run(Run.open(folder / "images"), "cpu").score(astray())
    np.testing.assert_allclose(through(image.model, image.inputs, columns)[0], wanted, rtol=1e-5, atol=1e-5)


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
    [
        ("dae", ""),
        ("nae", "relative"),
        ("vae", "likelihood"),
        ("vae", "reconstruction"),
        ("wae", ""),
        ("dagmm", ""),
    ],
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
    np.testing.assert_allclose(
        found, TrainedDetector.from_run(Run.open("run"), "cpu").score(jets), rtol=1e-4, atol=1e-4
    )


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


def test_package_needs_a_compiler(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    words = ["--run", folder / "images", "-o", tmp_path / "model.pt2"]
    assert jetad("export", *words) == 1
    assert "there is no C++ compiler 'no-such-compiler'" in capsys.readouterr().err
    assert jetad("export", *words, "--target", "cmssw") == 2
    assert "--target cmssw is for ONNX" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_compiled_package_in_python_and_cpp(folder, tmp_path, capsys):
    """A minute: two compilations."""
    words = ["--run", folder / "images", "-o", tmp_path / "model.pt2", "--check", folder / "fresh.h5"]
    assert jetad("export", *words, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["files"] == []
    assert result["n_jets"] == 2000
    assert max(parity["score"] for parity in result["parity"]) < 1e-5
    detector = TrainedDetector.from_run(Run.open(folder / "images"), "cpu")
    package = torch._inductor.aoti_load_package(str(tmp_path / "model.pt2"))
    assert package.get_metadata()["model_hash"] == Run.open(folder / "images").model_hash()
    jets = toy_jets(300, 9)
    for rows, k in ((slice(0, 1), 70), (slice(0, 300), 90)):
        score, p = package(*padded_inputs(jets[rows], mass=False, n_constituents=k))
        wanted = detector.evaluate(jets[rows])
        np.testing.assert_allclose(score.numpy(), wanted.score, rtol=1e-5, atol=1e-5)
        assert np.mean(np.abs(p.numpy() - wanted.background_efficiency) > 1e-5) < 0.05

    torch_folder = Path(torch.__file__).parent
    source = Path(__file__).parents[1] / "docs/onnx/score_package.cpp"
    command = ["g++", "-std=c++20", source, "-I", torch_folder / "include",
               "-I", torch_folder / "include/torch/csrc/api/include", "-L", torch_folder / "lib",
               f"-Wl,-rpath,{torch_folder / 'lib'}", "-ltorch", "-ltorch_cpu", "-lc10",
               "-o", tmp_path / "score"]  # fmt: skip
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    program = [str(tmp_path / "score"), str(tmp_path / "model.pt2")]
    lines = subprocess.run(program, check=True, capture_output=True, text=True).stdout.splitlines()
    assert json.loads(lines[0]) == {name: ["n", "k"] for name in ("pt", "eta", "phi", "mask")}
    same = np.array([
        [(120, 0.3, 3.1), (60, 0.5, -3.0), (20, 0.1, 2.9)],
        [(300, -1.2, 0.4), (90, -1.1, 0.9), (0, 0, 0)],
    ])  # fmt: skip
    found = [float(line.split()[0]) for line in lines[1:]]
    np.testing.assert_allclose(found, detector.score(same), rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"observables": ("mass", "tau21")}, "the feature 'tau21' needs FastJet and cannot.*girth.*efp_d1_0"),
        ({"observables": ("soft_drop_mass",)}, "the feature 'soft_drop_mass' needs FastJet"),
    ],
)
def test_features_that_no_graph_computes_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Observables(JetFeatures(FeatureConfig(**settings)))


def with_columns(jets: Jets) -> Jets:
    """Two columns of a file: one follows the jet, one is one of four values, or missing."""
    rng = np.random.default_rng(len(jets))
    tau = np.sqrt(jets.n_constituents) + rng.normal(0, 0.3, len(jets))
    tag = rng.integers(0, 4, len(jets)).astype(float)
    tag[3] = np.nan
    return dataclasses.replace(jets, observables={"tau1": tau.astype(np.float32), "tag": tag})


def trained_on(folder: Path, observables: str, *settings: str) -> tuple[Run, TrainedDetector]:
    run = run_of(folder, quick("ae", "features", f"preprocessing.observables=[{observables}]", *settings))
    return run, train(run, with_columns(toy_jets(160, 1)), device="cpu")


def through(path: Path, names: tuple[str, ...], columns: list[torch.Tensor]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path))
    return session.run(None, dict(zip(names, (c.numpy() for c in columns), strict=True)))


@pytest.mark.parametrize("scaling", ["standard", "quantile-normal"])
def test_columns_of_the_file_are_inputs(tmp_path, scaling):
    run, detector = trained_on(tmp_path, "mass,'file:tau1',d2,'file:tag'", f"preprocessing.scaling={scaling}")
    jets = with_columns(toy_jets(300, 9))
    wanted = detector.score(jets)
    assert np.flatnonzero(np.isnan(wanted)).tolist() == [3]
    result = export_onnx(run, tmp_path / "a.onnx", tolerance=1e-5, jets=jets)
    assert result.inputs == ("pt", "eta", "phi", "mask", "mass", "file:tau1", "file:tag")
    columns = graph_inputs(make_graph(detector, "constituents"), detector, jets)
    np.testing.assert_allclose(through(result.model, result.inputs, columns)[0], wanted, rtol=1e-5, atol=1e-5)
    columns[-1][:] = 2.5  # it is looked at
    assert np.abs(through(result.model, result.inputs, columns)[0] - wanted)[4:].max() > 1e-3
    if scaling == "quantile-normal":
        return
    with pytest.raises(InputError, match="no column 'tau1'"):
        export_onnx(run, tmp_path / "b.onnx", jets=toy_jets(20))
    with pytest.raises(ConfigError, match="'d2', which needs constituents; leave out --input jets"):
        export_onnx(run, tmp_path / "b.onnx", inputs="jets")
    packed = export_onnx(run, tmp_path / "cms.onnx", target="cmssw")
    assert packed.inputs == ("pf_features", "pf_mask", "jet_features")
    lists = json.loads((tmp_path / "preprocess.json").read_text())
    assert lists["jet_features"]["var_names"] == ["tau1", "tag"]
    assert lists["jet_features"]["max_length"] == 1
    export_onnx(run, tmp_path / "tagger", target="triton")
    config = (tmp_path / "tagger/config.pbtxt").read_text()
    assert 'name: "file:tag" data_type: TYPE_FP32 dims: [ 1 ] reshape: { shape: [ ] }' in config


def test_jets_without_constituents_in(tmp_path):
    run, detector = trained_on(tmp_path, "mass_over_pt,'file:tau1'")
    result = export_onnx(run, tmp_path / "a.onnx", inputs="jets", tolerance=1e-5)
    assert result.inputs == ("jet_pt", "jet_mass", "file:tau1")
    jets = with_columns(toy_jets(300, 9))
    stored = Jets.without_constituents(
        300,
        jet_momenta=np.stack([jets.jet_pt, jets.jet_eta, jets.jet_phi, jets.jet_mass], 1),
        observables=jets.observables,
    )
    columns = [torch.from_numpy(v) for v in (jets.jet_pt, jets.jet_mass, jets.observables["tau1"])]
    found = through(result.model, result.inputs, columns)
    wanted = detector.evaluate(stored)
    np.testing.assert_allclose(found[0], wanted.score, rtol=1e-5, atol=1e-5)
    assert np.mean(np.abs(found[1] - wanted.background_efficiency) > 1e-5) < 0.02
    with pytest.raises(ConfigError, match="target 'cmssw' takes constituents, not jets"):
        export_onnx(run, tmp_path / "b.onnx", inputs="jets", target="cmssw")


def test_columns_alone_need_no_constituents(tmp_path):
    run, _ = trained_on(tmp_path, "'file:tau1','file:tag'")
    with pytest.raises(ConfigError, match=r"columns of the file alone, no constituents; .* --input jets"):
        export_onnx(run, tmp_path / "a.onnx")
    assert export_onnx(run, tmp_path / "a.onnx", inputs="jets").inputs == ("file:tau1", "file:tag")


def test_columns_alone_are_scored_whatever_the_constituents(tmp_path):
    """Their calibration in bins of the momentum sees the sum of constituents as it is."""
    _, detector = trained_on(tmp_path, "'file:tau1','file:tag'")
    fresh = with_columns(toy_jets(900, 8))
    momentum = {name: getattr(fresh, name) for name in ("jet_pt", "jet_eta")}
    edges = {"jet_pt": [100.0, 300.0], "jet_eta": [0.0]}
    detector.background_efficiency = BinnedEfficiency.fit(detector.score(fresh), momentum, edges)
    jets = with_columns(dataclasses.replace(astray(), phi=np.clip(astray().phi, -150, 150)))
    few = Jets.from_lists([[(0.0, 1.0, 0.0, 0.0)], [], [], [(9.0, 0, 0, 0)]])
    jets = Jets.concatenate([jets, with_columns(few)])
    wanted = detector.evaluate(jets)
    graph = make_graph(detector, "constituents")
    score, p = (x.detach().numpy() for x in graph(*graph_inputs(graph, detector, jets)))
    np.testing.assert_allclose(score, wanted.score, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(p, wanted.background_efficiency, atol=1e-4)
    assert np.isnan(score).sum() == 2
    assert np.isnan(p).sum() > 2


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
