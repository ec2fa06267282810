"""Layouts that nobody published: other names, orders, paddings, masks. NumPy adds up what must come out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import h5py
import numpy as np
import pandas as pd
import pytest
import uproot
import yaml

from jetad import readers
from jetad.errors import InputError
from jetad.jets import Jets
from jetad.readers.suggest import suggest_mapping

N, SLOTS = 120, 24


class Made(NamedTuple):
    there: np.ndarray  # (n, slots)
    pt: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    mass: np.ndarray
    jet: dict[str, np.ndarray]  # pt, eta, phi, mass of the sums
    label: np.ndarray

    @property
    def cartesian(self) -> tuple[np.ndarray, ...]:
        """(E, px, py, pz)"""
        px, py, pz = self.pt * np.cos(self.phi), self.pt * np.sin(self.phi), self.pt * np.sinh(self.eta)
        return np.sqrt(px**2 + py**2 + pz**2 + self.mass**2), px, py, pz

    @property
    def relative(self) -> tuple[np.ndarray, np.ndarray]:
        dphi = (self.phi - self.jet["phi"][:, None] + np.pi) % (2 * np.pi) - np.pi
        return (self.eta - self.jet["eta"][:, None]) * self.there, dphi * self.there

    def lists(self, values: np.ndarray) -> ak.Array:
        return ak.Array([v[t].tolist() for v, t in zip(values, self.there, strict=True)])


def make(massive: bool = True) -> Made:
    rng = np.random.default_rng(11)
    there = np.arange(SLOTS) < rng.integers(6, SLOTS + 1, N)[:, None]
    pt = np.sort(rng.exponential(25, (N, SLOTS)) + 0.6, axis=1)[:, ::-1] * there
    eta = (rng.normal(0, 1, (N, 1)) + rng.normal(0, 0.15, (N, SLOTS))) * there
    phi = rng.uniform(-np.pi, np.pi, (N, 1)) + rng.normal(0, 0.15, (N, SLOTS))
    phi = ((phi + np.pi) % (2 * np.pi) - np.pi) * there
    mass = np.where(rng.random((N, SLOTS)) < 0.6, 0.13957, 0.0) * there * massive
    made = Made(there, pt, eta, phi, mass, {}, (np.arange(N) % 3 == 0).astype(int))
    energy, px, py, pz = (v.sum(axis=1) for v in made.cartesian)
    total = np.hypot(px, py)
    mass2 = energy**2 - px**2 - py**2 - pz**2
    made.jet.update(
        pt=total, eta=np.arcsinh(pz / total), phi=np.arctan2(py, px), mass=np.sqrt(np.maximum(mass2, 0))
    )
    return made


def garbage(made: Made) -> np.ndarray:
    """(n, slots, 4) of pt, eta, phi, mass; what is in empty slots looks like particles."""
    values = np.stack([made.pt, made.eta, made.phi, made.mass], axis=2)
    return np.where(
        made.there[..., None], values, np.abs(np.random.default_rng(1).normal(size=values.shape)) + 1
    )


def tree(path: Path, columns: dict[str, Any]) -> None:
    kinds = {
        k: f"var * {ak.type(v[0]).content}" if isinstance(v, ak.Array) else (v.dtype, v.shape[1:])
        for k, v in columns.items()
    }
    with uproot.recreate(path) as file:
        file.mktree("tree", kinds)
        file["tree"].extend(columns)


def frame(made: Made, name: str, columns: dict[str, np.ndarray]) -> pd.DataFrame:
    """Numbered columns, ``name`` with {k} and {i}."""
    return pd.DataFrame({name.format(k=k, i=i): v[:, i] for i in range(SLOTS) for k, v in columns.items()})


def jagged_doubles(folder: Path, made: Made) -> Path:
    columns = {
        f"fj_constit_{k}": made.lists(v)
        for k, v in zip(("energy", "px", "py", "pz"), made.cartesian, strict=True)
    }
    columns |= {f"fj_{k}": v for k, v in made.jet.items()}
    tree(folder / "x.root", {**columns, "isSignal": made.label})
    return folder / "x.root"


def mev_and_truth_label(folder: Path, made: Made) -> Path:
    columns = {"pt": made.pt * 1000, "eta": made.eta, "phi": made.phi, "m": made.mass * 1000}
    tree(
        folder / "x.root",
        {**{f"clus_{k}": made.lists(v) for k, v in columns.items()}, "truth_label": made.label},
    )
    return folder / "x.root"


def fixed_branches(folder: Path, made: Made) -> Path:
    columns = {"pt": made.pt, "eta": made.eta, "phi": made.phi, "e": made.cartesian[0]}
    tree(
        folder / "x.root", {**{f"part_{k}": v.astype("f4") for k, v in columns.items()}, "label": made.label}
    )
    return folder / "x.root"


def number_between(folder: Path, made: Made) -> Path:
    columns = frame(
        made, "constit{i}_{k}", {"pt": made.pt, "eta": made.eta, "phi": made.phi, "mass": made.mass}
    )
    columns.assign(label=made.label).to_hdf(folder / "x.h5", key="df", mode="w", format="fixed")
    return folder / "x.h5"


def role_before_the_number(folder: Path, made: Made) -> Path:
    columns = frame(made, "{k}_part{i}", dict(zip(("E", "px", "py", "pz"), made.cartesian, strict=True)))
    columns.assign(is_signal=made.label).to_hdf(folder / "x.h5", key="df", mode="w", format="table")
    return folder / "x.h5"


def semicolons(folder: Path, made: Made) -> Path:
    columns = frame(made, "c{i}_{k}", dict(zip(("E", "px", "py", "pz"), made.cartesian, strict=True)))
    columns.assign(target=made.label).to_csv(folder / "x.csv", sep=";", index=False)
    return folder / "x.csv"


def transposed(folder: Path, made: Made) -> Path:
    energy, px, py, pz = made.cartesian
    with h5py.File(folder / "x.h5", "w") as file:
        file["particles"], file["signal"] = np.stack([px, py, pz, energy], axis=1), made.label
    return folder / "x.h5"


def nan_padding(folder: Path, made: Made) -> Path:
    values = np.stack([made.pt, made.eta, made.phi, made.mass], axis=2)
    np.savez(folder / "x.npz", x=np.where(made.there[..., None], values, np.nan), y=made.label)
    return folder / "x.npz"


def padding_of_minus_999(folder: Path, made: Made) -> Path:
    columns = {"pt": made.pt, "eta": made.eta, "phi": made.phi, "energy": made.cartesian[0]}
    particles = np.zeros(made.pt.shape, dtype=[(k, "f8") for k in columns])
    for k, v in columns.items():
        particles[k] = np.where(made.there, v, -999)
    jets = np.zeros(N, dtype=[*((k, "f4") for k in made.jet), ("label", "i4")])
    for k, v in {**made.jet, "label": made.label}.items():
        jets[k] = v
    with h5py.File(folder / "x.h5", "w") as file:
        file["constituents"], file["jets"] = particles, jets
    return folder / "x.h5"


def mask_beside(folder: Path, made: Made) -> Path:
    np.savez(folder / "x.npz", x=garbage(made), mask=made.there, y=made.label)
    return folder / "x.npz"


def mask_inside(folder: Path, made: Made) -> Path:
    values = np.concatenate([garbage(made), made.there[..., None]], axis=2)
    np.savez(folder / "x.npz", x=np.insert(values, 3, 0.5, axis=2)[..., [0, 1, 2, 4, 5]], y=made.label)
    return folder / "x.npz"


def names_of_jetnet(folder: Path, made: Made) -> Path:
    """But the particles are not relative to their jets."""
    with h5py.File(folder / "x.h5", "w") as file:
        file["particle_features"], file["particle_mask"] = garbage(made), made.there.astype("i1")
        file["jet_features"], file["label"] = np.stack(list(made.jet.values()), axis=1), made.label
    return folder / "x.h5"


def events_of_two_jets(folder: Path, made: Made) -> Path:
    np.save(folder / "x.npy", np.stack(made.cartesian, axis=2).reshape(N // 2, 2, SLOTS, 4))
    return folder / "x.npy"


def relative_array(folder: Path, made: Made) -> Path:
    inside = np.stack([*made.relative, made.pt / made.jet["pt"][:, None]], axis=2)
    np.savez(
        folder / "x.npz", constituents=inside, jets=np.stack(list(made.jet.values()), axis=1), y=made.label
    )
    return folder / "x.npz"


def relative_names(folder: Path, made: Made) -> Path:
    deta, dphi = made.relative
    columns: dict[str, Any] = {
        "pfcand_ptrel": made.pt / made.jet["pt"][:, None],
        "pfcand_etarel": deta,
        "pfcand_phirel": dphi,
    }
    columns = {k: made.lists(v) for k, v in columns.items()} | {f"fj_{k}": v for k, v in made.jet.items()}
    ak.to_parquet(ak.zip({**columns, "label": made.label}, depth_limit=1), folder / "x.parquet")
    return folder / "x.parquet"


def lists_called_jets(folder: Path, made: Made) -> Path:
    """As the hls4ml jets on Hugging Face: j1_px are the constituents of j."""
    columns = {f"j1_{k}": made.lists(v) for k, v in zip(("e", "px", "py", "pz"), made.cartesian, strict=True)}
    columns |= {f"j_{k}": made.jet[k] for k in ("pt", "eta", "mass")}
    ak.to_parquet(ak.zip({**columns, "label": made.label}, depth_limit=1), folder / "x.parquet")
    return folder / "x.parquet"


def plural(folder: Path, made: Made) -> Path:
    columns = {"pts": made.pt, "etas": made.eta, "phis": made.phi, "masses": made.mass}
    lists = {k: made.lists(v) for k, v in columns.items()}
    ak.to_parquet(ak.zip({**lists, "y": made.label}, depth_limit=1), folder / "x.parquet")
    return folder / "x.parquet"


# who writes the file, whether its particles have mass
ODD: dict[Callable[[Path, Made], Path], bool] = {
    jagged_doubles: True, mev_and_truth_label: True, fixed_branches: True, number_between: True,
    role_before_the_number: True, semicolons: True, transposed: True, nan_padding: True,
    padding_of_minus_999: True, mask_beside: True, mask_inside: False, names_of_jetnet: True,
    events_of_two_jets: True, relative_array: False, relative_names: False, lists_called_jets: True,
    plural: True,
}  # fmt: skip


def read(path: Path) -> Jets:
    """By content, or with the suggested mapping."""
    try:
        return readers.read(path)
    except InputError:
        return readers.read(
            path, reader="mapping", options={"mapping": yaml.safe_load(suggest_mapping(path))}
        )


@pytest.mark.parametrize("write", ODD, ids=lambda write: write.__name__)
def test_jets_are_the_sums_of_numpy(write, tmp_path):
    made = make(massive=ODD[write])
    jets = read(write(tmp_path, made))
    assert len(jets) == N
    np.testing.assert_array_equal(jets.n_constituents, made.there.sum(axis=1))
    np.testing.assert_allclose(jets.jet_pt, made.jet["pt"], rtol=1e-5)
    np.testing.assert_allclose(jets.jet_eta, made.jet["eta"], atol=1e-5)
    np.testing.assert_allclose(np.cos(jets.jet_phi - made.jet["phi"]), 1, atol=1e-6)
    np.testing.assert_allclose(jets.jet_mass, made.jet["mass"], rtol=1e-3, atol=0.02)
    if write is not events_of_two_jets:
        np.testing.assert_array_equal(jets.labels, made.label)


def test_truth_of_several_classes_is_not_taken_for_signal_and_background(tmp_path):
    made = make()
    np.savez(tmp_path / "x.npz", x=np.stack(made.cartesian, axis=2), y=np.arange(N) % 5)
    assert readers.read(tmp_path / "x.npz").labels is None
    note = (
        "'y' has the values 0, 1, 2, 3, 4: say which are signal, "
        "label: {column: y, signal: [...], background: [...]}"
    )
    assert note in " ".join(readers.describe(tmp_path / "x.npz").notes)
    text = suggest_mapping(tmp_path / "x.npz")
    assert f"# {note}\n" in text
    assert "label" not in yaml.safe_load(text)


def test_a_broken_particle_is_no_padding(tmp_path):
    """NaN in some of its numbers, or in all of them in a list that needs no padding."""
    made = make()
    values = np.stack([made.pt, made.eta, made.phi, made.mass], axis=2)
    values[3, 1, 0] = np.nan
    np.savez(tmp_path / "x.npz", x=values, y=made.label)
    jets = readers.read(tmp_path / "x.npz")
    np.testing.assert_array_equal(jets.n_constituents, made.there.sum(axis=1))
    assert np.flatnonzero(np.isnan(jets.jet_pt)).tolist() == [3]
    values[3, 1] = np.nan
    lists = {f"part_{k}": made.lists(values[..., i]) for i, k in enumerate(("pt", "eta", "phi", "mass"))}
    tree(tmp_path / "x.root", lists)
    assert np.flatnonzero(np.isnan(read(tmp_path / "x.root").jet_pt)).tolist() == [3]
