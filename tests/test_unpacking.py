"""Small files that unpack to gigabytes: told of or refused, unless a variable says that they are meant."""

from __future__ import annotations

import logging
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from test_cli import jetad

from jetad import readers
from jetad.errors import ConfigError, InputError
from jetad.files.unpacking import UNPACKED_VARIABLE, check_unpacked
from jetad.readers.containers.hdf5 import check_dataset
from jetad.scores import load_scores

ROWS, SLOTS = 1500, 200


@pytest.fixture
def told(monkeypatch):
    """What is told of, without the limit of the environment."""
    monkeypatch.delenv(UNPACKED_VARIABLE, raising=False)
    monkeypatch.setattr("jetad.files.unpacking._told", set())
    messages: list[str] = []
    logger = logging.getLogger("jetad.readers")
    monkeypatch.setattr(logger, "warning", lambda text, *values: messages.append(text % values))
    return messages


@pytest.fixture
def small_limits(monkeypatch, told):
    """A MB in the place of a GB, and fivefold in that of a hundredfold."""
    monkeypatch.setattr("jetad.files.unpacking._USUAL_BYTES", 1_000_000)
    monkeypatch.setattr("jetad.files.unpacking._RATIO", 5)
    return told


def momenta() -> np.ndarray:
    """(n, slots, 4) of E, px, py, pz: two particles, and much padding."""
    values = np.zeros((ROWS, SLOTS, 4))
    values[:, 0] = 130, 60, -80, 80
    values[:, 1] = 66, 32, -40, -40
    return values


def packed_hdf5(folder: Path) -> Path:
    table = np.zeros(ROWS, dtype=[("index", "i8"), ("values_block_0", "f4", (806,))])
    table["values_block_0"][:, :800] = momenta().reshape(ROWS, -1)
    with h5py.File(folder / "jets.h5", "w") as file:
        file.create_dataset("table/table", data=table, chunks=(10,), compression="gzip")
    return folder / "jets.h5"


def packed_npz(folder: Path) -> Path:
    np.savez_compressed(folder / "jets.npz", jets=momenta() * np.linspace(1, 2, ROWS)[:, None, None].round(1))
    return folder / "jets.npz"


def jagged() -> ak.Array:
    values = momenta()
    keys = ("energy", "px", "py", "pz")
    return ak.Array({f"part_{k}": ak.from_iter(values[..., i].tolist()) for i, k in enumerate(keys)})


def packed_parquet(folder: Path) -> Path:
    ak.to_parquet(jagged(), folder / "jets.parquet")
    return folder / "jets.parquet"


def packed_root(folder: Path) -> Path:
    with uproot.recreate(folder / "jets.root", compression=uproot.LZMA(9)) as file:
        file.mktree("tree", {name: "var * float64" for name in jagged().fields})
        file["tree"].extend({name: jagged()[name] for name in jagged().fields})
    return folder / "jets.root"


PACKED = {"hdf5": packed_hdf5, "npz": packed_npz, "parquet": packed_parquet, "root": packed_root}


@pytest.mark.parametrize("kind", PACKED)
def test_jets_are_told_of_or_refused(kind, tmp_path, small_limits, monkeypatch, capsys):
    path = PACKED[kind](tmp_path)
    assert readers.count(path) == ROWS
    assert len(small_limits) == 1
    assert f"{UNPACKED_VARIABLE} says how many GB" in small_limits[0]
    small_limits.clear()
    monkeypatch.setenv(UNPACKED_VARIABLE, "0.001")
    assert jetad("inspect", path) == 1
    assert f"GB, more than {UNPACKED_VARIABLE}=0.001 allows" in capsys.readouterr().err
    for enough in ("3", "inf"):
        monkeypatch.setenv(UNPACKED_VARIABLE, enough)
        assert readers.count(path) == ROWS
    assert small_limits == []


def test_what_is_no_number_is_a_usage_error(tmp_path, small_limits, monkeypatch, capsys):
    path = packed_npz(tmp_path)
    for value in ("x", "0", "-1", "nan", "5 GB"):
        monkeypatch.setenv(UNPACKED_VARIABLE, value)
        assert jetad("inspect", path) == 2, value
        error = capsys.readouterr().err
        assert f"{UNPACKED_VARIABLE} is {value!r}, expected how many GB" in error
        with pytest.raises(ConfigError):
            readers.count(path)


def scores(folder: Path, suffix: str) -> Path:
    """A score file of equal numbers."""
    path = folder / f"x.scores{suffix}"
    columns = {"score": np.zeros(400_000), "entry": np.zeros(400_000, dtype="i8")}
    if suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                file.create_dataset(name, data=values, compression="gzip")
    elif suffix == ".parquet":
        ak.to_parquet(ak.zip(columns), path)
    else:
        with uproot.recreate(path) as file:
            file.mktree("jetad", {name: values.dtype for name, values in columns.items()})
            file["jetad"].extend(columns)
    return path


@pytest.mark.parametrize("suffix", [".h5", ".parquet", ".root"])
def test_scores_that_would_fill_memory_are_refused(suffix, tmp_path, small_limits, monkeypatch):
    path = scores(tmp_path, suffix)
    with pytest.raises(InputError, match=rf"GB at once; .* allow it: {UNPACKED_VARIABLE}=1$"):
        load_scores(path)
    monkeypatch.setenv(UNPACKED_VARIABLE, "1")
    assert len(load_scores(path)) == 400_000


def test_gigabytes_of_a_real_file(tmp_path, told, monkeypatch):
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        shape = (4_000_000, 100, 4)
        file.create_dataset("images", shape=shape, dtype="f4", chunks=(50_000, 100, 4), compression="gzip")
        file["images"][:50_000] = np.zeros((50_000, 100, 4), dtype="f4")
        whole = (10, 1 << 20, 40)
        file.create_dataset("chunk", shape=whole, dtype="f4", chunks=whole, compression="gzip")
    with h5py.File(tmp_path / "bomb.h5") as file:
        with pytest.raises(InputError, match="claims 4000000 rows, but only 50000 are stored"):
            check_dataset("bomb.h5", file["images"])
        assert "MB, unpacks to 6.4 GB, which takes long" in told[0]
        with pytest.raises(
            InputError, match=rf"chunk of '/chunk' unpacks to 1.68 GB at.*{UNPACKED_VARIABLE}=2"
        ):
            check_dataset("bomb.h5", file["chunk"])
        monkeypatch.setenv(UNPACKED_VARIABLE, "2")
        with pytest.raises(InputError, match="claims 10 rows, but only 0 are stored"):
            check_dataset("bomb.h5", file["chunk"])
        with pytest.raises(InputError, match=r"unpacks to 6.4 GB, more than .*=2 allows"):
            check_dataset("bomb.h5", file["images"])


def test_what_is_no_bomb(told):
    check_unpacked("small.h5", 1000, 900_000_000)
    check_unpacked("dense.h5", 100_000_000, 2_000_000_000)
    check_unpacked("dense.h5", 100_000_000, 2_000_000_000, at_once=True)
    assert told == []
