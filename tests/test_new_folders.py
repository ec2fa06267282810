"""A kill or a full disk while a run directory is made or removed leaves nothing in the way of a next try."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jetad.config import resolve_config
from jetad.errors import OutputError
from jetad.runs import Run
from jetad.runs.directory import unfinished_runs
from jetad.training.train import prepare_run


def prepared(name: str | None, method: str = "ae", *, force: bool = False) -> Run:
    output = None if name is None else Path(name)
    return prepare_run(
        resolve_config(method=method), [Path("qcd.bin")], output=output, command=[], device="cpu", force=force
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("qcd.bin").write_bytes(b"stands for the input file")
    return tmp_path


def killed_at(n: int, function: Callable[[], object]) -> bool:
    """Whether a process that calls the function was killed at its n-th change of the file system."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    seen = 0

    def hook(event: str, args: tuple[object, ...]) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir"):
            seen += 1
            if seen == n:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    try:
        function()
    finally:
        os._exit(0)


@pytest.mark.parametrize("name", ["run", "new/run", None])
def test_a_kill_while_a_run_is_made_leaves_the_name_free(folder, name):
    if name is None:
        prepared("runs/other", "vae")  # or the first change would be to make 'runs'
    n = 1
    while killed_at(n, lambda: prepared(name)):
        run = prepared(name)
        assert not run.finished
        assert {p.name for p in run.path.iterdir()} == {"config.yaml", "provenance.json", "plots"}
        assert run.path.name == (name.rsplit("/")[-1] if name else run.path.name.lstrip("."))
        if name is None:
            assert {r.path.name for r in unfinished_runs(Path("runs"))} == {"other", run.path.name}
        shutil.rmtree(run.path)
        n += 1
    assert n > 5


def test_a_kill_while_a_run_is_replaced_leaves_it_or_nothing(folder):
    prepared("run", "vae").append_history({"step": 1})
    n = 1
    while killed_at(n, lambda: prepared("run", force=True)):
        if Path("run").exists():
            assert Path("run/history.jsonl").exists() != (Run("run").config().method == "ae")
        assert prepared("run", force=True).config().method == "ae"
        shutil.rmtree("run")
        prepared("run", "vae").append_history({"step": 1})
        n += 1
    assert n > 10


def test_a_full_disk_leaves_nothing(folder):
    """A file size limit stands for it."""
    Path("mine").mkdir()
    before = sorted(str(p) for p in folder.rglob("*"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        for name in ("run", "mine"):
            with pytest.raises(
                OutputError, match=rf"^{name}/config.yaml: cannot be written \(File too large\)"
            ):
                prepared(name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert sorted(str(p) for p in folder.rglob("*")) == before
    for name in ("run", "mine"):
        assert prepared(name).path == Path(name)


def test_files_of_somebody_else_stay(folder):
    Path("run/plots").mkdir(parents=True)
    Path("run/plots/thesis.pdf").write_text("precious")
    Path("run/.hidden").write_text("precious")
    for force in (False, True):
        with pytest.raises(OutputError, match="other files"):
            prepared("run", force=force)
    assert Path("run/plots/thesis.pdf").read_text() == "precious"
    assert Path("run/.hidden").read_text() == "precious"
