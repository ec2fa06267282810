"""A file that appears under the name of an output while that is made is not replaced, but with --force."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from conftest import toy_jets
from test_cli import jetad

from jetad.errors import OutputError
from jetad.files import atomic_output
from jetad.production import finishing, score
from jetad.production.executors import loop as pool
from jetad.writers import write_jets


@pytest.fixture(params=["hard links", "none"])
def links(request, monkeypatch):
    """A file system with hard links, and one without."""
    if request.param == "none":

        def refused(*args, **kwargs):
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refused)
    return request.param


@pytest.mark.parametrize("what", ["file", "folder", "link", "link to nothing"])
def test_what_has_appeared_is_left_as_it_is(tmp_path, links, what):
    path, other = tmp_path / "x.txt", tmp_path / "other"
    if what != "link to nothing":
        other.write_text("precious")

    def appear() -> None:
        if what == "file":
            path.write_text("precious")
        elif what == "folder":
            path.mkdir()
        else:
            path.symlink_to("other")

    with pytest.raises(OutputError, match="has appeared while it was being made"), atomic_output(path) as own:
        own.write_text("new")
        appear()
    assert set(os.listdir(tmp_path)) <= {"x.txt", "other"}
    assert path.is_dir() if what == "folder" else path.is_symlink() or path.read_text() == "precious"
    if what == "folder":
        return
    with atomic_output(path, force=True) as own:
        own.write_text("new")
    assert path.read_text() == "new"
    assert not path.is_symlink()


def test_an_output_of_its_own_has_one_name(tmp_path, links):
    path = tmp_path / "x.txt"
    with atomic_output(path) as own:
        own.write_text("new")
    assert path.stat().st_nlink == 1
    assert os.listdir(tmp_path) == ["x.txt"]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_scores_that_appear_while_scoring_stay(quick_runs, tmp_path, monkeypatch, capsys, links, jobs):
    monkeypatch.chdir(tmp_path)
    write_jets(toy_jets(60, 2, labels=1), "top.h5")
    shutil.copytree(quick_runs / "run", "run")
    ready, words = finishing.finish, ["score", "top.h5", "--run", "run", "-o", "o.h5", "--jobs", jobs]

    def late(job):
        Path("o.h5").write_text("of somebody else")
        Path("o.h5.ledger.json").write_text("of somebody else, too")
        return ready(job)

    with monkeypatch.context() as patch:
        patch.setattr(score, "finish", late)
        patch.setattr(pool, "finish", late)
        assert jetad(*words) == 1
    assert "o.h5: " in capsys.readouterr().err
    assert Path("o.h5").read_text() == "of somebody else"
    assert Path("o.h5.ledger.json").read_text() == "of somebody else, too"
    os.remove("o.h5")
    os.remove("o.h5.ledger.json")
    assert jetad(*words) == 0  # the finished parts are used again
    assert not Path(".o.h5.parts").exists()
    assert Path("o.h5").stat().st_nlink == 1
    assert jetad(*words, "--force") == 0
