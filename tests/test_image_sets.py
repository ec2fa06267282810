"""The script behind the table of digits: networks, rows, and that it goes on where it was stopped."""

from __future__ import annotations

import gzip
import importlib.util
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parent / "benchmarks" / "image_sets.py"
QUICK = ["training.epochs=1", "network.hidden=[8]", "training.batch_size=32"]
QUICK_NAE = [*QUICK, "training.contrastive.steps=2"]


@pytest.fixture
def script(monkeypatch):
    spec = importlib.util.spec_from_file_location("image_sets", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "image_sets", module)
    spec.loader.exec_module(module)

    def run(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["image_sets.py", *words])
        module.main()

    module.run = run
    return module


@pytest.fixture
def digits(tmp_path) -> Path:
    """Four IDX files of small stripes: class c has a bright row 5 c + 5."""
    folder, rng = tmp_path / "mnist", np.random.default_rng(1)
    folder.mkdir()
    for part, n in (("train", 200), ("t10k", 60)):
        labels = (np.arange(n) % 3).astype(np.uint8)
        images = rng.integers(0, 60, (n, 28, 28)).astype(np.uint8)
        images[np.arange(n), 5 * labels + 5] = 250
        header = struct.pack(">HBB3I", 0, 8, 3, n, 28, 28)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">HBBI", 0, 8, 1, n) + labels.tobytes()
        )
    return folder


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_command_of_the_contract_appends_a_row(script, digits, tmp_path, capsys):
    results = tmp_path / "rows.jsonl"
    words = ["--train", f"mnist=idx:{digits}", "--hold-out", "1", "--results", str(results)]
    script.run(*words, "--detector", f"preset:nae-digits {' '.join(QUICK_NAE)}")
    (row,) = rows_of(results)
    assert (row["detector"], row["held_out"], row["n_train"]) == ("nae-digits", 1, 133)
    assert row["n_test"] == {"mnist": 40, "1": 20}
    assert 0 <= row["auc"]["1"] <= 1
    script.run(*words, "--detector", f"preset:nae-digits {' '.join(QUICK_NAE)}")
    assert rows_of(results) == [row]  # not trained again


def test_detectors_of_a_file_hold_out_what_they_are_told(script, digits, tmp_path, capsys):
    results, listed = tmp_path / "rows.jsonl", tmp_path / "detectors.txt"
    listed.write_text(f"# two\nae=ae {' '.join(QUICK)}  # all\nother=ae {' '.join(QUICK)} | 2\n")
    words = ["--train", f"mnist=idx:{digits}", "--first", "150", "--hold-out", "all", "--published"]
    script.run(*words, "--detectors", str(listed), "--results", str(results))
    rows = rows_of(results)
    assert [(r["detector"], r["held_out"]) for r in rows] == [("ae", 0), ("ae", 1), ("ae", 2), ("other", 2)]
    assert {r["n_train"] for r in rows} == {100}
    table = capsys.readouterr().out.splitlines()
    published = next(line for line in table if line.startswith("| *published*"))
    assert published.split("|")[2:5] == [" *0.819* ", " *0.131* ", " *0.843* "]


def test_presets_keep_their_network_and_methods_get_that_of_the_command(script):
    background = script.as_jets(np.zeros((3, 28, 28), dtype=np.float32))

    def network(spec: str):
        detector = script.DetectorSpec.parse(spec)
        settings = script.shape_settings(background, detector.method, ["network.hidden=[7]"])
        config = detector._replace(settings=(*settings, *detector.settings)).config(
            seed=1, representation="image"
        )
        return config.members["image"].network

    assert network("ae").hidden == (7,)
    assert network("preset:nae-digits").hidden == (1024, 1024)
    assert network("preset:nae-mnist").kind == "mnist28"
    assert network("knn").kind == "inputs"


def test_every_detector_of_the_table_can_be_configured(script):
    background = script.as_jets(np.zeros((3, 28, 28), dtype=np.float32))
    found = script.listed(SCRIPT.with_name("digits.txt"), list(range(10)))
    assert {spec.partition("=")[0] for spec, _ in found} >= {
        "ae",
        "nae-omi",
        "nae-cd",
        "nae-pcd",
        "mpdr-r",
        "knn",
    }
    for spec, held in found:
        detector = script.DetectorSpec.parse(spec)
        settings = script.shape_settings(background, detector.method, script.NETWORK)
        config = detector._replace(settings=(*settings, *detector.settings)).config(
            seed=1, representation="image"
        )
        assert config.members["image"].preprocessing.n_eta == 28
        few = detector.label in ("ae-relative", "glow", "pixelcnn")
        assert held == ([1, 4, 7, 9] if few else list(range(10)))
