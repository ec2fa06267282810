"""What a full disk or a lost machine leaves of files that are read at resume is mended or explained."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import toy_jets
from test_cli import QUICK, jetad

from jetad.batch import Job, job_status
from jetad.batch.base import Queued
from jetad.batch.htcondor import HTCondor, HTCondorOptions
from jetad.batch.slurm import Slurm, SlurmOptions
from jetad.batch.tasks import train_tasks
from jetad.detector import TrainedDetector
from jetad.errors import Interrupted, OutputError
from jetad.production import Request, score_file
from jetad.production.workspace import Workspace
from jetad.runs import Run
from jetad.writers import write_jets

TRAIN = ["train", "-b", "qcd.h5", "--method", "ae", "--representation", "image", *QUICK[:2], *QUICK[4:]]
TRAIN += ["--set", "training.log_every=1", "--set", "training.validate_every=2", "--set", "training.epochs=4"]
TRAIN += ["--set", "training.checkpoint_minutes=0"]


@pytest.fixture
def folder(quick_runs, tmp_path, monkeypatch):
    """A working folder with jets and a run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JETAD_RUN", raising=False)
    shutil.copy(quick_runs / "qcd.h5", "qcd.h5")
    shutil.copytree(quick_runs / "run", "run")
    write_jets(toy_jets(60, 2, labels=1), "top.h5")
    return tmp_path


@pytest.fixture(scope="module")
def trainings(quick_runs, tmp_path_factory):
    """A folder with a training, ``plain``, and the same one ``stopped`` with a checkpoint."""
    from jetad.training import loop

    folder = tmp_path_factory.mktemp("trainings")
    one_step, steps = loop.Trainer._one_step, []

    def stopping(self, phase):
        one_step(self, phase)
        steps.append(phase)
        if len(steps) == 9:
            self._save()
            raise Interrupted("here")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shutil.copy(quick_runs / "qcd.h5", "qcd.h5")
        assert jetad(*TRAIN, "-o", "plain") == 0
        patch.setattr(loop.Trainer, "_one_step", stopping)
        assert jetad(*TRAIN, "-o", "stopped") == 85
    return folder


