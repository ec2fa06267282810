"""Constituents that Delphes jets refer to, in files written by ROOT (``data/make_delphes.py``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from reader_examples import write_root

from jetad import readers
from jetad.jets.kinematics import cylindrical
from jetad.readers.containers.root import Tree
from jetad.readers.inspection import inspect_file

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


def test_particles_at_rest_belong_to_the_jets_that_refer_to_them(monkeypatch):
    """They have no pT and some angle, and give the jet their mass."""
    arrays_of, before = Tree.arrays, readers.read(WHOLE)

    def arrays(self: Tree, names: list[str], *more: Any) -> Any:
        found = arrays_of(self, names, *more)
        for name, value in (("EFlowTrack.PT", 0), ("EFlowTrack.CtgTheta", np.inf)):
            if name in found.fields:
                found[name] = ak.values_astype(found[name] * 0 + value, np.float32)
        return found

    monkeypatch.setattr(Tree, "arrays", arrays)
    jets = readers.read(WHOLE)
    np.testing.assert_array_equal(jets.n_constituents, before.n_constituents)
    assert (jets.pt == 0).mean() > 0.2
    assert np.isfinite(jets.jet_mass).all()
    energy = jets.sum_over_constituents(np.sqrt((jets.pt * np.cosh(jets.eta)) ** 2 + jets.mass**2))
    momentum = jets.jet_pt.astype(np.float64) * np.cosh(jets.jet_eta)
    np.testing.assert_allclose(jets.jet_mass**2 + momentum**2, energy**2, rtol=1e-4)


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
    monkeypatch.setattr("jetad.readers.formats.delphes._N_TRIED", 1)  # an event without jets
    jets = readers.read(SLIMMED)
    with uproot.open(SLIMMED) as file:
        references = file["Delphes/FatJet.Constituents"].array()
    n_lost = sum(len(r.refs) for event in references for r in event) - jets.n_constituents.sum()
    assert n_lost > 0
    assert f"{n_lost} constituents that jets refer to are not in the file" in caplog.text


def test_eta_is_that_of_the_momentum_not_of_the_point_at_the_calorimeter(tmp_path):
    """As ``ParticleFlowCandidate`` was written until May 2022: Eta equals EtaOuter, CtgTheta is right."""
    eta, phi = np.array([0.1, -0.2, 0.15, 1.0]), np.array([0.3, 0.1, 0.2, 2.0])
    pt, mass = np.array([100.0, 50.0, 20.0, 40.0]), np.array([0.14, 0.0, 0.5, 0.0])
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    energy = np.sqrt(px**2 + py**2 + pz**2 + mass**2)
    total = [v[:3].sum() for v in (energy, px, py, pz)]
    jet = [float(v) for v in cylindrical(*total)]
    columns = {"PT": pt, "Eta": eta + 0.04, "Phi": phi, "Mass": mass, "CtgTheta": np.sinh(eta)}
    columns["CtgTheta"][3] = 0.0  # not filled: Eta is all there is
    arrays = {f"ParticleFlowCandidate.{k}": ak.Array([v, v]) for k, v in columns.items()}
    for name, value in zip(("PT", "Eta", "Phi", "Mass"), jet, strict=True):
        arrays[f"FatJet.{name}"] = ak.Array([[value], [value]])
    path = write_root(tmp_path / "x.root", arrays, tree="Delphes")
    jets = readers.read(path)
    np.testing.assert_allclose(jets.eta[:3], eta[:3], atol=1e-6)
    np.testing.assert_allclose(jets.jet_eta, jet[1], atol=1e-6)
    np.testing.assert_allclose(jets.jet_mass, jet[3], rtol=1e-5)
    found = inspect_file(path)
    assert found.stored is not None
    assert (found.stored.n_compared, found.stored.n_agree) == (2, 2)
    del arrays["ParticleFlowCandidate.CtgTheta"]  # so that nothing but Eta is there
    found = inspect_file(write_root(tmp_path / "y.root", arrays, tree="Delphes"))
    assert found.stored is not None
    assert found.stored.n_agree == 0
    assert found.stored.eta == pytest.approx(0.04, rel=0.05)
    assert "the constituents do not add up to 2 of 2 jets of the file" in " ".join(found.warnings)
    jets = readers.read(tmp_path / "y.root", options={"radius": 2.5})  # takes the fourth, too
    assert jets.n_constituents.tolist() == [4, 4]
