"""Constituents that Delphes jets refer to, in files written by ROOT (``data/make_delphes.py``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import uproot

from jetad import readers

DATA = Path(__file__).parent / "data"
WHOLE, SLIMMED = DATA / "delphes_references.root", DATA / "delphes_slimmed.root"


def test_jets_are_the_sum_of_what_they_refer_to():
    jets = readers.read(WHOLE)
    assert len(jets) == 19
    assert jets.entry[0] == 1  # the first event has none
    for name, values in (("PT", jets.jet_pt), ("Eta", jets.jet_eta), ("Phi", jets.jet_phi)):
        np.testing.assert_allclose(values, jets.observables[f"FatJet_{name}"], rtol=1e-5)
    np.testing.assert_allclose(jets.jet_mass, jets.observables["FatJet_Mass"], rtol=1e-4)
    with uproot.open(WHOLE) as file:
        references = file["Delphes/FatJet.Constituents"].array()
    assert jets.n_constituents.tolist() == [len(r.refs) for event in references for r in event]
    assert "EFlowNeutralHadron, Track that jets refer to" in readers.describe(WHOLE).notes[1]


def test_pieces_are_those_of_the_whole(monkeypatch):
    whole = readers.read(WHOLE)
    monkeypatch.setattr("jetad.readers.events._ENTRIES_WITH_CONSTITUENTS", 5)
    pieces = list(readers.iterate(WHOLE, step=4))
    np.testing.assert_array_equal(np.concatenate([p.pt for p in pieces]), whole.pt)


def test_a_radius_goes_by_angle():
    jets = readers.read(WHOLE, options={"radius": 0.8})
    ratio = jets.jet_pt / jets.observables["FatJet_PT"]
    assert (np.abs(ratio - 1) > 0.1).mean() > 0.5
    assert "within 0.8" in readers.describe(WHOLE, options={"radius": 0.8}).notes[1]


def test_by_angle_where_the_file_lacks_what_jets_refer_to():
    assert "EFlowTrack, EFlowPhoton within 0.8" in readers.describe(SLIMMED).notes[1]
    by_angle = readers.read(SLIMMED, options={"radius": 0.8})
    np.testing.assert_array_equal(readers.read(SLIMMED).pt, by_angle.pt)


def test_lost_constituents_are_said(monkeypatch, caplog):
    monkeypatch.setattr("jetad.readers.delphes._N_TRIED", 1)  # an event without jets
    jets = readers.read(SLIMMED)
    with uproot.open(SLIMMED) as file:
        references = file["Delphes/FatJet.Constituents"].array()
    n_lost = sum(len(r.refs) for event in references for r in event) - jets.n_constituents.sum()
    assert n_lost > 0
    assert f"{n_lost} constituents that jets refer to are not in the file" in caplog.text
