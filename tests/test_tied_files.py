"""The files of a run belong together: what was changed or damaged is noticed before anything is scored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import toy_jets
from test_cli import jetad

import jetad as library
from jetad.calibration import BackgroundEfficiency, Surprise, calibration_from_dict
from jetad.detector import TrainedDetector
from jetad.errors import InputError, OutputError
from jetad.runs import Run
from jetad.writers import write_jets


def untie(run: str = "run") -> None:
    """Make a run one of an earlier version, without hashes."""
    path = Path(run, "calibration.json")
    values = json.loads(path.read_text())
    del values["files"], values["digest"]
    path.write_text(json.dumps(values))


def edit(name: str, change) -> None:
    path = Path("run", name)
    values = json.loads(path.read_text())
    path.write_text(json.dumps(change(values) or values))


def set_pixel(values):
    values["image"]["pixel_eta"] = 0.06


def set_mean(values):
    values["features"]["mean"][0] += 0.1


def set_score(values):
    values["background"]["scores"][-1] += 1.0


@pytest.mark.parametrize(
    ("name", "change"),
    [("preprocessing.json", set_pixel), ("preprocessing.json", set_mean), ("calibration.json", set_score)],
)
def test_a_changed_number_is_noticed(folder, capsys, name, change):
    edit(name, change)
    assert jetad("score", "qcd.h5", "--run", "run") == 1
    said = capsys.readouterr().err
    assert f"run/{name}: was changed after" in said
    assert "train again" in said
    assert not Path("qcd.scores.h5").exists()


def test_changed_weights_and_settings_are_noticed(folder, capsys):
    run = Run("run")
    weights = run.load_weights()
    run.save_weights({k: v + 1e-3 if v.is_floating_point() else v for k, v in weights.items()})
    with pytest.raises(InputError, match=r"model\.safetensors: was changed after the training"):
        TrainedDetector.from_run(run, "cpu")
    run.save_weights(weights)
    TrainedDetector.from_run(run, "cpu")
    with open("run/config.yaml", "a") as file:
        file.write("# by hand\n")
    with pytest.raises(InputError, match=r"config\.yaml: was changed"):
        TrainedDetector.from_run(run, "cpu")


def test_calibrate_ties_anew(folder, capsys):
    write_jets(toy_jets(120, 9, labels=0), "fresh.h5")
    assert jetad("calibrate", "--run", "run", "--background", "fresh.h5") == 0
    library.load("run", device="cpu")
    edit("calibration.json", set_score)
    with pytest.raises(InputError, match="its digest is another"):
        library.load("run", device="cpu")


def test_a_run_of_an_earlier_version_loads_and_this_is_said_once(folder, monkeypatch):
    told = []
    monkeypatch.setattr("jetad.runs.directory._untied", set())
    monkeypatch.setattr("jetad.runs.directory.logger.info", lambda text, *values: told.append(text % values))
    before = library.load("run", device="cpu").score(toy_jets(20, 4))
    untie()
    np.testing.assert_array_equal(library.load("run", device="cpu").score(toy_jets(20, 4)), before)
    library.load("run", device="cpu")
    assert [text for text in told if "made by an earlier version" in text] == told[:1]
    edit("preprocessing.json", set_pixel)  # still noticed: config.yaml says otherwise
    with pytest.raises(InputError, match="member 'image' are others than those of config"):
        library.load("run", device="cpu")


PLAIN = BackgroundEfficiency(np.arange(20.0)).to_dict()
WEIGHTED = BackgroundEfficiency(np.arange(20.0), np.linspace(1, 2, 20)).to_dict()
SCALE = Surprise(np.arange(20.0)).to_dict()
BINS = {"kind": "bins", "edges": {"jet_pt": [100.0]}, "cells": [PLAIN, PLAIN]}
DECORRELATED = {
    "kind": "decorrelated",
    "column": "jet_mass",
    "nodes": [1.0, 2.0],
    "scales": [SCALE, SCALE],
    "efficiency": PLAIN,
}
NAN = float("nan")


def test_whole_calibrations_are_read():
    for values in (PLAIN, WEIGHTED, BINS, DECORRELATED):
        assert calibration_from_dict(json.loads(json.dumps(values))).to_dict() == values
    assert Surprise.from_dict(SCALE).to_dict() == SCALE


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "'background' is None"),
        ([1], "'background' is a list"),
        ({}, "'scores' is missing"),
        ({**PLAIN, "n": -5}, "'n' is -5, and must be a whole number of at least 20"),
        ({**PLAIN, "n": 10**400}, "'n' is a huge number"),
        ({**PLAIN, "n": 25}, "'n' is 25, and must be the number of scores, 20"),
        ({**PLAIN, "n": True}, "'n' is True"),
        ({**PLAIN, "scores": [1.0, "2"]}, "'scores' is a list, and must be a list of finite numbers"),
        ({**PLAIN, "scores": [1.0, NAN]}, "must be a list of finite numbers"),
        ({**PLAIN, "scores": [1.0, [2.0]]}, "must be a list of finite numbers"),
        ({**PLAIN, "scores": [3.0, 1.0]}, "are not in order"),
        ({**PLAIN, "scores": [3.0]}, "has 1 numbers, and must have 2 or more"),
        ({**WEIGHTED, "fractions": [NAN] * 20}, "'fractions' is a list"),
        ({**WEIGHTED, "fractions": [2.0] * 20}, "numbers from 2 to 2, and they must be numbers from 0 to 1"),
        ({**WEIGHTED, "fractions": [1.0] * 19}, "has 19 numbers, and must have 20"),
        ({**WEIGHTED, "fractions": np.linspace(0, 1, 20).tolist()}, "are not in order"),
        ({**WEIGHTED, "n_eff": 0}, "'n_eff' is 0"),
        ({**WEIGHTED, "n_eff": 1e9}, "'n_eff' is 1000000000.0"),
        ({**PLAIN, "kind": "other"}, "unknown kind 'other'"),
        ({**PLAIN, "kind": [1]}, "unknown kind"),
        ({**BINS, "edges": {"jet_pt": [2.0, 1.0]}}, "'edges.jet_pt' are not in order"),
        ({**BINS, "edges": {"tau": [2.0]}}, "'tau' is no quantity of a jet"),
        ({**BINS, "edges": []}, "'edges' is a list"),
        ({**BINS, "cells": [PLAIN]}, "do not fill"),
        ({**BINS, "cells": {}}, "'cells' is a group of named values, and must be a list"),
        ({**DECORRELATED, "column": 3}, "'column' is 3, and must be a text"),
        ({**DECORRELATED, "nodes": [1.0, 1.0]}, "'nodes' do not rise"),
        ({**DECORRELATED, "scales": [SCALE]}, "'nodes' has 2 numbers, and must have 1"),
        ({**DECORRELATED, "scales": [SCALE, {**SCALE, "scale": 0}]}, "'scale' is 0"),
        ({**DECORRELATED, "scales": [SCALE, {**SCALE, "surprises": [1.0]}]}, "'surprises' has 1 numbers"),
    ],
)
def test_calibrations_that_make_no_sense(values, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        calibration_from_dict(values)


def drop(name):
    return lambda values: values["features"].pop(name)


def put(name, value):
    return lambda values: values["features"].update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("representation"), "'representation' is missing"),
        (put("representation", 1e308), "'representation' is 1e+308, and must be a text"),
        (put("representation", "x"), "must be one of image, features, constituents"),
        (put("mean", [0.0, NAN, 0.0]), "NaN is no finite number"),
        (put("mean", [0.0]), "'mean' has 1 numbers, and must have 3"),
        (put("std", [1.0, 0.0, 1.0]), "'std' has numbers from 0 to 1"),
        (put("std", [1.0, -1.0, 1.0]), "'std' has numbers from -1 to 1"),
        (put("scaling", "x"), "'scaling': Input should be 'standard', 'quantile-normal' or 'none', found x"),
        (put("observables", []), "'observables': "),
        (lambda values: [1], "instead of named values"),
        (lambda values: {"image": values["image"]}, "'features' is missing"),
    ],
)
def test_preprocessing_that_makes_no_sense(folder, capsys, change, message):
    untie()
    path = Path("run/preprocessing.json")
    values = json.loads(path.read_text())
    changed = change(values)
    path.write_text(json.dumps(changed if isinstance(changed, (list, dict)) and changed else values))
    assert jetad("score", "qcd.h5", "--run", "run") == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "run/preprocessing.json: " in said
    assert message in said
    assert len(said) < 400


def test_weights_that_are_no_numbers(folder):
    untie()
    run = Run("run")
    weights = run.load_weights()
    name = next(k for k, v in weights.items() if v.is_floating_point() and v.ndim == 2)
    weights[name][0, 0] = NAN
    run.save_weights(weights)
    with pytest.raises(InputError, match="has weights that are no numbers"):
        TrainedDetector.from_run(run, "cpu")


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        None,
        "x",
        {"finished": 3},
        {"finished": {}, "member": "a", "trainer": None, "offset": float("inf")},
    ],
    ids=str,
)
def test_checkpoints_of_other_content_are_damaged(folder, content):
    run = Run("run")
    good = {"finished": {}, "member": "image", "trainer": None, "offset": 0}
    run.save_checkpoint(good)
    run.save_checkpoint(good)
    torch.save(content, "run/checkpoint.pt")
    found, problems = run.load_checkpoint()
    assert found == good
    assert "damaged, going back" in problems[0]


@pytest.mark.filterwarnings("error")
def test_torch_does_not_warn_of_a_damaged_checkpoint(folder):
    run = Run("run")
    good = {"finished": {}, "member": "image", "trainer": None, "offset": 0}
    run.save_checkpoint(good)
    path = Path("run/checkpoint.pt")
    data = path.read_bytes()
    assert data.count(b"\x80\x02}") == 1  # where the pickle begins, and its protocol
    path.write_bytes(data.replace(b"\x80\x02}", b"\x80\x80}"))
    assert run.load_checkpoint()[0] == good


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("inputs", [3.0]),
        ("inputs", "x"),
        ("inputs", [{"path": "a", "sha256": 3}]),
        ("command", [1]),
        ("command", 3),
    ],
)
def test_provenance_that_makes_no_sense(folder, capsys, name, value):
    edit("provenance.json", lambda values: {**values, name: value})
    write_jets(toy_jets(120, 9, labels=0), "fresh.h5")
    assert jetad("calibrate", "--run", "run", "-b", "fresh.h5") == 1
    assert "run/provenance.json: is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_json_without_finite_numbers_is_damaged(folder, number):
    Path("run/provenance.json").write_text(f'{{"seed": {number}}}')
    with pytest.raises(InputError, match="is no finite number"):
        _ = Run("run").provenance


@pytest.mark.parametrize("step", [{}, "x", None, 1.5, True])
def test_steps_of_a_history_that_are_none(folder, step):
    with open("run/history.jsonl", "a") as file:
        file.write(json.dumps({"step": step}) + "\n")
    with pytest.raises(InputError, match=r"history\.jsonl: record \d+ has"):
        Run("run").truncate_history(3)


def test_a_ledger_of_wrong_values_is_told(folder, capsys):
    assert jetad("score", "qcd.h5", "--run", "run", "-o", "out/") == 0
    ledger = Path("out/qcd.scores.h5.ledger.json")
    values = json.loads(ledger.read_text())
    for wrong in ([], {**values, "n_read": [1]}, {**values, "n_scored": -3}, {**values, "n_failed": "x"}):
        ledger.write_text(json.dumps(wrong))
        capsys.readouterr()
        assert jetad("score", "qcd.h5", "--run", "run", "-o", "out/") == 1
        assert "qcd.scores.h5.ledger.json" in capsys.readouterr().err
    assert jetad("score", "qcd.h5", "--run", "run", "-o", "out/", "--force") == 0


def test_a_run_that_is_a_link_is_not_replaced(folder):
    from jetad.training.train import check_removal

    Path("linked").symlink_to("run")
    with pytest.raises(OutputError, match="linked: is a symbolic link"):
        check_removal(Path("linked"), [])
    assert jetad("train", "-b", "qcd.h5", "-o", "linked", "--force", "--method", "mass") == 1
    assert Path("run/model.safetensors").exists()
