"""Two-way test, distortions, contamination: what each number means, and that studies go on."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from conftest import toy_jets

from jetad.config import resolve_config
from jetad.errors import ConfigError, InputError, Interrupted, OutputError
from jetad.interrupts import StopRequest
from jetad.jets import Jets
from jetad.plots import plot_contamination, plot_robustness
from jetad.preprocessing.images import JetImages
from jetad.studies.contamination import contamination, mix
from jetad.studies.distortions import DISTORTIONS, distort
from jetad.studies.robustness import change_of, robustness
from jetad.studies.saved import load_studies, load_study
from jetad.studies.trainings import TrainingOptions, hold_out, train_in_study
from jetad.studies.two_way import Complexity, Direction, TwoWay, n_pixels, two_way
from jetad.writers import write_jets
from jetad_cli.main import main

QUICK = ["training.epochs=2", "network.hidden=[16]", "training.batch_size=32"]


def quick(seed: int = 1) -> TrainingOptions:
    return TrainingOptions(
        resolve_config(method="ae", representation="features", settings=QUICK, seed=seed), ["test"], "cpu"
    )


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_jets(toy_jets(300, 1, labels=0), "few.h5")
    write_jets(toy_jets(300, 2, mean=70, labels=1), "many.h5")
    return tmp_path


def same_when_read_back(path: Path) -> None:
    """A file of a study gives a study that writes the same file."""
    (study,) = load_studies([path])
    written = path if path.is_file() else next(path.glob("*.json"))
    assert study.to_dict() == json.loads(written.read_text())


# --- parts that train ----------------------------------------------------------------------------


def test_held_out_jets_are_in_no_training() -> None:
    jets = toy_jets(100)
    train, test = hold_out(jets, 0.25, seed=3)
    assert (len(train), len(test)) == (75, 25)
    assert sorted([*train.entry, *test.entry]) == list(range(100))
    assert hold_out(jets, 0.25, seed=4).test.entry.tolist() != test.entry.tolist()
    with pytest.raises(InputError, match="cannot be split"):
        hold_out(jets[:1], 0.25, seed=1)


def test_a_study_goes_on_where_it_stopped(files: Path) -> None:
    jets = toy_jets(200)
    first = train_in_study(jets, [files / "few.h5"], files / "run", quick(), {"x": 1})
    stamp = (files / "run" / "model.safetensors").stat().st_mtime_ns
    again = train_in_study(jets, [files / "few.h5"], files / "run", quick(), {"x": 1})
    assert (files / "run" / "model.safetensors").stat().st_mtime_ns == stamp
    np.testing.assert_array_equal(first.score(jets), again.score(jets))
    for options, study in ((quick(2), {"x": 1}), (quick(), {"x": 2})):
        with pytest.raises(OutputError, match="holds a finished training"):
            train_in_study(jets, [files / "few.h5"], files / "run", options, study)


def test_an_interrupted_study_ends_as_if_it_had_not_been(files: Path) -> None:
    jets = toy_jets(200)
    source = [files / "few.h5"]
    whole = train_in_study(jets, source, files / "whole", quick(), {"x": 1})
    stop = StopRequest()

    def progress(*args) -> None:
        stop.signal = 15

    with pytest.raises(Interrupted):
        stopped = quick()._replace(stop=stop, progress=progress)
        train_in_study(jets, source, files / "part", stopped, {"x": 1})
    with pytest.raises(OutputError, match="unfinished training on other jets"):
        train_in_study(jets, source, files / "part", quick(), {"x": 2})
    resumed = train_in_study(jets, source, files / "part", quick(), {"x": 1})
    np.testing.assert_array_equal(whole.score(jets), resumed.score(jets))


# --- two ways ------------------------------------------------------------------------------------


def direction(background: str, signal: str, correlation: float) -> Direction:
    from jetad.evaluation import evaluate
    from jetad.scores import Scores

    rng = np.random.default_rng(len(background))
    scores = [Scores(score=rng.normal(m, 1, 50)) for m in (0, 1)]
    found = evaluate(scores[0], {signal: scores[1]})
    return Direction(background, signal, found, {"multiplicity": Complexity(0.8, correlation)})


def test_complexity_bias_cancels_for_a_detector_that_works_both_ways() -> None:
    works = TwoWay((direction("a", "b", 0.7), direction("b", "a", -0.7)))
    counts = TwoWay((direction("a", "b", 0.9), direction("b", "a", 0.9)))
    assert works.complexity_bias() == pytest.approx(0)
    assert counts.complexity_bias() == pytest.approx(0.9)
    assert works.worst.auc == min(d.auc for d in works.directions)


def test_pixels_are_counted_in_the_image() -> None:
    jets = Jets.from_lists([[(50, 0, 0, 0), (30, 0.2, 0, 0), (20, 0.2, 0.001, 0)], [(9, 1, 1, 0)], []])
    images = JetImages().transform(jets[:2])
    assert images.shape[0] == 2
    found = n_pixels(jets)
    assert found[0] in (2, 3)
    assert found[1] == 1
    assert math.isnan(found[2])


def test_two_way_trains_once_on_each_and_tests_on_the_same_jets(files: Path) -> None:
    few, many = ("few", [files / "few.h5"]), ("many", [files / "many.h5"])
    found = two_way(few, many, files / "out", quick())
    a, b = found.directions
    assert (a.background, a.signal, b.background, b.signal) == ("few", "many", "many", "few")
    assert a.evaluation.n_background == b.evaluation.signals["few"].curve.n_signal == 75
    assert a.complexity["multiplicity"].auc == pytest.approx(1 - b.complexity["multiplicity"].auc)
    assert a.complexity["multiplicity"].auc > 0.7  # these toys differ in it
    assert {p.name for p in (files / "out").iterdir() if not p.is_symlink()} == {"few", "many"}
    again = two_way(few, many, files / "out", quick())
    assert [d.auc for d in again.directions] == [d.auc for d in found.directions]
    json.dumps(found.to_dict(), allow_nan=False)


def test_two_way_command(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--method", "ae", "--representation", "features", "--set", "training.epochs=1"]
    main(["two-way", "-b", "few.h5", "-s", "many.h5", "-o", "out", *words])
    out = capsys.readouterr().out
    assert "worst direction: trained on" in out
    assert "complexity bias:" in out
    assert set(json.loads((files / "out" / "two_way.json").read_text())) == {
        "study", "directions", "worst", "complexity_bias",
    }  # fmt: skip
    same_when_read_back(files / "out")
    assert (files / "out" / "roc.png").exists()
    for args, code, message in (
        (["-b", "few.h5", "-s", "many.h5", "-o", "out"], 1, "exists already"),
        (["-b", "few.h5", "-s", "few.h5", "-o", "new"], 2, "both classes are called 'few'"),
        (["-b", "a=few.h5", "b=many.h5", "-s", "many.h5", "-o", "new"], 2, "one class is needed"),
        (["-b", "few.h5", "-o", "new"], 2, "--signal"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["two-way", *args])
        assert caught.value.code == code
        assert message in capsys.readouterr().err
    assert not (files / "new").exists()


# --- distortions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DISTORTIONS)
def test_distortions_keep_rows_and_leave_their_argument(name: str) -> None:
    jets = toy_jets(60, 3, labels=1)
    before = jets.pt.copy(), jets.phi.copy()
    found = distort(jets, name)
    assert len(found) == 60
    assert found.entry.tolist() == jets.entry.tolist()
    assert found.labels is not None
    np.testing.assert_array_equal(before[0], jets.pt)
    np.testing.assert_array_equal(before[1], jets.phi)
    assert np.all(np.abs(found.phi) <= np.float32(np.pi))
    np.testing.assert_array_equal(found.pt, distort(jets, name).pt)  # the same seed, the same jets


def test_what_distortions_do() -> None:
    jets = toy_jets(400, 3)
    np.testing.assert_allclose(distort(jets, "scale +1 %").jet_pt, 1.01 * jets.jet_pt, rtol=1e-5)
    np.testing.assert_allclose(
        distort(jets, "scale -1 %").jet_mass, 0.99 * jets.jet_mass, rtol=1e-4, atol=1e-3
    )
    smeared = distort(jets, "pT smearing").pt / jets.pt
    assert np.std(smeared) == pytest.approx(0.05, rel=0.05)
    moved = distort(jets, "angular smearing").eta - jets.eta
    assert np.std(moved) == pytest.approx(0.01, rel=0.05)
    soft = distort(jets, "no soft")
    assert soft.pt.min() >= 1
    np.testing.assert_array_equal(soft.pt, jets.pt[jets.pt >= 1])
    more = distort(jets, "soft radiation")
    added = more.n_constituents - jets.n_constituents
    assert np.mean(added) == pytest.approx(5, abs=0.5)
    for i in (0, 7):
        old = set(jets.pt[jets.offsets[i] : jets.offsets[i + 1]].tolist())
        assert old <= set(more.pt[more.offsets[i] : more.offsets[i + 1]].tolist())
    for name in ("rotation", "pixel shift"):
        same = distort(jets, name)
        a, b = (JetImages().transform(j[:40]) for j in (jets, same))
        # a constituent at the edge of a pixel may fall to either side
        assert np.mean(np.abs(a - b).sum(axis=(1, 2, 3)) < 0.02) > 0.9


def test_empty_and_broken_jets_survive() -> None:
    jets = Jets.from_lists([[], [(50, 0, 0, 0), (np.nan, 0.1, 0, 0)], [(9, 0, 0, 0)]])
    for name in DISTORTIONS:
        found = distort(jets, name)
        assert found.n_constituents[0] == 0
        assert np.isnan(found.pt).sum() == 1


class MassScore:
    """A detector that is the jet mass."""

    def score(self, jets: Jets) -> np.ndarray:
        return jets.jet_mass.astype(np.float32)


def test_changes_are_counted_by_hand() -> None:
    found = change_of(np.array([True, True, False, False]), np.array([True, False, True, True]))
    assert (found.before, found.after) == (0.5, 0.75)
    assert found.error == pytest.approx(math.sqrt(3 - 1 / 4) / 4)
    assert found.relative == pytest.approx(0.5)
    assert math.isnan(change_of(np.zeros(3, bool), np.ones(3, bool)).relative)


def test_error_of_a_change_covers() -> None:
    """The error of the difference holds the spread of repeated experiments."""
    rng = np.random.default_rng(0)
    pulls = []
    for _ in range(300):
        u = rng.uniform(size=800)
        change = change_of(u < 0.3, u + rng.normal(0, 0.05, 800) < 0.32)
        pulls.append((change.after - change.before, change.error))
    values, errors = np.array(pulls).T
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.12)


def test_a_score_of_mass_follows_the_energy_scale() -> None:
    background, signal = toy_jets(2000, 1), toy_jets(500, 2, mean=60)
    found = robustness(
        MassScore(), background, {"top": signal}, cuts=(0.1,), names=("scale +1 %", "rotation")
    )
    up = found.distortions["scale +1 %"].efficiencies[0.1]
    mass = background.jet_mass
    threshold = np.sort(mass)[-200]
    assert up["background"].before == pytest.approx(0.1)
    assert up["background"].after == pytest.approx(np.mean(1.01 * mass >= threshold), abs=1e-3)
    assert up["top"].after > up["top"].before
    assert abs(found.distortions["rotation"].efficiencies[0.1]["background"].relative) < 0.01
    # both classes scaled: their order, and the AUC, stay
    assert found.distortions["scale +1 %"].auc["top"] == pytest.approx(found.auc["top"], abs=1e-3)
    json.dumps(found.to_dict(), allow_nan=False)
    figure = plot_robustness({0.1: found.changes(0.1)})
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["scale +1 %", "rotation"]
    with pytest.raises(InputError, match="5 background jets are too few for a cut"):
        robustness(MassScore(), background[:5], {}, cuts=(0.01,))


# --- contamination -------------------------------------------------------------------------------


def test_mixtures_have_the_share_asked_for_and_are_nested() -> None:
    background = dataclasses.replace(toy_jets(200, 1), observables={"signal": np.zeros(200)})
    signal = dataclasses.replace(toy_jets(50, 2), observables={"signal": np.ones(50)})
    chosen = {}
    for share in (0.0, 0.1, 0.2):
        mixed = mix(background, signal, share, 150, seed=1)
        assert (len(mixed), mixed.labels) == (150, None)
        assert mixed.observables["signal"].sum() == round(150 * share)
        chosen[share] = set(mixed.entry[mixed.observables["signal"] == 1].tolist())
    assert chosen[0.1] < chosen[0.2]
    with pytest.raises(InputError, match=r"a share of 0\.5 in 150 jets needs 75 signal jets"):
        mix(background, signal, 0.5, 150, seed=1)


def test_scan(files: Path) -> None:
    found = contamination(
        ("few", [files / "few.h5"]), ("many", [files / "many.h5"]), files / "scan", quick(),
        fractions=(0.3, 0.0), n_train=200, n_seeds=2,
    )  # fmt: skip
    clean, dirty = found.points
    assert (clean.fraction, clean.n_signal, dirty.n_signal) == (0.0, 0, 60)
    assert clean.auc.value == pytest.approx(np.mean(clean.aucs))
    assert clean.auc.high - clean.auc.value >= np.std(clean.aucs, ddof=1) - 1e-12
    assert clean.auc.value > dirty.auc.value  # what was trained on is not anomalous
    assert len({p.name for p in (files / "scan").glob("share-*")}) == 4
    axes = plot_contamination(found.points, signal="many").axes
    assert axes[0].get_xlabel() == "many in the training data [%]"
    with pytest.raises(ConfigError, match="shares of signal"):
        contamination(("a", []), ("b", []), files, quick(), fractions=(1.5,))


def test_contamination_and_robustness_commands(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--method", "ae", "--representation", "features", "--set", "training.epochs=1"]
    main(["contamination", "-b", "few.h5", "-s", "many.h5", "-x", "0", "0.1", "-o", "scan", *words])
    assert "share [%]" in capsys.readouterr().out
    points = json.loads((files / "scan" / "contamination.json").read_text())["points"]
    assert [p["fraction"] for p in points] == [0, 0.1]
    same_when_read_back(files / "scan")
    run = files / "scan" / "share-0-seed-1"
    main(["robustness", "--run", str(run), "-b", "few.h5", "-s", "many.h5", "--eff-b", "0.2", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert set(found["distortions"]) == set(DISTORTIONS)
    assert set(found["n_jets"]) == {"few", "many"}
    main(["robustness", "--run", str(run), "-b", "few.h5", "--eff-b", "0.2", "-o", "r"])
    assert "rotation" in capsys.readouterr().out
    assert (files / "r.pdf").exists()
    same_when_read_back(files / "r.json")
    with pytest.raises(SystemExit):
        main(["robustness", "--run", str(run), "-b", "few.h5", "--eff-b", "0.2", "-o", "r"])
    assert "r.pdf: exists already" in capsys.readouterr().err


# --- read back -----------------------------------------------------------------------------------


def test_what_is_no_study_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for text, message in (
        ("{", r"x\.json: cannot be read as JSON"),
        ("[1]", r"x\.json: is not the result of a study"),
        ('{"study": "of cats"}', r"x\.json: is not the result of a study"),
        ('{"study": "contamination", "points": [{}]}', r"x\.json: the contamination study is not whole"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            load_study(path)
    with pytest.raises(InputError, match=r"holds none of two_way\.json, robustness\.json"):
        load_studies([tmp_path])


def test_unknown_and_infinite_numbers_are_read_back() -> None:
    from jetad.evaluation import Evaluation, evaluate
    from jetad.scores import Scores

    rng = np.random.default_rng(0)
    weights = {"weight": rng.exponential(size=40)}
    background = Scores(score=np.append(rng.normal(size=39), np.nan), extra=weights)
    found = evaluate(background, {"far": Scores(score=np.full(5, 9.0))}, min_background=50, name="x")
    again = Evaluation.from_dict(json.loads(found.to_json()))
    assert again.to_dict() == found.to_dict()
    rejection = again.signals["far"].background_rejection[0.5]
    assert rejection == found.signals["far"].background_rejection[0.5]
    assert math.isinf(rejection.value)
    assert all(math.isnan(v) for v in again.signals["far"].max_sic)
    np.testing.assert_allclose(
        again.signals["far"].curve.rejection_band([0.2, 1.0]),
        found.signals["far"].curve.rejection_band([0.2, 1.0]),
    )
