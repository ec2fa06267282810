"""One process at a time trains in a folder; a lock ends with its process and leaves no file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import toy_jets
from test_cli import QUICK, jetad

from jetad.errors import OutputError
from jetad.files.locks import locked, take_lock
from jetad.runs import Run
from jetad.writers import write_jets

TRAIN = ["train", "-b", "qcd.h5", "--method", "ae", "--representation", "image", *QUICK[:2], *QUICK[4:]]
LONG = ["--set", "training.epochs=100000"]


@pytest.fixture
def folder(quick_runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(quick_runs / "qcd.h5", "qcd.h5")
    return tmp_path


@pytest.fixture
def busy(folder):
    """A training that another process is at, in ``run``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "jetad", *TRAIN, *LONG, "-o", "run"], stderr=subprocess.PIPE, text=True
    )
    try:
        while not Path("run/history.jsonl").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_second_training_in_a_folder_is_refused(busy, capsys):
    for words in ([], ["--force", "--set", "training.batch_size=64"]):
        assert jetad(*TRAIN, *LONG, *words, "-o", "run") == 1
        said = capsys.readouterr().err
        assert "jetad: error: run: another process is training in this folder now" in said
    busy.send_signal(signal.SIGTERM)
    assert busy.wait() == 85
    assert not Path("run/lock").exists()
    steps = [record["step"] for record in Run("run").history()]
    assert steps == sorted(set(steps))


def test_a_killed_training_lets_go_of_its_lock(busy):
    busy.kill()
    busy.wait()
    assert Path("run/lock").exists()
    with Run("run").locked():
        pass
    assert not Path("run/lock").exists()


def test_a_study_and_a_benchmark_refuse_a_folder_in_use(folder, capsys):
    write_jets(toy_jets(120, 2, mean=60, labels=1), "top.h5")
    bench = ["bench", "--sample", "qcd=qcd.h5", "top=top.h5", "--train", "qcd", "-d", "mass"]
    two_way = ["two-way", "-b", "qcd.h5", "-s", "top.h5", *TRAIN[3:]]
    for words in ([*bench, "--n-train", "100"], two_way):
        words = [*words, "-o", "study"]
        assert jetad(*words) == 0
        words += ["--force"] if words[0] == "two-way" else []
        found = [path.parent for path in Path("study").rglob("provenance.json")]
        run = Run(next(path for path in found if not path.is_symlink()))
        run.write_json("provenance.json", {**run.provenance, "status": "running"})
        for row in Path("study").glob("rows/*"):
            row.unlink()
        capsys.readouterr()
        with run.locked():
            assert jetad(*words) == 1
        assert f"{run.path}: another process is training" in capsys.readouterr().err
        assert jetad(*words) == 0
        assert not list(Path("study").rglob("lock"))
        shutil.rmtree("study")


def test_the_first_of_several_ranks_holds_the_lock(folder):
    """Both ranks of one training go on; another training beside them does not begin."""
    from test_distributed import TORCHRUN, environment

    job = subprocess.Popen(
        [*TORCHRUN, "-m", "jetad", *TRAIN, *LONG, "-o", "run"], env=environment(), stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        while not Path("run/history.jsonl").exists():
            assert job.poll() is None, job.communicate()
            time.sleep(0.1)
        with pytest.raises(OutputError, match="another process is training"), Run("run").locked():
            pass
    finally:
        job.send_signal(signal.SIGTERM)
        job.communicate()


def test_a_lock_whose_file_was_removed_is_none(tmp_path):
    """Opened before its holder removed it: the lock that counts is the file that is there."""
    path = tmp_path / "lock"
    with locked(path, "held"):
        assert take_lock(path) is None
        with pytest.raises(OutputError, match=r"^held$"), locked(path, "held"):
            pass
        assert path.exists()
    assert not path.exists()
    first = take_lock(path)
    assert first is not None
    os.unlink(path)
    second = take_lock(path)
    assert second is not None
    assert os.path.samestat(os.fstat(second.fileno()), path.stat())
    first.close()
    second.close()
