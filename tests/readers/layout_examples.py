"""Small files in published layouts, with the jets that must come out; they share no code with jetad."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import h5py
import numpy as np
import pandas as pd

__all__ = ["LAYOUTS", "Truth", "make_jets"]

MASS = {211: 0.13957, 22: 0.0, 130: 0.49761, 2212: 0.93827}


class Truth(NamedTuple):
    """What the jets are, one row a jet."""

    pt: np.ndarray  # GeV
    eta: np.ndarray
    mass: np.ndarray  # GeV
    labels: np.ndarray | None = None


class Made(NamedTuple):
    pt: np.ndarray  # (n, slots), padded with zeros
    y: np.ndarray  # rapidity
    eta: np.ndarray
    phi: np.ndarray
    pid: np.ndarray

    @property
    def there(self) -> np.ndarray:
        return self.pt > 0

    def cartesian(self, massless: bool = False) -> tuple[np.ndarray, ...]:
        """(E, px, py, pz), each ``(n, slots)``, padded with zeros."""
        mass = np.vectorize(MASS.get)(np.abs(self.pid)) * (not massless)
        mt = np.sqrt(self.pt**2 + mass**2)
        eta = self.eta
        pz = self.pt * np.sinh(eta)
        energy = np.sqrt(mt**2 + pz**2)
        momenta = (energy, self.pt * np.cos(self.phi), self.pt * np.sin(self.phi), pz)
        return tuple(np.where(self.there, v, 0) for v in momenta)

    def truth(self, labels: np.ndarray | None = None, massless: bool = False) -> Truth:
        energy, px, py, pz = (v.sum(axis=1) for v in self.cartesian(massless))
        pt = np.hypot(px, py)
        mass = np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0))
        return Truth(pt, np.arcsinh(pz / pt), mass, labels)


def make_jets(n: int = 40, slots: int = 24, seed: int = 3) -> Made:
    """Jets of some hundred GeV."""
    rng = np.random.default_rng(seed)
    pt = np.sort(rng.exponential(40, (n, slots)) + 1)[:, ::-1]
    pid = rng.choice([211, -211, 22, 130, 2212], (n, slots))
    mass = np.vectorize(MASS.get)(np.abs(pid))
    eta = rng.normal(0, 1, (n, 1)) + rng.normal(0, 0.15, (n, slots))
    phi = rng.uniform(-2.5, 2.5, (n, 1)) + rng.normal(0, 0.15, (n, slots))
    y = np.arcsinh(pt * np.sinh(eta) / np.sqrt(pt**2 + mass**2))
    there = np.arange(slots) < rng.integers(4, slots + 1, n)[:, None]
    return Made(*(np.where(there, v, 0) for v in (pt, y, eta, phi)), np.where(there, pid, 22))


def energyflow(folder: Path, jets: Made) -> tuple[Path, Truth]:
    labels = np.arange(len(jets.pt)) % 2
    values = np.stack([jets.pt, jets.y, jets.phi, np.where(jets.there, jets.pid, 0)], axis=2)
    np.savez_compressed(folder / "QG_jets.npz", X=values, y=labels.astype("f8"))
    return folder / "QG_jets.npz", jets.truth(labels)


def hls4ml(folder: Path, jets: Made) -> tuple[Path, Truth]:
    """16 features a particle, 59 a jet, of which the last six say the class."""
    energy, px, py, pz = jets.cartesian()
    n, slots = jets.pt.shape
    truth = jets.truth()
    particles = np.zeros((n, slots, 16))
    particles[..., :4] = np.stack([px, py, pz, energy], axis=2)
    particles[..., 5], particles[..., 7], particles[..., 10] = jets.pt, jets.eta, jets.phi
    names = [f"j_x{i}" for i in range(59)]
    names[1:4], names[53:] = ["j_pt", "j_eta", "j_mass"], ["j_g", "j_q", "j_w", "j_z", "j_t", "j_undef"]
    features = np.random.default_rng(1).random((n, 59))
    features[:, 1:4] = np.stack([truth.pt, truth.eta, truth.mass], axis=1)
    features[:, 53:] = np.eye(6)[np.arange(n) % 5]
    inside = "px py pz e erel pt ptrel eta etarel etarot phi phirel phirot deltaR costheta costhetarel pdgid"
    with h5py.File(folder / "jetImage_7_150p_0_40.h5", "w") as file:
        file["jetConstituentList"], file["jets"] = particles, features
        file["jetImage"] = np.random.default_rng(2).poisson(0.1, (n, 100, 100)).astype("f8")
        file["jetFeatureNames"] = np.array(names, dtype="S")
        file["particleFeatureNames"] = np.array([f"j1_{k}" for k in inside.split()], dtype="S")
    labels = np.array([0, 0, 1, 1, 1])[np.arange(n) % 5]
    return folder / "jetImage_7_150p_0_40.h5", truth._replace(labels=labels)


def aspen(folder: Path, jets: Made) -> tuple[Path, Truth]:
    """Momenta before the PUPPI weights, which the jet was clustered with."""
    weights = np.where(np.random.default_rng(4).random(jets.pt.shape) < 0.3, 0.25, 1.0) * jets.there
    energy, px, py, pz = jets.cartesian()
    features = np.zeros((*jets.pt.shape, 11), dtype="f4")
    features[..., :4] = np.stack([px, py, pz, energy], axis=2)
    features[..., 8] = np.where(np.isin(jets.pid, (22, 130)) | ~jets.there, 0, np.sign(jets.pid))
    features[..., 9], features[..., 10] = jets.pid, weights
    total = [(v * weights).sum(axis=1) for v in (energy, px, py, pz)]
    pt = np.hypot(total[1], total[2])
    mass = np.sqrt(np.maximum(total[0] ** 2 - pt**2 - total[3] ** 2, 0))
    eta, phi = np.arcsinh(total[3] / pt), np.arctan2(total[2], total[1])
    with h5py.File(folder / "RunG_batch0.h5", "w") as file:
        file["PFCands"] = features
        file["jet_kinematics"] = np.stack([pt, eta, phi, mass / 2], axis=1).astype("f4")
        file["jet_tagging"], file["event_info"] = np.ones((len(pt), 13)), np.zeros((len(pt), 3), dtype="i8")
    return folder / "RunG_batch0.h5", Truth(pt, eta, mass)


def aspen_skim(folder: Path, jets: Made) -> tuple[Path, Truth]:
    """A copy with other columns, which its attributes name; its jets are the plain sums."""
    energy, px, py, _ = jets.cartesian()
    truth = jets.truth()
    axis = np.arctan2(py.sum(axis=1), px.sum(axis=1))
    charge = np.sign(jets.pid) * ~np.isin(jets.pid, (22, 130))
    columns = {"pt": jets.pt, "eta": jets.eta, "phi": jets.phi, "E": energy, "pdgId": jets.pid * jets.there,
               "charge": charge, "puppiWeight": jets.there * 0.5}  # fmt: skip
    with h5py.File(folder / "train_0000.h5", "w") as file:
        file["PFCands"] = np.stack(list(columns.values()), axis=2).astype("f4")
        file["jet_kinematics"] = np.stack([truth.pt, truth.eta, axis, truth.mass / 2], axis=1).astype("f4")
        file["PFCands"].attrs["columns"] = ",".join(columns)
    return folder / "train_0000.h5", truth


def atlastop(folder: Path, jets: Made) -> tuple[Path, Truth]:
    energy, *_ = jets.cartesian()
    truth, labels = jets.truth(), np.arange(len(jets.pt)) % 2
    with h5py.File(folder / "train.h5", "w") as file:
        file["fjet_clus_pt"], file["fjet_clus_E"] = jets.pt * 1000, energy * 1000
        file["fjet_clus_eta"], file["fjet_clus_phi"] = jets.eta, jets.phi
        file["fjet_pt"], file["fjet_m"] = truth.pt * 1000, truth.mass * 1000
        file["fjet_eta"], file["fjet_phi"] = truth.eta, np.zeros(len(truth.pt))
        file["fjet_C2"], file["weights"], file["labels"] = (
            np.ones(len(labels)),
            np.full(len(labels), 2.0),
            labels,
        )
    return folder / "train.h5", truth._replace(labels=labels)


def ftag(folder: Path, jets: Made) -> tuple[Path, Truth]:
    """Tracks relative to jets without phi, in MeV; a slot that is not valid holds NaN."""
    truth, n = jets.truth(massless=True), len(jets.pt)
    kinds = [("pt", "f4"), ("deta", "f4"), ("dphi", "f4"), ("d0", "f4"), ("valid", "?")]
    tracks = np.full(jets.pt.shape, np.array((np.nan, np.nan, np.nan, np.nan, False), dtype=kinds))
    there = jets.there
    axis = np.arctan2(*(v.sum(axis=1) for v in jets.cartesian(massless=True)[2:0:-1]))
    tracks["pt"][there] = 1000 * jets.pt[there]
    tracks["deta"][there] = (jets.eta - truth.eta[:, None])[there]
    tracks["dphi"][there] = (jets.phi - axis[:, None])[there]
    tracks["valid"] = there
    stored = np.zeros(n, dtype=[("pt_btagJes", "f4"), ("eta_btagJes", "f4"), ("mass", "f4"),
                                ("HadronConeExclTruthLabelID", "i4")])  # fmt: skip
    stored["pt_btagJes"], stored["eta_btagJes"], stored["mass"] = (
        1000 * truth.pt,
        truth.eta,
        1000 * truth.mass,
    )
    stored["HadronConeExclTruthLabelID"] = np.array([0, 4, 5, 15])[np.arange(n) % 4]
    with h5py.File(folder / "pp_output_test.h5", "w") as file:
        file["jets"], file["tracks"] = stored, tracks
    return folder / "pp_output_test.h5", truth._replace(labels=(np.arange(n) % 4 > 0).astype(int))


def lhco_features(folder: Path, jets: Made) -> tuple[Path, Truth]:
    truth = jets.truth()
    _, px, py, pz = (v.sum(axis=1) for v in jets.cartesian())
    columns = {"px": px, "py": py, "pz": pz, "m": truth.mass, "tau1": truth.mass / 9}
    frame = pd.DataFrame({f"{k}j{i}": v[i - 1 :: 2] for i in (1, 2) for k, v in columns.items()})
    frame["label"] = (np.arange(len(frame)) % 2).astype(float)
    frame.to_hdf(folder / "events_anomalydetection_v2.features.h5", key="df", mode="w")
    return folder / "events_anomalydetection_v2.features.h5", truth._replace(
        labels=np.repeat(frame["label"], 2)
    )


def top_arrays(folder: Path, jets: Made) -> tuple[Path, Truth]:
    """(n, 4, particles) of px, py, pz, E."""
    energy, px, py, pz = jets.cartesian()
    np.save(folder / "tl_pf_vectors.npy", np.stack([px, py, pz, energy], axis=1).astype("f4"))
    return folder / "tl_pf_vectors.npy", jets.truth()


def top_npz(folder: Path, jets: Made) -> tuple[Path, Truth]:
    """(n, particles, 4) of E, px, py, pz, and truth."""
    labels = np.arange(len(jets.pt)) % 2
    np.savez(folder / "top.npz", jets=np.stack(jets.cartesian(), axis=2), y=labels)
    return folder / "top.npz", jets.truth(labels)


def jetclass2(folder: Path, jets: Made) -> tuple[Path, Truth]:
    truth, there = jets.truth(), jets.there
    values = dict(zip(("energy", "px", "py", "pz"), jets.cartesian(), strict=True))
    columns: dict[str, Any] = {
        f"part_{k}": ak.Array([v[t].tolist() for v, t in zip(a, there, strict=True)])
        for k, a in values.items()
    }
    numbers = 150 + np.arange(len(truth.pt), dtype="i4")
    numbers[0] = -1
    columns |= {"jet_pt": truth.pt, "jet_eta": truth.eta, "jet_label": numbers}
    ak.to_parquet(ak.zip(columns, depth_limit=1), folder / "JetClassII_example.parquet")
    # 161 resonances, 27 classes of QCD
    labels = np.select([(numbers < 0) | (numbers > 187), numbers < 161], [-1, 1], default=0)
    return folder / "JetClassII_example.parquet", truth._replace(labels=labels)


def part_top(folder: Path, jets: Made) -> tuple[Path, Truth]:
    """Top-tagging and quark-gluon jets as the Particle Transformer stores them."""
    truth, there, labels = jets.truth(), jets.there, np.arange(len(jets.pt)) % 2
    values = dict(zip(("energy", "px", "py", "pz"), jets.cartesian(), strict=True))
    columns: dict[str, Any] = {"label": labels.astype("f8"), "jet_pt": truth.pt, "jet_eta": truth.eta,
                               "jet_mass": truth.mass}  # fmt: skip
    columns |= {
        f"part_{k}": ak.Array([v[t].tolist() for v, t in zip(a, there, strict=True)])
        for k, a in values.items()
    }
    ak.to_parquet(ak.zip(columns, depth_limit=1), folder / "train_file.parquet")
    return folder / "train_file.parquet", truth._replace(labels=labels)


def csv_features(folder: Path, jets: Made) -> tuple[Path, Truth]:
    truth, labels = jets.truth(), np.arange(len(jets.pt)) % 2
    frame = pd.DataFrame({"jet_pt": truth.pt, "jet_eta": truth.eta, "jet_phi": truth.eta / 3,
                          "jet_mass": truth.mass, "tau21": truth.eta, "label": labels})  # fmt: skip
    frame.to_csv(folder / "jets.csv", index=False)
    return folder / "jets.csv", truth._replace(labels=labels)


def csv_constituents(folder: Path, jets: Made) -> tuple[Path, Truth]:
    labels = np.arange(len(jets.pt)) % 2
    values = zip(("E", "PX", "PY", "PZ"), jets.cartesian(), strict=True)
    frame = pd.DataFrame({f"{k}_{i}": v[:, i] for k, v in values for i in range(v.shape[1])})
    frame.assign(is_signal_new=labels).to_csv(folder / "train.csv")
    return folder / "train.csv", jets.truth(labels)


# name -> who writes such a file, the reader that must be found
LAYOUTS = {
    "energyflow": (energyflow, "energyflow"),
    "hls4ml": (hls4ml, "hls4ml"),
    "aspen": (aspen, "aspen"),
    "aspen-skim": (aspen_skim, "aspen"),
    "atlastop": (atlastop, "atlastop"),
    "ftag": (ftag, "ftag"),
    "lhcofeatures": (lhco_features, "lhcofeatures"),
    "top-arrays": (top_arrays, "arrays"),
    "top-npz": (top_npz, "arrays"),
    "jetclass2": (jetclass2, "jetclass"),
    "part-top": (part_top, "jetclass"),
    "csv-features": (csv_features, "table"),
    "csv-constituents": (csv_constituents, "table"),
}
