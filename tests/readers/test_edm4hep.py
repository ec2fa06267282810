"""EDM4hep: jets with the particles that they refer to."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from reader_examples import write_root

from jetad import readers
from jetad.errors import InputError
from jetad.readers.formats import edm4hep
from jetad.readers.inspection import inspect_file


def event_file(tmp_path, *, relation="_Jets_particles", shift=0, wrong_event=None):
    """Jets that take every other particle, in an order of their own."""
    rng = np.random.default_rng(2)
    rows: dict[str, list] = {}
    sums = []

    def add(name, values):
        rows.setdefault(name, []).append(list(values))

    for event in range(12):
        n_jets = event % 3
        n = 4 * n_jets + 3
        p = rng.normal(0, 10, (n, 3)) + 40
        energy = np.sqrt((p**2).sum(axis=1) + 0.14**2)
        order = rng.permutation(n)[: 4 * n_jets]
        for prefix, e, momenta in (("Particles", energy, p), ("MCParticles", energy * 3, p * 3)):
            add(f"{prefix}.energy", e)
            for k, name in enumerate("xyz"):
                add(f"{prefix}.momentum.{name}", momenta[:, k])
            add(f"{prefix}.charge", np.arange(n) % 2)
        members = order.reshape(n_jets, 4)
        add("Jets.energy", energy[members].sum(axis=1))
        for k, name in enumerate("xyz"):
            add(f"Jets.momentum.{name}", p[members].sum(axis=1)[:, k])
        add("Jets.particles_begin", 4 * np.arange(n_jets))
        add("Jets.particles_end", 4 * np.arange(n_jets) + 4 + shift)
        add(f"{relation}.index", np.full_like(order, 999) if event == wrong_event else order)
        sums += [(*p[m].sum(axis=0), energy[m].sum()) for m in members]
    whole = ("index", "begin", "end", "charge")
    arrays = {
        k: ak.values_astype(ak.Array([*v, [0]])[:-1], "i4" if k.endswith(whole) else "f8")
        for k, v in rows.items()
    }
    return write_root(tmp_path / "x.root", arrays, tree="events"), np.array(sums)


@pytest.mark.parametrize("relation", ["_Jets_particles", "Jets#2"])
def test_jets_have_the_particles_that_they_refer_to(relation, tmp_path):
    path, sums = event_file(tmp_path, relation=relation)
    assert readers.detect(path) == "edm4hep"
    jets = readers.read(path)
    assert jets.n_constituents.tolist() == [4] * len(sums)
    assert jets.entry[:3].tolist() == [1, 2, 2]
    np.testing.assert_allclose(jets.jet_pt, np.hypot(sums[:, 0], sums[:, 1]), rtol=1e-5)
    mass = np.sqrt(sums[:, 3] ** 2 - (sums[:, :3] ** 2).sum(axis=1))
    np.testing.assert_allclose(jets.jet_mass, mass, rtol=1e-4)
    found = inspect_file(path)
    assert found.stored is not None
    assert found.stored.n_agree == found.stored.n_compared == len(sums)
    assert "constituents are those of Particles that jets refer to" in found.summary.notes
    assert set(found.summary.observables) == set(jets.observables)


def test_references_behind_the_end_are_not_followed(tmp_path):
    path, sums = event_file(tmp_path, shift=1)
    jets = readers.read(path)
    assert not jets.has_constituents
    np.testing.assert_allclose(jets.jet_pt, np.hypot(sums[:, 0], sums[:, 1]), rtol=1e-5)
    assert any("jets have only features" in note for note in readers.describe(path).notes)


def test_references_that_go_wrong_later_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(edm4hep, "_N_TRIED", 4)
    path, _ = event_file(tmp_path, wrong_event=7)
    with pytest.raises(InputError, match=r"entry 7: '_Jets_particles.index' points to particle 999 of"):
        readers.read(path)
