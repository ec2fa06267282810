"""No YAML takes long, whatever somebody has written into it; each kind is refused with one sentence."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest
import yaml
from conftest import toy_jets
from test_cli import jetad

import jetad as package
import jetad_cli
from jetad.config import resolve_config
from jetad.errors import ConfigError
from jetad.files.yamlfiles import YAMLError, load_yaml
from jetad.models import METHODS
from jetad.writers import write_jets

BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)  # fmt: skip
MERGED = "a: &b0 {x: 1, y: 2}\n" + "".join(
    f"c{i}: &b{i} {{<<: [{', '.join([f'*b{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
)  # fmt: skip
BAD = {
    "bomb": (BOMB, "line 5 holds more than 20000 values"),
    "merged": (MERGED, "holds more than 20000 values"),
    "itself": ("a: &a {b: [1, *a]}", "line 1 contains itself through *a"),
    "itself as key": ("a: &a\n  *a : 1", "line 2 contains itself through *a"),
    "deep": ("a: " + "[" * 5000, "nested more than 50 deep"),
    "deep by aliases": (
        "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 90)), "nested more than 50"
    ),
    "values": ("a: [" + "1," * 50_000 + "]", "holds more than 20000 values"),
    "characters": ("a: b\n" * 100_000, "it has more than 262144 characters"),
    "number": ("a: " + "1" * 5000, "4300 digits"),
    "date": ("a: 2001-99-99", "month must be in 1"),
}  # fmt: skip


@pytest.fixture
def folder(quick_runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    write_jets(toy_jets(60, 2, labels=1), "top.h5")
    shutil.copytree(quick_runs / "run", "run")
    return tmp_path


@pytest.mark.parametrize("name", BAD)
def test_every_place_refuses_it_at_once(folder, capsys, name):
    text, reason = BAD[name]
    for file in ("bad.yaml", "run/config.yaml", "config/jetad/site.yaml"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(text)
    commands = [
        ["train", "-b", "top.h5", "--config", "bad.yaml", "--print-config"],
        ["inspect", "top.h5", "--mapping", "bad.yaml"],
        ["score", "top.h5", "--run", "run", "-o", "x.h5"],
        ["train", "-b", "top.h5", "--print-config", "--set", "network.hidden=" + flow(text)],
    ]
    if name not in ("number", "date"):  # there all values are text
        commands += [
            ["submit", "slurm", "--dry-run", "--", "train", "-b", "top.h5"],
            ["submit", "slurm", "--dry-run", "--site", "bad.yaml", "--", "train", "-b", "top.h5"],
        ]
    for words in commands:
        start = time.perf_counter()
        assert jetad(*words) in (1, 2), words
        assert time.perf_counter() - start < 10
        said = capsys.readouterr().err
        assert "unexpected" not in said
        assert reason.removeprefix("line 5 ").removeprefix("line 2 ") in said
        assert len(said) < 1000


def flow(text: str) -> str:
    """A document as the value of a setting."""
    return text.removeprefix("a: ") if text.count("\n") == 0 else text


def test_aliases_that_stand_for_little_are_read():
    assert load_yaml("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: [*x, *x]}") == {
        "a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": [{"b": 1}, {"b": 1}]},
    }  # fmt: skip
    assert load_yaml("time: 8:00:00", as_text=True) == {"time": "8:00:00"}
    with pytest.raises(YAMLError):
        load_yaml("!!python/object/apply:os.getcwd []")


def test_what_jetad_writes_is_read_again():
    for method in METHODS:
        text = resolve_config(method=method).to_yaml()
        assert load_yaml(text) == yaml.safe_load(text)


def test_yaml_is_read_in_one_place():
    files = [p for root in (package, jetad_cli) for p in Path(root.__file__).parent.rglob("*.py")]
    found = {
        p.name for p in files if re.search(r"yaml\.(\w*load|Loader|SafeLoader|compose|parse)", p.read_text())
    }
    assert found == {"yamlfiles.py"}


@pytest.mark.parametrize(
    ("method", "setting", "reason"),
    [
        ("nae", f"network.hidden={[16] * 19_000}", "at most 64 items"),
        ("nae", "network.hidden=[1000000, 1000000]", "the network has 2.* numbers, and at most 268435456"),
        ("nae", "network.hidden=[0]", "greater than or equal to 1"),
        ("nae", f"network.hidden=[{10**30}]", "beyond all memory|too large|at most"),
        ("nae", "network.latent_dim=10000000000", "at most 268435456|beyond all memory"),
        ("nae", "members.image.preprocessing.n_eta=100000000", "at most 268435456|beyond all memory"),
        ("mpdr-s", f"network.manifold_dims={[4] * 19_000}", "at most 64 items"),
        ("nae", "network={kind: convolution, channels: [" + "4," * 9_000 + "]}", "at most 64 items"),
        ("dagmm", f"model.estimation={[4] * 19_000}", "at most 64 items"),
        ("glow", "model.steps=100000", "less than or equal to 256"),
        ("pixelcnn", "model.blocks=100000", "less than or equal to 256"),
        ("pixelcnn", "model.filters=100000", "at most 268435456"),
        ("isolation-forest", "model.trees=1000000000", "at most 268435456|beyond all memory"),
    ],
)
def test_networks_beyond_all_memory_are_refused_at_once(method, setting, reason):
    start = time.perf_counter()
    representation = "image" if method == "pixelcnn" or "image" in setting or "conv" in setting else None
    with pytest.raises(ConfigError, match=reason) as caught:
        resolve_config(method=method, settings=[setting], representation=representation)
    assert len(str(caught.value)) < 400
    assert time.perf_counter() - start < 10
