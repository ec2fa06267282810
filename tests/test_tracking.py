"""Trackers get what the history has, in the real TensorBoard and MLflow; none can stop a training."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import toy_jets
from test_cli import jetad

from jetad.config import resolve_config
from jetad.errors import ConfigError, Interrupted, MissingPackageError
from jetad.runs import Run
from jetad.tracking import TRACKERS, Tracker, base, check_trackers, tracking
from jetad.writers import write_jets

LINES = [
    {
        "step": 5,
        "phase": "x",
        "phase_step": 5,
        "loss": 2.5,
        "val_energy": 1.5,
        "member": "image",
        "note": "no",
    },
    {"step": 9, "phase": "x", "phase_step": 9, "loss": 1.25, "member": "image", "on": True},
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """An unfinished run."""
    monkeypatch.chdir(tmp_path)
    return Run.create(tmp_path / "run", resolve_config(method="ae", seed=1), {"seed": 1})


def events(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Scalars that TensorBoard reads in a run."""
    reason = "no TensorBoard on this machine: pip install 'jetad[track]'"
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason=reason)
    found = module.EventAccumulator(str(run.path / "tensorboard"))
    found.Reload()
    return {name: [(e.step, e.value) for e in found.Scalars(name)] for name in found.Tags()["scalars"]}


def write(run: Run, lines, *names: str, fail: BaseException | None = None) -> None:
    with tracking(run, names) as record:
        for line in lines:
            run.append_history(line)
            record(line)
        if fail is not None:
            raise fail


# --- TensorBoard -------------------------------------------------------------------------------------------


def test_tensorboard_reads_what_the_history_has(run):
    pytest.importorskip("tensorboard")
    write(run, LINES, "tensorboard")
    assert events(run) == {"image/loss": [(5, 2.5), (9, 1.25)], "image/val_energy": [(5, 1.5)]}


def test_tensorboard_goes_on(run):
    """What came after the checkpoint is forgotten there, too."""
    pytest.importorskip("tensorboard")
    with pytest.raises(Interrupted):
        write(run, LINES, "tensorboard", fail=Interrupted("stopped"))
    run.truncate_history(5)
    write(run, [{**LINES[1], "loss": 7.0}, {**LINES[1], "step": 12, "loss": 6.0}], "tensorboard")
    assert events(run)["image/loss"] == [(5, 2.5), (9, 7.0), (12, 6.0)]


def test_a_tracker_that_comes_later_gets_all(run):
    pytest.importorskip("tensorboard")
    write(run, LINES[:1])
    write(run, LINES[1:], "tensorboard")
    assert events(run)["image/loss"] == [(5, 2.5), (9, 1.25)]


# --- MLflow ------------------------------------------------------------------------------------------------

