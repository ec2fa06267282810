"""Files of the experiments, where the folder that holds them is at hand."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from jetad import readers
from jetad.errors import InputError
from jetad.preprocessing.features import FeatureConfig, JetFeatures, observable
from jetad.preprocessing.images import JetImages
from jetad.readers.inspection import inspect_file
from jetad.readers.particles import charge_of

FOLDERS = [p / "shared" / "data" / "real" for p in Path(__file__).resolve().parents]
REAL = next((folder for folder in FOLDERS if folder.is_dir()), None)
pytestmark = pytest.mark.skipif(REAL is None, reason="the experiments' files are not at hand")


@pytest.fixture
def pfnano() -> Path:
    assert REAL is not None
    return REAL / "pfnano.root"


def test_constituents_of_pfnano_sum_to_the_jet_before_its_corrections(pfnano):
    jets = readers.read(pfnano)
    raw = jets.observables["FatJet_pt"] * (1 - jets.observables["FatJet_rawFactor"])
    assert len(jets) == 24
    np.testing.assert_allclose(jets.jet_pt, raw, rtol=3e-3)  # stored with 10 to 12 bits of mantissa
    raw_mass = jets.observables["FatJet_mass"] * (1 - jets.observables["FatJet_rawFactor"])
    heavy = raw_mass > 30  # the corrections scale the four-momentum, so the mass goes along
    np.testing.assert_allclose(jets.jet_mass[heavy], raw_mass[heavy], rtol=0.03)
    np.testing.assert_allclose(jets.jet_eta, jets.observables["FatJet_eta"], atol=5e-3)
    assert not any("summed constituents" in text for text in inspect_file(pfnano).warnings)


def test_charges_of_pfnano_are_those_of_its_ids(pfnano, tmp_path):
    jets = readers.read(pfnano)
    assert jets.charge is not None
    assert set(jets.charge) == {-1, 0, 1}
    assert set(jets.mass[jets.charge == 0].round(1)) <= {0.0, 0.5}  # photons and neutral kaons
    with uproot.open(pfnano) as file:
        particles = file["Events"].arrays(["PFCands_charge", "PFCands_pdgId"])
    charge, pid = (ak.flatten(particles[name]).to_numpy() for name in particles.fields)
    np.testing.assert_array_equal(charge_of(pid), charge)


def test_ak4_jets_of_pfnano_are_not_weighted(pfnano):
    options = {"collection": "Jet"}
    jets = readers.read(pfnano, options=options)
    raw = jets.observables["Jet_pt"] * (1 - jets.observables["Jet_rawFactor"])
    np.testing.assert_allclose(jets.jet_pt, raw, rtol=3e-3)
    np.testing.assert_array_equal(jets.n_constituents, jets.observables["Jet_nConstituents"])
    weighted = readers.read(pfnano, options={**options, "use_puppi": "yes"})
    assert np.median(weighted.jet_pt / raw) < 0.95
    assert "not weighted" in readers.describe(pfnano, options=options).notes[1]


def test_physlite_is_converted_from_mev_and_has_features_only():
    assert REAL is not None
    path = REAL / "PHYSLITE_example.root"
    jets = readers.read(path)
    assert len(jets) == 97
    assert not jets.has_constituents
    assert 100 < np.median(jets.jet_pt) < 1000  # [GeV]
    assert (jets.entry[:3] == 1).all()
    assert jets.position[:4].tolist() == [0, 1, 2, 0]
    summary = readers.describe(path)
    assert summary.units == "GeV (converted from MeV)"
    assert {"AnalysisLargeRJets_D2", "AnalysisLargeRJets_Tau2_wta"} <= set(summary.observables)
    assert inspect_file(path).n_not_finite == 0
    with pytest.raises(InputError, match="no constituents, so no images can be made"):
        JetImages().transform(jets)
    columns = ("mass", "pt", "file:AnalysisLargeRJets_D2")
    x = JetFeatures(FeatureConfig(observables=columns)).fit(jets).transform(jets)
    assert x.shape == (97, 3)
    np.testing.assert_allclose(np.nanmean(x, axis=0), 0, atol=1e-6)


def test_substructure_of_pfnano_is_what_cms_stored(pfnano):
    pytest.importorskip("fastjet")
    jets = readers.read(pfnano)
    tau = observable(jets, ("tau1", "tau2", "tau3"))
    stored = np.stack([jets.observables[f"FatJet_tau{n}"] for n in (1, 2, 3)], axis=1)
    np.testing.assert_allclose(np.median(np.abs(tau / stored - 1), axis=0), 0, atol=3e-3)
    np.testing.assert_allclose(tau, stored, rtol=0.08)  # constituents have 10 to 12 bits of mantissa
    # the stored mass is corrected subjet by subjet, nearly as the jet is
    mass = observable(jets, ("soft_drop_mass",))[:, 0]
    raw = jets.observables["FatJet_msoftdrop"] * (1 - jets.observables["FatJet_rawFactor"])
    heavy = raw > 10
    np.testing.assert_allclose(mass[heavy], raw[heavy], rtol=0.05)
    assert heavy.sum() > 12
    assert (mass[~heavy] < 10).all()
