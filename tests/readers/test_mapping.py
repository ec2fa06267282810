"""Mappings: what is refused, and the first one that is suggested."""

from __future__ import annotations

import awkward as ak
import h5py
import numpy as np
import pytest
import yaml
from format_examples import mapped_columns, mapped_events, mapped_parquet, nano
from reader_examples import write_root

from jetad import readers
from jetad.errors import ConfigError, InputError
from jetad.readers.formats.mapping import load_mapping
from jetad.readers.suggest import suggest_mapping

FOUR = {"pt": "c_pt", "eta": "c_eta", "phi": "c_phi"}


@pytest.fixture
def root(tmp_path):
    return write_root(tmp_path / "x.root", mapped_columns(9, 1)[0], tree="ntuple")


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "the mapping: give the columns of 'constituents' or of 'jets'"),
        (
            {"constituents": {"pt": "a"}},
            "constituents: give pt, eta, phi and perhaps mass or E, or px, py, pz and E",
        ),
        ({"constituents": {**FOUR, "px": "b"}}, "constituents: give pt, eta, phi"),
        ({"constituents": FOUR, "lable": "x"}, "lable: .* keys are tree, units, constituents, jets, label"),
        (
            {"constituents": {**FOUR, "jet": "i"}},
            "'constituents.jet' points to jets: give the columns of 'jets'",
        ),
        (
            {"constituents": FOUR, "jets": {**FOUR, "charge": "q"}},
            "'jets.charge' has no use: name the charges of the 'constituents'",
        ),
        ({"constituents": FOUR, "units": "TeV"}, "units: Input should be 'GeV' or 'MeV'"),
        ("none.yaml", "--mapping none.yaml: cannot be read"),
    ],
)
def test_mistakes_in_a_mapping(mapping, message):
    with pytest.raises(ConfigError, match=message):
        load_mapping(mapping)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "thruth"}, "tree 'ntuple' has no branch 'thruth'; closest: truth"),
        ({"constituents": {**FOUR, "pt": "w"}}, "column 'w' holds .* expected a list of numbers per row"),
        ({"observables": ["c_pt"]}, "column 'c_pt' holds .* expected one number per jet"),
        ({"tree": "tuple"}, "no tree 'tuple'; there are: ntuple"),
        ({"constituents": {**FOUR, "charge": "truth"}}, "column 'truth' holds .* expected a list of numbers"),
        ({"jets": FOUR}, "expected lists of lists of numbers per row"),
    ],
)
def test_columns_that_do_not_fit(change, message, root):
    with pytest.raises(InputError, match=message):
        readers.read(root, mapping={"constituents": FOUR, **change})


def test_yaml_that_is_none(tmp_path, root):
    (tmp_path / "m.yaml").write_text("constituents: [")
    with pytest.raises(ConfigError, match="is no YAML"):
        readers.read(root, mapping=tmp_path / "m.yaml")
    (tmp_path / "m.yaml").write_text("hello")
    with pytest.raises(ConfigError, match="must have keys"):
        readers.read(root, mapping=str(tmp_path / "m.yaml"))
    with pytest.raises(ConfigError, match="reader 'mapping' needs a mapping of columns"):
        readers.read(root, reader="mapping")
    with pytest.raises(ConfigError, match="leave out the reader 'jetclass'"):
        readers.read(root, reader="jetclass", mapping={"constituents": FOUR})


def test_mev_in_the_mapping(root):
    jets = readers.read(root, mapping={"constituents": FOUR})
    converted = readers.read(root, mapping={"constituents": FOUR, "units": "MeV"})
    np.testing.assert_allclose(converted.pt, jets.pt * 1e-3, rtol=1e-6)
    assert readers.describe(root, mapping={"constituents": FOUR, "units": "MeV"}).units.startswith(
        "GeV (conv"
    )


def test_index_behind_the_last_jet(tmp_path):
    arrays = {"p": [[1.0, 2.0]], "j": [[5.0]], "i": [[0, 1]]}
    import awkward as ak

    path = write_root(tmp_path / "x.root", {k: ak.Array(v) for k, v in arrays.items()}, tree="t")
    four = {"pt": "p", "eta": "p", "phi": "p", "jet": "i"}
    with pytest.raises(InputError, match="'i' points to jet 1 of 1 in its event"):
        readers.read(path, mapping={"constituents": four, "jets": {"pt": "j", "eta": "j", "phi": "j"}})


@pytest.mark.parametrize(
    "write", [mapped_parquet, lambda f, n, s: (write_root(f / "x.root", mapped_columns(n, s)[0]), 0)]
)
def test_suggested_mapping_reads_the_file(write, tmp_path):
    path, _ = write(tmp_path, 9, 2)
    suggestion = yaml.safe_load(suggest_mapping(path))
    assert suggestion["constituents"] == {**FOUR, "mass": "c_m", "charge": "c_charge"}
    assert (suggestion["label"], suggestion["weight"]) == ("truth", "w")
    assert suggestion["observables"] == {"t": "t"}
    jets = readers.read(path, mapping=suggestion)
    assert len(jets) == 9
    assert jets.labels is not None
    assert jets.labels.tolist() == [0, 1] * 4 + [0]
    assert set(jets.charge) <= {-1, 0, 1}


def test_particles_of_a_whole_event_are_no_jet(tmp_path):
    path, _ = mapped_events(tmp_path, 5, 3)
    text = suggest_mapping(path)
    suggestion = yaml.safe_load(text)
    assert (suggestion["tree"], suggestion["jets"]["pt"]) == ("t", "j_pt")
    assert "constituents" not in suggestion  # they point to jets that they have nothing to do with
    assert "#   p_pt: float[]" in text
    path, _ = nano(tmp_path, 5, 3)
    suggestion = yaml.safe_load(suggest_mapping(path))
    assert suggestion["jets"]["pt"] == "FatJet_pt"
    assert "constituents" not in suggestion


