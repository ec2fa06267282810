"""Outputs have the permissions of the umask; what must not be read is called so."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from conftest import toy_jets
from test_cli import QUICK, jetad

from jetad.files import atomic_output
from jetad.runs import Run
from jetad.writers import write_jets


@pytest.fixture
def folder(quick_runs, monkeypatch):
    """A folder that everybody can reach, with a run and jets."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        monkeypatch.chdir(name)
        shutil.copytree(quick_runs / "run", "run")
        shutil.copytree(quick_runs / "images", "images")
        write_jets(toy_jets(120, 2, labels=1), "top.h5")
        write_jets(toy_jets(120, 3, labels=0), "qcd.h5")
        Path("mine").mkdir()
        os.chmod("mine", 0o777)
        yield Path(name)
        os.chdir("/")


@contextlib.contextmanager
def somebody():
    """Without the rights of root, whom permissions do not bind."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def modes(folder: Path) -> dict[str, int]:
    found = {str(p): p.lstat() for p in folder.rglob("*")}
    return {name: stat.S_IMODE(s.st_mode) for name, s in found.items() if not stat.S_ISLNK(s.st_mode)}


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_every_file_of_a_run_and_every_score_file_has_the_permissions_of_the_umask(folder, umask):
    before, old = modes(folder), os.umask(umask)
    try:
        words = ["--method", "ae", "--representation", "image", *QUICK[:2], *QUICK[4:]]
        assert jetad("train", "-b", "qcd.h5", "-o", "new/run", *words) == 0
        for suffix in ("h5", "root", "csv", "parquet"):
            assert jetad("score", "top.h5", "--run", "new/run", "-o", f"new/o.{suffix}") == 0
        assert jetad("score", "qcd.h5", "--run", "new/run", "-o", "new/qcd.h5") == 0
        words = ["roc", "-b", "new/qcd.h5", "-s", "new/o.csv", "-o", "new/roc", "--json", "new/r.json"]
        assert jetad(*words) == 0
    finally:
        os.umask(old)
    made = {name: mode for name, mode in modes(folder).items() if name not in before}
    assert len(made) > 15
    for name, mode in made.items():
        assert mode == (0o777 if Path(name).is_dir() else 0o666) & ~umask, name


def test_a_library_that_makes_private_files_changes_nothing(tmp_path):
    for name, force in (("a", False), ("b", True)):
        with atomic_output(tmp_path / name, force=force) as temporary:
            assert not temporary.exists()
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    old = os.umask(0)
    os.umask(old)
    assert set(modes(tmp_path).values()) == {0o666 & ~old}


NAMES = ("model.safetensors", "preprocessing.json", "calibration.json", "config.yaml", "provenance.json")


@pytest.mark.parametrize("name", [*NAMES, "."])
def test_a_run_that_must_not_be_read_is_called_so(folder, capsys, name):
    words = ["score", "top.h5", "--run", "run", "-o", "mine/o.h5"]
    assert jetad(*words, "--force") == 0
    shutil.rmtree("mine")
    Path("mine").mkdir()
    os.chmod("mine", 0o777)
    os.chmod(Path("run", name), 0)
    capsys.readouterr()
    with somebody():
        code = jetad(*words)
    said = capsys.readouterr().err
    assert "unexpected" not in said
    assert "No such file" not in said
    if code == 0:  # it is not needed to score
        assert name == "provenance.json"
        return
    assert code in (1, 2)
    assert "permission" in said.lower()
    assert "run" in said


def test_inputs_that_must_not_be_read_are_called_so(folder, capsys):
    assert jetad("score", "top.h5", "--run", "run", "-o", "scores.h5") == 0
    for name in ("map.yaml", "list.txt"):
        Path(name).write_text("top.h5\n")
    Path("closed").mkdir()
    shutil.copy("top.h5", "closed/top.h5")
    commands = {
        "top.h5": ["inspect", "top.h5"],
        "closed": ["inspect", "closed/top.h5"],
        "list.txt": ["inspect", "@list.txt"],
        "scores.h5": ["roc", "-b", "scores.h5", "-s", "scores.h5", "-o", "mine/roc", "--force"],
        "map.yaml": ["inspect", "top.h5", "--mapping", "map.yaml"],
    }
    for words in commands.values():
        jetad(*words)
    for name, words in commands.items():
        mode = stat.S_IMODE(os.stat(name).st_mode)
        os.chmod(name, 0)
        capsys.readouterr()
        with somebody():
            assert jetad(*words) in (1, 2), name
        said = capsys.readouterr().err
        assert "permission" in said.lower()
        assert "unexpected" not in said
        assert "No such file" not in said
        os.chmod(name, mode)


def test_a_checkpoint_that_must_not_be_read_is_not_taken_for_a_damaged_one(folder):
    run = Run("images")
    os.chmod("images/checkpoint.pt", 0)
    with somebody(), pytest.raises(Exception, match=r"checkpoint\.pt: no permission to read this file"):
        run.load_checkpoint()
