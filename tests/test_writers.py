"""Jets written to files read back the same, with the tools physicists use."""

from __future__ import annotations

import json
import time

import h5py
import numpy as np
import pytest
import uproot
from conftest import toy_jets

from jetad import readers
from jetad.errors import ConfigError, OutputError
from jetad.jets import Jets
from jetad.jets.kinematics import delta_phi
from jetad.writers import WRITERS, write_jets
from jetad.writers.top_landscape import COLUMNS

METADATA = {"process": "top", "class_label": "label_Tbqq", "seed": "3"}


def make_jets(n_jets: int = 30, n_max: int = 60, *, seed: int = 1) -> Jets:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, n_max, size=n_jets)
    n = counts.sum()
    pt = rng.exponential(10, size=n) + 0.5
    offsets = np.concatenate([[0], np.cumsum(counts)])
    axis = np.repeat(rng.uniform(-1.8, 1.8, size=n_jets), counts)
    order = np.lexsort((-pt, np.repeat(np.arange(n_jets), counts)))
    return Jets(
        pt=pt[order],
        eta=axis + rng.normal(0, 0.2, size=n),
        phi=delta_phi(3.1 + rng.normal(0, 0.2, size=n), 0.0),
        mass=np.where(rng.random(n) < 0.5, 0.0, 0.1396),
        offsets=offsets,
        labels=np.arange(n_jets) % 2,
        observables={"truthE": rng.uniform(600, 900, size=n_jets).astype(np.float32)},
    )


def test_hdf5_reads_back_with_plain_h5py(tmp_path):
    jets = make_jets()
    write_jets(jets, tmp_path / "a.h5", metadata=METADATA)
    with h5py.File(tmp_path / "a.h5") as file:
        rows = file["table/table"][:]
        assert file.attrs["process"] == "top"
        assert file.attrs["dropped_constituents"] == "0"
    constituents = rows["values_block_0"][:, :800].reshape(-1, 200, 4)
    total = constituents.sum(axis=1)
    np.testing.assert_allclose(np.hypot(total[:, 1], total[:, 2]), jets.jet_pt, rtol=1e-5)
    np.testing.assert_array_equal((constituents[:, :, 0] > 0).sum(axis=1), jets.n_constituents)
    pt = np.hypot(constituents[:, :, 1], constituents[:, :, 2])
    assert np.all(np.diff(pt, axis=1) < 1e-3)
    np.testing.assert_array_equal(rows["values_block_0"][:, 800], jets.observables["truthE"])
    np.testing.assert_array_equal(rows["values_block_1"][:, 1], jets.labels)


def test_hdf5_reads_back_with_pandas_whole_and_in_part(tmp_path):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    jets = make_jets(600)
    write_jets(jets, tmp_path / "a.h5", metadata=METADATA)
    frame = pd.read_hdf(tmp_path / "a.h5", "table")
    assert list(frame.columns) == COLUMNS
    assert len(frame) == 600
    assert frame["is_signal_new"].dtype == np.int64
    assert frame["E_0"].dtype == np.float32
    assert list(frame.index) == list(range(600))
    part = pd.read_hdf(tmp_path / "a.h5", key="table", start=250, stop=300)
    pd.testing.assert_frame_equal(part, frame.iloc[250:300])
    np.testing.assert_array_equal(frame["is_signal_new"], jets.labels)


def test_hdf5_has_the_layout_that_pandas_writes_itself(tmp_path):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    write_jets(make_jets(), tmp_path / "ours.h5")
    frame = pd.read_hdf(tmp_path / "ours.h5", "table")
    frame.to_hdf(
        tmp_path / "theirs.h5", key="table", format="table", complib="zlib", complevel=6, index=False
    )
    with h5py.File(tmp_path / "ours.h5") as ours, h5py.File(tmp_path / "theirs.h5") as theirs:
        assert ours["table/table"].dtype == theirs["table/table"].dtype
        for node in ("table", "table/table"):
            missing = set(theirs[node].attrs) - set(ours[node].attrs)
            # how pandas marks a missing value in columns of text and of a multi-index: there are none
            assert missing <= {"data_col_nan_rep", "mi_level_nan_rep"}
        np.testing.assert_array_equal(ours["table/table"][:], theirs["table/table"][:])


