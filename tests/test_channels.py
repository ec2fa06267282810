"""Charged and neutral constituents: through jets, images, training, scoring, pictures and export."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import torch
import uproot
from conftest import toy_jets
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter
from test_cli import QUICK, jetad

import jetad as package
from jetad.config import read_config, resolve_config
from jetad.detector import TrainedDetector
from jetad.detector.negatives import draw_negatives
from jetad.detector.reconstructions import reconstruct
from jetad.errors import ConfigError, InputError
from jetad.jets import Jets, as_jets
from jetad.plots import plot_image_grid, plot_reconstructions
from jetad.preprocessing import preprocessor_from_dict
from jetad.preprocessing.images import ImageConfig, JetImages, align
from jetad.runs import Run
from jetad.studies.distortions import distort
from jetad.writers import write_jets

BOTH = ("charged", "neutral")
ALL = ("pt", "charged", "neutral")


def charged_jets(n_jets: int, seed: int = 0, **options: int) -> Jets:
    """Toy jets, constituents of which have charges -1, 0 or 1."""
    jets = toy_jets(n_jets, seed, **options)
    charge = np.random.default_rng(seed + 1).choice([-1, 0, 0, 1], len(jets.pt))
    return dataclasses.replace(jets, charge=charge)


# --- jets ------------------------------------------------------------------------------------------


def test_charges_follow_their_constituents():
    jets = charged_jets(9, 1)
    some = jets[[7, 2, 2]]
    assert jets.charge is not None
    assert some.charge is not None
    expected = [jets.charge[jets.offsets[i] : jets.offsets[i + 1]] for i in (7, 2, 2)]
    np.testing.assert_array_equal(some.charge, np.concatenate(expected))
    both = Jets.concatenate([jets[:4], jets[4:]])
    np.testing.assert_array_equal(both.charge, jets.charge)
    assert Jets.concatenate([jets, toy_jets(3)]).charge is None  # kept where all have them
    assert jets.in_gev().charge is not None
    assert ak.to_list(jets.to_awkward().charge)[7] == expected[0].tolist()
    assert "charge" not in toy_jets(3).to_awkward().fields
    with pytest.raises(InputError, match=r"'charge' has shape \(2,\), but there are 1 constituents"):
        Jets.from_lists([[(1.0, 0.0, 0.0, 0.0)]], charge=np.zeros(2))


def test_charges_of_awkward_arrays():
    jets = charged_jets(5, 2)
    np.testing.assert_array_equal(as_jets(jets.to_awkward()).jets.charge, jets.charge)
    events = ak.unflatten(jets.to_awkward(), [2, 0, 3])
    np.testing.assert_array_equal(as_jets(events).jets.charge, jets.charge)
    assert as_jets(toy_jets(5).to_awkward()).jets.charge is None


def test_distortions_take_charges_along():
    jets = charged_jets(40, 3)
    assert jets.charge is not None
    np.testing.assert_array_equal(distort(jets, "no soft").charge, jets.charge[jets.pt >= 1])
    np.testing.assert_array_equal(distort(jets, "rotation").charge, jets.charge)
    more = distort(jets, "soft radiation")
    assert more.charge is not None
    assert len(more.charge) > len(jets.charge)
    assert np.abs(more.charge).sum() == np.abs(jets.charge).sum()  # what is added is neutral
    old = np.isin(more.pt, jets.pt)
    np.testing.assert_array_equal(more.charge[old], jets.charge)
    assert distort(toy_jets(5), "soft radiation").charge is None


def test_root_files_hold_charges_where_there_are_any(tmp_path):
    jets = charged_jets(20, 4, labels=0)
    write_jets(jets, tmp_path / "with.root")
    write_jets(dataclasses.replace(jets, charge=None), tmp_path / "without.root")
    with uproot.open(tmp_path / "with.root") as file, uproot.open(tmp_path / "without.root") as other:
        np.testing.assert_array_equal(ak.flatten(file["tree"]["part_charge"].array()), jets.charge)
        assert "part_charge" not in other["tree"]
        assert file.file.uuid != other.file.uuid
    np.testing.assert_array_equal(package.read(tmp_path / "with.root").charge, jets.charge)
    write_jets(jets, tmp_path / "jets.h5")
    assert package.read(tmp_path / "jets.h5").charge is None


# --- images ----------------------------------------------------------------------------------------


def channels_by_loop(jets: Jets, config: ImageConfig) -> np.ndarray:
    """The definition, one jet at a time: the frame of all constituents, and one norm for all channels."""
    eta, phi, _ = align(jets, rotate=config.rotate, flip=config.flip)
    edges = [
        (np.arange(n + 1) - n / 2) * size
        for n, size in ((config.n_eta, config.pixel_eta), (config.n_phi, config.pixel_phi))
    ]
    out = np.zeros((len(jets), len(config.channels), config.n_eta, config.n_phi))
    for j in range(len(jets)):
        rows = slice(jets.offsets[j], jets.offsets[j + 1])
        pictures = {}
        for name in ALL:
            weight = jets.pt[rows].astype(float)
            if name != "pt":
                weight = weight * ((jets.charge[rows] != 0) == (name == "charged"))
            pixels = np.histogram2d(eta[rows], phi[rows], edges, weights=weight)[0]
            pixels = np.log(1 + pixels) if config.intensity == "log" else pixels
            pictures[name] = pixels**config.pixel_power
        scale = {"sum": pictures["pt"].sum(), "max": pictures["pt"].max(), "none": 1.0}[config.normalize]
        for k, name in enumerate(config.channels):
            out[j, k] = gaussian_filter(pictures[name] / scale, config.sigma, mode="reflect", truncate=4)
    return out


CONFIGS = [
    {},
    {"sigma": 0},
    {"pixel_power": 0.5, "sigma": 2.0},
    {"intensity": "log", "n_eta": 24},
    {"normalize": "max"},
    {"normalize": "none", "rotate": False},
]


@pytest.mark.parametrize("channels", [BOTH, ("neutral", "pt"), ("charged",), ALL])
@pytest.mark.parametrize("config", CONFIGS)
def test_channels_are_those_of_a_plain_loop(config, channels):
    jets = charged_jets(30, 5)
    c = ImageConfig(channels=channels, **config)
    images, expected = JetImages(c).transform(jets), channels_by_loop(jets, c)
    assert images.shape == expected.shape == (30, len(channels), c.n_eta, c.n_phi)
    # a constituent on the border of a pixel may fall to either side by rounding
    peak = expected.max(axis=(1, 2, 3))
    difference = np.abs(images - expected).max(axis=(1, 2, 3)) / np.where(peak > 0, peak, 1)
    assert np.mean(difference < 2e-6) > 0.9
    one = JetImages(ImageConfig(**config)).transform(jets)
    if "pt" in channels:  # not changed by a bit by the others
        np.testing.assert_array_equal(images[:, [channels.index("pt")]], one)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    order=st.permutations(ALL),
    sigma=st.sampled_from([0.0, 1.0]),
    charges=st.sampled_from([(-1, 0, 1), (0,), (1,), (-0.0, -2, 0.5)]),
)
def test_charged_and_neutral_add_up(seed, order, sigma, charges):
    jets = toy_jets(10, seed)
    jets = dataclasses.replace(jets, charge=np.random.default_rng(seed).choice(charges, len(jets.pt)))
    images = JetImages(ImageConfig(channels=tuple(order), sigma=sigma)).transform(jets)
    of = {name: images[:, order.index(name)].astype(np.float64) for name in ALL}
    peak = of["pt"].max(axis=(1, 2), keepdims=True)
    assert np.all(np.abs(of["charged"] + of["neutral"] - of["pt"]) < 1e-6 * peak)
    np.testing.assert_allclose(of["pt"].sum(axis=(1, 2)), 1, atol=1e-5)
    assert all((of[name] >= 0).all() for name in ALL)
    if len(charges) == 1:
        assert not of["charged" if charges == (0,) else "neutral"].any()


def test_images_in_pieces_are_those_of_the_whole():
    jets = charged_jets(40, 6)
    for config in CONFIGS[:3]:
        imager = JetImages(ImageConfig(channels=BOTH, **config))
        whole = imager.transform(jets)
        pieces = [imager.transform(jets[start : start + 7]) for start in range(0, 40, 7)]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_jets_of_unknown_charge_are_nan_and_leave_their_neighbours():
    jets = charged_jets(12, 7)
    assert jets.charge is not None
    charge = jets.charge.copy()
    charge[jets.offsets[3]], charge[jets.offsets[8]] = np.nan, np.inf
    broken = Jets.concatenate([dataclasses.replace(jets, charge=charge), Jets.from_lists([[]], charge=[])])
    for config in CONFIGS[:3]:
        imager = JetImages(ImageConfig(channels=BOTH, **config))
        images, good = imager.transform(broken), np.setdiff1d(np.arange(12), [3, 8])
        assert np.isnan(images).all(axis=(1, 2, 3)).nonzero()[0].tolist() == [3, 8, 12]
        np.testing.assert_array_equal(images[good], imager.transform(jets)[good])
        # pt alone does not ask
        assert np.isfinite(JetImages(ImageConfig(**config)).transform(broken)[:12]).all()


def test_channels_that_make_no_sense_are_refused():
    for channels, message in ((("pt", "pt"), "named twice"), ((), "at least 1"), (("photons",), "'neutral'")):
        with pytest.raises(ValidationError, match=message):
            ImageConfig(channels=channels)
    with pytest.raises(ValidationError, match="reference images have the one channel pt"):
        ImageConfig(channels=BOTH, reference=True)
    imager = JetImages(ImageConfig(channels=BOTH))
    with pytest.raises(InputError, match="no charges, which the image channels charged, neutral need"):
        imager.transform(toy_jets(3))
    assert imager.transform(Jets.from_lists([[], []])).shape == (2, 2, 40, 40)
    assert "charged, neutral" in repr(imager)
    assert preprocessor_from_dict(json.loads(json.dumps(imager.to_dict()))).config == imager.config


def test_ready_made_images_of_two_channels_have_one_norm():
    jets = charged_jets(8, 8)
    made = JetImages(ImageConfig(channels=BOTH, sigma=0, normalize="none")).transform(jets)
    ready = Jets.without_constituents(8, images=made)
    imager = JetImages(ImageConfig(channels=BOTH))
    np.testing.assert_allclose(imager.transform(ready), imager.transform(jets), atol=1e-7)
    with pytest.raises(InputError, match=r"are 2 x 40 x 40 .* takes 1 x 40 x 40"):
        JetImages().transform(ready)
    with pytest.raises(InputError, match=r"are 1 x 40 x 40 .* takes 2 x 40 x 40"):
        imager.transform(Jets.without_constituents(8, images=made[:, :1]))


@pytest.mark.parametrize("channels", [BOTH, ("neutral", "pt"), ("charged",), ALL])
@pytest.mark.parametrize("config", [{}, {"normalize": "none", "n_phi": 24}])
def test_projections_are_those_of_the_images(config, channels):
    jets = charged_jets(40, 9)
    assert jets.charge is not None
    charge = jets.charge.copy()
    charge[jets.offsets[4]] = np.nan
    jets = Jets.concatenate([dataclasses.replace(jets, charge=charge), Jets.from_lists([[]], charge=[])])
    images = JetImages(ImageConfig(channels=channels, **config))
    basis = np.random.default_rng(1).normal(size=(int(np.prod(images.shape)), 7))
    expected = images.transform(jets).reshape(len(jets), -1).astype(np.float64) @ basis
    project = images.projector(basis)
    assert project is not None
    found = project(jets)
    assert np.isnan(found).all(axis=1).nonzero()[0].tolist() == [4, 40]
    np.testing.assert_allclose(found, expected, atol=2e-6 * np.nanmax(np.abs(expected)), rtol=0)
    np.testing.assert_array_equal(project(jets[7:20]), found[7:20])
    with pytest.raises(InputError, match="no charges"):
        project(toy_jets(2))


# --- trainings -------------------------------------------------------------------------------------

CHANNELS = ["--representation", "image", "--set", "preprocessing.channels=[charged,neutral]"]
SMALL = ["--set", "preprocessing.n_eta=16", "--set", "preprocessing.n_phi=20"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("channels")
    write_jets(charged_jets(200, 1, labels=0), path / "qcd.root")
    write_jets(charged_jets(60, 2, mean=60, labels=1), path / "signal.root")
    write_jets(toy_jets(60, 2, labels=1), path / "plain.h5")
    return path


@pytest.fixture(scope="module")
def nae(folder: Path) -> Path:
    words = ["--background", folder / "qcd.root", "-o", folder / "nae", *QUICK, *CHANNELS, *SMALL]
    assert jetad("train", *words) == 0
    return folder / "nae"


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("nae", []),
        ("ae", ["network={kind: convolution, channels: [4], latent_dim: 3}", "training.epochs=1"]),
        (
            "gmm",
            ["network.components=5", "model.components=2", "preprocessing.channels=[pt,charged,neutral]"],
        ),
        ("glow", ["network.components=null", "training.epochs=1", "model.hidden=4", "model.steps=1"]),
    ],
)
def test_detectors_see_channels(method, more, folder, nae, tmp_path, monkeypatch):
    path = nae if method == "nae" else tmp_path / method
    if method != "nae":
        words = [w for setting in more for w in ("--set", setting)]
        train = [
            "--background",
            folder / "qcd.root",
            "--method",
            method,
            "-o",
            path,
            *CHANNELS,
            *SMALL,
            *words,
        ]
        assert jetad("train", *train) == 0
    jets = package.read(folder / "signal.root")
    detector = TrainedDetector.from_run(Run.open(path), "cpu")
    member = detector.members[0]
    assert member.preprocessor.shape[0] == (3 if method == "gmm" else 2)
    assert (member._projector() is not None) == (method in ("nae", "gmm"))
    scores = detector.score(jets)
    assert np.isfinite(scores).all()
    # the same through images, as the definition has it
    np.testing.assert_allclose(detector.score(member.preprocessor.transform(jets)), scores, rtol=1e-4)
    # charge matters
    swapped = dataclasses.replace(jets, charge=(jets.charge == 0).astype(np.float32))
    assert np.abs(detector.score(swapped) - scores).max() > 1e-3 * np.abs(scores).max()
    monkeypatch.chdir(tmp_path)
    assert jetad("score", folder / "signal.root", "--run", path) == 0
    with uproot.open("signal.scores.root") as file:
        np.testing.assert_array_equal(file["jetad"]["score"].array(library="np"), scores)


def test_configuration_without_channels_is_what_it_was(quick_runs, make_jets):
    run = Run.open(quick_runs / "images")
    text = "\n".join(
        line for line in run.config().to_yaml().splitlines() if line.strip() not in ("channels:", "- pt")
    )
    assert read_config(text) == run.config()
    state = run.read_json("preprocessing.json")["image"]
    assert state.pop("channels") == ["pt"]
    imager = preprocessor_from_dict(state)
    assert imager.shape == (1, 40, 40)


def test_files_without_charges_are_named(folder, nae, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plain = folder / "plain.h5"
    sentence = f"{plain}: the constituents have no charges, which the image channels charged, neutral need"
    train = ["--method", "gmm", *CHANNELS, "-o", "run"]
    for words in (
        ["score", plain, "--run", nae],
        ["score", plain, folder / "qcd.root", "--run", nae, "-o", "scores"],
        ["calibrate", "--run", nae, "--background", plain, "--allow", "labels"],
        ["train", "--background", folder / "qcd.root", plain, *train],
        ["train", "--background", folder / "qcd.root", "--monitor", f"s={plain}", "--check", *train],
        ["plot", "images", plain, "--channel", "charged"],
    ):
        assert jetad(*words) == 1
        found = capsys.readouterr().err
        assert sentence.replace("charged, neutral need", "charged") in found
        assert "Traceback" not in found
    assert not Path("run").exists()
    with pytest.raises(ConfigError, match="takes images of 1 x 40 x 40"):
        resolve_config(
            method="ae",
            representation="image",
            settings=["preprocessing.channels=[charged,neutral]", "network={kind: jet40, latent_dim: 3}"],
        )


def test_inspect_says_whether_there_are_charges(folder, capsys):
    assert jetad("inspect", folder / "qcd.root", folder / "plain.h5") == 0
    page = capsys.readouterr().out
    jets = package.read(folder / "qcd.root")
    fraction = jets.pt[jets.charge != 0].sum() / jets.pt.sum()
    assert f"charges         {100 * fraction:.1f}% of the pT is charged" in page
    assert "charges         none" in page
    assert jetad("inspect", folder / "qcd.root", folder / "plain.h5", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)["files"]
    assert first["charged_fraction"] == pytest.approx(fraction, rel=1e-6)
    assert second["charged_fraction"] is None


def test_inspect_counts_jets_of_unknown_charge(tmp_path, capsys):
    jets = charged_jets(9, 3)
    assert jets.charge is not None
    jets.charge[jets.offsets[2] : jets.offsets[2] + 1] = np.nan
    write_jets(jets, tmp_path / "x.root")
    assert jetad("inspect", tmp_path / "x.root") == 0
    assert "1 jet of 9 with constituents of unknown charge" in capsys.readouterr().out


# --- pictures and export ---------------------------------------------------------------------------


def test_pictures_have_a_row_a_channel(folder, nae, tmp_path, monkeypatch):
    drawn = draw_negatives(Run.open(nae), n=3, rounds=1)
    assert drawn.end.shape == (3, 2, 16, 20)
    pictures, titles = drawn.pictures()
    assert titles == ["decoded charged", "decoded neutral", "negative charged", "negative neutral"]
    np.testing.assert_array_equal(pictures[9:12, 0], drawn.end[:, 1])
    pair = reconstruct(
        TrainedDetector.from_run(Run.open(nae), "cpu"), package.read(folder / "signal.root")[:4]
    )
    assert pair is not None
    before, after, names = pair.pictures()
    assert names == ["charged", "neutral"] * 2
    np.testing.assert_array_equal(before[2:4, 0], pair.inputs[1])
    np.testing.assert_array_equal(after[1, 0], pair.outputs[0, 1])
    grid, rows = (
        plot_image_grid(pictures, n_columns=3, row_titles=titles),
        plot_reconstructions(before, after),
    )
    assert len([axes for axes in (*grid.axes, *rows.axes) if axes.images]) == 4 * 3 + 4 * 3
    monkeypatch.chdir(tmp_path)
    assert jetad("plot", "images", folder / "qcd.root", "--channel", "neutral") == 0
    assert Path("images.png").exists()


@pytest.mark.slow
def test_plots_and_reports_of_channels(folder, nae, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert jetad("plot", "negatives", "--run", nae, "--count", "2") == 0
    assert jetad("plot", "reconstructions", folder / "signal.root", "--run", nae) == 0
    assert all(Path(f"{kind}.png").exists() for kind in ("negatives", "reconstructions"))
    from jetad.report import collect_report

    report = collect_report(
        {"nae": Run.open(nae)}, [folder / "qcd.root"], {"signal": [folder / "signal.root"]}
    )
    captions = {figure.name: figure.caption for figure in report.figures}
    for name in ("reconstructions", "negatives"):
        assert captions[name].endswith(", a row for each channel (charged, neutral).")


def test_export_from_images_alone(nae, tmp_path):
    pytest.importorskip("onnxruntime")
    from jetad.export import export_onnx

    with pytest.raises(ConfigError, match="channels charged, neutral cannot be exported from constituents"):
        export_onnx(Run.open(nae), tmp_path / "no.onnx")
    torch.set_num_threads(1)
    found = export_onnx(Run.open(nae), tmp_path / "model.onnx", inputs="images")
    assert found.inputs == ("image",)
    assert max(p.score for p in found.parity) < 1e-4
