"""What it takes to add something: one of each kind is added to a copy of the source, and used from there."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
SKIPPED = shutil.ignore_patterns("__pycache__")


class Addition(NamedTuple):
    """New files by name, and lines after which existing files get one more."""

    files: dict[str, str]
    lines: dict[str, tuple[str, str]]  # file -> (after, line)


ADDITIONS = {
    "method": Addition(
        {
            "src/jetad/models/tiny.py": """
from .nae import NormalizedAutoencoder

class Tiny(NormalizedAutoencoder):
    pass
""",
            "src/jetad/presets/tiny.yaml": """
summary: for this test
base: ae
card:
  model: jetad.models.tiny:Tiny
  kind: energy-based
  inputs: [features]
  phases: [reconstruction, likeness]
  summary: for this test
  reference: arXiv:2401.00001
default: [features]
members:
  features:
    network: {kind: straight}
    training: {epochs: 1, likeness: {steps: 3, weight: 0.5}}
""",
        },
        {},
    ),
    "objective": Addition(
        {
            "src/jetad/objectives/likeness.py": """
from pydantic import Field
from ..samplers.persistent import PersistentConfig
from .base import SecondPhase, SecondPhaseConfig

class LikenessConfig(SecondPhaseConfig):
    weight: float = Field(1.0, gt=0)

class Likeness(SecondPhase):
    Settings = LikenessConfig
    name = "likeness"

    def start(self, x_train, x_val):
        return self.prepare_density(x_train, x_val)

    def loss(self, x, generator):
        return self.config.weight * self.model.energy(x).mean(), {}

    def validate(self, x_val, generator):
        return float(self.model.energy(x_val).detach().mean()), {}

    def trouble(self, metrics):
        return None

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
"""
        },
        {
            "src/jetad/objectives/__init__.py": (
                "OBJECTIVES = {", '    "likeness": "jetad.objectives.likeness:Likeness",'
            )
        },
    ),
    "network": Addition(
        {
            "src/jetad/models/networks/straight.py": """
from typing import Literal
from torch import nn
from .base import Architecture
from .parts import PlainInput

class StraightConfig(Architecture):
    kind: Literal["straight"] = "straight"

    def input_layer(self, shape):
        return PlainInput(shape)

    def encoder(self, layer, latent_dim):
        return nn.Linear(layer.n_features, latent_dim)

    def decoder(self, layer, latent_dim):
        return nn.Linear(latent_dim, layer.n_features)

    def scalar(self, layer):
        return nn.Linear(layer.n_features, 1)
"""
        },
        {
            "src/jetad/models/networks/__init__.py": (
                "NETWORKS = {", '    "straight": "jetad.models.networks.straight:StraightConfig",'
            )
        },
    ),
    "sampler": Addition(
        {
            "src/jetad/samplers/uniform.py": """
from typing import Literal
from .base import Negatives, SamplerSettings

class UniformConfig(SamplerSettings):
    needs = ("codec",)
    kind: Literal["uniform"] = "uniform"

class UniformSampler:
    Settings = UniformConfig

    def __init__(self, config):
        pass

    def negatives(self, model, x, generator):
        z = model.random_input(len(x), generator)
        return Negatives(z, z, {})

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
"""
        },
        {
            "src/jetad/samplers/__init__.py": (
                "SAMPLERS = {", '    "uniform": "jetad.samplers.uniform:UniformSampler",'
            )
        },
    ),
    "reader": Addition(
        {
            "src/jetad/readers/formats/upside.py": """
from .landscape import LandscapeReader

class UpsideReader(LandscapeReader):
    name = "upside"
    summary = "for this test"
"""
        },
        {
            "src/jetad/readers/__init__.py": (
                "_OURS = {", '    "upside": "jetad.readers.formats.upside:UpsideReader",'
            )
        },
    ),
    "plot": Addition(
        {
            "src/jetad/plots/areas.py": """
from matplotlib.figure import Figure

def plot_areas(evaluations):
    figure = Figure()
    axes = figure.add_subplot()
    axes.bar(["all"], [sum(r.curve.auc for e in evaluations for r in e.signals.values())])
    return figure
"""
        },
        {
            "cli/jetad_cli/commands/cmd_plot.py": (
                "CURVES = {", '    "areas": Drawing("jetad.plots.areas:plot_areas", "Areas under curves."),'
            )
        },
    ),
    "export target": Addition(
        {
            "src/jetad/export/bare.py": """
from .targets import Target

