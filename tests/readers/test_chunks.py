"""Tables unpacked chunk by chunk hold the same numbers as HDF5 says, however they are stored."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from jetad import read
from jetad.errors import InputError
from jetad.readers import iterate
from jetad.readers.containers import chunks
from jetad.readers.containers.chunks import chunked_columns

SAMPLES = Path(__file__).parents[2] / "data_samples"

KIND = np.dtype(
    [("index", "<i8"), ("pt", "<f4", (7,)), ("mass", ">f8", (3,)), ("flag", "u1"), ("n", "<i2", (2,))]
)
NAMES = ("pt", "mass", "flag", "n")


def table(n: int = 700) -> np.ndarray:
    rng = np.random.default_rng(3)
    rows = np.zeros(n, dtype=KIND)
    rows["index"] = np.arange(n)
    rows["pt"][:, :4] = rng.normal(0, 1e10, (n, 4))  # the last columns are empty, the one before them not
    rows["pt"][:, 5] = rng.integers(0, 2, n)
    rows["pt"][5, 1], rows["pt"][6, 2], rows["pt"][7, 3] = np.nan, -np.inf, -0.0
    rows["mass"] = rng.normal(0, 1, (n, 3))
    rows["flag"] = rng.integers(0, 256, n)
    rows["n"] = rng.integers(-30_000, 30_000, (n, 2))
    return rows


@pytest.fixture(params=["isal", "cramjam"])
def library(request, monkeypatch):
    """Either library; the first only where it is installed."""
    if request.param == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setitem(sys.modules, "isal", None)
    chunks._library.cache_clear()
    yield request.param
    chunks._library.cache_clear()


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("rows", [(0, 700), (0, 64), (63, 65), (130, 131), (699, 700), (50, 500)])
def test_columns_are_those_of_hdf5(tmp_path, library, shuffle, rows):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_dataset("t", data=table(), chunks=(64,), compression="gzip", shuffle=shuffle)
        found = chunked_columns(file["t"], *rows, NAMES)
        assert found is not None
        wanted = file["t"][slice(*rows)]
    for name in NAMES:
        values = wanted[name].reshape(len(wanted), -1)
        assert found[name].shape == values.shape
        assert found[name].astype(values.dtype.newbyteorder("=")).tobytes() == (
            values.astype(values.dtype.newbyteorder("=")).tobytes()
        )


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"chunks": (64,)},
        {"chunks": (64,), "compression": "lzf"},
        {"chunks": (64,), "compression": "gzip", "fletcher32": True},
    ],
)
def test_other_tables_are_left_to_hdf5(tmp_path, stored):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_dataset("t", data=table(), **stored)
        assert chunked_columns(file["t"], 0, 10, NAMES) is None


def test_chunks_that_were_left_unpacked_are_left_to_hdf5(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        data = file.create_dataset("t", (64,), KIND, chunks=(64,), compression="gzip")
        data.id.write_direct_chunk((0,), table(64).tobytes(), filter_mask=1)
    with h5py.File(tmp_path / "t.h5") as file:
        assert file["t"][3]["pt"].tolist() == table(64)[3]["pt"].tolist()
        assert chunked_columns(file["t"], 0, 10, NAMES) is None


def test_no_more_is_unpacked_than_a_chunk_may_hold(library):
    """Ten thousand bytes may claim ten million."""
    try:
        unpacked = chunks._library()(zlib.compress(bytes(10**7)), 1000)
    except Exception:  # one library refuses, the other one stops
        return
    assert len(unpacked) <= 1001


@pytest.mark.parametrize("damage", ["bits", "shorter", "longer"])
def test_a_damaged_chunk_is_named(tmp_path, library, damage):
    path = tmp_path / "damaged.h5"
    path.write_bytes((SAMPLES / "qcd_test.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        data = file["table/table"].id
        mask, packed = data.read_direct_chunk((1280,))
        plain = zlib.decompress(packed)
        packed = {
            "bits": packed[:1000] + bytes(200) + packed[1200:],
            "shorter": zlib.compress(plain[:-8]),
            "longer": zlib.compress(plain + bytes(8)),
        }[damage]
        data.write_direct_chunk((1280,), packed, mask)
    assert sum(len(some) for some in iterate(path, step=100, stop=1000)) == 1000
    with pytest.raises(InputError, match=r"damaged\.h5: rows \d+ to \d+ of 'table': .*from row 1280 on"):
        read(path)


def test_any_part_of_a_file_has_the_jets_of_the_whole():
    path = SAMPLES / "qcd_test.h5"
    whole = read(path, max_jets=900)
    for start, stop, step in ((0, 900, 900), (1, 3, 10), (255, 257, 1), (300, 900, 128)):
        row = start
        for some in iterate(path, start=start, stop=stop, step=step):
            wanted = whole[row : row + len(some)]
            np.testing.assert_array_equal(some.entry, wanted.entry)
            np.testing.assert_array_equal(some.pt, wanted.pt)
            np.testing.assert_array_equal(some.offsets, wanted.offsets)
            row += len(some)
        assert row == stop


def test_root_files_are_unpacked_by_the_fast_library_where_it_is(monkeypatch):
    isal_zlib, used = pytest.importorskip("isal.isal_zlib"), []
    real = isal_zlib.decompress
    monkeypatch.setattr(isal_zlib, "decompress", lambda *a, **k: used.append(1) or real(*a, **k))
    assert len(read(SAMPLES / "qcd_test.root", max_jets=100)) == 100
    assert used


def test_root_files_are_written_as_without_the_fast_library(tmp_path):
    """By a process of its own, in which nothing else has loaded the library."""
    pytest.importorskip("isal.isal_zlib")
    code = """
import sys, uproot
if sys.argv[2] == "without":
    sys.modules["isal"] = None
    import importlib.util
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name: None if name == "isal" else find(name)
from jetad import read
from jetad.writers import write_jets
jets = read(sys.argv[1], max_jets=500)
write_jets(jets, sys.argv[3])
print(uproot.ZLIB(4).compress(bytes(range(256)) * 40).hex())
"""
    said = [
        subprocess.run(
            [sys.executable, "-c", code, SAMPLES / "qcd_test.root", way, tmp_path / f"{way}.root"],
            capture_output=True, text=True, check=True,
        ).stdout
        for way in ("with", "without")
    ]  # fmt: skip
    assert said[0] == said[1]
    assert len(read(tmp_path / "with.root")) == len(read(tmp_path / "without.root")) == 500
