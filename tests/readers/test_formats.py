"""Every format: what an independent writer put into a file comes out, whole or streamed, or a clean error."""

from __future__ import annotations

import json
import subprocess
import sys

import awkward as ak
import numpy as np
import pytest
import reader_fuzzing
import uproot
from format_examples import FORMATS, Expected

from jetad import readers
from jetad.jets import Jets
from jetad.readers import events, mapped
from jetad.readers.containers.root import find_trees, open_root
from jetad.readers.formats import darkmachines, imagefile, jetnet, lhco
from jetad.readers.inspection import inspect_file

every_format = pytest.mark.parametrize("name", list(FORMATS))


def assert_same(jets: Jets, expected: list[Expected]) -> None:
    assert len(jets) == len(expected)
    np.testing.assert_array_equal(jets.entry, [e.entry for e in expected])
    np.testing.assert_array_equal(jets.position, [e.position for e in expected])
    with_constituents = [e for e in expected if e.constituents is not None]
    if with_constituents:
        assert jets.has_constituents
        np.testing.assert_array_equal(jets.n_constituents, [len(e.constituents or []) for e in expected])
        flat = np.array([c for e in expected for c in e.constituents or []], dtype=np.float64).reshape(-1, 4)
        for k, name in enumerate(("pt", "eta", "phi", "mass")):
            np.testing.assert_allclose(
                getattr(jets, name), flat[:, k], rtol=2e-6, atol=2e-3 if k == 3 else 1e-6, err_msg=name
            )
    charges = [q for e in expected for q in e.charges or []]
    if any(e.charges is not None for e in expected):
        np.testing.assert_array_equal(jets.charge, charges)
    else:
        assert jets.charge is None
    if expected[0].momentum is not None:
        assert jets.n_constituents.sum() == 0
        stored = np.array([e.momentum for e in expected])
        for k, name in enumerate(("jet_pt", "jet_eta", "jet_phi", "jet_mass")):
            np.testing.assert_allclose(getattr(jets, name), stored[:, k], rtol=2e-6, atol=1e-6, err_msg=name)
    if expected[0].image is not None:
        assert not jets.has_constituents
        np.testing.assert_array_equal(jets.images, np.stack([e.image for e in expected]))
    if expected[0].label is None:
        assert jets.labels is None
    else:
        np.testing.assert_array_equal(jets.labels, [e.label for e in expected])
    if expected[0].weight is not None:
        np.testing.assert_allclose(jets.weights, [e.weight for e in expected], rtol=1e-6)
    for key in expected[0].observables:
        values = [e.observables[key] for e in expected]
        np.testing.assert_array_equal(jets.observables[key].astype(np.float64), values, err_msg=key)


def assert_equal(a: Jets, b: Jets) -> None:
    names = ("pt", "eta", "phi", "mass", "offsets", "charge", "labels", "weights", "entry", "position")
    for name in (*names, "jet_momenta", "images"):
        first, second = getattr(a, name), getattr(b, name)
        assert (first is None) == (second is None), name
        if first is not None:
            np.testing.assert_array_equal(first, second, err_msg=name)
    assert list(a.observables) == list(b.observables)
    for name, values in a.observables.items():
        np.testing.assert_array_equal(values, b.observables[name])


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Pieces inside the readers end in the middle of a step, too."""
    monkeypatch.setattr(events, "_ENTRIES_WITH_CONSTITUENTS", 5)
    monkeypatch.setattr(events, "_ENTRIES_OF_JETS", 4)
    monkeypatch.setattr(mapped, "_MAX_ROWS", 5)
    monkeypatch.setattr(jetnet, "_MAX_ROWS", 5)
    monkeypatch.setattr(lhco, "_MAX_EVENTS", 5)
    monkeypatch.setattr(darkmachines, "_MAX_EVENTS", 5)
    monkeypatch.setattr(imagefile, "_BLOCK_BYTES", 4000)


@every_format
@pytest.mark.parametrize("n", [1, 23])
def test_jets_come_back_as_they_were_written(name, n, tmp_path):
    path, expected = FORMATS[name].write(tmp_path, n, 5)
    options = FORMATS[name].read
    if "mapping" not in options:
        assert readers.detect(path) == FORMATS[name].reader
    assert_same(readers.read(path, **options), expected)
    assert readers.count(path, **options) == len(expected)
    summary = readers.describe(path, **options)
    assert summary.n_jets == len(expected)
    assert summary.units.startswith("GeV" if expected[0].image is None else "unknown"), summary
    jets = readers.read(path, **options)
    assert set(summary.observables) == set(jets.observables)


@every_format
def test_streamed_read_equals_whole_read(name, tmp_path):
    path, expected = FORMATS[name].write(tmp_path, 13, 6)
    options = FORMATS[name].read
    whole, n = readers.read(path, **options), len(expected)
    for step in (1, 7, n, n + 1):
        pieces = list(readers.iterate(path, step=step, **options))
        assert [len(p) for p in pieces] == [step] * (n // step) + ([n % step] if n % step else [])
        assert_equal(Jets.concatenate(pieces), whole)


@every_format
def test_rows_in_the_middle_equal_those_of_the_whole(name, tmp_path):
    path, expected = FORMATS[name].write(tmp_path, 13, 6)
    options = FORMATS[name].read
    whole, n = readers.read(path, **options), len(expected)
    for start, stop in ((3, 9), (5, n), (n - 1, n + 4)):
        pieces = list(readers.iterate(path, step=4, start=start, stop=stop, **options))
        assert_equal(Jets.concatenate(pieces), whole[start : min(stop, n)])


@every_format
def test_inspect(name, tmp_path):
    path, expected = FORMATS[name].write(tmp_path, 4, 7)
    found = inspect_file(path, **FORMATS[name].read)
    assert found.n_jets == len(expected)
    assert found.n_not_finite == 0
    assert found.to_dict()["reader"] == FORMATS[name].reader


@every_format
def test_damaged_files(name, tmp_path):
    path, _ = FORMATS[name].write(tmp_path, 6, 8)
    seeds = range(20_000, 20_006)
    results = reader_fuzzing.run_cases(
        [path.read_bytes()], [path.suffix], seeds, tmp_path, **FORMATS[name].read
    )
    assert sum(results.values()) == len(seeds)  # a clean error or every jet: anything else has been raised


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100_000, 110_000, 1000))
def test_thousands_of_damaged_files(first, tmp_path):
    """All formats, in a process of its own with 4 GB of memory."""
    options = {}
    (tmp_path / "files").mkdir()
    for name, form in FORMATS.items():
        path, _ = form.write(tmp_path, 6, 9)
        target = tmp_path / "files" / f"{name}{path.suffix}"
        path.rename(target)
        options[target.name] = form.read
    (tmp_path / "files" / "options.json").write_text(json.dumps(options))
    command = [
        sys.executable,
        reader_fuzzing.__file__,
        str(tmp_path / "files"),
        str(first),
        str(first + 1000),
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert result.returncode == 0, result.stderr[-3000:]
    print(result.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pfnano", "pfnano-rntuple", "mapping-parquet", "images-npz", "jetnet"])
def test_memory_does_not_grow_with_the_file(name, tmp_path):
    """A file ten times longer raises the peak by less than 10 %."""
    script = """
