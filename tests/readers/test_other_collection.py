"""A detector of one collection of jets, and jets of another."""

from __future__ import annotations

from format_examples import nano
from test_cli import jetad

from jetad.runs import Run


def test_jets_of_another_collection(tmp_path, monkeypatch, capsys):
    for name in ("fat", "small"):
        (tmp_path / name).mkdir()
    fat, _ = nano(tmp_path / "fat", 150, 1)
    fat_2, _ = nano(tmp_path / "fat", 150, 3)
    small, _ = nano(
        tmp_path / "small", 150, 2, collection="Jet", spelling=("JetPFCands", "pFCandsIdx", "PFCands")
    )
    monkeypatch.chdir(tmp_path)

    def said(*words) -> str:
        capsys.readouterr()
        assert jetad(*words) == 0, capsys.readouterr().err
        return capsys.readouterr().err

    said("train", "-m", "knn", "--representation", "features", "-b", fat, "-o", "k")
    assert Run.open("k").provenance["collection"] == "FatJet"
    score, calibrate = ["score", "--run", "k", "--force"], ["calibrate", "--run", "k", "-b"]
    sentence = "are those of 'Jet', the detector was trained on those of 'FatJet'"
    for words in (score, calibrate):
        assert sentence in said(*words, small, "--collection", "Jet")
        assert "trained on those of" not in said(*words, fat_2, "--collection", "FatJet")
    assert "trained on those of" not in said(*score, fat)