BARE = Target("for this test", 17, False, lambda model, facts: {model.with_suffix(".txt"): "bare"})
"""
        },
        {"src/jetad/export/__init__.py": ("TARGETS = {", '    "bare": "jetad.export.bare:BARE",')},
    ),
    "batch system": Addition(
        {
            "src/jetad/batch/mine.py": """
from .slurm import Slurm

class Mine(Slurm):
    name = "mine"
"""
        },
        {"src/jetad/batch/systems.py": ("BATCH_SYSTEMS = {", '    "mine": "jetad.batch.mine:Mine",')},
    ),
}  # fmt: skip

USE = """
import sys
import numpy as np
from jetad_cli.main import main

def jetad(*words):
    try:
        main(list(map(str, words)))
    except SystemExit as end:
        assert not end.code, (words, end.code)

background = sys.argv[1]
quick = ("--set", "data.max_jets=120", "--set", "training.epochs=1", "--device", "cpu",
         "--background", background)
jetad("train", "--method", "tiny", "--output", "tiny", "--set", "training.likeness.weight=0.25", *quick)
jetad("train", "--method", "nae", "--representation", "features", "--output", "nae", *quick,
      "--set", "training.contrastive.steps=3", "--set", "training.contrastive.sampler.kind=uniform",
      "--set", "network.kind=straight")
from jetad.runs import Run
config = Run("tiny").config()
assert config.members["features"].training.likeness.weight == 0.25
assert config.members["features"].network.kind == "straight"
assert {line["phase"] for line in Run("tiny").history()} == {"reconstruction", "likeness"}
assert Run("nae").config().members["features"].training.sampler.kind == "uniform"
jetad("cite", "--run", "tiny")
jetad("inspect", background, "--reader", "upside")
from jetad.scores import Scores
Scores(score=np.arange(50.0)).save("b.h5")
Scores(score=np.arange(50.0) + 9).save("s.h5")
jetad("plot", "areas", "--background", "b.h5", "--signal", "s.h5", "--output", "areas")
jetad("export", "--run", "nae", "--target", "bare", "--output", "nae.onnx")
assert open("nae.txt").read() == "bare"
jetad("submit", "mine", "--dry-run", "--", "train", *quick)
"""


def added(copy: Path, addition: Addition) -> None:
    for name, text in addition.files.items():
        (copy / name).write_text(text.lstrip())
    for name, (after, line) in addition.lines.items():
        path = copy / name
        before, found, rest = path.read_text().partition(after + "\n")
        assert found, f"{name} has no line '{after}'"
        path.write_text(f"{before}{found}{line}\n{rest}")


def differences(one: Path, other: Path) -> tuple[list[str], int]:
    """Names of files that only the second folder has, and lines more in those that both have."""
    compared = filecmp.dircmp(one, other, ignore=["__pycache__"])
    new, more = list(compared.right_only), 0
    assert not compared.left_only
    for name in compared.diff_files:
        lines = [(folder / name).read_text().splitlines() for folder in (one, other)]
        assert len(lines[1]) - len(lines[0]) == len(set(lines[1]) - set(lines[0])), f"{name}: lines changed"
        more += len(lines[1]) - len(lines[0])
    for name in compared.common_dirs:
        deeper = differences(one / name, other / name)
        new, more = new + deeper[0], more + deeper[1]
    return new, more


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    for part in ("src", "cli"):
        shutil.copytree(ROOT / part, folder / part, ignore=SKIPPED)
    return folder


@pytest.mark.parametrize("kind", ADDITIONS)
def test_an_addition_is_one_file_and_one_line(clean, tmp_path, kind):
    shutil.copytree(clean, tmp_path / "copy")
    added(tmp_path / "copy", ADDITIONS[kind])
    # the card of a method is in its preset: a second new file instead of a line
    new, more = differences(clean, tmp_path / "copy")
    assert (len(new), more) == ((2, 0) if kind == "method" else (1, 1))


def test_what_is_added_is_found_and_works(clean, tmp_path):
    pytest.importorskip("onnxruntime")
    shutil.copytree(clean, tmp_path / "copy")
    for addition in ADDITIONS.values():
        added(tmp_path / "copy", addition)
    path = os.pathsep.join(str(tmp_path / "copy" / part) for part in ("src", "cli"))
    result = subprocess.run(
        [sys.executable, "-c", USE, str(ROOT / "data_samples" / "qcd_train.h5")],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "2401.00001" in result.stdout
    assert "#SBATCH" in result.stdout
