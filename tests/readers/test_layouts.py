"""Published layouts: found by content, with the right jets."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from layout_examples import LAYOUTS, make_jets

from jetad import readers
from jetad.jets import Jets
from jetad.readers.inspection import inspect_file


@pytest.mark.parametrize("name", LAYOUTS)
def test_jets_of_a_published_layout(name, tmp_path):
    write, reader = LAYOUTS[name]
    path, truth = write(tmp_path, make_jets())
    assert readers.detect(path) == reader
    jets = readers.read(path)
    np.testing.assert_allclose(jets.jet_pt, truth.pt, rtol=1e-4)
    np.testing.assert_allclose(jets.jet_eta, truth.eta, atol=1e-4)
    np.testing.assert_allclose(jets.jet_mass, truth.mass, rtol=2e-3, atol=0.02)
    if truth.labels is None:
        assert jets.labels is None
    else:
        np.testing.assert_array_equal(jets.labels, truth.labels)
    found = inspect_file(path)
    assert (found.n_jets, found.n_not_finite, found.summary.n_jets) == (len(truth.pt), 0, len(truth.pt))
    assert set(found.summary.observables) == set(jets.observables)
    if found.stored is not None:
        assert found.stored.n_agree == found.stored.n_compared == len(truth.pt)


@pytest.mark.parametrize("name", LAYOUTS)
def test_pieces_are_those_of_the_whole(name, tmp_path, monkeypatch):
    path, _ = LAYOUTS[name][0](tmp_path, make_jets())
    whole = readers.read(path)
    monkeypatch.setattr("jetad.readers.mapped._MAX_ROWS", 7)
    pieces = Jets.concatenate(readers.iterate(path, step=9))
    for field in ("pt", "eta", "phi", "mass", "offsets", "entry", "position", "labels"):
        np.testing.assert_array_equal(getattr(pieces, field), getattr(whole, field))
    assert readers.count(path) == len(whole)


def test_charges_of_energyflow_and_aspen(tmp_path):
    jets = make_jets()
    for name in ("energyflow", "aspen"):
        read = readers.read(LAYOUTS[name][0](tmp_path, jets)[0])
        expected = np.where(np.isin(jets.pid, (22, 130)), 0, np.sign(jets.pid))[jets.there]
        np.testing.assert_array_equal(read.charge, expected)


def test_columns_of_aspen_by_their_names(tmp_path):
    path = LAYOUTS["aspen"][0](tmp_path, make_jets())[0]
    assert {"tau2", "particleNet_mass", "jet_softdrop_mass"} <= set(readers.read(path).observables)
    skim = LAYOUTS["aspen-skim"][0](tmp_path, make_jets())[0]
    wanted = readers.read(skim)
    with h5py.File(skim, "a") as file:
        del file["PFCands"].attrs["columns"]
    # without their names the columns are not taken for px, py, pz, E
    assert readers.detect(skim) != "aspen"
    np.testing.assert_allclose(readers.read(skim).jet_mass, wanted.jet_mass, rtol=1e-3, atol=0.02)


def test_hls4ml_momenta_in_another_order_are_not_taken_for_what_they_are_not(tmp_path):
    path, truth = LAYOUTS["hls4ml"][0](tmp_path, make_jets())
    with h5py.File(path, "a") as file:
        del file["particleFeatureNames"], file["jetImage"]
    assert readers.detect(path) == "hls4ml"
    with h5py.File(path, "a") as file:
        file["jetConstituentList"][..., :4] = file["jetConstituentList"][()][..., [3, 0, 1, 2]]
    assert readers.detect(path) == "arrays"
    np.testing.assert_allclose(readers.read(path).jet_pt, truth.pt, rtol=1e-4)


def test_mev_twice_is_once(tmp_path):
    """--units MeV for a layout that is known to be in MeV."""
    path, truth = LAYOUTS["atlastop"][0](tmp_path, make_jets())
    np.testing.assert_allclose(readers.read(path, units="MeV").jet_pt, truth.pt, rtol=1e-4)
    assert readers.describe(path).units == "GeV (converted from MeV)"
