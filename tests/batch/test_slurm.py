"""Jobs of a real SLURM that is started for these tests."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import toy_jets
from slurm_cluster import cluster  # noqa: F401
from test_cli import QUICK, jetad

from jetad.batch import base
from jetad.runs import Run
from jetad.scores import load_scores
from jetad.writers import write_jets

ROOT = Path(__file__).parents[2]
# a few seconds; a checkpoint at every validation
LONG = [
    "train", "--background", "qcd.h5", "--method", "ae", "--representation", "image",
    "--set", "training.epochs=240", "--set", "network.hidden=[16]", "--set", "network.components=6",
    "--set", "training.batch_size=32", "--set", "training.checkpoint_minutes=0",
    "--set", "training.log_every=10", "--set", "training.validate_every=10",
]  # fmt: skip


@pytest.fixture
def folder(cluster, quick_runs, tmp_path, monkeypatch):  # noqa: F811
    """A working folder on the cluster with a run and files of jets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT / 'cli'}")
    shutil.copy(quick_runs / "qcd.h5", "qcd.h5")
    shutil.copytree(quick_runs / "run", "run")
    return tmp_path


def status(job: str, capsys) -> dict[int, dict]:
    capsys.readouterr()
    assert jetad("status", f"jobs/{job}", "--json") == 0
    return {task["task"]: task for task in json.loads(capsys.readouterr().out)[0]["tasks"]}


def wait(ready, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.1)


def settled(cluster, job: str) -> bool:  # noqa: F811
    """Whether the queue holds nothing of a job; what was requeued may start at once."""
    for line in cluster.ask("squeue", "--noheader", "--format=%i|%T|%r|%j").splitlines():
        job_id, state, reason, name = line.split("|", 3)
        if name.startswith(f"jetad-{job}-"):
            # after a requeue SLURM waits for two minutes; the node needs two seconds
            if state == "PENDING" and reason == "BeginTime":
                time.sleep(2)
                cluster.ask("scontrol", "update", f"jobid={job_id}", "StartTime=now")
            return False
    return True


def test_trainings_with_several_seeds(cluster, folder, quick_runs, capsys):  # noqa: F811
    words = ["--name", "seeds", "--memory", "4G", "--time", "10m", "--seeds", 2]
    assert jetad("submit", "slurm", *words, "--", "train", "--background", "qcd.h5", *QUICK) == 0
    assert "2: seed=2 -> runs/seeds/seed-2" in capsys.readouterr().out
    wait(lambda: settled(cluster, "seeds"))
    tasks = status("seeds", capsys)
    assert [tasks[n]["state"] for n in (1, 2)] == ["done", "done"]
    hashes = [Run.open(f"runs/seeds/seed-{n}").model_hash() for n in (1, 2)]
    assert hashes[0] == Run.open("run").model_hash() != hashes[1]
    assert jetad("resubmit", "jobs/seeds") == 0
    assert "nothing to submit again" in capsys.readouterr().out


def test_parts_merge_to_the_plain_scores(cluster, folder, capsys):  # noqa: F811
    write_jets(toy_jets(230, 2, labels=1), "signal.root")
    assert jetad("score", "signal.root", "--run", "run", "-o", "plain.root") == 0
    words = ["--name", "parts", "--parts", 2, "--", "score", "signal.root", "--run", "run", "-o", "scores"]
    assert jetad("submit", "slurm", *words) == 0
    wait(lambda: settled(cluster, "parts"))
    assert {task["state"] for task in status("parts", capsys).values()} == {"done"}
    assert jetad("status", "jobs") == 0
    line = capsys.readouterr().out.splitlines()[-1].split()
    assert line[:2] == ["jetad", "merge"]
    assert jetad("merge", *sorted(map(str, Path().glob(line[2]))), *line[3:]) == 0
    plain, merged = load_scores("plain.root"), load_scores("scores/signal.scores.root")
    for name, values in plain.columns().items():
        np.testing.assert_array_equal(values, merged.columns()[name], err_msg=name)
    assert jetad("verify", "scores/signal.scores.root", "signal.root") == 0