MLFLOW = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient()
(found,) = client.search_runs([client.get_experiment_by_name("jetad").experiment_id])
print(json.dumps({
    "name": found.info.run_name, "status": found.info.status, "params": found.data.params,
    "metrics": {k: [(m.step, m.value) for m in client.get_metric_history(found.info.run_id, k)]
                for k in found.data.metrics},
}))
"""


def mlflow(folder: Path, *words: str, code: int = 0, **environment: str) -> str:
    """Run a program, for which MLflow is a database in a folder; its standard output."""
    if importlib.util.find_spec("mlflow") is None:
        pytest.skip("no MLflow on this machine: pip install 'jetad[track]'")
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", **environment}
    done = subprocess.run(
        [sys.executable, *words], env={**os.environ, **store}, cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stderr if environment else done.stdout


@pytest.mark.slow
def test_a_training_in_mlflow_and_tensorboard(tmp_path):
    """The whole chain, read back with the clients of both."""
    write_jets(toy_jets(150, 1, labels=0), tmp_path / "qcd.h5")
    words = ["-m", "jetad", "train", "-b", "qcd.h5", "-m", "ae", "--representation", "features", "-o", "run"]
    mlflow(tmp_path, *words, "--set", "training.epochs=3", "--track", "mlflow", "--track", "tensorboard")
    run = Run.open(tmp_path / "run")
    assert run.finished
    found = json.loads(mlflow(tmp_path, "-c", MLFLOW))
    assert (found["name"], found["status"]) == ("run", "FINISHED")
    assert found["params"]["members.features.training.epochs"] == "3"
    history = run.history()
    assert history
    for metrics in (found["metrics"], events(run)):
        for key in ("loss", "val_energy"):
            expected = {line["step"]: line[key] for line in history if key in line}
            assert dict(metrics[f"features/{key}"]) == pytest.approx(expected, rel=1e-6)
    assert jetad("runs", "show", str(run.path)) == 0


@pytest.mark.slow
def test_mlflow_that_nobody_answers_ends_no_training(tmp_path):
    write_jets(toy_jets(150, 1, labels=0), tmp_path / "qcd.h5")
    words = ["-m", "jetad", "train", "-b", "qcd.h5", "-m", "pca", "--representation", "features", "-o", "run"]
    said = mlflow(
        tmp_path, *words, "--track", "mlflow",
        MLFLOW_TRACKING_URI="http://localhost:9", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    )  # fmt: skip
    assert "warning: mlflow has failed" in said
    assert "the training goes on without it" in said
    assert Run.open(tmp_path / "run").finished


# --- trackers that fail ------------------------------------------------------------------------------------


class Broken(Tracker):
    where = ""
    identity = "x"
    ended: list[str] = []  # noqa: RUF012

    def begin(self, step):
        self._fail("begin")

    def log(self, step, values):
        self._fail("log")

    def end(self, state):
        self.ended.append(state)
        self._fail("end")

    def _fail(self, where):
        if self.where == where:
            raise OSError("the server http://ann:secret@host has gone")
        if self.where == "slow":
            time.sleep(60)


@pytest.fixture
def broken(monkeypatch):
    monkeypatch.setitem(TRACKERS, "broken", "test_tracking:Broken")
    monkeypatch.setattr(Broken, "ended", [])

    def set_where(where: str) -> type[Broken]:
        monkeypatch.setattr(Broken, "where", where)
        return Broken

    return set_where


@pytest.mark.parametrize("where", ["begin", "log", "end"])
def test_a_tracker_that_fails_is_told_of_and_left_out(run, broken, caplog, where):
    broken(where)
    write(run, LINES, "broken")
    assert len(run.history()) == 2
    (said,) = (record.message for record in caplog.records)
    assert said.startswith("warning: broken has failed (OSError: the server http://***@host has gone)")


def test_a_tracker_that_does_not_answer_keeps_nobody_waiting(run, broken, caplog, monkeypatch):
    broken("slow")
    monkeypatch.setattr(base, "_PATIENCE", 0.2)
    monkeypatch.setattr(base, "_WAITING", 3)
    started = time.monotonic()
    write(run, LINES * 5, "broken")
    assert time.monotonic() - started < 10
    assert "broken does not answer" in caplog.text


@pytest.mark.parametrize(
    ("error", "state"), [(None, "finished"), (Interrupted("x"), "interrupted"), (ValueError("x"), "failed")]
)
def test_how_it_ended(run, broken, error, state):
    tracker = broken("")
    if error is None:
        write(run, LINES, "broken")
    else:
        with pytest.raises(type(error)):
            write(run, LINES, "broken", fail=error)
    assert tracker.ended == [state]


# --- before the training -----------------------------------------------------------------------------------


def test_a_package_that_is_missing_is_told_before(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'jetad\[track\]'"):
        check_trackers(["mlflow"])
    with pytest.raises(ConfigError, match="unknown tracker 'mlfow'; choose one of: mlflow"):
        check_trackers(["mlfow"])


def test_without_the_package_nothing_is_left(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", None)
    write_jets(toy_jets(150, 1, labels=0), "qcd.h5")
    assert jetad("train", "-b", "qcd.h5", "-o", "run", "--track", "wandb") == 1
    assert "--track wandb needs the package 'wandb'" in capsys.readouterr().err
    assert not Path("run").exists()
    assert jetad("train", "-b", "qcd.h5", "-o", "run", "--track", "tensorbord") == 2
    assert "'tensorbord' is not one of 'tensorboard', 'mlflow', 'wandb'" in capsys.readouterr().err


@pytest.mark.slow
def test_weights_and_biases_without_a_network(run):
    if importlib.util.find_spec("wandb") is None:
        pytest.skip("no wandb on this machine: pip install 'jetad[track]'")
    code = (
        "from jetad.runs import Run\nfrom jetad.tracking import tracking\n"
        "with tracking(Run('run'), ['wandb']) as record:\n"
        "    record({'step': 5, 'loss': 2.5, 'member': 'image'})\n"
    )
    environment = {**os.environ, "WANDB_MODE": "offline"}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=run.path.parent, check=True)
    (written,) = run.path.parent.glob("wandb/offline-run-*/run-*.wandb")
    assert b"image/loss" in written.read_bytes()
    assert json.loads((run.path / "tracking.json").read_text())["wandb"] in written.name
