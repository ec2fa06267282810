"""Methods and readers of other packages: found by entry points, used from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import h5py
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
# what a user would write: ten lines for each
MODULE = """
import h5py
import torch
from jetad.models.fitted import FittedModel
from jetad.readers.formats.mapping import MappingReader

class FromMean(FittedModel):
    def __init__(self, *settings):
        super().__init__(*settings)
        self.register_buffer("center", torch.zeros(0))
    def fit(self, x, generator, classes=None):
        self.keep(x.device, center=x.mean(0))
    def energy(self, x):
        return (x - self.center).square().sum(1)

CARD = {"model": "jetad_toy:FromMean", "kind": "classical", "inputs": ["image", "features"],
        "phases": ["fit"], "summary": "distance to the mean", "reference": "arXiv:2401.00001"}
METHOD = {"summary": "distance to the mean jet", "base": "knn", "card": CARD}

class CellsReader(MappingReader):
    name, summary, container = "cells", "HDF5 with a dataset 'cells' of pt, eta, phi", "hdf5"
    options = {"external": False}
    def __init__(self, **given):
        cells = {"pt": "cells[0]", "eta": "cells[1]", "phi": "cells[2]"}
        super().__init__({"constituents": cells}, **given)
    def matches(self, path):
        with h5py.File(path) as file:
            return "cells" in file
"""
ENTRY_POINTS = (
    "[jetad.methods]\nfrom-mean = jetad_toy:METHOD\n\n[jetad.readers]\ncells = jetad_toy:CellsReader\n"
)


def distribution(folder: Path, name: str, entry_points: str) -> None:
    """What an installer leaves of a package beside its modules."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


def jets_file(path: Path, *, seed: int, width: float) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.normal(0, width, (400, 20, 3)).astype(np.float32)
    cells[..., 0] = rng.exponential(12, (400, 20)) + 0.5
    cells[np.arange(20) >= rng.integers(5, 20, (400, 1))] = 0
    with h5py.File(path, "w") as file:
        file["cells"] = cells


def jetad(python: str, folder: Path, path: list[Path], *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run(
        [python, "-m", "jetad", *words], cwd=folder, env=env, capture_output=True, text=True
    )


def uses_it(python: str, folder: Path, path: list[Path]) -> None:
    """Train and score with the method, on files of the format."""
    jets_file(folder / "qcd.h5", seed=1, width=0.1)
    jets_file(folder / "wide.h5", seed=2, width=0.3)

    def run(*words: str) -> str:
        result = jetad(python, folder, path, *words)
        assert result.returncode == 0, result.stderr
        return result.stdout

    listed = json.loads(run("methods", "--json"))
    assert listed["from-mean"]["summary"] == "distance to the mean"
    assert "cells" in run("readers")
    run("train", "--background", "qcd.h5", "--method", "from-mean", "--representation", "features",
        "--output", "run", "--device", "cpu")  # fmt: skip
    run("score", "qcd.h5", "wide.h5", "--run", "run", "--output", "scores", "--device", "cpu")
    means = []
    for name in ("qcd", "wide"):
        with h5py.File(folder / "scores" / f"{name}.scores.h5") as file:
            assert len(file["score"]) == 400
            means.append(np.mean(file["score"]))
    assert means[1] > 2 * means[0]
    assert "2401.00001" in run("cite", "--run", "run")


def test_another_package_brings_a_method_and_a_reader(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "jetad_toy.py").write_text(MODULE)
    distribution(site, "jetad_toy", ENTRY_POINTS)
    uses_it(sys.executable, tmp_path, [site, ROOT / "src", ROOT / "cli"])
    gone = jetad(sys.executable, tmp_path, [ROOT / "src", ROOT / "cli"], "score", "qcd.h5", "--run", "run")
    assert gone.returncode == 2
    assert "unknown method 'from-mean'" in gone.stderr
    assert "Traceback" not in gone.stderr


def test_a_broken_package_is_named_and_stops_nothing_else(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "broken_toy.py").write_text("import there_is_no_such_module\n")
    distribution(
        site, "broken_toy",
        "[jetad.methods]\nbroken = broken_toy:METHOD\nnae = broken_toy:METHOD\n\n"
        "[jetad.readers]\nbroken = broken_toy:Reader\n",
    )  # fmt: skip
    path = [site, ROOT / "src", ROOT / "cli"]
    for words in (["methods"], ["readers"], ["inspect", str(ROOT / "data_samples" / "top.h5")]):
        result = jetad(sys.executable, tmp_path, path, *words)
        assert result.returncode == 0, result.stderr
        assert "'broken'" in result.stderr
        assert "there_is_no_such_module" in result.stderr
        assert "Traceback" not in result.stderr
    methods = jetad(sys.executable, tmp_path, path, "methods")
    assert "jetad.methods: 'nae' of broken_toy:METHOD is left out" in methods.stderr
    assert "normalized autoencoder" in methods.stdout
    sample = str(ROOT / "data_samples" / "top.h5")
    asked = jetad(sys.executable, tmp_path, path, "train", "--background", sample, "--method", "broken")
    assert asked.returncode == 2
    assert "repair or remove that package" in asked.stderr
    assert "Traceback" not in asked.stderr


@pytest.mark.slow
def test_a_package_that_pip_installs_works_the_same(tmp_path):
    """Installed by pip into an environment of its own; jetad and what it needs are those of this one."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "jetad_toy.py").write_text(MODULE)
    points = ENTRY_POINTS.replace("[jetad.", '[project.entry-points."jetad.').replace("]\n", '"]\n')
    points = "\n".join(
        f'{line.split(" = ")[0]} = "{line.split(" = ")[1]}"' if " = " in line else line
        for line in points.splitlines()
    )
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n\n'
        f'[project]\nname = "jetad-toy"\nversion = "1.0"\n\n{points}\n\n'
        '[tool.hatch.build.targets.wheel]\ninclude = ["jetad_toy.py"]\n'
    )
    venv.create(tmp_path / "env", with_pip=True, system_site_packages=False)
    python = str(tmp_path / "env" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", str(package)], check=True)
    here = [Path(p) for p in sys.path if p.endswith("site-packages")]
    uses_it(python, tmp_path, [ROOT / "src", ROOT / "cli", *here])