def test_preempted_trainings_end_with_the_same_weights(cluster, folder, capsys):  # noqa: F811
    for name in ("signalled", "requeued", "cancelled"):
        assert jetad("submit", "slurm", "--name", name, "--time", "1h", "--", *LONG) == 0
    ids = {name: status(name, capsys)[1]["job_id"] for name in ("signalled", "requeued", "cancelled")}

    def under_way(name: str) -> bool:
        return Path("runs", name, "checkpoint.pt").exists()

    commands = {
        "signalled": ["scancel", "--signal=USR1", "--batch"],
        "requeued": ["scontrol", "requeue"],
        "cancelled": ["scancel"],
    }

    def stop_those_under_way() -> bool:
        for name in filter(under_way, list(commands)):
            cluster.ask(*commands.pop(name), ids[name])
        return not commands

    wait(stop_those_under_way)
    wait(lambda: status("signalled", capsys)[1]["state"] == "preempted")
    wait(lambda: all([settled(cluster, name) for name in ids]))
    assert jetad(*LONG, "-o", "plain") == 0
    expected = Run.open("plain").model_hash()
    for name in ("signalled", "requeued"):
        task = status(name, capsys)[1]
        assert (task["state"], task["starts"]) == ("done", 2)
        assert Run.open(f"runs/{name}").model_hash() == expected
        assert "going on from the checkpoint" in Path("jobs", name, "logs/1.log").read_text()
    task = status("cancelled", capsys)[1]
    assert (task["state"], task["failure"], task["starts"]) == ("failed", "cancelled", 1)


def test_tasks_of_a_step_train_together_and_are_preempted_together(cluster, folder, capsys):  # noqa: F811
    site = {"test": {"scheduler": "slurm", "launcher": "srun", "tasks_per_node": 2}}
    Path("site.yaml").write_text(json.dumps(site))
    words = ["--site", "site.yaml", "--name", "two", "--time", "1h", "--", *LONG]
    assert jetad("submit", "slurm", *words) == 0
    wait(lambda: Path("runs/two/checkpoint.pt").exists())
    cluster.ask("scancel", "--signal=USR1", "--batch", status("two", capsys)[1]["job_id"])
    wait(lambda: status("two", capsys)[1]["state"] == "preempted")
    wait(lambda: settled(cluster, "two"), 240)
    task = status("two", capsys)[1]
    log = Path("jobs/two/logs/1.log").read_text()
    assert (task["state"], task["starts"]) == ("done", 2), log
    assert log.count("with 2 processes") == 2
    assert log.count("stopped by SIGUSR1") == 1
    run = Run.open("runs/two")
    assert run.provenance["processes"] == 2
    assert jetad(*LONG, "-o", "plain") == 0
    for name, value in Run.open("plain").load_weights().items():
        np.testing.assert_allclose(run.load_weights()[name], value, rtol=1e-2, atol=1e-3, err_msg=name)


