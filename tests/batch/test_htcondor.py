"""Submit files by HTCondor's own parser, and the exit code protocol by a stand-in for the schedd."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import toy_jets
from test_cli import QUICK, jetad
from test_slurm import LONG

from jetad.runs import Run
from jetad.scores import load_scores
from jetad.writers import write_jets

htcondor2 = pytest.importorskip("htcondor2", reason="needs HTCondor's parser: pip install htcondor")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(quick_runs, tmp_path, monkeypatch):
    """A working folder with a run and jets, and a condor_submit that runs what it is given at once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    tools = tmp_path / "bin"
    tools.mkdir()
    schedd = Path(__file__).with_name("schedd.py")
    (tools / "condor_submit").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {schedd} "$@"\n')
    (tools / "condor_submit").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    shutil.copy(quick_runs / "qcd.h5", "qcd.h5")
    shutil.copytree(quick_runs / "run", "run")
    write_jets(toy_jets(60, 2, labels=1), "signal.h5")
    setup = [f"export PYTHONPATH={ROOT / 'src'}:{ROOT / 'cli'}", "export OMP_NUM_THREADS=1"]
    profile = {"scheduler": "htcondor", "setup": setup}
    profiles = {"shared": profile, "sandbox": {"base": "shared", "transfer_files": "true"}}
    Path("site.yaml").write_text(json.dumps(profiles))
    return tmp_path


def submit(profile: str, *words: object) -> int:
    return jetad("submit", "htcondor", "--site", "site.yaml", "--profile", profile, *words)


def status(job: str, capsys) -> list[dict]:
    capsys.readouterr()
    assert jetad("status", f"jobs/{job}", "--json") == 0
    return json.loads(capsys.readouterr().out)[0]["tasks"]


def test_the_parser_of_htcondor_reads_the_submit_file(folder, capsys):
    words = [
        "--profile",
        "lxplus",
        "--name",
        "x",
        "--seeds",
        3,
        "--gpus",
        1,
        "--cpus",
        4,
        "--account",
        "group_u_X.y",
    ]
    words += ["--option", "disk=4GB", "--option", 'requirements=(OpSysAndVer =?= "AlmaLinux9")']
    words += ["--option", "extra=notification = never", "--option", "extra=+Own = 3"]
    assert jetad("submit", "htcondor", *words, "--dry-run", "--", "train", "-b", "qcd.h5", *QUICK) == 0
    assert not Path("jobs").exists()
    text = capsys.readouterr().out.split("==> jobs/x/job-1.sub\n")[1].split("\n==> ")[0]
    description = htcondor2.Submit(text)
    assert description.getQArgs().startswith("task from")
    assert list(description.itemdata()) == [{"task": "1"}, {"task": "2"}, {"task": "3"}]
    expected = {
        "executable": f"{folder}/jobs/x/job-1.sh",
        "arguments": "$(ClusterId) $(task)",
        "initialdir": str(folder),
        "log": f"{folder}/jobs/x/events.log",
        "request_cpus": "4",
        "request_gpus": "1",
        "request_memory": "3072M",
        "request_disk": "4GB",
        "accounting_group": "group_u_X.y",
        "requirements": '(OpSysAndVer =?= "AlmaLinux9")',
        "on_exit_remove": "ExitCode =!= 85",
        "should_transfer_files": "NO",
        "notification": "never",
        "MY.JobFlavour": '"workday"',
        "MY.Own": "3",
    }
    assert {key: description[key] for key in expected} == expected
    import classad2

    assert classad2.ExprTree(description["on_exit_remove"]).eval(classad2.ClassAd({"ExitCode": 85})) is False
    assert classad2.ExprTree(description["on_exit_remove"]).eval(classad2.ClassAd({"ExitCode": 0})) is True


def test_parts_in_sandboxes_merge_to_the_plain_scores(folder, capsys):
    words = ["--name", "parts", "--parts", 2, "--", "score", "signal.h5", "--run", "run"]
    assert submit("sandbox", *words) == 2
    assert "give --output FOLDER" in capsys.readouterr().err
    assert submit("sandbox", *words, "-o", "scores") == 0
    assert [task["state"] for task in status("parts", capsys)] == ["done", "done"]
    assert jetad("merge", *sorted(Path("scores").glob("*.part-*")), "-o", "merged.h5") == 0
    assert jetad("score", "signal.h5", "--run", "run", "-o", "plain.h5") == 0
    np.testing.assert_array_equal(load_scores("merged.h5").score, load_scores("plain.h5").score)