import json, resource, sys
from jetad import readers
for jets in readers.iterate(sys.argv[1], step=100, **json.loads(sys.argv[2])):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    peaks = []
    for n in (600, 6000):
        path, _ = FORMATS[name].write(tmp_path, n, 10)
        command = [sys.executable, "-c", script, str(path), json.dumps(FORMATS[name].read)]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] < 1.1 * peaks[0]


def test_only_what_is_asked_for_is_walked_in_a_wide_rntuple(tmp_path, monkeypatch):
    lists = {f"x{i}": ak.Array([[1.0 * i], [], [2.0, 3.0]]) for i in range(40)}
    with uproot.recreate(tmp_path / "wide.root") as file:
        file.mkrntuple("t", lists)
    walked = []
    with open_root(tmp_path / "wide.root") as handle:
        tree = find_trees(handle, tmp_path / "wide.root")[0]
        fields = uproot.behaviors.RNTuple.HasFields.fields.fget

        def counted(field):
            walked.append(field)
            return fields(field)

        monkeypatch.setattr(uproot.behaviors.RNTuple.HasFields, "fields", property(counted))
        found = tree.arrays(["x3", "x5"], 1, 3, "wide.root")
    assert found.to_list() == [{"x3": [], "x5": []}, {"x3": [2.0, 3.0], "x5": [2.0, 3.0]}]
    assert len({id(field) for field in walked}) < 10


def test_the_header_of_a_tree_is_parsed_once_a_command(tmp_path, monkeypatch):
    path, _ = FORMATS["pfnano"].write(tmp_path, 20, 3)
    parsed = []
    read_members = uproot.models.TTree.Model_TTree_v20.read_members

    def counted(self, *arguments):
        parsed.append(self)
        return read_members(self, *arguments)

    monkeypatch.setattr(uproot.models.TTree.Model_TTree_v20, "read_members", counted)
    inspect_file(path)
    assert len(parsed) == 1


def test_a_file_that_was_written_anew_is_opened_anew(tmp_path):
    path, _ = FORMATS["pfnano"].write(tmp_path, 20, 3)
    before = readers.read(path)
    other, _ = FORMATS["pfnano"].write(tmp_path, 21, 4)
    other.replace(path)
    after = readers.read(path)
    assert before.entry.max() < 20
    assert len(after) != len(before) or not np.array_equal(after.pt, before.pt)


def test_files_do_not_stay_open(tmp_path, monkeypatch):
    paths = [FORMATS["pfnano"].write(tmp_path, 5, seed)[0] for seed in range(6)]
    handles = []
    uproot_open = uproot.open

    def opened(*arguments, **options):
        handles.append(uproot_open(*arguments, **options))
        return handles[-1]

    monkeypatch.setattr(uproot, "open", opened)
    for path in paths:
        readers.read(path)
    assert len(handles) == 6
    assert sum(not handle.closed for handle in handles) <= 2
