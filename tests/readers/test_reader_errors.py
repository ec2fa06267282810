"""Every bad input ends in one sentence that names the file, what was found and what to do."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys

import awkward as ak
import h5py
import numpy as np
import pandas as pd
import pytest
import uproot
from reader_examples import (
    LAYOUTS,
    jetclass_arrays,
    landscape_frame,
    make_example,
    write_root,
    write_table,
)

from jetad import readers
from jetad.errors import ConfigError, InputError, MissingPackageError
from jetad.readers import base


@pytest.fixture
def table(tmp_path):
    return write_table(tmp_path / "qcd_train.h5", landscape_frame(make_example(30)))


@pytest.fixture
def tree(tmp_path):
    return write_root(tmp_path / "qcd_train.root", jetclass_arrays(make_example(30)))


# --- the file itself ------------------------------------------------------------------------------


def test_missing_file_names_a_similar_one(table):
    with pytest.raises(InputError, match=r"qcd_tran\.h5: no such file; did you mean '.*qcd_train\.h5'\?"):
        readers.read(table.with_name("qcd_tran.h5"))
    with pytest.raises(InputError, match=r"no such file \(nor is there a folder /no/where\)"):
        readers.detect("/no/where/x.h5")
    with pytest.raises(InputError, match="no such file"):
        readers.iterate(f"{table.with_name('other.root')}:tree")


def test_folder(tmp_path):
    with pytest.raises(InputError, match=r"is a folder; name the files in it, for example '.*\*\.root'"):
        readers.read(tmp_path)


def test_empty_file(tmp_path):
    path = tmp_path / "x.root"
    path.touch()
    with pytest.raises(InputError, match=r"x\.root: is empty \(0 bytes\)"):
        readers.count(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.root", b"hello world", r"not a ROOT file: first four bytes are b'hell' instead of b'root'"),
        ("x.h5", b"hello world", r"not an HDF5 file: first eight bytes are b'hello wo'"),
        ("x.dat", b"hello world", r"unknown format: first four bytes are b'hell'"),
        ("x", b"\x00", r"unknown format: first four bytes are b'\\x00'"),
        ("x.h5", b"version https://git-lfs.github.com/spec/v1\n", r"a Git LFS pointer.*git lfs pull"),
        ("x.root", b"<!DOCTYPE html><html>", r"a web page, so the download went wrong"),
        ("x.h5.gz", b"\x1f\x8b\x08\x00", r"gzip-compressed \(decompress it first\)"),
        (
            "x.parquet",
            b"PAR1....",
            "cannot be read",
        ),
        ("x.root", b"root", r"the file is truncated"),
    ],
)
def test_other_content(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: .*{message}"):
        readers.read(tmp_path / name)


@pytest.mark.parametrize("fraction", [0.02, 0.5, 0.99])
@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_truncated_file(layout, fraction, tmp_path):
    path = LAYOUTS[layout](tmp_path, make_example(30))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    with pytest.raises(InputError, match=rf"{path.name}: .*the file is truncated: \d+ of {len(data)} bytes"):
        readers.read(path)


def test_header_of_uproot_3(table, tree):
    """It wrote the version less a million: a small file, with 32-bit places."""
    data = bytearray(tree.read_bytes())
    n_jets = len(readers.read(tree))
    version = int.from_bytes(data[4:8], "big")
    assert version < 1_000_000
    data[4:8] = (version - 1_000_000).to_bytes(4, "big", signed=True)
    tree.write_bytes(data)
    assert len(readers.read(tree)) == n_jets
    tree.write_bytes(data[:-5])
    with pytest.raises(InputError, match=rf"truncated: \d+ of {len(data)} bytes"):
        readers.read(tree)


def test_flat_columns_with_the_names_of_nanoaod(tmp_path):
    columns = {f"Jet_{k}": np.ones(4) for k in ("pt", "eta", "phi", "mass")}
    path = write_root(tmp_path / "x.root", columns)
    with pytest.raises(InputError, match=r"branch 'Jet_pt' holds 4 \* float64.*inspect --suggest-mapping"):
        readers.describe(path)


def test_pickled_objects_are_not_loaded(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[1], [2, 3]], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"x\.npy: holds pickled Python objects, which are not loaded"):
        readers.read(tmp_path / "x.npy")


def test_remote_file():
    with pytest.raises(InputError, match=r"only files named \.root or \.h5, .* are read from a server; copy"):
        readers.read("root://eos.cern.ch//store/x.parquet")
    with pytest.raises(InputError, match="patterns are not expanded on a server; list the files"):
        readers.read("root://eos.cern.ch//store/*.root")
    if importlib.util.find_spec("fsspec_xrootd") is None:
        message = r"root://eos\.cern\.ch//store/x\.root: .* pip install 'jetad\[xrootd\]'"
        with pytest.raises(MissingPackageError, match=message):
            readers.read("root://eos.cern.ch//store/x.root:Events")


def test_unreadable_file(table, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(h5py, "File", refuse)
    with pytest.raises(InputError, match=r"qcd_train\.h5: no permission to read this file"):
        readers.read(table)


def test_pattern_without_match(tmp_path):
    with pytest.raises(InputError, match=r"\*\.h5: no file matches this pattern"):
        readers.read(tmp_path / "*.h5")
    with pytest.raises(InputError, match="no input file was given"):
        readers.read([])


def test_bad_arguments(table):
    with pytest.raises(ConfigError, match="unknown reader 'jetklass'; choose one of: jetclass"):
        readers.read(table, reader="jetklass")
    with pytest.raises(InputError, match="at least 1, found 0"):
        readers.iterate(table, step=0)
    with pytest.raises(InputError, match="at least 1, found 0"):
        readers.read(table, max_jets=0)


# --- zero jets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["table", "fixed", "ttree", "rntuple"])
def test_zero_jets(layout, tmp_path):
    if layout in ("ttree", "rntuple"):
        arrays = {k: v[:0] for k, v in jetclass_arrays(make_example(3)).items()}
        path = tmp_path / "x.root"
        with uproot.recreate(path) as file:
            if layout == "ttree":
                file.mktree("tree", {k: "var * float32" if "part" in k else "float32" for k in arrays})
            else:
                file.mkrntuple("tree", ak.Array(arrays))
    else:
        frame = landscape_frame(make_example(3))
        path = write_table(tmp_path / "x.h5", frame[:0] if layout == "fixed" else frame, format=layout)
        if layout == "table":  # pandas does not write empty tables
            with h5py.File(path, "a") as file:
                file["table/table"].resize(0, axis=0)
                file["table/table"].attrs["NROWS"] = 0
    assert readers.count(path) == 0
    assert list(readers.iterate(path)) == []
    assert "holds zero jets" in readers.describe(path).warnings
    assert readers.describe(path).units == "unknown"
    with pytest.raises(InputError, match=rf"{path.name}: holds zero jets"):
        readers.read(path)


def test_zero_jets_of_one_file_among_others(table, tmp_path):
    frame = landscape_frame(make_example(3))[:0]
    empty = write_table(tmp_path / "empty.h5", frame, format="fixed")
    assert len(readers.read([empty, table])) == 30
    with pytest.raises(InputError, match="and 1 more files: hold zero jets"):
        readers.read([empty, shutil.copy(empty, tmp_path / "empty2.h5")])


# --- HDF5 -----------------------------------------------------------------------------------------


def test_hdf5_without_jets(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["jet_features"] = np.zeros((3, 4))
    with pytest.raises(
        InputError,
        match=r"unknown format; .* \(not landscape: .*the file holds jet_features; not jetnet: no datasets",
    ):
        readers.read(path)
    pd.DataFrame({"E_1": [1.0], "img_0": [2.0]}).to_hdf(path, key="images", format="table", mode="w")
    with pytest.raises(InputError, match=r"no pandas table has columns E_0.* 'images' with E_1, img_0"):
        readers.read(path)
    with pytest.raises(InputError, match="no pandas table has columns E_0"):
        readers.read(path, reader="landscape")


def test_missing_column_of_one_constituent(tmp_path):
    path = write_table(tmp_path / "x.h5", landscape_frame(make_example(3)).drop(columns="PY_7"))
    with pytest.raises(InputError, match="'table' has constituent 7, but no column PY_7"):
        readers.read(path)


def test_unknown_table(table):
    with pytest.raises(InputError, match="no table 'tabel'; there are: table"):
        readers.read(f"{table}:tabel")


def test_columns_that_are_not_numbers(tmp_path):
    frame = landscape_frame(make_example(3))
    frame["E_0"] = ["a", "b", "c"]
    with pytest.raises(InputError, match=r"column 'E_0' of 'table' is \|S1, not a number"):
        readers.read(write_table(tmp_path / "x.h5", frame))


def test_blosc_is_read_with_its_plugin(tmp_path):
    pytest.importorskip("hdf5plugin")
    frame = landscape_frame(make_example(300))
    for layout in ("table", "fixed"):
        path = tmp_path / f"{layout}.h5"
        frame.to_hdf(path, key="table", format=layout, complib="blosc", complevel=5)
        assert len(readers.read(path)) == 300


def test_blosc_needs_a_plugin(tmp_path):
    path = write_table(tmp_path / "x.h5", landscape_frame(make_example(300)), complib="blosc", complevel=5)
    lines = ("import sys", "sys.modules['hdf5plugin'] = None", "import jetad", f"jetad.read({str(path)!r})")
    found = subprocess.run([sys.executable, "-c", "; ".join(lines)], capture_output=True, text=True)
    assert re.search(r"compressed with blosc, .* pip install 'jetad\[hdf5\]'", found.stderr)


def test_unknown_filter(table):
    data = table.read_bytes()
    at = data.index(b"deflate") - 8  # filter message: code, length of its name, flags, number of values, name
    assert data[at] == 1
    table.write_bytes(data[:at] + b"\x99" + data[at + 1 :])
    with pytest.raises(
        InputError, match=r"compressed with deflate \(filter 153\), which cannot be read here"
    ):
        readers.read(table)


def test_promised_rows_that_are_not_stored(table):
    with h5py.File(table, "a") as file:
        file["table/table"].resize(10**12, axis=0)
        file["table/table"].attrs["NROWS"] = 10**12
    with pytest.raises(InputError, match=r"claims 1000000000000 rows, but only \d+ are stored"):
        readers.count(table)


def test_rows_that_the_header_forgot(table):
    with h5py.File(table, "a") as file:
        file["table/table"].resize(29, axis=0)
    with pytest.raises(InputError, match="has 29 rows, but its attribute NROWS says 30; the file is broken"):
        readers.count(table)


def test_blocks_of_different_length(tmp_path):
    path = write_table(tmp_path / "x.h5", landscape_frame(make_example(5)), format="fixed")
    with h5py.File(path, "a") as file:
        del file["table/block1_values"]
        file["table/block1_values"] = np.zeros((4, 2), dtype=np.int64)
    with pytest.raises(InputError, match=r"the blocks of 'table' differ in length: \[4, 5\]"):
        readers.read(path)


# --- ROOT -----------------------------------------------------------------------------------------


def test_missing_branch_lists_the_closest(tmp_path):
    arrays = jetclass_arrays(make_example(3))
    arrays["part_pzz"] = arrays.pop("part_pz")
    path = write_root(tmp_path / "x.root", arrays)
    with pytest.raises(
        InputError,
        match=r"tree 'tree' lacks part_pz; closest of its \d+ branches: part_pzz, npart_pzz, part_p",
    ):
        readers.read(path)


def test_root_without_trees(tmp_path):
    path = tmp_path / "x.root"
    with uproot.recreate(path) as file:
        file["histogram"] = np.histogram([1.0, 2.0])
    with pytest.raises(InputError, match=r"no tree with branches part_energy.*; the file holds histogram"):
        readers.read(path)


def test_unknown_tree(tree):
    with pytest.raises(InputError, match="no tree 'Events'; there are: tree"):
        readers.read(f"{tree}:Events")


def test_momenta_of_different_length(tmp_path):
    arrays = jetclass_arrays(make_example(8, min_constituents=2))
    lengths = ak.num(arrays["part_px"]).to_numpy().copy()
    lengths[5] -= 1
    arrays["part_pz"] = ak.unflatten(np.ones(lengths.sum(), dtype="f4"), lengths)
    path = write_root(tmp_path / "x.root", arrays)
    with pytest.raises(
        InputError, match=rf"entry 5 has {lengths[5] + 1} values in 'part_energy', but {lengths[5]}"
    ):
        readers.read(path)


def test_momenta_that_are_not_lists(tmp_path):
    arrays = jetclass_arrays(make_example(8))
    arrays["part_px"] = np.zeros(8, dtype="f4")
    with pytest.raises(InputError, match=r"branch 'part_px' holds 8 \* float32, expected a list of numbers"):
        readers.read(write_root(tmp_path / "x.root", arrays))
    arrays["part_px"] = np.zeros((8, 2, 2), dtype="f4")
    with pytest.raises(
        InputError, match=r"expected a list of numbers per entry; .* name its columns in a mapping"
    ):
        readers.read(write_root(tmp_path / "y.root", arrays))


# --- units ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_mev_is_refused_and_described(layout, tmp_path):
    example = make_example(30)
    example.momenta *= 1000
    path = LAYOUTS[layout](tmp_path, example)
    with pytest.raises(InputError, match="the momenta look like MeV: the median jet pT is"):
        readers.read(path)
    summary = readers.describe(path)
    assert summary.units == "MeV?"
    assert "look like MeV" in summary.warnings[0]
    assert len(next(readers.iterate(path, check_units=False))) == 30


# --- translation ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            MemoryError("Unable to allocate 8 EiB"),
            "more memory was asked for than there is .Unable to allocate 8 EiB",
        ),
        (KeyError("x"), "broken or of another kind .KeyError: 'x'"),
        (ValueError("first\nsecond"), "broken or of another kind .ValueError: first."),
        (ModuleNotFoundError("install the\n  'lz4' package with:\n pip install lz4"), "pip install lz4"),
        (RecursionError(), "RecursionError"),
    ],
)
def test_low_level_errors_are_translated_in_one_place(error, message):
    with pytest.raises(InputError, match=f"^x.root: .*{message}") as caught, base.reading("x.root"):
        raise error
    assert caught.value.__cause__ is error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", ["score", "train"])
def test_a_file_of_no_format_is_refused_before_torch_is_loaded(command, tmp_path):
    """Loading torch takes seconds; the file is looked at first."""
    (tmp_path / "x.dat").write_text("hello")
    (tmp_path / "run").mkdir()
    for name in ("provenance.json", "config.yaml"):
        (tmp_path / "run" / name).write_text("{}")
    words = {"score": ["x.dat", "--run", "run"], "train": ["--background", "x.dat"]}[command]
    script = (
        "import sys; from jetad_cli.main import main\n"
        "try:\n    code = main(sys.argv[1:])\nexcept SystemExit as error:\n    code = error.code\n"
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, command, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == ["1", "False"], done.stderr
    assert "x.dat: unknown format" in done.stderr