@pytest.mark.parametrize("profile", [pytest.param("shared", marks=pytest.mark.slow), "sandbox"])
def test_a_training_that_exits_with_85_is_started_again(folder, capsys, monkeypatch, profile):
    monkeypatch.setenv("PREEMPT", "runs/x/checkpoint.pt")
    assert submit(profile, "--name", "x", "--", *LONG) == 0
    monkeypatch.delenv("PREEMPT")
    (task,) = status("x", capsys)
    assert (task["state"], task["starts"], task["node"]) == ("done", 2, "slot1@node")
    assert "going on from the checkpoint" in Path("jobs/x/logs/1.log").read_text()
    with htcondor2.JobEventLog("jobs/x/events.log") as log:  # the stand-in writes what HTCondor can read
        kinds = [int(event.type) for event in log.events(stop_after=0)]
    assert kinds == [0, 1, 3 if profile == "sandbox" else 4, 1, 5]
    assert jetad(*LONG, "-o", "plain") == 0
    assert Run.open("runs/x").model_hash() == Run.open("plain").model_hash()


def _events(*names: str) -> list[str]:
    import schedd

    over = (
        "The system macro SYSTEM_PERIODIC_REMOVE expression evaluated to TRUE: exceeded its wall clock time"
    )
    texts = {
        "submit": (schedd.SUBMITTED, ""),
        "start": (schedd.STARTED, ""),
        "evicted": (schedd.EVICTED, ""),
        "bad": (schedd.ENDED, 1),
        "killed": (schedd.KILLED, 9),
        "memory": (schedd.HELD, "memory usage exceeded request_memory"),
        "time": (schedd.REMOVED, over),
        "removed": (schedd.REMOVED, "via condor_rm (by user me)"),
    }
    at = "(007.001.000) 2026-11-22 10:00:00"
    return [texts[name][0].format(id=at, code=texts[name][1]).rstrip() for name in names]


@pytest.mark.parametrize(
    ("history", "state", "failure", "again"),
    [
        (["submit"], "pending", None, None),
        (["submit", "start"], "running", None, None),
        (["submit", "start", "evicted"], "preempted", None, None),
        (["submit", "start", "memory"], "failed", "memory", ["request_memory = 6144M", "workday"]),
        (["submit", "start", "killed"], "failed", "memory", ["request_memory = 6144M", "workday"]),
        (["submit", "start", "time"], "failed", "time", ["request_memory = 3072M", "+MaxRuntime = 57600"]),
        (["submit", "start", "removed"], "failed", "cancelled", ["request_memory = 3072M", "workday"]),
        (["submit", "start", "bad"], "failed", "failed", None),
    ],
)
def test_what_the_event_log_says(folder, capsys, history, state, failure, again):
    (folder / "bin" / "condor_submit").write_text("#!/bin/sh\necho 7.0 - 7.1\n")
    (folder / "bin" / "condor_rm").write_text(f"#!/bin/sh\necho $1 >>{folder}/removed\n")
    (folder / "bin" / "condor_rm").chmod(0o755)
    words = ["--profile", "lxplus", "--name", "x", "--seeds", 2, "--", "train", "-b", "qcd.h5", *QUICK]
    assert jetad("submit", "htcondor", *words) == 0
    events = [_events("submit")[0].replace("007.001", "007.000"), *_events(*history)]
    Path("jobs/x/events.log").write_text("".join(f"{event}\n...\n" for event in events))
    with htcondor2.JobEventLog("jobs/x/events.log") as log:
        assert len(list(log.events(stop_after=0))) == len(events)
    first, second = status("x", capsys)
    assert first["state"] == "pending"
    assert (second["state"], second["failure"]) == (state, failure)
    assert jetad("resubmit", "jobs/x") == (1 if failure == "failed" else 0)
    if again is None:
        assert not Path("jobs/x/job-2.sub").exists()
        return
    text = Path("jobs/x/job-2.sub").read_text()
    assert all(line in text for line in again)
    assert text.endswith("queue task from (\n  2\n)\n")
    assert (Path("removed").read_text() if Path("removed").exists() else "") == (
        "7.1\n" if "memory" in history else ""
    )
