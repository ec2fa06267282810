"""The notebooks run from the first cell to the last, without IPython."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))

BEGIN = """
import subprocess, matplotlib
matplotlib.use("Agg")
def shell(command):
    done = subprocess.run(["bash", "-eo", "pipefail", "-c", command], capture_output=True, text=True)
    print(done.stdout + done.stderr)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}: {command}")
"""


def script(notebook: Path) -> str:
    """The code of a notebook as a script; lines ``!command`` go to a shell, ``%magic`` is left out."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    code = re.sub(r"^%.*$", "", code, flags=re.M)
    commands = re.compile(r"^!((?:.*\\\n)*.*)$", flags=re.M)
    return BEGIN + commands.sub(lambda match: f"shell({match[1]!r})", code)


def run(notebook: Path, folder: Path) -> str:
    """Run a notebook; what it printed.

    Raises:
        AssertionError: if a cell fails, or a command of it.
    """
    (folder / "bin").mkdir()
    jetad = folder / "bin" / "jetad"
    jetad.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jetad "$@"\n')
    jetad.chmod(0o755)
    (folder / "tmp").mkdir()
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "cli")])
    environment = {
        **os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": path,
        "TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    environment.pop("JETAD_RUN", None)
    done = subprocess.run(
        [sys.executable, "-c", script(notebook)], env=environment, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_from_a_root_file_to_a_limit(tmp_path):
    pytest.importorskip("cabinetry")
    printed = run(ROOT / "docs" / "limit.ipynb", tmp_path)
    assert "unknown format" in printed  # jetad does not know the file
    assert "  pt: pfo_pT" in printed
    assert "top: at most" in printed
    found = re.search(r"expected: fewer than (\d+) .* 68 %: (\d+) to (\d+)", printed)
    middle, low, high = map(int, found.groups())
    assert 20 < low < middle < high < 300
    observed = int(re.search(r"observed: fewer than (\d+)", printed)[1])
    assert observed > 150 > middle  # the top jets that are there are not excluded, and are seen
    assert float(re.search(r"significance of the excess ([\d.]+)", printed)[1]) > 2
    fitted, error = map(int, re.search(r"^(\d+) ± (\d+) top jets$", printed, flags=re.M).groups())
    assert abs(fitted - 150) < 2 * error


@pytest.mark.slow
@pytest.mark.parametrize("notebook", [n for n in NOTEBOOKS if n.stem != "limit"], ids=lambda n: n.stem)
def test_other_notebooks_run(notebook, tmp_path):
    run(notebook, tmp_path)


def test_a_cell_or_command_that_fails_is_noticed(tmp_path):
    for i, source in enumerate(("1 / 0", "!jetad score missing.h5 | cat", "!false \\\n  || exit 3")):
        notebook = tmp_path / f"{i}.ipynb"
        notebook.write_text(json.dumps({"cells": [{"cell_type": "code", "source": [source]}]}))
        (tmp_path / str(i)).mkdir()
        with pytest.raises(AssertionError):
            run(notebook, tmp_path / str(i))
