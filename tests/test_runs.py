"""Runs as a list, side by side and one by one; what is removed and what is not; what notebooks show."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import toy_jets
from test_cli import jetad

import jetad as package
from jetad.config import resolve_config
from jetad.errors import InputError, OutputError
from jetad.evaluation import evaluate, spread_of
from jetad.files.locks import is_locked
from jetad.runs import Run, find_runs, summarize
from jetad.runs.listing import compare
from jetad.scores import Scores
from jetad.shown import notebook as bars

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(name: str, *, started: str = "2026-11-01T10:00:00+00:00", **settings) -> Run:
    """An unfinished run without weights."""
    path = Path("runs", name)
    inputs = [{"path": "qcd.h5", "size": 1, "sha256": "ab" * 32}]
    provenance = {
        "seed": 1,
        "started": started,
        "inputs": inputs,
        "command": ["jetad", "train"],
        "device": "cpu",
    }
    return Run.create(path, resolve_config(**{"method": "gmm", "seed": 1, **settings}), provenance)


def finish(run: Run) -> Run:
    for name in ("model.safetensors", "preprocessing.json", "calibration.json"):
        (run.path / name).write_text("{}")
    run.finish(n_jets={"train": 80, "validation": 10, "calibration": 10})
    return run


# --- the list ----------------------------------------------------------------------------------------------


def test_newest_first_with_their_states(here, capsys):
    finish(make("1_old", started="2026-10-01T10:00:00+00:00"))
    make("new", started="2026-11-02T10:00:00+00:00").append_history(
        {"step": 7, "member": "image", "val_energy": 2.5}
    )
    make("torn")
    Path("runs/torn/config.yaml").write_text("\0")
    (here / "runs" / "other").mkdir()
    found = {s.path.name: s for s in map(summarize, find_runs())}
    assert list(found) == ["new", "torn", "1_old"]
    assert [s.state for s in found.values()] == ["unfinished", "damaged", "finished"]
    assert found["new"].step == 7
    assert found["new"].energy == {"image": 2.5}
    assert found["1_old"].n_jets["train"] == 80
    assert found["1_old"].ended > found["1_old"].started
    assert jetad("runs") == 0
    text = capsys.readouterr().out
    assert "runs: 3 runs" in text
    assert "1_old *" in text  # runs/latest
    assert "torn/config.yaml" in text
    assert max(map(len, text.splitlines())) <= 80
    assert jetad("runs", "runs/1_old", "--json") == 0
    (only,) = json.loads(capsys.readouterr().out)
    assert only["method"] == "gmm"
    assert only["inputs"] == {"qcd.h5": "ab" * 6}


def test_long_names_stand_above_their_facts(here, capsys):
    make("a_run_of_" + 60 * "x")
    assert jetad("runs") == 0
    text = capsys.readouterr().out
    assert "a_run_of_" + 60 * "x" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_finished_run_without_weights_is_damaged(here):
    run = finish(make("one"))
    (run.path / "model.safetensors").unlink()
    assert summarize(run).state == "damaged"
    assert "model.safetensors" in summarize(run).problem


def test_a_real_run(folder, capsys):
    """As a training leaves it."""
    assert jetad("runs", "list", ".") == 0
    assert "finished" in capsys.readouterr().out
    assert jetad("runs", "show", "run") == 0
    text = capsys.readouterr().out
    assert "160 train" in text
    assert "next: jetad score FILE --run run" in text
    assert max(map(len, text.splitlines())) <= 80
    assert jetad("runs", "show", "run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"]["method"] == found["method"]
    assert found["provenance"]["status"] == "finished"
    assert set(found["energy"]) == set(found["members"])


# --- side by side ------------------------------------------------------------------------------------------


def test_what_is_different(here, capsys):
    runs = [make("a"), make("b", settings=["members.image.model.components=7"], seed=2)]
    found = compare(runs)
    assert found.settings == {"seed": (1, 2), "members.image.model.components": (10, 7)}
    assert jetad("runs", "compare", "runs/a", "runs/b") == 0
    text = capsys.readouterr().out
    assert [line.split() for line in text.splitlines() if "components" in line] == [
        ["model.components", "10", "7"]
    ]
    assert f"{found.n_same} settings are the same" in text
    assert max(map(len, text.splitlines())) <= 80
    assert jetad("runs", "compare", "runs/a", "runs/b", "--json") == 0
    assert json.loads(capsys.readouterr().out)["settings"]["seed"] == {"a": 1, "b": 2}


def test_other_methods_have_other_settings(here, capsys):
    make("a")
    make("b", method="ae")
    assert jetad("runs", "compare", "runs/a", "runs/b") == 0
    text = capsys.readouterr().out
    assert "settings are in b alone" in text
    assert max(map(len, text.splitlines())) <= 80


# --- away with them ----------------------------------------------------------------------------------------


def test_only_what_is_unfinished_goes(here, capsys):
    finish(make("done"))
    make("half")
    make("torn")
    Path("runs/torn/provenance.json").write_text("{")
    busy = make("busy")
    with busy.locked():
        assert is_locked(busy.path / "lock")
        assert jetad("runs") == 0
        assert "training" in capsys.readouterr().out
        assert jetad("runs", "remove", "--yes", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["removed"] == ["runs/half"]
    assert sorted(p.name for p in Path("runs").iterdir()) == ["busy", "done", "latest", "torn"]
    assert not is_locked(busy.path / "lock")


def test_it_asks_and_no_is_the_answer_unless_somebody_says_yes(here):
    make("half")
    for answer, there in (("n\n", True), ("\n", True), ("y\n", False)):
        leader, follower = pty.openpty()
        os.write(leader, answer.encode())
        done = subprocess.run(
            [sys.executable, "-m", "jetad", "runs", "remove"],
            stdin=follower, capture_output=True, text=True, check=True,
        )  # fmt: skip
        os.close(leader)
        os.close(follower)
        assert "remove this run?" in done.stderr
        assert Path("runs/half").exists() is there


def test_a_training_that_ends_while_somebody_thinks_stays(here):
    run = make("half")
    other = Run(run.path)
    finish(run)
    with pytest.raises(OutputError, match="is finished"):
        other.remove_unfinished()
    assert run.path.exists()


@pytest.mark.parametrize("name", ["notes.txt", "plots/mine.pdf", ".hidden"])
def test_somebodys_files_stay(here, name):
    run = make("half")
    (run.path / name).touch()
    with pytest.raises(OutputError, match="move them away"):
        run.remove_unfinished()
    assert (run.path / name).exists()


def test_links_lead_to_nothing_that_is_removed(here):
    run = make("half")
    Path("mine").mkdir()
    Path("mine/keep").touch()
    shutil.rmtree(run.path / "plots")
    (run.path / "plots").symlink_to(here / "mine")
    with pytest.raises(OutputError, match="plots"):
        run.remove_unfinished()
    Path("link").symlink_to(run.path)
    with pytest.raises(OutputError, match="symbolic link"):
        Run("link").remove_unfinished()
    assert Path("mine/keep").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["runs"], 1, "runs: no such folder"),
        (["runs", "shwo"], 2, "did you mean 'show'?"),
        (["runs", "show", "run"], 1, "run: no such run directory"),
        (["runs", "compare", "runs/a"], 2, "two runs or more"),
        (["runs", "compare", "runs/done", "runs/done"], 2, "is given twice"),
        (["runs", "remove", "runs/done", "--yes"], 1, "runs/done: is finished; nothing was removed"),
        (["runs", "remove", "runs/gone", "--yes"], 1, "runs/gone: no such folder"),
        (["runs", "remove"], 2, "there is nobody to ask"),
        (["runs", "remove", "runs/latest", "--yes"], 1, "done: is finished"),
        (["runs", "list", "qcd.h5"], 1, "qcd.h5: no such folder"),
    ],
)
def test_bad_words(here, capsys, words, code, message):
    if words != ["runs"]:
        finish(make("done"))
        make("half")
    assert jetad(*words) == code
    assert message in capsys.readouterr().err
    assert words == ["runs"] or Path("runs/half").exists()


# --- notebooks ---------------------------------------------------------------------------------------------


def shown(thing) -> str:
    text = thing._repr_html_()
    assert "<script>" not in text
    assert text.startswith("<table>")
    return text


def test_what_a_notebook_shows(here):
    finish(make(f"a{EVIL.replace('/', '')}"))
    (run,) = runs = find_runs()
    assert "finished" in shown(run)
    assert "&lt;script&gt;" in shown(run)
    assert "gmm" in shown(runs)
    jets = toy_jets(30, labels=1)
    jets = jets.__class__(
        **{n: getattr(jets, n) for n in ("pt", "eta", "phi", "mass", "offsets", "labels")},
        observables={EVIL: np.arange(30.0)},
    )
    assert f"{jets.jet_pt.max():.5g}" in shown(jets)
    assert "&lt;script&gt;" in shown(jets)
    assert "0 jets" in shown(jets[:0])
    scores = Scores(score=np.arange(20.0), extra={EVIL: np.ones(20)}, metadata={"run": EVIL})
    assert "&lt;script&gt;" in shown(scores)
    assert shown(scores).count("<tr>") == 1 + 5 + 1
    rng = np.random.default_rng(1)
    found = [
        evaluate(Scores(score=rng.normal(size=99)), {EVIL: Scores(score=rng.normal(1, 1, 50))})
        for _ in range(2)
    ]
    assert f"{found[0].signals[EVIL].curve.auc:.4f}" in shown(found[0])
    assert "2 runs" in shown(spread_of(found, name="x"))


@pytest.mark.slow
def test_a_detector_in_a_notebook(folder):
    assert "image" in shown(package.load("run"))


@pytest.mark.slow
def test_bars_in_a_real_notebook(folder):
    """A kernel trains and scores: bars come, and are gone in the end."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    code = (
        "import jetad\n"
        "seen = []\n"
        "from jetad.shown import notebook\n"
        "draw = notebook._Bar._draw\n"
        "notebook._Bar._draw = lambda self, text: (seen.append(text), draw(self, text))\n"
        "run = jetad.train('qcd.h5', method='ae', output='again', settings=['training.epochs=1'])\n"
        "jetad.score('qcd.h5', run=run)\n"
        "print(sum('<progress value' in text for text in seen) > 1, seen[-1] == '')\n"
    )
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code), nbformat.v4.new_code_cell("run")]
    )
    nbclient.NotebookClient(notebook, timeout=300).execute()
    first, second = notebook.cells
    assert [o["text"] for o in first.outputs if o.get("name") == "stdout"] == ["True True\n"]
    assert all("<progress" not in str(o) for o in first.outputs)
    assert "finished" in second.outputs[0]["data"]["text/html"]


def test_a_bar_of_a_notebook(monkeypatch):
    """What is drawn; a kernel is played by two functions of IPython."""
    display = pytest.importorskip("IPython.display")
    drawn: list[str] = []

    class Cell:
        def update(self, picture):
            drawn.append(picture.data)

    monkeypatch.setattr(bars, "_REDRAW", 0.0)
    monkeypatch.setattr(display, "display", lambda *a, **k: Cell())
    with bars.ScoringBar() as bar:
        bar(EVIL, 0, 10)
        bar(EVIL, 5, 10)
    assert "<script>" not in "".join(drawn)
    assert drawn[1].endswith('&lt;/script&gt; <progress value="5" max="10"></progress> 5/10 ')
    assert drawn[-1] == ""


def test_scripts_get_no_bar(capsys):
    assert not bars.in_notebook()


def test_unknown_folder():
    with pytest.raises(InputError, match="no such folder"):
        find_runs("nowhere")
