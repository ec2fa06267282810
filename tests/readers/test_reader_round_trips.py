"""What independent writers put into a file comes out of the readers, streamed or whole."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reader_examples import (
    LAYOUTS,
    Example,
    jetclass_arrays,
    landscape_frame,
    make_example,
    write_root,
    write_table,
)

from jetad import readers
from jetad.errors import InputError
from jetad.jets import Jets
from jetad.readers.formats import jetclass, landscape

every_layout = pytest.mark.parametrize("layout", list(LAYOUTS))


def assert_same(found: Jets, example: Example) -> None:
    np.testing.assert_array_equal(found.offsets, example.offsets)
    np.testing.assert_array_equal(found.labels, example.labels)
    np.testing.assert_array_equal(found.entry, np.arange(len(example)))
    pt, eta, phi, mass = example.expected()
    np.testing.assert_allclose(found.pt, pt, rtol=1e-6)
    np.testing.assert_allclose(found.eta, eta, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.phi, phi, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.mass, mass, rtol=1e-5, atol=1e-4)
    if found.charge is not None:
        np.testing.assert_array_equal(found.charge, example.charges)


def assert_equal(a: Jets, b: Jets) -> None:
    for name in ("pt", "eta", "phi", "mass", "offsets", "charge", "labels", "entry", "position"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert list(a.observables) == list(b.observables)
    for name, values in a.observables.items():
        np.testing.assert_array_equal(values, b.observables[name])


@every_layout
def test_jets_come_back_as_they_were_written(layout, tmp_path):
    example = make_example(53)
    path = LAYOUTS[layout](tmp_path, example)
    jets = readers.read(path)
    assert_same(jets, example)
    assert (jets.charge is not None) == (path.suffix == ".root" and layout != "ttree-double")
    assert readers.count(path) == 53


@every_layout
@pytest.mark.parametrize("step", [1, 7, 53, 54])
def test_streamed_read_equals_whole_read(layout, step, tmp_path, monkeypatch):
    path = LAYOUTS[layout](tmp_path, make_example(53))
    whole = readers.read(path)
    # small pieces inside the readers too, so that they end in the middle of a step
    monkeypatch.setattr(landscape, "_BLOCK_BYTES", 5 * 440)
    monkeypatch.setattr(jetclass, "_MIN_ENTRIES", 5)
    pieces = list(readers.iterate(path, step=step))
    assert [len(p) for p in pieces] == [step] * (53 // step) + ([53 % step] if 53 % step else [])
    assert_equal(Jets.concatenate(pieces), whole)


@pytest.mark.parametrize("n_jets", [1, 2])
@every_layout
def test_the_smallest_files(layout, n_jets, tmp_path):
    example = make_example(n_jets)
    assert_same(readers.read(LAYOUTS[layout](tmp_path, example)), example)


@every_layout
def test_describe(layout, tmp_path):
    path = LAYOUTS[layout](tmp_path, make_example(20))
    summary = readers.describe(path)
    assert summary.reader == readers.detect(path) == ("jetclass" if path.suffix == ".root" else "landscape")
    assert summary.n_jets == 20
    assert summary.units == "GeV"
    assert summary.warnings == ()
    if path.suffix == ".root":
        assert summary.n_slots is None
        assert summary.container == ("ROOT RNTuple" if layout == "rntuple" else "ROOT TTree")
        assert summary.dataset == ("a/b" if layout == "ttree-double" else "tree")
        assert summary.truth == ("label_QCD", "label_Tbqq", "label_Hbb")
        assert summary.observables == ("jet_pt_file", "jet_nparticles", "jet_tau1")
        assert summary.columns["jet_tau1"] == "float"
    else:
        assert summary.n_slots == 12
        assert summary.truth == ("is_signal_new",)
        assert set(summary.observables) == {"truthE", "truthPX", "truthPY", "truthPZ", "ttv"}
        assert len(summary.columns) == 54


@every_layout
def test_observables(layout, tmp_path):
    example = make_example(20)
    jets = readers.read(LAYOUTS[layout](tmp_path, example))
    if "ttv" in jets.observables:
        np.testing.assert_array_equal(jets.observables["ttv"], np.arange(20) % 3)
    else:
        assert list(jets.observables) == ["jet_pt_file", "jet_nparticles", "jet_tau1"]
        np.testing.assert_array_equal(jets.observables["jet_pt_file"], np.linspace(500, 600, 20, dtype="f4"))
        np.testing.assert_array_equal(jets.observables["jet_nparticles"], jets.n_constituents)


# --- content that is not tidy ----------------------------------------------------------------------

NUMBERS = st.floats(width=32) | st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf, -1.0])


@given(
    momenta=hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(3), st.just(4)), elements=NUMBERS),
    layout=st.sampled_from(list(LAYOUTS)),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_values_keep_their_rows(tmp_path_factory, momenta, layout):
    """NaN, inf, negative energies, empty jets: against a plain loop over slots."""
    n = len(momenta)
    example = Example(momenta.reshape(-1, 4), np.full(n, 3), np.arange(n) % 2)
    path = LAYOUTS[layout](tmp_path_factory.mktemp("values"), example)
    pieces = list(readers.iterate(path, step=2, check_units=False))
    jets = Jets.concatenate(pieces)
    kept = [[slot for slot in jet.tolist() if slot != [0, 0, 0, 0]] for jet in momenta]
    assert jets.n_constituents.tolist() == [len(slots) for slots in kept]
    assert jets.labels.tolist() == (np.arange(n) % 2).tolist()
    with np.errstate(all="ignore"):
        flat = np.array([slot for slots in kept for slot in slots], dtype=np.float64).reshape(-1, 4)
        np.testing.assert_allclose(
            jets.pt, np.sqrt(flat[:, 1] ** 2 + flat[:, 2] ** 2).astype("f4"), rtol=1e-6
        )
        np.testing.assert_allclose(jets.phi, np.arctan2(flat[:, 2], flat[:, 1]).astype("f4"), rtol=1e-6)


@pytest.mark.parametrize("format", ["table", "fixed"])
def test_padding_anywhere_is_dropped_and_nan_slots_are_kept(format, tmp_path):
    frame = landscape_frame(make_example(4, max_constituents=3, min_constituents=3), n_slots=5)
    frame.loc[0, ["E_1", "PX_1", "PY_1", "PZ_1"]] = 0.0
    frame.loc[1, ["E_4", "PX_4", "PY_4", "PZ_4"]] = -0.0
    frame.loc[2, "PX_4"] = np.nan
    frame.loc[3, [c for c in frame.columns if c[:2] in ("E_", "PX", "PY", "PZ")]] = 0.0
    jets = readers.read(write_table(tmp_path / "x.h5", frame, format=format))
    assert jets.n_constituents.tolist() == [2, 3, 4, 0]
    assert np.isnan(jets.pt[jets.offsets[3] - 1])
    assert jets.entry.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("dtype", ["f2", "f8", "i4", "i8", ">f4", ">f8"])
def test_number_types(dtype, tmp_path):
    example = make_example(11)
    rounded = np.round(example.momenta) if "i" in dtype else example.momenta.astype(dtype)
    example.momenta = rounded.astype(np.float32) + 0.0
    frame = landscape_frame(example)
    columns = [c for c in frame.columns if "_" in c and c != "is_signal_new"]
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:  # fields by hand: pandas would not write half floats
        names = np.array(columns, dtype="S")
        group = file.create_group("jets")
        group["block0_values"], group["block0_items"] = frame[columns].to_numpy().astype(dtype), names
        group["block1_values"] = frame[["is_signal_new"]].to_numpy()
        group["block1_items"] = np.array([b"is_signal_new"])
    jets = readers.read(path)
    filled = (example.momenta != 0).any(axis=1)
    np.testing.assert_allclose(jets.pt, example.expected_pt()[filled], rtol=1e-6)
    np.testing.assert_array_equal(jets.labels, example.labels)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "u2"])
def test_number_types_of_branches(dtype, tmp_path):
    example = make_example(11)
    example.momenta = np.abs(np.round(example.momenta)) + 1
    path = write_root(tmp_path / "x.root", jetclass_arrays(example, dtype))
    np.testing.assert_allclose(readers.read(path).pt, example.expected_pt(), rtol=1e-6)


# --- column names, keys and trees ------------------------------------------------------------------


def test_columns_in_any_order_case_and_number_of_slots(tmp_path):
    example = make_example(30, max_constituents=25)
    frame = landscape_frame(example, n_slots=31).rename(columns=str.lower)
    frame = frame[np.random.default_rng(1).permutation(frame.columns)]
    path = write_table(tmp_path / "x.h5", frame, key="deep/down")
    assert_same(readers.read(path), example)
    assert readers.describe(path).n_slots == 31


def test_published_order_is_assumed_where_806_columns_have_no_names(tmp_path):
    example = make_example(8)
    path = write_table(tmp_path / "x.h5", landscape_frame(example, n_slots=200))
    with h5py.File(path, "a") as file:
        for name in list(file["table/table"].attrs):
            if name.endswith("_kind"):
                del file["table/table"].attrs[name]
    assert_same(readers.read(path), example)


def test_pickled_names_are_never_unpickled(tmp_path):
    class Mine:
        def __reduce__(self):
            return Path.touch, (tmp_path / "owned",)

    example = make_example(5)
    path = write_table(tmp_path / "x.h5", landscape_frame(example))
    with h5py.File(path, "a") as file:
        file["table/table"].attrs["values_block_0_kind"] = np.bytes_(pickle.dumps([Mine()], protocol=0))
    with pytest.raises(InputError, match="no pandas table has columns E_0"):
        readers.read(path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_names_pickled_with_any_protocol(protocol, tmp_path):
    example = make_example(5)
    frame = landscape_frame(example)
    path = write_table(tmp_path / "x.h5", frame)
    names = [c for c in frame.columns if c not in ("ttv", "is_signal_new")]
    with h5py.File(path, "a") as file:
        del file["table/table"].attrs["values_block_0_kind"]
        file["table/table"].attrs["values_block_0_kind"] = np.void(pickle.dumps(names, protocol=protocol))
    assert_same(readers.read(path), example)


def test_is_signal_and_no_truth(tmp_path):
    example = make_example(9)
    old = write_table(tmp_path / "old.h5", landscape_frame(example, truth="is_signal"))
    assert_same(readers.read(old), example)
    none = write_table(tmp_path / "none.h5", landscape_frame(example, truth=None))
    assert readers.read(none).labels is None
    assert "no truth" in readers.describe(none).warnings[0]
    both = readers.read([old, none])
    assert both.labels.tolist() == [*example.labels.tolist(), *[-1] * 9]
    assert both.entry.tolist() == [*range(9), *range(9)]


def test_labels_other_than_0_and_1_are_unknown(tmp_path):
    frame = landscape_frame(make_example(4)).astype({"is_signal_new": float})
    frame["is_signal_new"] = [0.0, 1.0, np.nan, 3.0]
    assert readers.read(write_table(tmp_path / "x.h5", frame)).labels.tolist() == [0, 1, -1, -1]


def test_jetclass_labels(tmp_path):
    arrays = jetclass_arrays(make_example(4))
    arrays["label_QCD"] = np.array([1, 0, 0, 1], dtype="f4")
    arrays["label_Tbqq"] = np.array([0, 0, 0, 1], dtype="i4")
    arrays["label_Hbb"] = np.array([False, True, False, False])
    assert readers.read(write_root(tmp_path / "x.root", arrays)).labels.tolist() == [0, 1, -1, -1]
    for name in ("label_QCD", "label_Tbqq", "label_Hbb"):
        del arrays[name]
    assert readers.read(write_root(tmp_path / "y.root", arrays)).labels is None


def test_fixed_size_branches_are_zero_padded_jets(tmp_path):
    example = make_example(13)
    padded = landscape_frame(example).to_numpy()[:, :48].reshape(13, 12, 4).astype("f4")
    arrays = jetclass_arrays(example)
    for k, name in enumerate(("energy", "px", "py", "pz")):
        arrays[f"part_{name}"] = np.ascontiguousarray(padded[:, :, k])
    slots = np.arange(12) < example.counts[:, None]
    charge = np.full((13, 12), 5, dtype="f4")  # of the padding, never seen
    charge[slots] = example.charges
    arrays["part_charge"] = charge
    assert_same(readers.read(write_root(tmp_path / "x.root", arrays)), example)


def test_a_jet_without_constituents_keeps_its_entry(tmp_path):
    example = make_example(30, min_constituents=0, max_constituents=2, seed=4)
    assert (example.counts == 0).any()
    for layout in LAYOUTS.values():
        assert_same(readers.read(layout(tmp_path, example)), example)


def test_tree_and_table_of_several(tmp_path):
    one, two = make_example(5, seed=1), make_example(8, seed=2)
    import uproot

    path = tmp_path / "x.root"
    with uproot.recreate(path) as file:
        for name, example in (("first", one), ("dir/second", two)):
            arrays = jetclass_arrays(example)
            types = {k: ak.type(v).content if isinstance(v, ak.Array) else v.dtype for k, v in arrays.items()}
            file.mktree(name, types)
            file[name].extend(arrays)
    assert_same(readers.read(f"{path}:dir/second"), two)
    assert_same(readers.read(Path(f"{path}:first")), one)
    assert readers.count(f"{path}:first;1") == 5
    with pytest.raises(InputError, match=r"several trees hold jets \(dir/second, first\); name one"):
        readers.read(path)

    path = tmp_path / "x.h5"
    write_table(path, landscape_frame(one), key="first", mode="w")
    write_table(path, landscape_frame(two), key="dir/second", mode="a")
    assert_same(readers.read(f"{path}:dir/second"), two)
    assert_same(readers.read(f"{path}:first/table"), one)
    with pytest.raises(InputError, match=r"several tables hold jets \(dir/second, first\); name one"):
        readers.read(path)
    write_table(path, landscape_frame(one), key="table", mode="a")
    assert_same(readers.read(path), one)


def test_frames_of_other_things_do_not_disturb(tmp_path):
    example = make_example(7)
    path = write_table(tmp_path / "x.h5", landscape_frame(example), key="jets")
    notes = landscape_frame(example)[["ttv"]].assign(text="some words")
    notes.to_hdf(path, key="notes", mode="a")
    notes.to_hdf(path, key="notes_table", mode="a", format="table")
    assert_same(readers.read(path), example)


# --- several files --------------------------------------------------------------------------------


def test_patterns_and_several_files_are_one_collection(tmp_path, monkeypatch, caplog):
    for name, seed in (("b", 1), ("a", 2), ("c[1]", 3)):
        write_table(tmp_path / f"{name}.h5", landscape_frame(make_example(5, seed=seed)))
        write_root(tmp_path / f"{name}.root", jetclass_arrays(make_example(5, seed=seed)))
    monkeypatch.chdir(tmp_path)
    assert readers.expand("*.h5") == [Path("a.h5"), Path("b.h5"), Path("c[1].h5")]
    assert readers.expand("[ab].root:tree") == [Path("a.root:tree"), Path("b.root:tree")]
    assert readers.expand(["b.h5", Path("a.h5"), "c[1].h5"]) == [Path("b.h5"), Path("a.h5"), Path("c[1].h5")]
    monkeypatch.setattr(logging.getLogger("jetad"), "propagate", True)
    assert readers.expand(["b.h5", "*.h5"]) == [Path("b.h5"), Path("a.h5"), Path("c[1].h5")]
    assert "b.h5: named twice, read once" in caplog.text
    jets = readers.read(["b.h5", "a.root:tree"])
    assert jets.labels.tolist() == [*make_example(5, seed=1).labels, *make_example(5, seed=2).labels]
    assert jets.observables == {}
    assert len(readers.read("*.h5", max_jets=7)) == 7
    assert len(readers.read("*.h5", max_jets=5)) == 5
    assert_equal(readers.read("*.h5", max_jets=99), readers.read("*.h5"))


def test_forced_reader(tmp_path):
    path = write_root(tmp_path / "x.root", jetclass_arrays(make_example(3)))
    assert len(readers.read(path, reader="jetclass")) == 3
    with pytest.raises(InputError, match="is a ROOT file, but reader 'landscape' needs an HDF5 file"):
        readers.read(path, reader="landscape")


# --- cost -----------------------------------------------------------------------------------------


def test_listing_readers_imports_no_library_of_a_format():
    code = (
        "import sys; from jetad.readers import READERS, get_reader; [get_reader(n) for n in READERS]; "
        "print([m for m in ('h5py', 'uproot', 'awkward', 'torch', 'pandas') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# VmHWM belongs to the new process alone; ru_maxrss would begin with the peak of pytest
_PEAK = """
import re, sys
from pathlib import Path
from jetad import readers
n = sum(len(jets) for jets in readers.iterate(sys.argv[1], step=1000))
print(n, re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("suffix", [".h5", ".root"])
def test_memory_does_not_grow_with_the_file(suffix, tmp_path):
    peaks = {}
    for n_jets in (40_000, 400_000):
        path = tmp_path / f"{n_jets}{suffix}"
        example = make_example(n_jets, max_constituents=20)
        if suffix == ".h5":
            write_table(path, landscape_frame_fast(example, 40), complevel=1, index=False)
        else:
            write_root(path, jetclass_arrays(example), pieces=n_jets // 10_000)
        out = subprocess.run(
            [sys.executable, "-c", _PEAK, path], capture_output=True, text=True, check=True
        ).stdout
        n_read, peaks[n_jets] = map(int, out.split())
        assert n_read == n_jets
    print(peaks)
    assert peaks[400_000] < 1.1 * peaks[40_000]


def landscape_frame_fast(example: Example, n_slots: int):
    frame = landscape_frame(
        Example(np.zeros((0, 4), "f4"), np.zeros(len(example), int), example.labels), n_slots
    )
    jet = np.repeat(np.arange(len(example)), example.counts)
    rank = np.arange(len(jet)) - example.offsets[jet]
    padded = np.zeros((len(example), n_slots, 4), dtype=np.float32)
    padded[jet, rank] = example.momenta
    frame[frame.columns[: 4 * n_slots]] = padded.reshape(len(example), -1)
    return frame.copy()
