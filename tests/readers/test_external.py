"""Files that take data from other files are refused, and so is what is no plain file; nothing hangs."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import toy_jets
from test_cli import jetad

from jetad import readers
from jetad.errors import InputError
from jetad.scores import load_scores
from jetad.writers import write_jets


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """``jets.h5``, ``images.h5`` (a dataset in the root), and the secrets of somebody."""
    monkeypatch.chdir(tmp_path)
    write_jets(toy_jets(60, 2, labels=1), "jets.h5")
    rng = np.random.default_rng(1)
    with h5py.File("images.h5", "w") as file:
        file["images"] = rng.random((20, 40, 40)).astype("f4")
        file["mass"] = np.arange(20.0)
    Path("secret.bin").write_bytes(rng.bytes(20 * 8))
    with h5py.File("secret.h5", "w") as file:
        file["mass"] = np.arange(20.0)
    os.mkfifo("pipe")
    return tmp_path


def external_link(name: str) -> Callable[[h5py.File], None]:
    def make(file: h5py.File) -> None:
        file["other"] = h5py.ExternalLink(name, "/mass")

    return make


def external_storage(file: h5py.File) -> None:
    file.create_dataset("other", (20,), "f8", external=[("secret.bin", 0, 160)])


def soft_through_external(file: h5py.File) -> None:
    file["group/there"] = h5py.ExternalLink("secret.h5", "/")
    file["other"] = h5py.SoftLink("/group/there/mass")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((20,), "f8")
    layout[:] = h5py.VirtualSource("secret.h5", "mass", (20,))
    file.create_virtual_dataset("deep/er/other", layout)


KINDS = {
    "external link": external_link("secret.h5"),
    "external link to a pipe": external_link("pipe"),
    "external link to nothing": external_link("gone.h5"),
    "external storage": external_storage,
    "soft link through an external one": soft_through_external,
    "virtual dataset": virtual,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["jets.h5", "images.h5"])
def test_data_in_other_files_is_refused(folder, kind, name, capsys):
    with h5py.File(name, "a") as file:
        KINDS[kind](file)
    Path("map.yaml").write_text("images: images\n")
    expected = "lies in another file"
    for words in (
        ["inspect", name], ["inspect", name, "--mapping", "map.yaml"], ["inspect", name, "--suggest-mapping"],
        ["inspect", name, "--reader", "landscape"], ["inspect", name, "--reader", "images"],
        ["inspect", name, "--reader", "lhco"], ["inspect", name, "--reader", "jetnet"],
        ["inspect", name, "--reader", "imagetable"],
    ):  # fmt: skip
        assert jetad(*words) in (1, 2)
        said = capsys.readouterr().err
        assert expected in said or "mapping" in said.split(":")[2], words
        assert "unexpected" not in said
    for call in (readers.count, readers.describe, readers.read):
        with pytest.raises(InputError, match=rf"{name}: '.*' {expected} \((secret|pipe|gone).*external=true"):
            call(name)


@pytest.mark.parametrize(
    "kind", ["external link", "external storage", "soft link through an external one", "virtual dataset"]
)
def test_data_in_other_files_is_read_where_that_is_allowed(folder, kind):
    whole = readers.read("images.h5")
    with h5py.File("images.h5", "a") as file:
        KINDS[kind](file)
    options = {"options": {"external": "true"}}
    if kind == "virtual dataset":
        with pytest.raises(InputError, match="'/deep/er/other' is a virtual dataset, and HDF5 invents"):
            readers.read("images.h5", **options)
        return
    assert readers.detect("images.h5", options["options"]) == "images"
    assert len(readers.read("images.h5", **options)) == len(whole) == 20
    assert jetad("inspect", "images.h5", "--reader-option", "external=true") == 0
    assert jetad("inspect", "images.h5", "--reader-option", "external=no") == 1


def test_links_inside_a_file_are_read(folder):
    with h5py.File("images.h5", "a") as file:
        file["soft"] = h5py.SoftLink("/mass")
        file["hard"] = file["mass"]
        file["dangling"] = h5py.SoftLink("/nowhere")
        file["round"] = file["/"]
    assert len(readers.read("images.h5")) == 20


@pytest.mark.parametrize("kind", KINDS)
def test_scores_in_other_files_are_refused(folder, kind):
    with h5py.File("scores.h5", "w") as file:
        file["score"] = np.arange(20.0)
        KINDS[kind](file)
    with pytest.raises(InputError, match=r"scores\.h5: '.*' lies in another file"):
        load_scores("scores.h5")


@pytest.fixture
def odd(folder):
    """Everything that is no plain file."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for name in ("pipe", "socket"):
            for suffix in ("h5", "root", "npz", "parquet", "csv"):
                Path(f"{name}.{suffix}").symlink_to(name)
        yield {"pipe": "pipe", "socket": "socket", "/dev/zero": "device", "/dev/null": "device"}


def test_pipes_devices_and_sockets_are_refused(odd, quick_runs, capsys):
    shutil.copytree(quick_runs / "run", "run")
    names = dict(odd)
    for name in ("pipe", "socket"):
        names |= {f"{name}.{suffix}": name for suffix in ("h5", "root", "npz", "parquet", "csv")}
    for name, what in names.items():
        for words in (
            ["inspect", name], ["inspect", f"@{name}"], ["score", name, "--run", "run", "-o", "x.h5"],
            ["roc", "-b", name, "-s", name, "-o", "roc"], ["train", "-b", name],
            ["inspect", name, "--reader", "lhco"], ["inspect", name, "--reader", "nanoaod"],
        ):  # fmt: skip
            assert jetad(*words) == 1
            assert f"{name}: is a {what}, and only plain files are read" in capsys.readouterr().err
    Path("list.txt").write_text("pipe.h5\n")
    assert jetad("inspect", "@list.txt") == 1
    assert "pipe.h5: is a pipe" in capsys.readouterr().err
    for call in (readers.count, readers.describe):
        for reader in readers.READERS:
            if reader != "mapping":
                with pytest.raises(InputError, match="is a pipe"):
                    call("pipe.h5", reader=reader)


@pytest.mark.parametrize("name", ["calibration.json", "preprocessing.json", "provenance.json", "config.yaml"])
def test_a_pipe_in_a_run_does_not_hang(folder, quick_runs, capsys, name):
    shutil.copytree(quick_runs / "run", "run")
    os.remove(f"run/{name}")
    os.mkfifo(f"run/{name}")
    assert jetad("score", "jets.h5", "--run", "run", "-o", "x.h5") == 1
    said = capsys.readouterr().err
    assert f"run/{name}: is a pipe" in said or f"{name} is missing" in said
