"""Scoring on a dask.distributed cluster: real schedulers and workers, some of them killed."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import toy_jets
from test_cli import jetad

from jetad.errors import Interrupted, JetadError
from jetad.production import Request, score_files
from jetad.production.workspace import Workspace
from jetad.runs import Run
from jetad.scores import load_scores
from jetad.writers import write_jets

distributed = pytest.importorskip("distributed", reason="needs the extra [dask]")

N = 460
CHUNK = Request(chunk=10)

pytestmark = [
    # of the event loops of clients and clusters that were cut off
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.xdist_group("dask"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, quick_runs):
    folder = tmp_path_factory.mktemp("dask")
    (folder / "run").symlink_to(quick_runs / "run")
    write_jets(toy_jets(N, 2, labels=1), folder / "signal.h5")
    write_jets(toy_jets(60, 3), folder / "other.root")
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two worker processes, in a folder that is not ours."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("workers"))
    try:
        made = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        )
    finally:
        os.chdir(before)
    with made:
        yield made


@pytest.fixture
def run(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return Run.open(folder / "run")


def same_columns(a: Path, b: Path) -> None:
    first, second = load_scores(a), load_scores(b)
    assert list(first.columns()) == list(second.columns())
    for name, values in first.columns().items():
        np.testing.assert_array_equal(values, second.columns()[name], err_msg=name)
    assert first.metadata == second.metadata


def test_scores_are_those_of_a_local_run(folder, run, cluster, capsys):
    files = [os.path.relpath(folder / name) for name in ("signal.h5", "other.root")]
    Path("broken.h5").write_bytes((folder / "signal.h5").read_bytes()[:3000])
    words = ["--run", run.path, "--chunk", 50, "--working-point", 0.2]
    assert jetad("score", *files, "broken.h5", *words, "-o", "far", "--dask", cluster.scheduler_address) == 1
    captured = capsys.readouterr()
    assert "far/signal.scores.h5: 460 of 460 jets scored" in captured.out
    assert "1 of 3 files could not be scored" in captured.err
    assert jetad("score", *files, *words, "-o", "near") == 0
    same_columns(Path("far/signal.scores.h5"), Path("near/signal.scores.h5"))
    same_columns(Path("far/other.scores.root"), Path("near/other.scores.root"))
    assert Path("far/signal.scores.h5").read_bytes() == Path("near/signal.scores.h5").read_bytes()
    assert not list(Path("far").glob(".*"))

    def loads() -> tuple[int, int]:
        from jetad.production.executors.dask import _detectors

        return _detectors.cache_info().hits, _detectors.cache_info().misses

    with distributed.Client(cluster.scheduler_address) as client:
        counts = client.run(loads)
    assert all(misses == 1 for _, misses in counts.values())  # once a process, not a part
    assert sum(hits for hits, _ in counts.values()) > 2


def test_a_killed_worker_loses_nothing(folder, run, cluster, tmp_path):
    killed: list[int] = []

    def kill_one(what: str, n_jets: int, total: int | None) -> None:
        if n_jets >= 50 and not killed:
            with distributed.Client(cluster.scheduler_address) as client:
                killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    outputs = {folder / "signal.h5": tmp_path / "far.h5"}
    score_files([run], outputs, CHUNK, cluster=cluster.scheduler_address, device="cpu", progress=kill_one)
    assert killed
    score_files([run], {folder / "signal.h5": tmp_path / "near.h5"}, CHUNK, device="cpu")
    same_columns(tmp_path / "far.h5", tmp_path / "near.h5")


class StopAfterParts:
    """A stop request that comes when some parts are there."""

    signal = None

    def __init__(self, output: Path) -> None:
        self.workspace = Workspace(output)

    def __bool__(self) -> bool:
        return len(self.workspace.done()) >= 3


def test_stopped_it_leaves_parts_that_the_same_call_uses(folder, run, cluster, tmp_path):
    output = tmp_path / "far.h5"
    outputs, options = {folder / "signal.h5": output}, {"cluster": cluster.scheduler_address, "device": "cpu"}
    with pytest.raises(Interrupted):
        score_files([run], outputs, CHUNK, stop=StopAfterParts(output), **options)
    assert not output.exists()
    done = len(Workspace(output).done())
    assert 3 <= done < N // 10
    seen: list[int] = []
    score_files([run], outputs, CHUNK, progress=lambda *args: seen.append(args[1]), **options)
    assert seen[-1] <= N - 10 * done  # only what was missing
    score_files([run], {folder / "signal.h5": tmp_path / "near.h5"}, CHUNK, device="cpu")
    same_columns(output, tmp_path / "near.h5")


def test_workers_that_outlive_their_session_do_not_write(folder, run, tmp_path):
    workspace = Workspace(tmp_path / "a.h5")
    workspace.open("plan")
    worker = Workspace(workspace.output, workspace.session)
    assert worker.wanted
    workspace.dismiss()
    assert not worker.wanted
    workspace.close()
    again = Workspace(tmp_path / "a.h5")
    again.open("another plan")
    with pytest.raises(JetadError, match="another process is making this file now"):
        worker.save(0, None)
    again.close()


@pytest.mark.parametrize(
    ("source", "output", "missing"),
    [
        ("/proc/self/cwd/in.h5", "a.h5", "in.h5"),  # another folder for each process
        pytest.param("in.h5", "/proc/self/cwd/a.h5", ".a.h5.parts", marks=pytest.mark.slow),
    ],
)
def test_workers_that_do_not_see_the_files(folder, run, cluster, tmp_path, source, output, missing):
    (tmp_path / "in.h5").write_bytes((folder / "signal.h5").read_bytes())
    outputs = {Path(source): Path(output)}
    message = rf"dask worker tcp.* does not see /proc/self/cwd/{missing}: workers need a file system shared"
    with pytest.raises(JetadError, match=message):
        score_files([run], outputs, CHUNK, cluster=cluster.scheduler_address)
    assert not (tmp_path / "a.h5").exists()


# --- schedulers that are not there, workers that do not fit -------------------------------------------


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler of its own, and its file; ``dask scheduler`` as users start it, but for its patience."""
    file = tmp_path / "scheduler.json"
    words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", *words],
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env={**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"},
    )
    while not file.exists():
        assert process.poll() is None
        time.sleep(0.05)
    yield file, process
    process.kill()
    process.wait()


