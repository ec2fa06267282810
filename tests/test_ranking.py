"""jetad bench: which jets train and test, what ranks, and that nothing is done twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import toy_jets
from test_cli import jetad as run_jetad

import jetad
from jetad.config import resolve_config
from jetad.errors import ConfigError, InputError, OutputError
from jetad.studies.ranking import DetectorSpec, rank_methods
from jetad.studies.standings import Ranking, Row
from jetad.studies.trainings import TrainingOptions
from jetad.writers import write_jets

OPTIONS = TrainingOptions(resolve_config(seed=1), ["test"], "cpu")


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.chdir(tmp_path)
    for seed, (name, mean) in enumerate({"few": 15, "many": 150, "some": 40}.items()):
        write_jets(toy_jets(300, seed, mean=mean), f"{name}.h5")
    return {name: Path(f"{name}.h5") for name in ("few", "many", "some")}


def row(detector: str, train: str, seed: int = 1, supervised: bool = False, **auc: float) -> Row:
    rejection = {name: {"0.3": 10.0} for name in auc}
    return Row(detector, detector, train, seed, 10, {}, {"score": auc}, rejection, 1.0, supervised)


def test_detectors_are_parsed():
    assert DetectorSpec.parse("nae") == ("nae", "nae", ())
    assert DetectorSpec.parse("preset:wnae-published").label == "wnae-published"
    spec = DetectorSpec.parse("mine=ae training.epochs=3 'model.x=a b'")
    assert spec == ("mine", "ae", ("training.epochs=3", "model.x=a b"))
    for bad in ("", "a/b=nae", "../x=nae"):
        with pytest.raises(ConfigError, match="is no detector"):
            DetectorSpec.parse(bad)


def test_the_worst_mean_direction_ranks_and_the_ceiling_scales():
    found = Ranking(
        (
            row("a", "x", y=0.9), row("a", "y", x=0.6), row("a", "x", 2, y=0.8), row("a", "y", 2, x=0.62),
            row("b", "x", y=0.7), row("b", "y", x=0.7), row("c", "x", y=0.99),
            row("s", "x", supervised=True, y=0.9), row("s", "y", supervised=True, x=0.8),
        )
    )  # fmt: skip
    standings = found.standings()
    assert [s.detector for s in standings] == ["s", "b", "a", "c"]
    b, a, c = standings[1:]
    assert (a.worst, a.seeds, b.worst) == (pytest.approx(0.61), 2, 0.7)
    assert np.isnan(c.worst)
    assert a.auc["x", "y"] == (pytest.approx(0.85), pytest.approx(0.05))
    assert a.fraction == pytest.approx(0.11 / 0.3)
    assert b.fraction == pytest.approx(0.5)
    only = Ranking(found.rows, (("x", "y"),))
    assert [s.detector for s in only.standings()] == ["c", "s", "a", "b"]
    table = found.to_markdown().splitlines()
    assert table[0] == "| detector | x → y | y → x | worst | of ceiling | time [s] | seeds |"
    assert table[4].startswith("| `a` | 0.850 ± 0.050 | 0.610 ± 0.010 | 0.610 | 0.37 |")
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["judged"] == ["x -> y", "y -> x"]


def test_each_class_is_searched_for_in_jets_that_did_not_train(samples):
    found = rank_methods(samples, ["few", "many"], ["multiplicity"], Path("out"), OPTIONS, n_train=200)
    first = found.rows[0]
    assert (first.n_train, first.n_test) == (200, {"few": 100, "many": 300, "some": 300})
    jets = {name: jetad.read(path) for name, path in samples.items()}
    few, many = jets["few"].n_constituents[200:], jets["many"].n_constituents
    pairs = few[:, None] < many
    expected = pairs.mean() + (few[:, None] == many).mean() / 2
    assert first.auc["score"]["many"] == pytest.approx(expected, abs=1e-4)
    assert found.rows[1].auc["score"]["few"] < 0.1
    some = np.sort(jets["some"].n_constituents)[::-1]
    passing = np.mean(many[200:] >= some[89])  # 90 of 300 are 30 %
    assert found.rows[1].rejection["some"]["0.3"] == pytest.approx(1 / passing, abs=0.01)
    assert first.rejection["many"]["0.5"] is None  # no jet of few has as many


def test_a_file_of_its_own_trains(samples):
    write_jets(toy_jets(300, 9, mean=15), "others.h5")
    separate = {"few": Path("others.h5")}
    found = rank_methods(
        samples, ["few"], ["mahalanobis"], Path("out"), OPTIONS, training_files=separate,
        representation="features", n_train=200,
    )  # fmt: skip
    assert found.rows[0].n_test["few"] == 300
    assert found.rows[0].auc["score"]["many"] > 0.7


def test_a_supervised_detector_is_tested_on_the_half_it_has_not_seen(samples):
    found = rank_methods(
        samples, ["few"], ["classifier training.epochs=1 training.batch_size=32"], Path("out"), OPTIONS,
        n_train=200, representation="features",
    )  # fmt: skip
    assert found.rows[0].supervised
    assert found.rows[0].n_test == {"few": 100, "many": 150, "some": 150}
    assert found.rows[0].auc["score"]["many"] > 0.8
    assert sorted(p.name for p in Path("out/runs").iterdir() if not p.is_symlink()) == [
        "classifier-few-1-many", "classifier-few-1-some"
    ]  # fmt: skip


def test_only_what_is_missing_is_done_again(samples):
    def times() -> dict[str, int]:
        return {p.name: p.stat().st_mtime_ns for p in Path("out/rows").iterdir()}

    def rank(detectors, **options):
        return rank_methods(samples, ["few"], detectors, Path("out"), OPTIONS, **{"n_train": 200, **options})

    rank(["mass"])
    before = times()
    found = rank(["mass", "multiplicity"], n_seeds=2)
    assert len(found.rows) == 4
    assert times()["mass-few-1.json"] == before["mass-few-1.json"]
    with pytest.raises(OutputError, match="is 'mass' on 200 jets, not 'mass' on 150"):
        rank(["mass"], n_train=150)
    Path("out/rows/mass-few-1.json").write_text("{")
    with pytest.raises(InputError, match="is not what 'jetad bench' wrote"):
        rank(["mass"])


def test_what_cannot_be_ranked_is_said(samples):
    def rank(trained_on=("few",), detectors=("mass",), **options):
        rank_methods(samples, trained_on, detectors, Path("out"), OPTIONS, **options)

    with pytest.raises(ConfigError, match="no sample 'top'; those given are few, many, some"):
        rank(("top",))
    with pytest.raises(ConfigError, match="one label"):
        rank(detectors=("mass", "mass"))
    with pytest.raises(ConfigError, match="choose one of: mass,"):
        rank(detectors=("mas",))
    with pytest.raises(InputError, match=r"few.h5: its 300 jets are all used for training.*--n-train"):
        rank()


def test_the_command_writes_the_table(samples, capsys):
    command = ["bench", "--sample", "few=few.h5", "many=many.h5", "--train", "few", "many"]
    command += ["--n-train", "200"]
    assert run_jetad(*command, "-d", "mass", "multiplicity", "--judge", "few:many") == 0
    text = capsys.readouterr().out
    assert text.splitlines()[1].startswith("multiplicity ")
    assert Path("bench/bench.md").read_text().splitlines()[2].startswith("| `multiplicity` |")
    assert json.loads(Path("bench/bench.json").read_text())["judged"] == ["few -> many"]
    assert run_jetad(*command, "-d", "mass", "--sample", "many.h5") == 2
    assert run_jetad(*command, "--judge", "few") == 2
    assert run_jetad("bench", "--sample", "few=few.h5", "--train", "few") == 2
    assert run_jetad("bench", "--sample", "few=few.h5", "x=gone.h5", "--train", "few") == 1
    assert "gone.h5" in capsys.readouterr().err
