"""What is released is complete and consistent: wheel, sdist, manual pages, citation, conda recipe."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import jetad
from jetad_cli.main import COMMANDS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# names that differ: on PyPI -> on conda-forge
CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def call(*words: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """Run a program; what it prints.

    Raises:
        AssertionError: if it fails.
    """
    result = subprocess.run(
        list(map(str, words)), cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def module(name: str) -> tuple[str, str, str]:
    """``python -m name``, if it is installed."""
    pytest.importorskip(name, reason="needs the extra [release]")
    return sys.executable, "-m", name


def conda_requirements(names: list[str]) -> set[tuple[str, str]]:
    """Requirements of PyPI as name and range on conda-forge."""
    pairs = [re.fullmatch(r"([\w-]+)(.*)", name) for name in names]
    return {(CONDA.get(pair[1], pair[1]), pair[2]) for pair in pairs if pair}


def test_the_version_is_the_same_everywhere():
    assert PROJECT["project"]["dynamic"] == ["version"]
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text())
    assert recipe["context"]["version"] == jetad.__version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == jetad.__version__
    for tag in re.findall(r"REGISTRY/jetad:(\S+)", (ROOT / "docs/recipes/reana/reana.yaml").read_text()):
        assert tag == jetad.__version__


def test_the_conda_recipe_needs_what_the_wheel_needs():
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text())
    python = ("python", PROJECT["project"]["requires-python"])
    run = {tuple(line.partition(" ")[::2]) for line in recipe["requirements"]["run"]}
    assert run == conda_requirements(PROJECT["project"]["dependencies"]) | {python}
    host = {tuple(line.partition(" ")[::2]) for line in recipe["requirements"]["host"]}
    assert host == conda_requirements(PROJECT["build-system"]["requires"]) | {python, ("pip", "")}
    [(name, function)] = PROJECT["project"]["scripts"].items()
    assert recipe["build"]["python"]["entry_points"] == [f"{name} = {function}"]


@pytest.mark.slow
def test_conda_takes_the_recipe():
    rattler = pytest.importorskip("rattler_build", reason="needs the extra [release]")
    [rendered] = rattler.Stage0Recipe.from_file(ROOT / "conda" / "recipe.yaml").render()
    assert rendered.recipe.package.name == "jetad"
    assert rendered.recipe.package.version == jetad.__version__


@pytest.mark.slow
def test_the_citation_is_valid(tmp_path):
    check = [*module("check_jsonschema"), "--builtin-schema", "vendor.citation-file-format"]
    call(*check, ROOT / "CITATION.cff")
    wrong = tmp_path / "CITATION.cff"
    wrong.write_text((ROOT / "CITATION.cff").read_text().replace("authors:", "writers:", 1))
    with pytest.raises(AssertionError, match="'authors' is a required property"):
        call(*check, wrong)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel made from it alone."""
    folder = tmp_path_factory.mktemp("dist")
    call(*module("build"), "--outdir", folder, ROOT)
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def files_below(*folders: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not {"__pycache__", ".ipynb_checkpoints"} & set(path.parts)
    }


@pytest.mark.slow
@pytest.mark.xdist_group("release")
def test_sdist_and_wheel_hold_all_files(built):
    sdist, wheel = built
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    folders, more = ["src", "cli", "data_samples"], ["tests", "docs", "conda"]
    single = {
        "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "CITATION.cff", "pyproject.toml",
        "mkdocs.yml",
    }  # fmt: skip
    assert files_below(*folders, *more) | single | {"hatch_build.py"} <= packed
    known = {*folders, *more, *single, "hatch_build.py", ".gitignore", "PKG-INFO"}
    assert {name.split("/")[0] for name in packed} <= known

    moved = {"src/": "", "cli/": "", "data_samples/": "jetad/data_samples/"}
    installed = {re.sub(r"^\w+/", lambda top: moved[top[0]], name) for name in files_below(*folders)}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    library = {name for name in names if name.startswith("jetad")} - {n for n in names if ".dist-info/" in n}
    pages = {name.rpartition("/")[2] for name in library if ".data/data/share/man/man1/" in name}
    assert {name for name in library if ".data/" not in name} == installed
    assert {"jetad.1", *(f"jetad-{name}.1" for name in COMMANDS)} <= pages
    assert wheel.stat().st_size < 32e6


@pytest.mark.slow
@pytest.mark.xdist_group("release")
def test_checkers_find_nothing(built):
    call(*module("twine"), "check", "--strict", *built)
    call(*module("check_wheel_contents"), "--toplevel", "jetad,jetad_cli", built[1])


@pytest.mark.slow
@pytest.mark.xdist_group("release")
def test_manual_pages_are_valid(built, tmp_path):
    with zipfile.ZipFile(built[1]) as archive:
        pages = [name for name in archive.namelist() if name.endswith(".1")]
        archive.extractall(tmp_path, pages)
    train = next(tmp_path / page for page in pages if page.endswith("/jetad-train.1"))
    assert ".nf\njetad train --background qcd.h5\n" in train.read_text()
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    for page in pages:
        assert "\b" not in (tmp_path / page).read_text()
        result = subprocess.run(
            ["groff", "-man", "-ww", "-z", tmp_path / page], capture_output=True, text=True, check=True
        )
        assert result.stderr == ""


@pytest.mark.slow
@pytest.mark.xdist_group("release")
def test_the_wheel_works_without_the_source_tree(built, tmp_path):
    """The demo itself is run from the installed wheel by .ci/run."""
    target = tmp_path / "site"
    call(sys.executable, "-m", "pip", "install", "--no-deps", "--target", target, built[1])
    settings = ["--set", "training.epochs=1", "--method", "gmm", "--max-jets", "500"]
    script = "from jetad.demo.samples import sample; print(sample('qcd_train.h5'))"
    [path] = call(sys.executable, "-c", script, cwd=tmp_path, PYTHONPATH=str(target)).splitlines()
    assert path == str(target / "jetad" / "data_samples" / "qcd_train.h5")
    words = ["-m", "jetad", "train", "--background", path, *settings]
    call(sys.executable, *words, cwd=tmp_path, PYTHONPATH=str(target))
    assert (tmp_path / "runs" / "latest" / "model.safetensors").exists()


@pytest.mark.slow
@pytest.mark.xdist_group("release")
def test_all_extras_resolve(built, tmp_path):
    words = ["--dry-run", "--quiet", "--ignore-installed", "--report", tmp_path / "report.json"]
    call(sys.executable, "-m", "pip", "install", *words, f"{built[1]}[all]")
    report = json.loads((tmp_path / "report.json").read_text())
    found = {item["metadata"]["name"] for item in report["install"]}
    assert {"jetad", "torch", "pythia8mc", "fastjet", "pyarrow", "onnxruntime"} <= found