def start_worker(file: Path, before: str = "pass") -> subprocess.Popen[bytes]:
    code = f"import sys; {before}; from distributed.cli.dask_worker import main; main()"
    words = ["--scheduler-file", str(file), "--no-nanny", "--no-dashboard", "--nthreads", "1"]
    return subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.DEVNULL, cwd=file.parent)


def test_a_lost_scheduler_is_one_sentence_and_the_same_command_goes_on(
    folder, run, scheduler, cluster, tmp_path, capsys
):
    file, process = scheduler
    worker = start_worker(file)
    output = tmp_path / "far.h5"

    def kill() -> None:
        while len(Workspace(output).done()) < 3 and worker.poll() is None:
            time.sleep(0.01)
        process.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    words = ["score", folder / "signal.h5", "--run", run.path, "-o", output, "--chunk", 3]
    command = [sys.executable, "-m", "jetad", *map(str, words), "--dask", str(file)]
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    finally:
        worker.kill()
        worker.wait()
        thread.join()
    assert result.returncode == 1
    error = result.stderr
    assert "the connection to the scheduler was lost; finished parts are kept" in error
    assert "Traceback" not in error
    assert len(Workspace(output).done()) >= 3
    assert jetad(*words, "--dask", cluster.scheduler_address) == 0
    assert "going on with" in capsys.readouterr().err
    assert len(load_scores(output)) == N


@pytest.mark.parametrize(
    ("before", "message"),
    [
        pytest.param(
            "import os, jetad.production.executors.dask as d; d.score_parts = lambda *a: os._exit(9)",
            r"1 dask workers died of the same parts \(out of memory\?\); finished parts are kept",
            marks=pytest.mark.slow,
        ),
        ("sys.modules['jetad'] = None", "a dask worker cannot import jetad: install the same jetad"),
        pytest.param(
            "import jetad; jetad.__version__ = '0.0.1'",
            r"has jetad 0.0.1, this is .*: install the same",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_workers_that_do_not_fit(folder, run, scheduler, before, message, tmp_path):
    file, _ = scheduler
    worker = start_worker(file, before)
    try:
        with pytest.raises(JetadError, match=message):
            score_files([run], {folder / "signal.h5": tmp_path / "a.h5"}, CHUNK, cluster=str(file))
    finally:
        worker.kill()
        worker.wait()


@contextlib.contextmanager
def something_else(kind):
    """A server on this machine that is no dask scheduler."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = []

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    taken.append(server.accept()[0])
                    if kind == "speaks first":
                        taken[-1].sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                    while kind == "drips":
                        taken[-1].sendall((1 << 20).to_bytes(8, "little"))
                        time.sleep(0.1)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            for connection in taken:
                connection.close()


@pytest.mark.parametrize("kind", ["silent", "speaks first", "drips"])
def test_something_else_is_not_waited_for(folder, run, kind):
    """In a process of its own: it must also end."""
    words = ["score", folder / "signal.h5", "--run", run.path, "-o", "a.h5", "--dask"]
    with something_else(kind) as address:
        done = subprocess.run(
            [sys.executable, "-m", "jetad", *words, address], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1
    assert f"{address}: no dask scheduler answers there within 10 s (" in done.stderr
    assert "()" not in done.stderr


def test_a_worker_is_no_scheduler(folder, run, cluster, capsys):
    worker = next(iter(cluster.scheduler_info["workers"]))
    words = ["score", folder / "signal.h5", "--run", run.path, "-o", "a.h5", "--dask", worker]
    assert jetad(*words) == 1
    assert "what answers is a Worker" in capsys.readouterr().err


def test_no_scheduler(folder, run, tmp_path, capsys, monkeypatch):
    words = ["score", folder / "signal.h5", "--run", run.path, "-o", "a.h5", "--dask"]
    assert jetad(*words, "nowhere.json") == 1
    assert "nowhere.json: no such scheduler file" in capsys.readouterr().err
    monkeypatch.setattr("jetad.production.executors.dask._CONNECT", 1)
    assert jetad(*words, "tcp://127.0.0.1:1") == 1
    assert "tcp://127.0.0.1:1: no dask scheduler answers there" in capsys.readouterr().err
    Path("old.json").write_text(json.dumps({"address": "tcp://127.0.0.1:1"}))
    assert jetad(*words, "old.json") == 1
    assert "old.json: no dask scheduler answers there" in capsys.readouterr().err
    assert jetad(*words, "tcp://127.0.0.1:1", "--jobs", 2) == 2
