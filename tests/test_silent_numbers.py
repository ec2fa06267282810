"""Wrong numbers do not pass in silence: each way to one is refused, or said in one line."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import toy_jets
from test_cli import QUICK, jetad

from jetad.checks.jets import TrainingJets, remark_on_azimuth
from jetad.jets import Jets
from jetad.runs import Run
from jetad.scores import Scores, load_scores
from jetad.writers import write_jets

KNN = ["--method", "knn", "--representation", "features"]


def scaled(jets: Jets, factor: float) -> Jets:
    factor = np.float32(factor)
    return dataclasses.replace(jets, pt=jets.pt * factor, mass=jets.mass * factor)


@pytest.fixture
def files(folder):
    """Besides ``qcd.h5`` and ``run``: other background and signal, the signal in a mixture, a copy."""
    write_jets(toy_jets(120, 5, labels=0), "test.h5")
    write_jets(toy_jets(120, 6, mean=60, labels=1), "top.h5")
    write_jets(Jets.concatenate([toy_jets(150, 7, labels=0), toy_jets(30, 8, labels=1)]), "mixed.h5")
    shutil.copy("qcd.h5", "copy.h5")
    shutil.copy("test.h5", "test_copy.h5")
    return folder


@pytest.fixture
def scores(folder):
    """Score files of two models: ``qcd``, ``top``, ``qcd_b`` (another model)."""

    def save(name: str, n: int, mean: float, label: int, seed: int, **metadata: str | int) -> Scores:
        rng = np.random.default_rng(seed)
        table = Scores(
            score=rng.normal(mean, 1, n),
            label=np.full(n, label),
            jet_pt=rng.uniform(500, 600, n),
            jet_eta=rng.normal(0, 1, n),
            jet_mass=rng.normal(80, 30, n),
            metadata={"model_hash": "a", **metadata},
        )
        table.save(f"{name}.scores.h5")
        return table

    save("qcd", 400, 0, 0, 1)
    save("top", 300, 2, 1, 2)
    save("qcd_b", 400, 1, 0, 3, model_hash="b")
    return save


def said(capsys, code: int, *words: str | Path) -> str:
    """What a command says on standard error, after its exit code was looked at."""
    capsys.readouterr()
    assert jetad(*words) == code, capsys.readouterr().err
    return capsys.readouterr().err


# --- units --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [["train", *KNN, "-o", "r", "-b"], ["score", "--run", "run"], ["calibrate", "--run", "run", "-b"]],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize(
    ("factor", "units", "message"),
    [
        (1e-3, ["--units", "MeV"], "not in MeV: the median jet pT would be"),
        (1e-3, [], "not in GeV: the median jet pT is 0."),
        (30, [], "look like MeV: the median jet pT is"),
    ],
)
def test_units_that_cannot_be(files, capsys, words, factor, units, message):
    if units:
        factor *= 1000  # a file in GeV, said to be in MeV
    write_jets(scaled(toy_jets(120, 5, labels=0), factor), "wrong.h5")
    assert message in said(capsys, 1, *words, "wrong.h5", *units)


def test_units_are_a_warning_when_looking(files, capsys):
    assert jetad("inspect", "test.h5", "--units", "MeV") == 0
    assert "not in MeV" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["score", "--run", "run"], ["calibrate", "--run", "run", "-b"]])
def test_units_of_the_training(files, capsys, words):
    """Plausible momenta, but a factor of fifty from those of the training."""
    write_jets(scaled(toy_jets(120, 5, labels=0), 0.02), "soft.h5")
    message = said(capsys, 1, *words, "soft.h5")
    assert "the units must differ" in message
    assert "--allow range" in message
    assert "the units must differ" in said(capsys, 0, *words, "soft.h5", "--allow", "range")


# --- jets unlike those of the training ----------------------------------------------------------


def test_jets_outside_the_range_of_the_training(files, capsys):
    write_jets(scaled(toy_jets(120, 5, labels=0), 6), "hard.h5")
    assert "have a pT outside that of the training (" in said(capsys, 0, "score", "--run", "run", "hard.h5")
    assert "outside" in said(capsys, 0, "calibrate", "--run", "run", "-b", "hard.h5")
    assert "outside" not in said(capsys, 0, "score", "--run", "run", "test.h5")
    known = Run.open("run").provenance["training_jets"]
    assert known["pt_low"] < known["pt_median"] < known["pt_high"]


def test_another_jet_radius(files, capsys):
    jets = toy_jets(120, 5, labels=0)
    centre = jets.jet_eta[jets.jet_index]
    narrow = dataclasses.replace(jets, eta=centre + (jets.eta - centre) / 3, phi=jets.jet_phi[jets.jet_index])
    write_jets(narrow, "narrow.h5")
    assert "the jet radius, or the grooming" in said(capsys, 0, "score", "--run", "run", "narrow.h5")
    assert "radius" not in said(capsys, 0, "score", "--run", "run", "test.h5")


def test_a_run_of_an_earlier_version_says_nothing_of_its_jets(files, capsys):
    run = Run.open("run")
    run.write_json("provenance.json", {k: v for k, v in run.provenance.items() if k != "training_jets"})
    write_jets(scaled(toy_jets(120, 5, labels=0), 6), "hard.h5")
    assert "outside" not in said(capsys, 0, "score", "--run", "run", "hard.h5")


def test_jets_without_momenta_have_no_range():
    found = TrainingJets.of(Jets.from_lists([]))
    assert TrainingJets.from_dict(found.to_dict()) is not None
    assert TrainingJets.from_dict(json.loads(json.dumps(found.to_dict()))).remark(0, 10) is None
    found.check_units(toy_jets(20), "jets")


def test_selections_that_differ(files, capsys):
    assert jetad("train", *KNN, "-b", "qcd.h5", "--select", "jet_pt > 100", "-o", "cut") == 0
    message = said(capsys, 0, "score", "--run", "cut", "test.h5")
    assert "was trained on jets of --select 'jet_pt > 100', and these are scored without it" in message
    words = ["score", "--run", "cut", "test.h5", "-o", "same.h5", "--select", "jet_pt>100"]
    assert "trained on jets of" not in said(capsys, 0, *words)
    assert jetad("calibrate", "--run", "run", "-b", "test.h5", "--select", "jet_pt > 90") == 0
    words = ["score", "--run", "run", "top.h5"]
    assert "was calibrated with jets of --select 'jet_pt > 90'" in said(capsys, 0, *words)


def test_no_jet_passes_the_selection(files, capsys):
    words = ["score", "--run", "run", "test.h5", "--select", "jet_pt > 5000"]
    assert "none of 120 jets passes 'jet_pt > 5000'" in said(capsys, 0, *words)
    assert len(load_scores("test.scores.h5")) == 0


# --- what is trained on -------------------------------------------------------------------------


@pytest.mark.parametrize(("file", "n"), [("top.h5", 120), ("mixed.h5", 30)])
def test_signal_as_background(files, capsys, file, n):
    words = ["train", *KNN, "-o", "r", "-b", file]
    assert f"{n} jets are labelled as signal, but given as background" in said(capsys, 1, *words)
    assert not Path("r").exists()
    assert "labelled as signal" in said(capsys, 0, *words, "--allow", "labels")
    words = ["calibrate", "--run", "run", "-b", file]
    assert "labelled as signal" in said(capsys, 1, *words)
    assert jetad(*words, "--allow", "labels") == 0


def test_signal_as_background_read_in_a_stream(files, capsys):
    words = ["train", *KNN, "-o", "r", "-b", "mixed.h5", "--set", "data.max_in_memory=50"]
    assert "30 jets are labelled as signal" in said(capsys, 1, *words)


def test_background_as_signal_of_the_classifier(files, capsys):
    words = ["train", "--method", "classifier", "-b", "qcd.h5", "-s", "test.h5", "-o", "r", *QUICK[:2]]
    assert "120 jets are labelled as background, but given as signal" in said(capsys, 1, *words)


def test_copies_among_the_training_files(files, capsys):
    words = ["train", *KNN, "-o", "r", "-b", "qcd.h5", "copy.h5"]
    assert "copy.h5: holds the same jets as qcd.h5, byte for byte" in said(capsys, 1, *words)
    words = ["train", *KNN, "-o", "r", "-b", "qcd.h5", "--monitor", "x=copy.h5"]
    assert "copy.h5: is a training file" in said(capsys, 2, *words)


def test_repeated_jets_in_one_file(files, capsys):
    jets = toy_jets(150, 1, labels=0)
    write_jets(Jets.concatenate([jets, jets[:40]]), "twice.h5")
    message = said(capsys, 0, "train", *KNN, "-o", "r", "-b", "twice.h5")
    assert "40 of 190 jets repeat an earlier one" in message
    assert "repeat" not in said(capsys, 0, "train", *KNN, "-o", "r2", "-b", "qcd.h5")


def test_files_that_max_jets_leaves_out(files, capsys):
    words = ["train", *KNN, "-o", "r", "-b", "qcd.h5", "test.h5", "--max-jets", "150"]
    assert "nothing of test.h5 is read" in said(capsys, 0, *words)
    words = ["train", *KNN, "-o", "r2", "-b", "qcd.h5", "test.h5", "--max-jets", "250"]
    assert "is read" not in said(capsys, 0, *words)


def test_event_weights(files, capsys):
    padded, _ = toy_jets(150, 3, labels=0).padded(60)
    names = dict(zip(("pt", "eta", "phi", "mass"), np.moveaxis(padded, 2, 0), strict=True))
    weight = np.random.default_rng(1).exponential(1, 150)
    np.savez("weighted.npz", w=weight, **names)
    Path("map.yaml").write_text("constituents: {pt: pt, eta: eta, phi: phi, mass: mass}\nweight: w\n")
    how = ["--mapping", "map.yaml"]
    message = said(capsys, 0, "train", *KNN, "-o", "r", "-b", "weighted.npz", *how)
    assert "have event weights" in message
    assert jetad("score", "--run", "run", "weighted.npz", *how) == 0
    np.testing.assert_allclose(load_scores("weighted.scores.h5").weight, weight)
    words = ["calibrate", "--run", "run", "-b", "weighted.npz", *how]
    assert "--weight weight uses them" in said(capsys, 0, *words)
    assert "event weights" not in said(capsys, 0, *words, "--weight", "weight")


def test_a_check_says_what_would_be_done(files, capsys):
    assert jetad("train", *KNN, "-b", "qcd.h5", "--check") == 0
    out = capsys.readouterr().out
    assert "would train 'knn' on 200 jets of 1 files" in out
    assert "would write runs/" in out


# --- scores -------------------------------------------------------------------------------------


def test_scores_of_two_models(scores, capsys):
    pair = ["-b", "qcd_b.scores.h5", "-s", "top.scores.h5"]
    for words in (
        ["roc", *pair],
        ["plot", "roc", *pair],
        ["plot", "scores", *pair[1::2]],
        ["plot", "efficiency", *pair[1::2]],
    ):
        assert "come from different models and cannot be compared" in said(capsys, 1, *words)
    Scores(score=np.arange(9.0)).save("other.csv")
    words = ["roc", "-b", "qcd.scores.h5", "other.csv", "-s", "top.scores.h5"]
    assert "other.csv: does not say which run it comes from" in said(capsys, 0, *words)


def test_exchanged_classes(scores, capsys):
    words = ["roc", "-b", "top.scores.h5", "-s", "qcd.scores.h5"]
    assert "background and signal may be exchanged" in said(capsys, 1, *words)
    assert "may be exchanged" in said(capsys, 0, *words, "--allow", "labels")
    words = ["plot", "sculpting", "top.scores.h5"]
    assert "its labels say signal" in said(capsys, 1, *words)


def test_exchanged_classes_without_labels(scores, capsys):
    for name, mean in (("low", 0), ("high", 2)):
        scores(name, 300, mean, -1, 5 + mean)
    words = ["roc", "-b", "high.scores.h5", "-s", "low.scores.h5"]
    assert "'low' is less anomalous than the background" in said(capsys, 0, *words)
    assert said(capsys, 0, "roc", "-b", "low.scores.h5", "-s", "high.scores.h5") == ""


def test_one_sample_as_both(scores, capsys):
    shutil.copy("qcd.scores.h5", "again.scores.h5")
    for signal in ("qcd.scores.h5", "again.scores.h5"):
        message = said(capsys, 1, "roc", "-b", "qcd.scores.h5", "-s", f"x={signal}")
        assert "400 of 400 jets of signal 'x' are jets of the background, too" in message
    allowed = ["--allow", "overlap", "--allow", "labels"]
    assert jetad("roc", "-b", "qcd.scores.h5", "-s", "x=again.scores.h5", *allowed) == 0


def test_some_jets_in_both(scores, capsys):
    qcd, top = load_scores("qcd.scores.h5"), load_scores("top.scores.h5")
    Scores.concatenate([qcd, dataclasses.replace(top[:20], label=np.zeros(20))]).save("data.scores.h5")
    message = said(capsys, 0, "roc", "-b", "data.scores.h5", "-s", "top.scores.h5")
    assert "20 of 300 jets of signal 'top' are jets of the background, too" in message


def test_jets_that_are_there_twice(scores, capsys):
    shutil.copy("qcd.scores.h5", "again.scores.h5")
    words = ["roc", "-s", "top.scores.h5", "-b", "qcd.scores.h5"]
    assert "400 of 800 jets are there twice" in said(capsys, 0, *words, "again.scores.h5")
    assert "named twice, read once" in said(capsys, 0, *words, "qcd.scores.h5")
    assert said(capsys, 0, *words) == ""


def test_training_jets_in_a_curve(files, capsys):
    assert "the detector was trained on this file" in said(capsys, 0, "score", "--run", "run", "qcd.h5")
    assert jetad("score", "--run", "run", "top.h5") == 0
    words = ["roc", "-b", "qcd.scores.h5", "-s", "top.scores.h5"]
    assert "holds jets that the detector was trained on" in said(capsys, 0, *words)


def test_scores_that_are_missing(scores, capsys):
    with h5py.File("qcd.scores.h5", "r+") as file:
        file["score"][:100] = np.nan
    words = ["roc", "-b", "qcd.scores.h5", "-s", "top.scores.h5", "--json", "-"]
    assert "100 of 400 background jets have no score" in said(capsys, 0, *words)


def test_spectra_that_differ(scores, capsys):
    with h5py.File("top.scores.h5", "r+") as file:
        file["jet_pt"][:] += 500
    words = ["roc", "-b", "qcd.scores.h5", "-s", "top.scores.h5"]
    assert "jet pT alone tells 'top' from the background (AUC 1.000)" in said(capsys, 0, *words)


# --- studies and the report ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["two-way", "-b", "a=test.h5", "-s", "b=test_copy.h5", "-o", "t"],
        ["contamination", "-b", "a=test.h5", "-s", "b=test_copy.h5", "-o", "c"],
        ["bench", "--sample", "a=test.h5", "b=test_copy.h5", "--train", "a", "-o", "b"],
        ["bench", "--sample", "a=test.h5", "b=top.h5", "--train", "a", "--train-file", "a=test_copy.h5"],
        ["robustness", "--run", "run", "-b", "test.h5", "-s", "b=test_copy.h5"],
    ],
    ids=lambda words: words[0],
)
def test_studies_of_one_sample(files, capsys, words):
    assert "test_copy.h5: holds the same jets as test.h5" in said(capsys, 1, *words)


def test_a_signal_of_the_name_of_the_background(files, capsys):
    Path("a").mkdir()
    shutil.copy("top.h5", "a/test.h5")
    words = ["robustness", "--run", "run", "-b", "test.h5", "-s", "a/test.h5"]
    assert "'test' is the name of the background, too" in said(capsys, 2, *words)


@pytest.mark.parametrize("words", [["robustness"], ["report", "-o", "r.html"]], ids=lambda words: words[0])
def test_classes_in_the_wrong_place(files, capsys, words):
    for pair in (["-b", "top.h5", "-s", "test.h5"], ["-b", "mixed.h5", "-s", "top.h5"]):
        message = said(capsys, 1, *words, "--run", "run", *pair)
        assert "jets are labelled as signal, but given as background" in message
    assert not Path("r.html").exists()


def test_a_report_of_one_sample(files, capsys):
    words = ["report", "--run", "run", "-b", "top.h5", "-s", "x=top.h5", "-o", "r.html", "--allow", "labels"]
    assert "are jets of the background, too" in said(capsys, 1, *words)


# --- what is read ---------------------------------------------------------------------------------


@pytest.fixture
def momenta(folder):
    """Jets as padded arrays in a file that only a mapping can read; a mapping of given columns."""
    jets = toy_jets(400, 5)
    n = int(jets.n_constituents.max())
    place = jets.jet_index, np.arange(len(jets.pt)) - jets.offsets[:-1][jets.jet_index]
    pt, eta, phi = jets.pt, jets.eta, jets.phi
    values = {
        "px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "E": pt * np.cosh(eta),
        "pt": pt, "eta": eta, "phi": phi,
    }  # fmt: skip
    with h5py.File("columns.h5", "w") as file:
        for name, value in values.items():
            padded = np.zeros((len(jets), n), dtype="f4")
            padded[place] = value
            file[name] = padded

    def mapping(*names: str, **exchanged: str) -> list[str]:
        columns = {name: exchanged.get(name, name) for name in names}
        Path("map.yaml").write_text(json.dumps({"constituents": columns}))
        return ["columns.h5", "--mapping", "map.yaml"]

    return mapping


CARTESIAN, CYLINDRICAL = ("px", "py", "pz", "E"), ("pt", "eta", "phi", "E")


@pytest.mark.parametrize(
    ("names", "exchanged"),
    [
        (CARTESIAN, {"px": "E", "E": "px"}),
        (CARTESIAN, {"pz": "E", "E": "pz"}),
        (CYLINDRICAL, {"pt": "E", "E": "pt"}),
    ],
)
def test_energies_exchanged_in_a_mapping(momenta, capsys, names, exchanged):
    words = ["train", *KNN, "-o", "k", "-b"]
    assert "columns are exchanged in the mapping" in said(capsys, 1, *words, *momenta(*names, **exchanged))
    assert "exchanged" not in said(capsys, 0, *words, *momenta(*names))


@pytest.mark.parametrize(
    ("names", "exchanged"),
    [
        (CARTESIAN, {"py": "pz", "pz": "py"}),
        (CARTESIAN, {"px": "pz", "pz": "px"}),
        (("pt", "eta", "phi"), {"eta": "phi", "phi": "eta"}),
    ],
)
def test_directions_exchanged_in_a_mapping(momenta, capsys, names, exchanged):
    sentence = "the azimuth phi of the jets is not spread evenly"
    words = ["train", *KNN, "-o", "k", "-b"]
    assert sentence not in said(capsys, 0, *words, *momenta(*names))
    assert sentence not in said(capsys, 0, "score", "--run", "k", *momenta(*names))
    wrong = momenta(*names, **exchanged)
    assert sentence in said(capsys, 0, "score", "--run", "k", "--force", *wrong)
    assert sentence in said(capsys, 0, "calibrate", "--run", "run", "-b", *wrong)
    assert jetad("inspect", *wrong) == 0
    assert sentence in capsys.readouterr().out
    assert sentence in said(capsys, 0, "train", *KNN, "-o", "l", "-b", *wrong)


def test_what_an_azimuth_may_be():
    rng = np.random.default_rng(1)
    even = rng.uniform(-np.pi, np.pi, 2000)
    assert remark_on_azimuth(even) is None
    assert remark_on_azimuth(even[:110]) is None
    assert remark_on_azimuth(rng.normal(0, 0.1, 500)) is None  # relative to the jet axis
    assert remark_on_azimuth(np.zeros(500)) is None
    assert remark_on_azimuth(np.where((even > -1.6) & (even < -0.9), np.nan, even)) is None  # a dead sector
    assert remark_on_azimuth(rng.normal(0, 1, 500)) is not None
    assert remark_on_azimuth(rng.normal(0, 1, 90)) is None


def test_labels_are_told_once(files, capsys):
    message = said(capsys, 0, "train", *KNN, "-o", "k", "-b", "mixed.h5", "--allow", "labels")
    assert message.count("labelled as signal") == 1


# --- cuts and calibration ---------------------------------------------------------------------------


def test_classes_that_were_selected_in_different_ways(files, capsys):
    said(capsys, 0, "score", "--run", "run", "test.h5", "--select", "jet_pt > 300")
    said(capsys, 0, "score", "--run", "run", "top.h5")
    message = said(capsys, 0, "roc", "-b", "test.scores.h5", "-s", "top.scores.h5")
    assert "jets were selected in different ways: test.scores.h5 (--select 'jet_pt > 300')" in message
    said(capsys, 0, "score", "--run", "run", "top.h5", "--select", "jet_pt>300", "--force")
    assert "selected" not in said(capsys, 0, "roc", "-b", "test.scores.h5", "-s", "top.scores.h5")


def test_jets_of_the_calibration(files, capsys):
    write_jets(toy_jets(400, 9, labels=0), "held.h5")
    said(capsys, 0, "calibrate", "--run", "run", "-b", "held.h5")
    shutil.copy("held.h5", "renamed.h5")
    assert "was calibrated with this file" in said(capsys, 0, "score", "--run", "run", "renamed.h5")
    assert "was calibrated with" not in said(capsys, 0, "score", "--run", "run", "test.h5")
