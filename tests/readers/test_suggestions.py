"""The first mapping of a file: what it finds, and that it refuses what is no jet."""

from __future__ import annotations

import awkward as ak
import h5py
import numpy as np
import pandas as pd
import pytest
import uproot
import yaml
from reader_examples import write_root, write_table

from jetad import readers
from jetad.errors import InputError
from jetad.jets.kinematics import cartesian
from jetad.readers.suggest import suggest_mapping

N, SLOTS = 60, 20


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def jets(rng):
    """(pt, eta, phi, mass) of constituents, ``(N, SLOTS, 4)``, padded with zeros."""
    pt = np.sort(rng.exponential(30, (N, SLOTS)) + 1)[:, ::-1]
    eta = rng.normal(0, 1, (N, 1)) + rng.normal(0, 0.1, (N, SLOTS))
    phi = rng.uniform(-2.7, 2.7, (N, 1)) + rng.normal(0, 0.1, (N, SLOTS))
    values = np.stack([pt, eta, phi, np.full_like(pt, 0.13957)], axis=2)
    values[np.arange(SLOTS) >= rng.integers(3, SLOTS + 1, N)[:, None]] = 0
    return values


def components(jets):
    """(E, px, py, pz), padded with zeros."""
    values = np.stack(cartesian(*np.moveaxis(jets, 2, 0)), axis=2)
    values[jets[..., 0] == 0] = 0
    return values


def sums(jets):
    """pT and mass of the jets, without jetad."""
    energy, px, py, pz = components(jets).sum(axis=1).T
    return np.hypot(px, py), np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0))


def momenta_as(kind, jets):
    e, px, py, pz = np.moveaxis(components(jets), 2, 0)
    pt, eta, phi, mass = np.moveaxis(jets, 2, 0)
    columns = {
        "E first": (e, px, py, pz), "E last": (px, py, pz, e), "cylindrical": (pt, eta, phi, mass),
        "angles first": (eta, phi, pt), "with energy": (pt, eta, phi, e),
        "many": (np.ones_like(e) * (pt > 0), px, py, pz, e, pt / 100, eta),
    }[kind]  # fmt: skip
    return np.stack(columns, axis=2)


KINDS = ("E first", "E last", "cylindrical", "angles first", "with energy", "many")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("features_last", [True, False])
@pytest.mark.parametrize("container", ["npy", "npz", "h5"])
def test_arrays(kind, features_last, container, jets, tmp_path):
    values = momenta_as(kind, jets)
    values = values if features_last else np.swapaxes(values, 1, 2)
    path, labels = tmp_path / f"X_test.{container}", np.arange(N) % 2
    if container == "npy":
        np.save(path, values)
        np.save(tmp_path / "y_test.npy", labels)
        np.save(tmp_path / "y_train.npy", labels[:-3])
    elif container == "npz":
        np.savez(path, X=values, y=labels)
    else:
        with h5py.File(path, "w") as file:
            file["particles"], file["labels"] = values, np.stack([1 - labels, labels], axis=1)
    found = readers.read(path, mapping=yaml.safe_load(suggest_mapping(path)))
    pt, mass = sums(jets if kind != "angles first" else jets * [1, 1, 1, 0])
    np.testing.assert_allclose(found.jet_pt, pt, rtol=1e-4)
    np.testing.assert_allclose(found.jet_mass, mass, rtol=1e-3)
    assert found.labels is not None
    np.testing.assert_array_equal(found.labels, labels)


def lists(values, jets):
    return ak.Array([row[there].tolist() for row, there in zip(values, jets[..., 0] > 0, strict=True)])


@pytest.mark.parametrize("spelling", ["px_{}", "{}_px", "{}px"])
def test_roles_before_and_behind_the_particle(spelling, jets, tmp_path):
    e, px, py, pz = np.moveaxis(components(jets), 2, 0)
    names = [spelling.format("part").replace("px", k) for k in ("E", "px", "py", "pz")]
    if spelling == "{}px":
        names = [f"part{k}" for k in ("E", "Px", "Py", "Pz")]
    arrays = {n: lists(v, jets) for n, v in zip(names, (e, px, py, pz), strict=True)}
    path = write_root(tmp_path / "x.root", arrays)
    found = readers.read(path, mapping=yaml.safe_load(suggest_mapping(path)))
    np.testing.assert_allclose(found.jet_pt, sums(jets)[0], rtol=1e-5)