def test_resubmit_repairs_what_failed_and_nothing_else(cluster, folder, capsys):  # noqa: F811
    for n in (1, 2):
        write_jets(toy_jets(50, n, labels=1), f"file{n}.h5")
    # the node takes the memory that was asked for seriously; so little has no room for torch
    site = {"test": {"scheduler": "slurm", "setup": ['ulimit -v "$((SLURM_MEM_PER_NODE * 1024))"']}}
    Path("site.yaml").write_text(json.dumps(site))
    small = ["--site", "site.yaml", "--memory", "300M", "--name", "small", "--", "score", "file1.h5"]
    assert jetad("submit", "slurm", *small, "--run", "run", "-o", "small") == 0
    gone = ["--site", "site.yaml", "--memory", "8G", "--files-per-task", 1, "--name", "gone", "--", "score"]
    gone += ["file1.h5", "file2.h5", "--run", "run", "-o", "gone"]
    os.rename("file2.h5", "elsewhere.h5")
    assert jetad("submit", "slurm", *gone) == 1
    assert "file2.h5" in capsys.readouterr().err  # found before anything was submitted
    assert not Path("jobs/gone").exists()
    os.rename("elsewhere.h5", "file2.h5")
    assert jetad("submit", "slurm", *gone) == 0
    os.rename("file2.h5", "elsewhere.h5")
    wait(lambda: all([settled(cluster, name) for name in ("small", "gone")]))

    tasks = status("gone", capsys)
    assert [tasks[n]["state"] for n in (1, 2)] == ["done", "failed"]
    assert (tasks[2]["failure"], tasks[2]["code"]) == ("failed", 1)
    assert "file2.h5: no such file" in tasks[2]["reason"]
    assert jetad("resubmit", "jobs/gone") == 1
    captured = capsys.readouterr()
    assert "file2.h5: no such file" in captured.out
    assert "--force" in captured.err
    os.rename("elsewhere.h5", "file2.h5")
    made = Path("gone/file1.scores.h5").stat().st_mtime_ns
    assert jetad("resubmit", "jobs/gone", "--force") == 0

    assert {t["failure"] for t in status("small", capsys).values()} == {"memory"}
    assert jetad("resubmit", "jobs/small", "--factor", 24) == 0
    assert "1: memory; again with memory 7200 MB" in capsys.readouterr().out
    for name in ("small", "gone"):
        wait(lambda name=name: settled(cluster, name))
        assert {task["state"] for task in status(name, capsys).values()} == {"done"}
    assert "#SBATCH --array=2\n" in Path("jobs/gone/job-2.sh").read_text()
    assert "#SBATCH --mem=7200M\n" in Path("jobs/small/job-2.sh").read_text()
    assert Path("gone/file1.scores.h5").stat().st_mtime_ns == made
    assert len(Path("jobs/gone/state/1.txt").read_text().splitlines()) == 2


def test_a_refusal_is_one_sentence(folder, capsys):
    words = ["--partition", "nowhere", "--name", "x", "--", "train", "--background", "qcd.h5", *QUICK]
    assert jetad("submit", "slurm", *words) == 1
    assert "invalid partition" in capsys.readouterr().err
    assert not Path("jobs/x").exists()


def test_submission_waits_for_a_controller_that_is_down(cluster, folder, capsys, monkeypatch):  # noqa: F811
    monkeypatch.setattr(base, "FIRST_WAIT", 0.5)
    impatient = Path("slurm.conf")
    impatient.write_text(cluster.conf.read_text().replace("MessageTimeout=5", "MessageTimeout=1"))
    monkeypatch.setenv("SLURM_CONF", str(impatient.absolute()))
    cluster.stop("slurmctld")
    again = threading.Timer(3, cluster.start_controller)
    again.start()
    words = ["--name", "late", "--", "score", "qcd.h5", "--run", "run", "-o", "late"]
    try:
        assert jetad("submit", "slurm", *words) == 0
        assert "trying again in 0.5 s" in capsys.readouterr().err
    finally:
        again.join()
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    wait(lambda: settled(cluster, "late"))
    assert status("late", capsys)[1]["state"] == "done"


HOSTILE = {
    "newline": "a\ntouch PWN1 #.h5",
    "directive": "b\n#SBATCH --partition=nowhere\n#.h5",
    "quotes": "c'\"`touch PWN2`$(touch PWN3);touch PWN4&$HOME \\.h5",
    "control": "d\t\r\x1b]0;x\x07.h5",
    "option": "-e --force.h5",
    "patterns": "g*?[a]{1,2}~%a%%.h5",
}


