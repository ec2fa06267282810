"""What is said before the work: `jetad plan` and `jetad doctor`."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import toy_jets
from test_cli import jetad

from jetad.doctor import Finding, examine
from jetad.errors import ConfigError
from jetad.production import Request, score_files
from jetad.production.planning import plan_scoring
from jetad.runs import Run
from jetad.writers import write_jets

N = 1500


@pytest.fixture(scope="module")
def folder(tmp_path_factory, quick_runs):
    folder = tmp_path_factory.mktemp("planning")
    (folder / "run").symlink_to(quick_runs / "run")
    write_jets(toy_jets(N, 2), folder / "many.h5")
    write_jets(toy_jets(100, 3), folder / "few.root")
    return folder


@pytest.fixture
def run(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return Run.open(folder / "run")


# --- plan -------------------------------------------------------------------------------------------


def test_plan_counts_and_extrapolates(folder, run, tmp_path):
    paths = [folder / "many.h5", folder / "few.root"]
    plan = plan_scoring([run], paths, Request(chunk=200), device="cpu", seconds=0.2, startup=2.0)
    assert (plan.n_files, plan.n_jets, plan.jobs, plan.parts) == (2, N + 100, 1, 1)
    assert plan.rate_low <= plan.rate_high
    assert plan.seconds_low <= plan.seconds <= plan.seconds_high
    # start, jets, and what a file takes
    assert plan.seconds > 2.0 + plan.n_jets / plan.rate
    assert not list(tmp_path.iterdir())
    score_files([run], {folder / "many.h5": tmp_path / "a.h5"}, device="cpu")
    size = (tmp_path / "a.h5").stat().st_size / 1e6
    assert size < plan.output_mb < 3 * size  # of both files
    assert 100 < plan.memory_mb < 2000


def test_plan_finds_the_number_of_parts(folder, run):
    def plan(**options):
        return plan_scoring([run], [folder / "many.h5"], Request(), device="cpu", seconds=0.1, **options)

    one = plan(target_hours=1)
    assert one.parts == 1
    with pytest.raises(ConfigError, match=r"takes .* h in every part already"):
        plan(target_hours=1e-7)
    # as long as half of the jets take
    hours = (N / one.rate / 2 + one.seconds - N / one.rate) / 3600
    several = plan(target_hours=hours)
    assert several.parts >= 2
    assert several.part_seconds <= 3600 * hours


def test_plan_prints_a_command_that_works(folder, run, capsys):
    words = ["plan", folder / "many.h5", "--run", run.path, "--seconds", 0.1, "--select", "jet_pt > 300"]
    assert jetad(*words) == 0
    out = capsys.readouterr().out
    command = re.search(r"^command: jetad (.*)$", out, re.MULTILINE)[1]
    assert "'jet_pt > 300'" in command
    assert jetad(*[word.strip("'") for word in re.findall(r"'[^']*'|\S+", command)]) == 0
    assert Path("many.scores.h5").exists()
    assert jetad(*words, "--target-hours", 100, "--json") == 0
    values = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert values["n_jets"] == N
    assert values["batch_command"] is None
    assert jetad("plan", "gone.h5", "--run", run.path) == 1


@pytest.mark.slow
def test_plan_with_two_processes(folder, run):
    paths = [folder / "few.root"]
    plan = plan_scoring([run], paths, Request(), device="cpu", seconds=0.5, jobs=2)
    assert plan.measured_jets == 2 * 100  # each has measured the whole file
    assert plan.seconds > 0


# --- doctor -----------------------------------------------------------------------------------------


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_doctor_here(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("JETAD_RUN", raising=False)
    assert jetad("doctor", tmp_path, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ok"]
    found = {f["name"]: f for f in result["findings"]}
    assert {
        "torch",
        "device",
        "memory",
        "folder",
        "HDF5",
        "locks",
        "scratch",
        "XRootD",
        "extras",
        "clock",
    } <= set(found)
    assert all(f["advice"] for f in result["findings"] if f["status"] != "ok")
    assert f"{len(os.sched_getaffinity(0))} CPU cores" in found["threads"]["found"]
    assert not list(tmp_path.iterdir())


def test_doctor_finds_what_fails(tmp_path, monkeypatch, capsys):
    assert jetad("doctor", tmp_path / "gone") == 1
    captured = capsys.readouterr()
    assert re.search(r"^fail  folder .*no such folder\n +-> make it", captured.out, re.MULTILINE)
    assert captured.err.startswith("jetad: error: folder:")
    monkeypatch.setenv("JETAD_RUN", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nothing"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    (tmp_path / "file").touch()
    found = by_name(examine(tmp_path))
    assert found["JETAD_RUN"].status == "fail"
    assert found["scratch"].status == "warn"
    assert found["threads"].status == "warn"


@pytest.mark.parametrize(
    ("limit", "value", "name", "status"),
    [
        ("RLIMIT_FSIZE", 1 << 20, "folder", "fail"),
        pytest.param("RLIMIT_NOFILE", 100, "processes", "warn", marks=pytest.mark.slow),
        pytest.param("RLIMIT_AS", 2_000_000_000, "ulimit -v", "warn", marks=pytest.mark.slow),
    ],
)
def test_doctor_finds_limits(tmp_path, limit, value, name, status):
    number = getattr(resource, limit)
    result = subprocess.run(
        [sys.executable, "-m", "jetad", "doctor", str(tmp_path), "--json"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(number, (value, value)),
        env={**os.environ, "JETAD_RUN": ""},
    )
    found = {f["name"]: f for f in json.loads(result.stdout)["findings"]}
    assert found[name]["status"] == status
    assert result.returncode == (1 if status == "fail" else 0)


@pytest.mark.slow
def test_doctor_finds_a_locale_without_accents(tmp_path):
    env = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "JETAD_RUN": ""}
    words = [sys.executable, "-m", "jetad", "doctor", str(tmp_path), "--json"]
    result = subprocess.run(words, capture_output=True, text=True, env=env)
    found = {f["name"]: f for f in json.loads(result.stdout)["findings"]}
    assert found["locale"]["status"] == "warn"