def test_momenta_with_a_mass_in_columns_of_pandas(jets, tmp_path):
    """As the features of the LHC Olympics: two jets a row, px, py, pz and the mass."""
    _, px, py, pz = components(jets).sum(axis=1).T
    mass = sums(jets)[1]
    columns = {"px": px, "py": py, "pz": pz, "m": mass, "tau1": mass / 3}
    frame = pd.DataFrame({f"{k}j{i}": v[i - 1 :: 2] for i in (1, 2) for k, v in columns.items()})
    path = write_table(
        tmp_path / "x.h5", frame.assign(label=0.0), key="df", format="fixed", complib=None, complevel=0
    )
    found = readers.read(path, mapping=yaml.safe_load(suggest_mapping(path)))
    assert (found.entry[:4].tolist(), found.position[:4].tolist()) == ([0, 0, 1, 1], [0, 1, 0, 1])
    np.testing.assert_allclose(found.jet_pt, np.hypot(px, py), rtol=1e-5)
    np.testing.assert_allclose(found.jet_mass, mass, rtol=1e-3)
    np.testing.assert_allclose(found.observables["df_tau1j"], mass / 3)


def test_jets_without_phi_and_constituents_relative_to_them(jets, tmp_path):
    axis = jets[:, 0, 1]
    tracks = np.zeros(jets.shape[:2], dtype=[("pt", "f4"), ("deta", "f4"), ("dphi", "f4"), ("valid", "?")])
    tracks["pt"], tracks["valid"] = jets[..., 0] * 1000, jets[..., 0] > 0
    tracks["deta"], tracks["dphi"] = jets[..., 1] - axis[:, None], jets[..., 2] - jets[:, :1, 2]
    stored = np.zeros(N, dtype=[("pt", "f4"), ("eta", "f4")])
    stored["pt"], stored["eta"] = sums(jets)[0] * 1000, axis
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["jets"], file["tracks"] = stored, tracks
    suggestion = yaml.safe_load(suggest_mapping(tmp_path / "x.h5"))
    assert suggestion["jets"] == {"pt": "jets.pt", "eta": "jets.eta"}
    assert suggestion["units"] == "MeV" or np.median(stored["pt"]) < 20_000
    found = readers.read(tmp_path / "x.h5", mapping=suggestion, units="MeV")
    np.testing.assert_allclose(found.jet_pt, sums(jets * [1, 1, 1, 0])[0], rtol=1e-4)
    np.testing.assert_allclose(found.jet_phi, 0, atol=0.5)


REFUSED = {
    "generator records": ("LHEPart", "generator records"),
    "leptons": ("Muon", "leptons or other objects"),
    "whole events": ("Particles", "fly in all directions"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_jet(name, rng, tmp_path):
    prefix, reason = REFUSED[name]
    counts = rng.integers(2, 30, 200)
    n = counts.sum()
    values = {
        "pt": rng.exponential(20, n),
        "eta": rng.normal(0, 2, n),
        "phi": rng.uniform(-3, 3, n),
        "mass": np.zeros(n),
    }
    path = write_root(
        tmp_path / "x.root", {f"{prefix}_{k}": ak.unflatten(v, counts) for k, v in values.items()}
    )
    with pytest.raises(InputError, match=f"'{prefix}_pt', .* {reason}"):
        suggest_mapping(path)


def test_the_tree_is_chosen_by_what_it_holds(jets, tmp_path):
    arrays = {f"c_{k}": lists(jets[..., i], jets) for i, k in enumerate(("pt", "eta", "phi", "mass"))}
    with uproot.recreate(tmp_path / "x.root") as file:
        file["runs"] = {"run": np.arange(3)}
        file["calib"] = {"constant": np.arange(5.0)}
        file["nominal"] = arrays
        file["podio_metadata"] = {"version": np.arange(1)}
    suggestion = yaml.safe_load(suggest_mapping(tmp_path / "x.root"))
    assert suggestion.pop("tree") == "nominal"
    found = readers.read(tmp_path / "x.root", mapping=suggestion)  # by its columns
    np.testing.assert_allclose(found.jet_pt, sums(jets)[0], rtol=1e-5)


def test_units_of_a_file_in_mev_are_written_out(jets, tmp_path):
    np.savez(tmp_path / "x.npz", X=components(jets) * 1000)
    suggestion = yaml.safe_load(suggest_mapping(tmp_path / "x.npz"))
    assert suggestion["units"] == "MeV"
    found = readers.read(tmp_path / "x.npz", mapping=suggestion)
    np.testing.assert_allclose(found.jet_pt, sums(jets)[0], rtol=1e-4)