def jagged(*rows: list[float]) -> ak.Array:
    return ak.values_astype(ak.Array([*rows]), "f4")


def test_components_before_particles(tmp_path):
    """Arrays of jets x (px, py, pz, E) x particles, as weaver takes them."""
    rng = np.random.default_rng(3)
    values = rng.normal(0, 10, (7, 4, 5)).astype("f4")
    values[:, 3] = np.sqrt((values[:, :3] ** 2).sum(axis=1)) + 1
    values[2, :, 3:] = 0  # padding
    np.savez(tmp_path / "x.npz", v=values, label=np.arange(7) % 2)
    columns = {k: f"v[{i}, :]" for i, k in enumerate(("px", "py", "pz", "E"))}
    jets = readers.read(tmp_path / "x.npz", mapping={"constituents": columns, "label": "label"})
    total = values.astype(float).sum(axis=2)
    np.testing.assert_allclose(jets.jet_pt, np.hypot(total[:, 0], total[:, 1]), rtol=1e-5)
    np.testing.assert_allclose(
        jets.jet_mass, np.sqrt(total[:, 3] ** 2 - (total[:, :3] ** 2).sum(axis=1)), rtol=1e-4
    )
    assert jets.n_constituents.tolist() == [5, 5, 3, 5, 5, 5, 5]


def test_suggestion_takes_jets_before_leptons_and_generator_particles(tmp_path):
    """As in scouting NanoAOD, and in the HZZ example of uproot."""
    lists = {
        f"{object_}_{k}": jagged([30.0 + i, 20.0], [], [0.5]) if k == "pt" else jagged([1.0, 2.0], [], [0.5])
        for i, object_ in enumerate(("Electron", "GenPart", "IsoTrack", "ScoutingPFJet", "ScoutingFatJet"))
        for k in ("pt", "eta", "phi", "mass")
    }
    lists["ScoutingFatJet_nCh"] = jagged([3, 4], [], [5])
    path = write_root(tmp_path / "x.root", {**lists, "nScoutingFatJet": np.array([2, 0, 1], dtype="i4")})
    suggestion = yaml.safe_load(suggest_mapping(path))
    assert "constituents" not in suggestion
    assert suggestion["jets"]["pt"] == "ScoutingFatJet_pt"
    assert suggestion["observables"] == {"ScoutingFatJet_nCh": "ScoutingFatJet_nCh"}
    jets = readers.read(path, mapping=suggestion)
    assert jets.jet_pt.tolist() == [34.0, 20.0, 0.5]
    assert (jets.entry.tolist(), jets.position.tolist()) == ([0, 0, 2], [0, 1, 0])
    assert jets.observables["ScoutingFatJet_nCh"].tolist() == [3, 4, 5]
    named = readers.read(path, options={"collection": "ScoutingPFJet"})  # known by its collection
    assert named.jet_pt.tolist() == [33.0, 20.0, 0.5]


def test_suggestion_knows_momenta_of_edm4hep(tmp_path):
    kinds = ("energy", "momentum.x", "momentum.y", "momentum.z", "mass")
    lists = {
        f"{c}.{k}": jagged([20.0, 16.0], [13.0]) if k == "energy" else jagged([9.0, 8.0], [7.0])
        for c in ("Jet", "ReconstructedParticles")
        for k in kinds
    }
    path = write_root(tmp_path / "x.root", lists)
    assert yaml.safe_load(suggest_mapping(path))["jets"] == {
        "E": "Jet.energy",
        **{f"p{k}": f"Jet.momentum.{k}" for k in "xyz"},
    }


def test_energies_give_the_mass(tmp_path):
    """As in the dijet trees of CMS, with the name of the collection at the end."""
    lists = {f"jet{k}AK8": jagged([3.0, 2.0], [1.0]) for k in ("Pt", "Eta", "Phi")}
    lists["jetEnergyAK8"] = jagged([50.0, 7.524391382167262], [2.0])  # the second is massless
    path = write_root(tmp_path / "x.root", lists)
    suggestion = yaml.safe_load(suggest_mapping(path))
    assert suggestion["jets"] == {
        "pt": "jetPtAK8",
        "eta": "jetEtaAK8",
        "phi": "jetPhiAK8",
        "E": "jetEnergyAK8",
    }
    jets = readers.read(path, mapping=suggestion)
    mass = np.sqrt([50.0**2 - (3 * np.cosh(3.0)) ** 2, 0, 2.0**2 - np.cosh(1.0) ** 2])
    np.testing.assert_allclose(jets.jet_mass, mass, rtol=1e-5, atol=3e-3)


def test_lists_of_any_length_in_hdf5_are_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name in FOUR.values():
            file.create_dataset(name, (3,), dtype=h5py.vlen_dtype(np.dtype("f4")))
    with pytest.raises(InputError, match="no columns were found that are jets"):
        suggest_mapping(tmp_path / "x.h5")
    with pytest.raises(InputError, match="'c_pt' holds lists of any length, which are not read from HDF5"):
        readers.read(tmp_path / "x.h5", mapping={"constituents": FOUR})


def test_suggestion_without_anything_to_go_by(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"] = np.zeros((3, 2))
        file["names"] = [b"x", b"y", b"z"]
    message = r"no names or numbers look like momenta. The file holds a \(float64\[2\]\), names .*'x\[0, :\]'"
    with pytest.raises(InputError, match=message):
        suggest_mapping(tmp_path / "x.h5")