TORN = {
    "cut": lambda data: data[: data.rfind(b'"')],
    "NUL": lambda data: data + b"\0" * 512,
    "cut and NUL": lambda data: data[:-10] + b"\0" * 10,
    "cut and ended": lambda data: data[:-10] + b"\n",
    "without its end of line": lambda data: data[:-1],
    "half a character": lambda data: data + b'{"step": "\xc3',
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("tear", TORN)
@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_torn_history_is_cut_and_the_training_goes_on(folder, trainings, capsys, tear, checkpoint):
    shutil.copytree(trainings / "stopped", "stopped")
    run, plain = Run.open("stopped"), Run.open(trainings / "plain")
    file = run.path / "history.jsonl"
    file.write_bytes(TORN[tear](file.read_bytes()))
    if not checkpoint:
        (run.path / "checkpoint.pt").unlink()
        (run.path / "checkpoint.previous.pt").unlink(missing_ok=True)
    capsys.readouterr()
    assert jetad("plot", "history", "stopped", "-o", "h") == (1 if tear == "empty" else 0)
    assert "unexpected" not in capsys.readouterr().err
    assert jetad(*TRAIN, "-o", "stopped") == 0
    assert run.model_hash() == plain.model_hash()
    missing = [record for record in plain.history() if record not in run.history()]
    lost = 9 if tear == "empty" else 1 if tear.startswith("cut") else 0
    assert len(missing) == (lost if checkpoint else 0)


def first(weights: dict) -> str:
    return next(iter(weights))


SPOILT = {
    "model": lambda t: t["model"].update({first(t["model"]): 1.5}),
    "best weight": lambda t: t["best"][1].update({first(t["best"][1]): 1.5}),
    "best of another": lambda t: t["best"][1].pop(first(t["best"][1])),
    "best criterion": lambda t: t["best"].__setitem__(0, "x"),
    "average": lambda t: t.update(average={"x": torch.zeros(1)}),
    "moments": lambda t: t["optimizer"]["state"][0].update(exp_avg=torch.zeros(1)),
    "moment": lambda t: t["optimizer"]["state"][0].update(exp_avg_sq=0.5),
    "settings": lambda t: t["optimizer"]["param_groups"][0].update(betas=(0.5, "x")),
    "good model": lambda t: t["good"]["model"].update({first(t["model"]): torch.zeros(1)}),
    "good optimiser": lambda t: t["good"]["optimizer"]["param_groups"][0].update(eps=None),
    "good step": lambda t: t["good"].update(step=10**9),
    "good": lambda t: t.update(good=[]),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_checkpoint_is_checked_before_hours_of_training_not_after(folder, trainings, capsys, spoil):
    shutil.copytree(trainings / "stopped", "stopped")
    for path in Path("stopped").glob("checkpoint*.pt"):
        checkpoint = torch.load(path, weights_only=True)
        spoil(checkpoint["trainer"])
        torch.save(checkpoint, path)
    assert jetad(*TRAIN, "-o", "stopped") == 1
    error = capsys.readouterr().err
    assert "checkpoint.pt: does not fit this training (" in error
    assert "this is a bug" not in error


def test_damage_inside_a_history_is_explained(folder, trainings, capsys):
    shutil.copytree(trainings / "stopped", "stopped")
    run = Run.open("stopped")
    good = (run.path / "history.jsonl").read_text()
    for line, problem in (
        ('{"step": 1, "lo{"step": 2}', "line 1 is not JSON"),
        ("[" * 100_000, "line 1 is not JSON"),
        ("[1, 2]", "line 1 is not a record with step"),
        ('{"loss": 1}', "line 1 is not a record with step"),
    ):
        (run.path / "history.jsonl").write_text(f"{line}\n{good}")
        assert jetad(*TRAIN, "-o", "stopped") == 1
        said = capsys.readouterr().err
        assert f"stopped/history.jsonl: {problem}" in said
        assert "remove this line" in said
    assert jetad("plot", "history", "stopped", "-o", "h") == 0


def test_a_record_that_does_not_fit_is_not_left_torn(folder):
    """A file size limit stands for the full disk: part of the line is written, then nothing more."""
    code = (
        "import resource, signal; from jetad.runs.directory import Run\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "run = Run('run')\n"
        "for step in range(10): run.append_history({'step': step, 'loss': 1.0})\n"
    )
    Path("run/history.jsonl").unlink()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "OutputError: run/history.jsonl: cannot be written (File too large)" in result.stderr
    lines = Path("run/history.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(len(lines)))
    assert len(lines) >= 3


@pytest.mark.parametrize("damage", ["", "\0" * 40, '{"status": "run', "[]", "null", "\xff"])
def test_damaged_files_of_a_run_are_explained(folder, capsys, damage):
    shutil.copytree("run", "runs/other")
    for name in ("calibration.json", "preprocessing.json"):
        shutil.rmtree("damaged", ignore_errors=True)
        shutil.copytree("run", "damaged")
        Path("damaged", name).write_bytes(damage.encode("latin-1"))
        assert jetad("score", "top.h5", "--run", "damaged", "-o", "x.h5", "--force") == 1
        assert f"damaged/{name}" in capsys.readouterr().err
    Path("damaged/provenance.json").write_bytes(damage.encode("latin-1"))
    assert jetad(*TRAIN, "-o", "damaged") == 1
    said = capsys.readouterr().err
    assert "damaged/provenance.json" in said
    assert "--force" in said
    # the runs of others do not stand in the way of a new one
    Path("runs/other/provenance.json").write_bytes(damage.encode("latin-1"))
    assert jetad(*TRAIN) == 0
    assert "runs/other/provenance.json" in capsys.readouterr().err
    assert jetad(*TRAIN, "-o", "damaged", "--force") == 0


def test_a_damaged_configuration_is_explained(folder, capsys):
    for damage in (b"", b"\0" * 100, b"method: nae\n\0\0\0", b"method: \xff"):
        Path("run/config.yaml").write_bytes(damage)
        assert jetad("score", "top.h5", "--run", "run", "-o", "x.h5") in (1, 2)
        said = capsys.readouterr().err
        assert "run/config.yaml" in said
        assert "unexpected" not in said


@pytest.mark.parametrize("damage", [b"", b"\0" * 30, b'{"n_read": 6', b"[1]", b'"x"', b"\xff\xfe"])
def test_a_damaged_ledger_is_explained_and_replaced(folder, capsys, damage):
    detector = TrainedDetector.from_run(Run.open("run"), "cpu")
    score_file(detector, "top.h5", "a.csv")
    score_file(detector, "top.h5", "b.csv")
    good = Path("a.csv.ledger.json").read_text()
    Path("a.csv.ledger.json").write_bytes(damage)
    for words in (["merge", "a.csv", "-o", "m.h5"], ["verify", "a.csv", "top.h5"],
                  ["score", "top.h5", "--run", "run", "-o", "a.csv"]):  # fmt: skip
        assert jetad(*words) == 1
        said = capsys.readouterr().err
        assert "a.csv.ledger.json" in said
        assert "remove it to score the file again" in said
    assert jetad("score", "top.h5", "--run", "run", "-o", "a.csv", "--force") == 0
    assert json.loads(Path("a.csv.ledger.json").read_text())["digest"] == json.loads(good)["digest"]


@pytest.mark.parametrize("damage", ["empty", "cut", "NUL", "other", "account"])
def test_damaged_parts_and_plans_are_made_anew(folder, damage):
    run = Run.open("run")
    request = Request(chunk=10)
    score_file(TrainedDetector.from_run(run, "cpu"), "top.h5", "whole.h5", request=request)
    from jetad.production import score_files

    class Stop:
        n = 3

        def __bool__(self) -> bool:
            self.n -= 1
            return self.n <= 0

    outputs = {Path("top.h5"): Path("x.h5")}
    with pytest.raises(Interrupted):
        score_files([run], outputs, request, stop=Stop())
    part = next(Path(".x.h5.parts").glob("part-*.npz"))
    data = part.read_bytes()
    if damage == "other":
        np.savez(part, account=np.array("[10, 0, 0]"), c_score=np.zeros(10))
    elif damage == "account":
        np.savez(part, account=np.array("3"))
    else:
        part.write_bytes({"empty": b"", "cut": data[:100], "NUL": b"\0" * len(data)}[damage])
    with pytest.raises(OutputError, match="is damaged; run the same command again"):
        score_files([run], outputs, request)
    score_files([run], outputs, request)
    np.testing.assert_array_equal(_scores("x.h5"), _scores("whole.h5"))
    workspace = Workspace(Path("y.h5"))
    workspace.path.mkdir()
    (workspace.path / "plan").write_bytes(b"\0\xff" * 20)
    (workspace.path / "lock").write_bytes(b"\xff")
    assert not workspace.open("plan")
    workspace.remove()
    assert not workspace.path.exists()


def _scores(name: str) -> np.ndarray:
    from jetad.scores import load_scores

    return load_scores(name).score


@pytest.mark.parametrize(
    "damage", [b"", b"\0" * 9, b'{"detector": "m', b"[]", b'{"detector": 1}', b"\xff", "auc", "directory"]
)
def test_damaged_rows_of_a_benchmark_are_explained(folder, capsys, damage):
    words = ["bench", "--sample", "qcd=qcd.h5", "top=top.h5", "--train", "qcd", "-d", "mass"]
    words += ["--n-train", "100"]
    assert jetad(*words) == 0
    row = Path("bench/rows/mass-qcd-1.json")
    values = json.loads(row.read_text())
    row.unlink()
    if damage == "directory":
        row.mkdir()
    else:
        row.write_bytes(json.dumps({**values, "auc": None}).encode() if damage == "auc" else damage)
    capsys.readouterr()
    assert jetad(*words) == 1
    said = capsys.readouterr().err
    assert f"{row}: is not what 'jetad bench' wrote" in said
    assert "remove it" in said


@pytest.mark.parametrize("damage", [b"", b"\0" * 9, b'{"study": "two', b"\xff", b'{"study": []}'])
def test_damaged_studies_are_explained(folder, capsys, damage):
    Path("study").mkdir()
    Path("study/two_way.json").write_bytes(damage)
    assert jetad("report", "--run", "run", "-b", "top.h5", "--study", "study", "-o", "r.html") == 1
    said = capsys.readouterr().err
    assert "study/two_way.json" in said
    assert "unexpected" not in said


# --- jobs ----------------------------------------------------------------------------------------------


class _Asked(Slurm):
    def queued(self, job):
        return dict.fromkeys(range(1, len(job.tasks) + 1), Queued(""))


def made_job(name: str, options: SlurmOptions | HTCondorOptions) -> Job:
    tasks = train_tasks(["train", "-b", "qcd.h5"], name=name, seeds=2)
    scheduler = "slurm" if isinstance(options, SlurmOptions) else "htcondor"
    job = Job.new(
        Path("jobs") / name, scheduler=scheduler, kind="train", words=["train"], tasks=tasks, options=options,
        site="", prefix=["jetad"],
    )  # fmt: skip
    job.create()
    submission = {"job_id": "7", "tasks": [1, 2], "memory": None, "time": 60}
    job.record["submissions"].append(
        {"script": "job-1.sh", "submitted": "2026-11-22T10:00:00Z", **submission}
    )
    job.save()
    return job


@pytest.mark.parametrize(
    ("tail", "failure"),
    [
        (b"2026-11-22T10:00:09Z 7 end 8", "killed"),  # of 85
        (b"\0" * 64, "killed"),
        (b"2026-11-22T10:00:09Z 7 end \0\0\n", "killed"),
        (b"2026-11-22T10:00:09Z 7 end x\n", "failed"),
        (b"\xff\xfe\n", "killed"),
        (b"2026-11-22T10:00:09Z 7 end 85\n", "stopped"),
    ],
)
def test_a_torn_diary_of_a_task_is_read_to_its_last_line(folder, tail, failure):
    job = made_job("x", SlurmOptions())
    Path("jobs/x/state/1.txt").write_bytes(b"2026-11-22T10:00:00Z 7 start n1\n" + tail)
    status, _ = job_status(job, _Asked())
    assert (status.starts, status.failure) == (1, failure)


def test_a_torn_event_log_is_read_to_its_last_event(folder):
    job = made_job("x", HTCondorOptions())
    at = "(007.000.000) 2026-11-22 10:00:0"
    start = f"001 {at}1 Job executing on host: <127.0.0.1:9618>\n...\n"
    end = f"005 {at}9 Job terminated.\n\t(1) Normal termination (return value 85)\n...\n"
    for tail, code in (
        (end, 85), (end[:-20], None), (f"005 {at}9 Job terminated.", None), ("\0" * 99, None),
        (f"{chr(0) * 99}{end}", 85),
    ):  # fmt: skip
        Path("jobs/x/events.log").write_text(start + tail)
        status, _ = job_status(job, HTCondor())
        assert (status.starts, status.code) == (1, code)


@pytest.mark.parametrize("damage", [b"", b"\0" * 9, b'{"format": 1', b"[]", b"\xff", "tasks", "folder"])
def test_a_damaged_record_of_a_job_is_explained(folder, capsys, damage):
    job = made_job("x", SlurmOptions())
    if isinstance(damage, bytes):
        Path("jobs/x/job.json").write_bytes(damage)
    else:
        Path("jobs/x/job.json").write_text(json.dumps({**job.record, damage: [5]}))
    for words in (["status"], ["status", "jobs/x"], ["resubmit", "jobs/x"]):
        assert jetad(*words) == 1
        said = capsys.readouterr().err
        assert "jobs/x/job.json" in said
        assert "unexpected" not in said


def test_a_torn_provenance_is_not_a_finished_training(folder):
    job = made_job("x", SlurmOptions())
    for content in ("[]", "", '{"status": "fini', "null"):
        path = Path(job.tasks[0].folder)
        path.mkdir(parents=True, exist_ok=True)
        (path / "provenance.json").write_text(content)
        assert job_status(job, _Asked())[0].state == "failed"