def test_hdf5_keeps_the_200_hardest_and_counts_the_rest(tmp_path):
    jets = make_jets(3, 2)
    long = Jets.from_lists([[(float(pt), 0.0, 0.0, 0.0) for pt in range(1, 251)]], labels=[0])
    assert len(jets) == 3
    write_jets(long, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["dropped_constituents"] == "50"
        energies = file["table/table"]["values_block_0"][0, :800:4]
    np.testing.assert_allclose(energies, np.arange(250, 50, -1), rtol=1e-6)


def test_root_reads_back_with_uproot(tmp_path):
    jets = make_jets()
    write_jets(jets, tmp_path / "a.root", metadata=METADATA)
    with uproot.open(tmp_path / "a.root") as file:
        tree = file["tree"].arrays(library="ak")
        provenance = json.loads(str(file["jetad_provenance"]))
    assert provenance == METADATA
    flat = {name: np.concatenate([np.asarray(v) for v in tree[name]]) for name in ("part_px", "part_py")}
    np.testing.assert_allclose(np.hypot(flat["part_px"], flat["part_py"]), jets.pt, rtol=1e-5)
    np.testing.assert_array_equal(tree["jet_nparticles"], jets.n_constituents)
    np.testing.assert_array_equal(tree["label_QCD"], jets.labels == 0)
    np.testing.assert_array_equal(tree["label_Tbqq"], jets.labels == 1)
    np.testing.assert_allclose(tree["jet_pt"], jets.jet_pt)
    np.testing.assert_array_equal(tree["truthE"], jets.observables["truthE"])


def test_root_angles_are_mirrored_for_jets_at_negative_eta_and_wrapped(tmp_path):
    jets = Jets.from_lists([[(90.0, -1.0, 3.1, 0.0), (10.0, -1.4, -3.1, 0.0)]])
    write_jets(jets, tmp_path / "a.root")
    with uproot.open(tmp_path / "a.root") as file:
        tree = file["tree"].arrays(library="ak")
    # the soft one is further out than the axis: positive in the JetClass convention
    assert tree["part_deta"][0, 1] > 0.3
    assert tree["part_dphi"][0, 1] == pytest.approx(0.075, abs=0.01)
    assert tree["label_QCD"][0] == tree["label_signal"][0] == 0  # unknown truth


def test_root_files_of_other_jets_have_other_identities(tmp_path):
    # uproot caches what it reads under the UUID of the file
    write_jets(make_jets(seed=1), tmp_path / "a.root")
    write_jets(make_jets(seed=2), tmp_path / "b.root")
    with uproot.open(tmp_path / "a.root") as a, uproot.open(tmp_path / "b.root") as b:
        assert a.file.uuid != b.file.uuid
        assert a["tree/jet_pt"].array()[0] != b["tree/jet_pt"].array()[0]


@pytest.mark.parametrize("suffix", WRITERS)
def test_equal_jets_give_equal_bytes(tmp_path, suffix):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_jets(make_jets(), first, metadata=METADATA)
    time.sleep(1.1)  # dates in files have a resolution of one second
    write_jets(make_jets(), second, metadata=METADATA)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("suffix", WRITERS)
def test_zero_jets_and_empty_jets_can_be_written(tmp_path, suffix):
    write_jets(Jets.from_lists([]), tmp_path / f"none{suffix}")
    write_jets(Jets.from_lists([[], [(5.0, 0.0, 0.0, 0.0)]], labels=[0, 1]), tmp_path / f"empty{suffix}")


def test_unknown_suffix_and_existing_output_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"\.csv"):
        write_jets(make_jets(), tmp_path / "a.csv")
    write_jets(make_jets(), tmp_path / "a.h5")
    with pytest.raises(OutputError, match="exists already"):
        write_jets(make_jets(), tmp_path / "a.h5")
    write_jets(make_jets(), tmp_path / "a.h5", force=True)


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_readers_of_jetad_give_back_the_jets(tmp_path, suffix):
    from jetad.readers import read

    jets = make_jets()
    write_jets(jets, tmp_path / f"a{suffix}", metadata=METADATA)
    back = read(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(back.offsets, jets.offsets)
    np.testing.assert_allclose(back.pt, jets.pt, rtol=1e-5)
    np.testing.assert_allclose(back.eta, jets.eta, atol=1e-5)
    np.testing.assert_allclose(delta_phi(back.phi, jets.phi), 0, atol=1e-5)
    np.testing.assert_array_equal(back.labels, jets.labels)
    np.testing.assert_allclose(back.jet_mass, jets.jet_mass, rtol=1e-3)


def test_root_with_many_baskets_is_whole_and_has_no_dates(tmp_path, monkeypatch):
    """Between the records of such a file are gaps, where uproot has written something before."""
    monkeypatch.setattr("jetad.writers.jetclass._JETS_PER_BASKET", 20)
    for seed in range(5):
        jets = toy_jets(230, seed, labels=1)
        path = tmp_path / f"{seed}.root"
        write_jets(jets, path)
        read = readers.read(path)
        np.testing.assert_array_equal(read.offsets, jets.offsets)
        np.testing.assert_allclose(read.jet_pt, jets.jet_pt, rtol=1e-5)
        np.testing.assert_allclose(read.jet_mass, jets.jet_mass, rtol=1e-3, atol=0.1)
    before = path.read_bytes()
    time.sleep(1.1)  # ROOT counts whole seconds
    write_jets(jets, path, force=True)
    assert path.read_bytes() == before
