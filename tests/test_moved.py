"""Modules are found under the names that they had before, with a warning, for one release."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import jetad
from jetad.moved import MOVED

SOURCE = Path(jetad.__file__).parent


@pytest.mark.parametrize(
    ("statement", "now"),
    [
        ("from jetad.run import Run, find_run, collect_provenance", "jetad.runs"),
        ("from jetad.scoring import TrainedDetector, load, select_device", "jetad.detector"),
        ("from jetad.selection import Selection", "jetad.jets.selection"),
        ("from jetad.readers.mapping import MappingReader", "jetad.readers.formats.mapping"),
        (
            "from jetad.readers.arrays import open_arrays, open_parquet, open_source",
            "jetad.readers.containers.arrays",
        ),
        ("from jetad.readers.hdf5file import find_frames, open_hdf5", "jetad.readers.containers.hdf5"),
        ("from jetad.readers.rootfile import flatten, open_root", "jetad.readers.containers.root"),
        ("from jetad.readers.layouts import AspenReader, TableReader", "jetad.readers.formats.layouts"),
        ("from jetad.models.likelihood import LikelihoodModel", "jetad.models.density"),
        ("from jetad.training.phases import SecondPhase", "jetad.objectives.base"),
        ("import jetad.samples as samples; samples.sample('top.h5')", "jetad.demo"),
    ],
)
def test_an_old_name_works_and_says_what_is_new(statement, now, monkeypatch):
    for name in MOVED:
        monkeypatch.delitem(sys.modules, f"jetad.{name}", raising=False)
    with pytest.warns(DeprecationWarning, match=f" is now {now}; the old name works") as caught:
        exec(compile(statement, "their_script.py", "exec"), {})
    assert caught[0].filename == "their_script.py"


@pytest.mark.filterwarnings("ignore:.* is now jetad.*:DeprecationWarning")
@pytest.mark.parametrize("old", MOVED)
def test_every_old_module_has_the_public_names_of_its_new_ones(old):
    assert not (SOURCE / f"{old.replace('.', '/')}.py").exists(), "this one has not moved"
    module = importlib.import_module(f"jetad.{old}")
    for new in MOVED[old]:
        found = importlib.import_module(f"jetad.{new}")
        for name in getattr(found, "__all__", []):
            assert getattr(module, name) is getattr(found, name)


def test_what_is_nowhere_is_still_missing():
    with pytest.raises(ModuleNotFoundError, match=r"jetad\.nowhere"):
        importlib.import_module("jetad.nowhere")
    with (
        pytest.warns(DeprecationWarning, match="is now"),
        pytest.raises(ImportError, match="cannot import name 'Ran'"),
    ):
        exec("import sys; sys.modules.pop('jetad.run', None); from jetad.run import Ran", {})


def test_packages_keep_the_names_of_the_modules_they_were():
    from jetad.calibration import BackgroundEfficiency, Surprise  # noqa: F401
    from jetad.config import RunConfig, TrainingConfig, resolve_config  # noqa: F401
    from jetad.demo import run_demo  # noqa: F401
    from jetad.jets import Jets  # noqa: F401
    from jetad.training.train import prepare_run, train  # noqa: F401
