"""Files without constituents train and score with one command each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from format_examples import nano, physlite
from test_cli import jetad

from jetad import readers
from jetad.jets import Jets
from jetad.preprocessing.choosing import choose_features
from jetad.scores.loading import load_scores


@pytest.mark.parametrize("kind", ["nanoaod", "physlite"])
def test_one_command_trains_and_one_scores(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, seed in (("background", 1), ("signal", 2)):
        path, _ = (
            nano(tmp_path, 120, seed, spelling=None) if kind == "nanoaod" else physlite(tmp_path, 120, seed)
        )
        path.rename(f"{name}.root")
    column = {"nanoaod": "file:FatJet_tau1", "physlite": "file:AnalysisLargeRJets_D2"}[kind]
    assert jetad("train", "--background", "background.root", "--method", "mahalanobis", "-o", "run") == 0
    said = capsys.readouterr().err
    assert f"the jets have no constituents: training on the features mass, {column}" in said
    assert jetad("score", "signal.root", "--run", "run") == 0
    scores = load_scores(tmp_path / "signal.scores.root")
    assert np.isfinite(scores.score).all()
    assert len(scores.score) == readers.count("signal.root")


def test_what_was_asked_for_is_taken(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path, _ = nano(tmp_path, 120, 1, spelling=None)
    words = ("train", "--background", path.name, "--method", "mahalanobis", "--representation", "features")
    assert jetad(*words, "--set", "preprocessing.observables=[mass,pt]", "-o", "run") == 0
    assert "training on the features" not in capsys.readouterr().err
    assert "file:" not in Path("run/config.yaml").read_text()


def jets(**columns):
    n = len(next(iter(columns.values()))) if columns else 5
    momenta = np.stack([np.arange(n) + 300.0, np.zeros(n), np.zeros(n), np.arange(n) + 50.0], axis=1)
    return Jets.without_constituents(n, jet_momenta=momenta, observables=columns)


def test_substructure_is_chosen_and_what_tells_nothing_is_not():
    x = np.random.default_rng(1).random(200)
    names = ["FatJet_tau1", "FatJet_msoftdrop", "FatJet_deepTag_TvsQCD", "FatJet_genJetAK8Idx", "FatJet_pt"]
    chosen = choose_features(
        jets(**dict.fromkeys(names, x), FatJet_n2b1=np.full(200, np.nan), J_D2=np.ones(200))
    )
    assert chosen == ("mass", "file:FatJet_tau1", "file:FatJet_msoftdrop")
    assert choose_features(jets()) == ("mass", "pt")
