"""The command line as a user types it: happy paths, help, and one clear sentence for each mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import uproot
from conftest import toy_jets

from jetad.models import METHODS
from jetad.writers import write_jets
from jetad_cli.main import COMMANDS, main

QUICK = [
    "--set", "training.epochs=1", "--set", "training.contrastive.steps=5", "--set", "network.hidden=[16]",
    "--set", "members.image.network.components=6", "--set", "training.batch_size=32",
]  # fmt: skip


def jetad(*words: str | Path) -> int:
    """Run the command line in this process; the exit code."""
    try:
        main([str(word) for word in words])
    except SystemExit as request:
        return int(request.code or 0)
    return 0


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder with small files of jets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JETAD_RUN", raising=False)
    write_jets(toy_jets(200, 1, labels=0), "qcd.h5")
    write_jets(toy_jets(40, 2, mean=60, labels=1), "signal.root", metadata={"process": "top"})
    write_jets(toy_jets(40, 2, mean=60, labels=1), "signal.h5")
    return tmp_path


def test_train_and_score_typed_just_like_that(folder, capsys):
    assert jetad("train", "--background", "qcd.h5", *QUICK) == 0
    assert (folder / "runs" / "latest").is_symlink()
    capsys.readouterr()
    assert jetad("score", "signal.root") == 0
    out = capsys.readouterr()
    assert "40 of 40 jets scored" in out.out
    assert "runs/" in out.err
    with uproot.open("signal.scores.root") as file:
        table = file["jetad"].arrays(library="np")
    assert jetad("score", "signal.h5") == 0
    with h5py.File("signal.scores.h5") as file:
        np.testing.assert_array_equal(file["entry"][:], np.arange(40))
        np.testing.assert_allclose(file["score"][:], table["score"], rtol=1e-4)
        assert file.attrs["n_read"] == 40
        assert file.attrs["n_scored"] + file.attrs["n_failed"] == 40
    assert set(table["label"]) == {1}
    assert jetad("score", "qcd.h5", "-o", "scores") == 0
    roc = ["--background", "scores/qcd.scores.h5", "--signal", "top=signal.scores.root", "-o", "roc"]
    assert jetad("roc", *roc, "--json", "roc.json") == 0
    assert 0 <= json.loads(Path("roc.json").read_text())["signals"]["top"]["auc"] <= 1
    assert Path("roc.pdf").exists()
    assert Path("roc.png").exists()
    for kind in (
        ["negatives"],
        ["reconstructions", "qcd.h5"],
        ["history", "runs/latest"],
        ["images", "qcd.h5"],
    ):
        assert jetad("plot", *kind, "-o", f"{kind[0]}.png") == 0
    assert jetad("calibrate", "--background", "qcd.h5") == 1
    assert "was trained on this file" in capsys.readouterr().err
    write_jets(toy_jets(99, 8, labels=0), "fresh.h5")
    assert jetad("calibrate", "--background", "fresh.h5", "--json") == 0
    assert json.loads(capsys.readouterr().out)["n"] == 99


def test_unscorable_jets_keep_their_rows(folder, capsys):
    assert jetad("train", "--background", "qcd.h5", "--method", "ae", *QUICK[:2], *QUICK[4:]) == 0
    with h5py.File("qcd.h5") as source, h5py.File("bad.h5", "w") as target:
        source.copy("table", target)
        table = target["table/table"]
        rows = table[:]
        block = next(
            name
            for name in rows.dtype.names
            if name.startswith("values_block") and rows[name].dtype.kind == "f"
        )
        rows[block][3] = 0
        rows[block][5, 0] = np.nan
        table[:] = rows
    assert jetad("score", "qcd.h5") == 0
    capsys.readouterr()
    assert jetad("score", "bad.h5") == 0
    out = capsys.readouterr()
    assert "198 of 200 jets scored, 2 failed" in out.out
    assert "could not be scored" in out.err
    with h5py.File("bad.scores.h5") as bad, h5py.File("qcd.scores.h5") as good:
        failed = np.isnan(bad["score"][:])
        assert np.flatnonzero(failed).tolist() == [3, 5]
        np.testing.assert_array_equal(bad["score"][:][~failed], good["score"][:][~failed])


def make_broken_files() -> None:
    """Files that no command can use, in the working folder."""
    Path("empty.root").touch()
    Path("empty.h5").touch()
    Path("text.root").write_text("pt,eta,phi\n1,2,3\n")
    whole = Path("qcd.h5").read_bytes()
    Path("truncated.h5").write_bytes(whole[: len(whole) // 2])
    with uproot.recreate("other.root") as file:
        file.mktree("tree", {"x": np.float32}).extend({"x": np.zeros(3, dtype=np.float32)})
    write_jets(toy_jets(5, 1)[:0], "none.h5")
    Path("folder.h5").mkdir()


# name -> what the message must say
BROKEN = {
    "missing.h5": "missing.h5",
    "empty.root": "empty",
    "empty.h5": "empty",
    "text.root": "first four bytes",
    "truncated.h5": "truncated",
    "other.root": "part_px",
    "none.h5": "zero jets",
    "folder.h5": "folder",
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("command", ["train", "score"])
def test_bad_files_are_one_sentence_and_leave_nothing(folder, capsys, name, command):
    make_broken_files()
    if command == "score" and name == "none.h5":
        pytest.skip("zero jets have zero scores")
    if command == "score":
        assert jetad("train", "--background", "qcd.h5", "--method", "ae", *QUICK[:2], *QUICK[4:]) == 0
    capsys.readouterr()
    before = {str(p) for p in folder.rglob("*")}
    code = jetad("train", "--background", name, *QUICK) if command == "train" else jetad("score", name)
    captured = capsys.readouterr()
    assert code == 1
    message = captured.err.strip().splitlines()[-1]
    assert message.startswith("jetad: error: ")
    assert name in message
    assert BROKEN[name] in message
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert {str(p) for p in folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--background", "qcd.h5", "--method", "nea"], "unknown method 'nea'"),
        (["train", "--background", "qcd.h5", "--set", "training.epoch=3"], "did you mean 'training.epochs'"),
        (["train", "--background", "qcd.h5", "--config", "none.yaml"], "none.yaml"),
        (["train", "--background", "qcd.h5", "--monitor", "top=qcd.h5"], "is a training file"),
        (["train", "--background", "qcd.h5", "--device", "tpu"], "tpu"),
        (["train"], "--background"),
        (["score", "signal.root"], "no run to score with"),
        (["score", "signal.root", "signal.h5", "-o", "x.root"], "give a folder|no run"),
        (["trian"], "did you mean 'train'"),
        (["simulate", "tpo", "-n", "5", "-o", "x.h5"], "top"),
    ],
)
def test_usage_mistakes_exit_with_2(folder, capsys, words, message):
    import re

    assert jetad(*words) == 2
    captured = capsys.readouterr()
    assert re.search(message, captured.err)
    assert "Traceback" not in captured.err
    assert not (folder / "runs").exists()


def test_existing_outputs_are_refused_without_force(folder, capsys):
    assert (
        jetad("train", "--background", "qcd.h5", "--method", "ae", "-o", "run", *QUICK[:2], *QUICK[4:]) == 0
    )
    assert jetad("score", "signal.h5", "--run", "run") == 0
    capsys.readouterr()
    assert jetad("score", "signal.h5", "--run", "run") == 1
    assert "--force" in capsys.readouterr().err
    assert jetad("score", "signal.h5", "--run", "run", "--force") == 0
    assert (
        jetad("train", "--background", "qcd.h5", "--method", "ae", "-o", "run", *QUICK[:2], *QUICK[4:]) == 1
    )
    assert "finished training" in capsys.readouterr().err


def test_two_v_show_the_traceback(folder):
    with pytest.raises(Exception, match="missing"):
        main(["inspect", "missing.h5", "-vv"])


def test_print_config_is_a_configuration(folder, capsys):
    assert jetad("train", "--print-config", "--method", "ae") == 0
    Path("my.yaml").write_text(capsys.readouterr().out)
    assert jetad("train", "--print-config", "--config", "my.yaml") == 0


def test_methods_and_readers_list_as_json(capsys):
    assert jetad("methods", "--json") == 0
    assert list(json.loads(capsys.readouterr().out)) == list(METHODS)
    assert jetad("readers", "--json") == 0
    assert json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], *[[name, "--help"] for name in COMMANDS], ["methods"]]
)
def test_help_needs_no_torch(words):
    code = (
        "import sys; from jetad_cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as e:\n    assert not e.code, e.code\n"
        "heavy = {'torch', 'matplotlib', 'awkward', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout
    if words == ["--help"]:
        assert all(name in result.stdout for name in COMMANDS)


def test_demo_table_has_methods_side_by_side():
    from jetad.evaluation import evaluate
    from jetad.scores import Scores
    from jetad_cli.commands.cmd_demo import side_by_side

    rng = np.random.default_rng(0)
    background, signal = (Scores(score=rng.normal(mean, 1, 200)) for mean in (0, 2))
    evaluations = {name: evaluate(background, {"top": signal}) for name in ("nae", "ae")}
    header, row = side_by_side(evaluations).splitlines()
    assert header.split() == ["signal", "nae", "ae"]
    assert row.split()[0] == "top"
    assert row.count(f"{evaluations['nae'].signals['top'].curve.auc:.3f}") == 2
