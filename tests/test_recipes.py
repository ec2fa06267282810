"""The workflows of docs/recipes, run by their engines on the shipped samples."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from jetad.production import read_ledger
from jetad.readers import count

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "docs" / "recipes"
DATA = ROOT / "data_samples"
QUICK = ["training.epochs=1", "training.contrastive.steps=5", "data.max_jets=500"]


def engine(name: str) -> str:
    """The engine; ``JETAD_TEST_ENGINES`` names folders to look into besides the PATH."""
    folders = os.pathsep.join([os.environ["PATH"], os.environ.get("JETAD_TEST_ENGINES", "")])
    found = shutil.which(name, path=folders)
    if found is None:
        pytest.skip(f"{name} is not installed (pip install {name}, best in an environment of its own)")
    return found


@pytest.fixture
def run_engine(tmp_path):
    """Run a command with our ``jetad`` first in the PATH."""
    binary = tmp_path / "bin"
    binary.mkdir()
    script = binary / "jetad"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jetad "$@"\n')
    script.chmod(0o755)

    def run(*words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, **env, "PATH": f"{binary}{os.pathsep}{os.environ['PATH']}"}
        return subprocess.run(words, cwd=cwd, env=variables, capture_output=True, text=True)

    return run


def check_results(scores: Path, numbers: Path) -> None:
    assert set(json.loads(numbers.read_text())["signals"]) == {"top", "svj"}
    for name in ("qcd_test", "top", "svj"):
        ledger = read_ledger(scores / f"{name}.scores.h5")
        assert ledger["status"] == "complete"
        assert ledger["n_read"] == count(DATA / f"{name}.h5") > 1000


@pytest.mark.slow
def test_snakemake(run_engine, tmp_path):
    snakemake = engine("snakemake")
    settings = json.dumps(QUICK)
    words = [
        snakemake, "--snakefile", str(RECIPES / "snakemake" / "Snakefile"), "--cores", "1",
        "--config", f"data={DATA}", f"settings={settings}",
    ]  # fmt: skip
    result = run_engine(*words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    check_results(tmp_path / "scores", tmp_path / "roc.json")
    again = run_engine(*words, cwd=tmp_path)
    assert "Nothing to be done" in again.stdout + again.stderr
    os.remove(tmp_path / "scores" / "top.scores.h5")
    os.remove(tmp_path / "roc.json")
    again = run_engine(*words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "rule train" not in again.stderr
    assert (tmp_path / "scores" / "top.scores.h5").exists()


@pytest.mark.slow
def test_law(run_engine, tmp_path):
    law = engine("law")
    folder = tmp_path / "law"
    shutil.copytree(RECIPES / "law", folder)
    env = {
        "LAW_CONFIG_FILE": str(folder / "law.cfg"), "LAW_HOME": str(tmp_path / "home"),
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    words = [
        law, "run", "jetad_tasks.Roc", "--version", "v1", "--data", str(DATA),
        "--settings", ",".join(QUICK), "--local-scheduler",
    ]  # fmt: skip
    result = run_engine(*words, cwd=folder, **env)
    assert result.returncode == 0, result.stdout + result.stderr
    check_results(folder / "store" / "v1" / "scores", folder / "store" / "v1" / "roc.json")
    again = run_engine(*words, cwd=folder, **env)
    assert again.returncode == 0
    assert "1 complete ones were encountered" in again.stdout + again.stderr


@pytest.mark.slow
def test_reana_accepts_the_workflow(run_engine, tmp_path):
    client = engine("reana-client")
    shutil.copy(RECIPES / "reana" / "reana.yaml", tmp_path)
    result = run_engine(client, "validate", "-f", "reana.yaml", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Valid REANA specification file" in result.stdout


@pytest.mark.slow
def test_reana_steps_do_what_they_say(run_engine, tmp_path):
    """The commands of the steps, one after the other, in a shell: what REANA runs in containers."""
    workflow = yaml.safe_load((RECIPES / "reana" / "reana.yaml").read_text())
    (tmp_path / "data_samples").symlink_to(DATA)
    parameters = {**workflow["inputs"]["parameters"], "epochs": 1}
    for step in workflow["workflow"]["specification"]["steps"]:
        for command in step["commands"]:
            for key, value in parameters.items():
                command = command.replace(f"${{{key}}}", str(value))
            short = " --set training.contrastive.steps=5 --max-jets 500" if " train " in command else ""
            result = run_engine("bash", "-c", command + short, cwd=tmp_path)
            assert result.returncode == 0, result.stderr
    for name in workflow["outputs"]["files"]:
        assert (tmp_path / name).exists()
