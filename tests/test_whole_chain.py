"""``jetad.train``, ``jetad.score`` and ``jetad.evaluate``: the same as the commands, from Python."""

from __future__ import annotations

import json

import numpy as np
import pytest

import jetad
from jetad.errors import ConfigError, InputError, OutputError
from jetad.scores import load_scores
from jetad.training.plan import plan_training
from jetad.writers import write_jets
from jetad_cli.main import main

QUICK = {"method": "ae", "representation": "features", "settings": ["training.epochs=1"], "device": "cpu"}


def command(*words):
    code = None
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        code = end.code
    assert not code


@pytest.fixture
def files(tmp_path, make_jets, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jets(make_jets(200, seed=1), "qcd.h5")
    write_jets(make_jets(60, seed=2), "test.h5")
    write_jets(make_jets(60, seed=3), "top.h5")


def test_the_chain_gives_what_the_commands_give(files):
    run = jetad.train("qcd.h5", output="mine", seed=3, **QUICK)
    assert run.config().seed == 3
    accounts = jetad.score(["test.h5", "t*p.h5"], run=run, output="scores", device="cpu")
    assert [a.output for a in accounts] == ["scores/test.scores.h5", "scores/top.scores.h5"]
    background, top = (load_scores(a.output) for a in accounts)
    found = jetad.evaluate(background, {"top": top})

    command("train", "-b", "qcd.h5", "-o", "theirs", "--seed", 3, "--method", "ae", "--device", "cpu",
            "--representation", "features", "--set", "training.epochs=1")  # fmt: skip
    command("score", "test.h5", "top.h5", "--run", "theirs", "-o", "theirs", "--device", "cpu")
    command("roc", "-b", "theirs/test.scores.h5", "-s", "top=theirs/top.scores.h5", "--json", "roc.json")
    assert jetad.load("theirs").metadata["model_hash"] == run.model_hash()
    np.testing.assert_array_equal(load_scores("theirs/top.scores.h5").score, top.score)
    with open("roc.json") as file:
        assert json.load(file)["signals"]["top"]["auc"] == found.to_dict()["signals"]["top"]["auc"]


def test_the_same_call_goes_on_or_is_refused(files):
    run = jetad.train("qcd.h5", output="run", **QUICK)
    with pytest.raises(OutputError, match="holds a finished training; choose another"):
        jetad.train("qcd.h5", output="run", **QUICK)
    again = jetad.train("qcd.h5", output="run", force=True, **QUICK)
    assert again.model_hash() == run.model_hash()


def test_cuts_and_readers_enter_the_record(files):
    run = jetad.train("qcd.h5", output="run", select="jet_pt > 1", max_jets=150, reader="landscape", **QUICK)
    assert run.provenance["reading"] == {"select": "jet_pt > 1", "max_jets": 150, "reader": "landscape"}
    assert sum(run.provenance["n_jets"].values()) == 150


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"background": "gone.h5"}, InputError, "no such file"),
        ({"background": "qcd.h5", "method": "nea"}, ConfigError, "unknown method 'nea'"),
        ({"background": "qcd.h5", "config_file": "gone.yaml"}, ConfigError, "--config gone.yaml: cannot"),
        ({"background": "qcd.h5", "monitor": {"x": "qcd.h5"}}, ConfigError, "is a training file"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(files, tmp_path, given, error, match):
    with pytest.raises(error, match=match):
        plan_training(**given)
    assert not (tmp_path / "runs").exists()
