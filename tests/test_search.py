"""The search of settings: judged by held-out background alone, shared by processes, taken up again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import toy_jets
from test_cli import jetad

import jetad as package
from jetad.errors import ConfigError, DivergedError, InputError, Interrupted, OutputError
from jetad.runs import Run
from jetad.training.plan import TrainingPlan
from jetad.writers import write_jets

pytest.importorskip("optuna", reason="a search is led by optuna: pip install 'jetad[search]'")

from jetad.studies.search import Space, _spread, search

COMPONENTS = Space("model.components", low=1, high=6, whole=True)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with jets without labels."""
    monkeypatch.chdir(tmp_path)
    write_jets(toy_jets(600, 1), "jets.h5")
    return tmp_path


def run_search(**changes):
    words = {
        "spaces": [COMPONENTS], "objective": "likelihood", "trials": 3, "folder": "s", "method": "gmm",
        "representation": "features", "device": "cpu",
    }  # fmt: skip
    return search(["jets.h5"], **{**words, **changes})


def test_the_best_by_held_out_background(here):
    found = run_search()
    assert len(found.trials) == 3
    values = [value for _, _, value in found.trials]
    assert values == sorted(values)
    number, settings, value = found.trials[0]
    assert found.best == Path("s") / f"trial-{number:04d}"
    run = Run.open(found.best)
    assert run.finished
    assert str(run.config().members["features"].model.components) == settings["model.components"]
    assert run.history()[-1]["val_energy"] == pytest.approx(value, rel=1e-6)
    assert json.loads(Path("s/search.json").read_text())["best"] == found.best.name


def test_it_goes_on_and_does_nothing_twice(here, monkeypatch):
    first = run_search(trials=2)
    again = run_search(trials=3)
    assert {n for n, _, _ in first.trials} | {2} == {n for n, _, _ in again.trials}
    assert [t for t in again.trials if t[0] < 2] == first.trials
    monkeypatch.setattr(TrainingPlan, "run", lambda *a, **k: pytest.fail("trained again"))
    assert run_search(trials=3) == again


def test_a_trial_that_has_lost_its_process_is_taken_up(here, monkeypatch):
    """Stopped by a signal or killed: the record says that it runs, and nobody holds its lock."""
    train, asked = TrainingPlan.run, []

    def stop_once(plan, output, **more):
        asked.append((output, plan.config.members["features"].model.components))
        if len(asked) == 1:
            raise Interrupted("stopped")
        return train(plan, output, **more)

    monkeypatch.setattr(TrainingPlan, "run", stop_once)
    with pytest.raises(Interrupted):
        run_search(trials=2)
    found = run_search(trials=2)
    assert asked[1] == asked[0]  # the same settings in the same folder
    assert sorted(n for n, _, _ in found.trials) == [0, 1]


def test_a_trial_of_a_living_process_is_left_alone(here):
    import optuna

    from jetad.files.locks import take_lock

    run_search(trials=1)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend("s/search.journal"))
    optuna.load_study(study_name="jetad", storage=storage).ask()
    with take_lock("s/.trial-0001.lock"):
        assert [n for n, _, _ in run_search(trials=2).trials] == [0]  # it counts
        assert sorted(n for n, _, _ in run_search(trials=3).trials) == [0, 2]
    assert sorted(n for n, _, _ in run_search(trials=3).trials) == [0, 1, 2]


def test_trainings_that_diverge(here, monkeypatch):
    def diverge(*words, **more):
        raise DivergedError("energies ran away")

    monkeypatch.setattr(TrainingPlan, "run", diverge)
    with pytest.raises(InputError, match="no training has come to its end"):
        run_search(trials=2)


def test_the_spread_of_a_score_that_is_the_mass(here):
    """All that pass lie in the highest of five bins: efficiencies 0, 0, 0, 0, 1/2."""
    run = package.train("jets.h5", method="mass", output="mass", device="cpu")
    assert _spread(package.load(run), package.read("jets.h5")) == pytest.approx(2.0, rel=0.05)
    found = run_search(objective="spread", trials=2)
    assert 0 < found.trials[0][2] < 2


def test_another_search_keeps_its_folder(here):
    run_search(trials=1)
    for changes in ({"spaces": [COMPONENTS._replace(high=7)]}, {"objective": "spread"}, {"seed": 2}):
        with pytest.raises(OutputError, match="holds another search"):
            run_search(trials=1, **changes)


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("a=1:5", Space("a", (), 1, 5, False, True)),
        ("a=0.1:5", Space("a", (), 0.1, 5)),
        ("a=1e-4:1e-2:log", Space("a", (), 1e-4, 1e-2, True)),
        ("a.b=x,y,z", Space("a.b", ("x", "y", "z"))),
    ],
)
def test_ranges(text, space):
    assert Space.parse(text) == space


@pytest.mark.parametrize(
    "text",
    ["a", "a=", "=1:2", "a=2:1", "a=1:1", "a=0:1:log", "a=1:2:lag", "a=nan:1", "a=1:inf", "a=x", "a=x,x",
     "a=x,,y"],
)  # fmt: skip
def test_no_ranges(text):
    with pytest.raises(ConfigError, match="is neither"):
        Space.parse(text)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--over", "x"], 2, "--over x: is neither"),
        (["--over", "model.componets=1:3"], 2, "unknown setting"),
        (["--over", "model.components=0:3"], 2, "components"),
        (["--over", "model.components=1:3", "model.components=2:3"], 2, "is given twice"),
        (["--over", "model.components=1:3", "--objective", "distance"], 2, "makes no negatives"),
        (["--over", "model.neighbours=1:5", "-m", "knn"], 2, "no likelihood"),
        (
            ["--over", "network.components=5:9", "--representation", "image"],
            2,
            "changes what the detector sees",
        ),
        (["--over", "seed=1,2"], 2, "changes which jets are held out"),
        (["--over", "model.components=1:3", "-o", "jets.h5"], 1, "jets.h5: the folder cannot be made"),
        (["--over", "model.components=1:3", "-b", "gone.h5"], 1, "gone.h5"),
    ],
)
def test_bad_words(here, capsys, words, code, message):
    usual = [
        "-b",
        "jets.h5",
        "-m",
        "gmm",
        "--objective",
        "likelihood",
        "--representation",
        "features",
        "-o",
        "s",
    ]
    assert jetad("search", *usual, *words) == code
    text = capsys.readouterr().err
    assert message in text
    assert "this is a bug" not in text
    assert not Path("s").exists()


@pytest.mark.slow
def test_several_processes_share_the_trials(here):
    words = ["-b", "jets.h5", "-m", "gmm", "--representation", "features", "--objective", "likelihood"]
    done = subprocess.run(
        [sys.executable, "-m", "jetad", "search", *words, "--over", "model.components=1:6", "--trials", "6",
         "--jobs", "2", "-o", "s", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    numbers = sorted(n for n, _, _ in found["trials"])
    assert numbers == list(range(6))
    assert len(list(Path("s").glob("trial-*"))) == 6
    assert np.isfinite([value for _, _, value in found["trials"]]).all()