def test_hostile_file_names_are_scored_and_nothing_is_executed(cluster, folder, capsys):  # noqa: F811
    """Each file by its own task, once; in a folder whose name is hostile, too, as far as SLURM takes it."""
    here = folder / 'it\'s "my" run #1 100%j $(touch PWN5) `touch PWN6` & co; é'
    here.mkdir()
    os.chdir(here)
    names = list(HOSTILE.values())
    for n, name in enumerate(names):
        write_jets(toy_jets(20 + n, n + 2, labels=1), "plain.h5")
        os.rename("plain.h5", name)
    words = ["--name", "hostile", "--files-per-task", 1, "--", "score", *[f"./{name}" for name in names]]
    assert jetad("submit", "slurm", *words, "--run", folder / "run", "-o", "scores") == 0
    assert len(Path("jobs/hostile/commands.txt").read_text().splitlines()) == len(names)
    wait(lambda: settled(cluster, "hostile"))
    tasks = status("hostile", capsys)
    logs = "".join(path.read_text(errors="replace") for path in Path("jobs/hostile/logs").iterdir())
    assert [tasks[n + 1]["state"] for n in range(len(names))] == ["done"] * len(names), logs
    for n, name in enumerate(names):
        scores = load_scores(Path("scores", f"{Path(name).stem}.scores.h5"))
        assert len(scores) == 20 + n
        assert len(Path(f"jobs/hostile/state/{n + 1}.txt").read_text().splitlines()) == 2
    assert list(folder.rglob("PWN*")) == []
    # again, from the record: what is gone is made anew by the same words
    gone = Path("scores", f"{Path(names[0]).stem}.scores.h5")
    gone.unlink()
    assert jetad("resubmit", "jobs/hostile", "--force") == 0
    wait(lambda: settled(cluster, "hostile"))
    assert gone.exists()
    assert status("hostile", capsys)[1]["state"] == "done"


def test_the_job_folder_of_an_older_release_is_submitted_again(cluster, folder, capsys):  # noqa: F811
    words = ["--name", "older", "--", "score", "qcd.h5", "--run", "run", "-o", "older"]
    assert jetad("submit", "slurm", *words) == 0
    wait(lambda: settled(cluster, "older"))
    shutil.rmtree("jobs/older/tasks")
    shutil.rmtree("older")
    assert jetad("resubmit", "jobs/older", "--force") == 0
    wait(lambda: settled(cluster, "older"))
    assert status("older", capsys)[1]["state"] == "done"


def test_a_task_without_its_words_says_so(cluster, folder, capsys):  # noqa: F811
    words = ["--name", "lost", "--", "score", "qcd.h5", "--run", "run", "-o", "lost"]
    assert jetad("submit", "slurm", *words) == 0
    wait(lambda: settled(cluster, "lost"))
    shutil.rmtree("lost")
    Path("jobs/lost/tasks/task-1.args").write_bytes(b"")
    assert cluster.ask("sbatch", "--parsable", "jobs/lost/job-1.sh")
    wait(lambda: settled(cluster, "lost"))
    assert "task-1.args: no command for task 1" in Path("jobs/lost/logs/1.log").read_text()


@pytest.mark.slow
def test_time_limits(cluster, folder, capsys):  # noqa: F811
    """With a signal before the limit the training goes on; without, it has failed and gets more time."""
    words = ["--time", "1m", "--", *LONG, "--set", "training.epochs=3000"]
    assert jetad("submit", "slurm", "--name", "warned", "--option", "signal_seconds=30", *words) == 0
    sleep = ["--option", "launcher=bash -c 'trap : USR1; while :; do sleep 1; done'", "--name", "late"]
    assert jetad("submit", "slurm", *sleep, *words) == 0
    wait(lambda: status("warned", capsys)[1]["state"] == "preempted", 300)
    wait(lambda: settled(cluster, "late"), 300)
    task = status("late", capsys)[1]
    assert (task["state"], task["failure"]) == ("failed", "time")
    assert jetad("resubmit", "jobs/late", "--dry-run") == 0
    assert "#SBATCH --time=00:02:00" in capsys.readouterr().out
