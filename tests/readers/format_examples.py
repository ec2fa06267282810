"""Writers of the formats that hold events, images or single jets; they share no code with jetad."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import pandas as pd
from reader_examples import write_root, write_table

__all__ = ["FORMATS", "Expected", "Format"]

Four = tuple[float, float, float, float]


@dataclass
class Expected:
    """What one jet of the file must come out as."""

    entry: int
    position: int = 0
    constituents: list[Four] | None = None  # (pt, eta, phi, mass); None where the file has none
    momentum: Four | None = None  # stored jet
    charges: list[float] | None = None  # of the constituents, None where the file does not say
    label: int | None = None
    weight: float | None = None
    observables: dict[str, float] = field(default_factory=dict)
    image: np.ndarray | None = None


class Format(NamedTuple):
    write: Callable[[Path, int, int], tuple[Path, list[Expected]]]  # folder, number of entries, seed
    reader: str  # the one that must be found
    read: dict[str, Any] = {}  # noqa: RUF012  options for it


def four(rng: np.random.Generator, scale: float) -> Four:
    """Four float32 numbers, as plain floats."""
    values = (
        rng.exponential(scale) + 0.5,
        rng.normal(0, 1),
        rng.uniform(-3.1, 3.1),
        rng.exponential(0.1 * scale),
    )
    return tuple(float(np.float32(v)) for v in values)  # type: ignore[return-value]


def column(rows: list[list[float]], dtype: str = "f4") -> ak.Array:
    return ak.values_astype(ak.Array([*rows, [0.0]])[:-1], np.dtype(dtype))


def nano(
    folder: Path,
    n: int,
    seed: int,
    *,
    kind: str = "ttree",
    spelling: tuple[str, str, str] | None = ("FatJetPFCands", "pFCandsIdx", "PFCands"),
    collection: str = "FatJet",
    puppi: bool = True,
    charge: str | None = "charge",
) -> tuple[Path, list[Expected]]:
    """Events with a table of particles that the jets point into, written by uproot."""
    rng = np.random.default_rng(seed)
    expected: list[Expected] = []
    rows: dict[str, list[list[float]]] = {}

    def add(name: str, values: list[float]) -> None:
        rows.setdefault(name, []).append(values)

    events = []
    for event in range(n):
        jets = [four(rng, 300.0) for _ in range(int(rng.integers(0, 4)))]
        particles = [four(rng, 20.0) for _ in range(int(rng.integers(1, 12)))]
        weights = [float(np.float32(w)) for w in rng.choice([0.0, 0.25, 1.0], len(particles))]
        for k, name in enumerate(("pt", "eta", "phi", "mass")):
            add(f"{collection}_{name}", [jet[k] for jet in jets])
        tau = [float(np.float32(t)) for t in rng.random(len(jets))]
        add(f"{collection}_tau1", tau)
        ident = [int(i) for i in rng.integers(0, 7, len(jets))]
        add(f"{collection}_jetId", ident)
        genweight = float(np.float32(rng.normal(1, 0.5)))
        events.append((1, 10 + event // 3, 2**40 + event, genweight))
        links: list[tuple[int, int]] = []
        if spelling is not None:
            table = spelling[2]
            for k, name in enumerate(("pt", "eta", "phi", "mass")):
                add(f"{table}_{name}", [p[k] for p in particles])
            if puppi:
                add(f"{table}_puppiWeight", weights)
            kinds = [(-211, -1), (-13, 1), (11, -1), (22, 0), (130, 0), (1, 0), (211, 1)]
            chosen = [kinds[i] for i in rng.integers(0, len(kinds), len(particles))]
            if charge:
                add(f"{table}_{charge}", [c[charge == "charge"] for c in chosen])
            for p in range(len(particles)):
                links.append((int(rng.integers(-1, len(jets))) if jets else -1, p))
            order = rng.permutation(len(links))
            links = [links[i] for i in order]
            add(f"{spelling[0]}_jetIdx", [j for j, _ in links])
            add(f"{spelling[0]}_{spelling[1]}", [p for _, p in links])
        for j, jet in enumerate(jets):
            inside: list[Four] | None = None
            charges: list[float] | None = None
            if spelling is not None:
                inside, charges = [], [] if charge else None
                for i, p in links:
                    pt, eta, phi, mass = particles[p]
                    w = weights[p] if puppi else 1.0
                    if i == j and w > 0:
                        inside.append((pt * w, eta, phi, mass * w))
                        if charges is not None:
                            charges.append(chosen[p][1])
            expected.append(
                Expected(
                    event,
                    j,
                    constituents=inside,
                    charges=charges,
                    momentum=None if spelling else jet,
                    weight=genweight,
                    observables={
                        f"{collection}_pt": jet[0],
                        f"{collection}_tau1": tau[j],
                        f"{collection}_jetId": ident[j],
                        "run": 1,
                        "luminosityBlock": 10 + event // 3,
                        "event": 2**40 + event,
                    },
                )
            )
    arrays: dict[str, Any] = {
        "run": np.array([e[0] for e in events], dtype="u4"),
        "luminosityBlock": np.array([e[1] for e in events], dtype="u4"),
        "event": np.array([e[2] for e in events], dtype="u8"),
        "genWeight": np.array([e[3] for e in events], dtype="f4"),
        "HLT_any": np.zeros(n, dtype=bool),
    }
    for name, values in rows.items():
        arrays[name] = column(values, "i4" if name.endswith(("Idx", "jetId", "charge", "pdgId")) else "f4")
    return write_root(folder / f"nano_{seed}_{n}.root", arrays, tree="Events", kind=kind, pieces=2), expected


def physlite(folder: Path, n: int, seed: int, *, kind: str = "ttree") -> tuple[Path, list[Expected]]:
    """Jets in MeV with decorations; what is no number per jet must not disturb."""
    rng = np.random.default_rng(seed)
    expected, d2, truth, jets = [], [], [], []
    weights = rng.normal(1, 0.5, (n, 3)).astype("f4")
    for event in range(n):
        jets.append([four(rng, 300e3) for _ in range(int(rng.integers(0, 4)))])
        d2.append([float(np.float32(v)) for v in rng.random(len(jets[-1]))])
        truth.append([int(v) for v in rng.integers(1, 12, len(jets[-1]))])
        for j, (pt, eta, phi, mass) in enumerate(jets[-1]):
            observables = {
                "AnalysisLargeRJets_D2": d2[-1][j],
                "AnalysisLargeRJets_R10TruthLabel": truth[-1][j],
            }
            expected.append(
                Expected(
                    event,
                    j,
                    momentum=(pt / 1000, eta, phi, mass / 1000),
                    weight=float(weights[event, 0]),
                    observables={**observables, "runNumber": 7.0, "eventNumber": event},
                )
            )
    dot = ":" if kind == "rntuple" else "."
    c, e = f"AnalysisLargeRJetsAuxDyn{dot}", f"EventInfoAuxDyn{dot}"
    arrays: dict[str, Any] = {
        c + name: column([[jet[k] for jet in event] for event in jets])
        for k, name in enumerate(("pt", "eta", "phi", "m"))
    }
    arrays[c + "D2"] = column(d2)
    arrays[c + "R10TruthLabel"] = column(truth, "i4")
    arrays[e + "runNumber"] = np.full(n, 7, dtype="u4")
    arrays[e + "eventNumber"] = np.arange(n, dtype="u8")
    arrays[e + "mcEventWeights"] = ak.Array(list(weights))
    tree = "EventData" if kind == "rntuple" else "CollectionTree"
    return write_root(folder / f"lite_{seed}_{n}.root", arrays, tree=tree, kind=kind, pieces=2), expected


def treemaker(folder: Path, n: int, seed: int, *, kind: str = "ttree") -> tuple[Path, list[Expected]]:
    rng = np.random.default_rng(seed)
    expected, jets, flags = [], [], []
    for event in range(n):
        jets.append([four(rng, 300.0) for _ in range(int(rng.integers(0, 4)))])
        flags.append([bool(b) for b in rng.integers(0, 2, len(jets[-1]))])
        for j, jet in enumerate(jets[-1]):
            expected.append(
                Expected(
                    event,
                    j,
                    momentum=jet,
                    weight=0.25,
                    observables={"JetsAK8_isHV": flags[-1][j], "EvtNum": event},
                )
            )
    energy = [[float(np.hypot(p * np.cosh(eta), m)) for p, eta, _, m in event] for event in jets]
    columns = {
        name: column([[jet[k] for jet in event] for event in jets], "f8")
        for k, name in enumerate(("fPt", "fEta", "fPhi"))
    }
    columns["fE"] = column(energy, "f8")
    arrays: dict[str, Any] = {}
    if kind == "rntuple":
        arrays["JetsAK8"] = ak.zip({"fCoordinates": ak.zip(columns)})
    else:
        arrays = {f"JetsAK8.fCoordinates.{name}": values for name, values in columns.items()}
    arrays["JetsAK8_isHV"] = ak.values_astype(ak.Array([*flags, [True]])[:-1], bool)
    arrays["Weight"] = np.full(n, 0.25)
    arrays["EvtNum"] = np.arange(n, dtype="u8")
    return write_root(
        folder / f"tm_{seed}_{n}.root", arrays, tree="PreSelection", kind=kind, pieces=2
    ), expected


def delphes(folder: Path, n: int, seed: int, *, signs: bool = True) -> tuple[Path, list[Expected]]:
    """Jets far apart, particles around them or between."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[list[float]]] = {}
    expected = []

    def add(prefix: str, names: tuple[str, ...], fours: list[Four]) -> None:
        for k, name in enumerate(names):
            rows.setdefault(f"{prefix}.{name}", []).append([f[k] for f in fours])

    for event in range(n):
        axes = [(-2.0, 3.1), (0.0, -3.0), (2.0, 1.0)][: int(rng.integers(0, 4))]
        jets: list[Four] = [(float(np.float32(rng.uniform(200, 900))), eta, phi, 50.0) for eta, phi in axes]
        inside: list[list[Four]] = [[] for _ in jets]
        charges: list[list[float]] = [[] for _ in jets]
        track_charges = []
        for name, pt_name in (("EFlowTrack", "PT"), ("EFlowPhoton", "ET"), ("EFlowNeutralHadron", "ET")):
            table = []
            for _ in range(int(rng.integers(0, 9))):
                pt = float(np.float32(rng.exponential(20) + 0.1))
                where = int(rng.integers(-1, len(jets))) if jets else -1
                eta, phi = axes[where] if where >= 0 else (4.5, 0.0)
                r, angle = rng.uniform(0, 0.79), rng.uniform(-np.pi, np.pi)
                eta = float(np.float32(eta + r * np.cos(angle)))
                phi = float(np.float32((phi + r * np.sin(angle) + np.pi) % (2 * np.pi) - np.pi))
                table.append((pt, eta, phi, 0.0))
                charge = 0 if name != "EFlowTrack" else int(rng.choice([-1, 1])) if signs else 1
                if name == "EFlowTrack":
                    track_charges.append(charge)
                if where >= 0:
                    inside[where].append((pt, eta, phi, 0.13957 if name == "EFlowTrack" else 0.0))
                    charges[where].append(charge)
            add(name, (pt_name, "Eta", "Phi"), table)
        add("FatJet", ("PT", "Eta", "Phi", "Mass"), jets)
        if signs:
            rows.setdefault("EFlowTrack.Charge", []).append(track_charges)
        for j, jet in enumerate(jets):
            observables = {"FatJet_PT": jet[0]}
            expected.append(
                Expected(event, j, constituents=inside[j], charges=charges[j], observables=observables)
            )
    arrays = {n: column(v, "i4" if n.endswith("Charge") else "f4") for n, v in rows.items()}
    return write_root(folder / f"delphes_{seed}_{n}.root", arrays, tree="Delphes", pieces=2), expected


def jagged(n: int, seed: int) -> tuple[list[list[Four]], list[Expected]]:
    """One jet a row, some without constituents, with a label, a weight and an observable."""
    rng = np.random.default_rng(seed)
    jets = []
    for _ in range(n):
        pt, eta, phi, mass = (
            rng.exponential(20, 5) + 0.5,
            rng.normal(0, 0.1, 5),
            rng.normal(0, 0.1, 5),
            rng.random(5),
        )
        eta, phi = eta + rng.normal(0, 1), phi + rng.uniform(-2.5, 2.5)
        rows = np.stack([pt, eta, phi, mass], axis=1).astype("f4")[: int(rng.integers(0, 6))]
        jets.append([tuple(float(v) for v in row) for row in rows])
    expected = [
        Expected(i, constituents=jet, label=i % 2, weight=i / 4, observables={"tau": i * 0.5})
        for i, jet in enumerate(jets)
    ]
    return jets, expected


_FLAT = {
    "constituents": {"pt": "c_pt", "eta": "c_eta", "phi": "c_phi", "mass": "c_m", "charge": "c_charge"},
    "label": "truth",
    "weight": "w",
    "observables": {"tau": "t"},
}


def mapped_columns(n: int, seed: int) -> tuple[dict[str, Any], list[Expected]]:
    jets, expected = jagged(n, seed)
    arrays: dict[str, Any] = {
        f"c_{name}": column([[c[k] for c in jet] for jet in jets])
        for k, name in enumerate(("pt", "eta", "phi", "m"))
    }
    charges = [[float(k % 3 - 1) for k in range(len(jet))] for jet in jets]
    arrays["c_charge"] = column(charges, "i1")
    arrays["truth"] = np.arange(n, dtype="i4") % 2
    arrays["w"], arrays["t"] = np.arange(n) / 4, np.arange(n) * 0.5
    return arrays, [replace(e, charges=q) for e, q in zip(expected, charges, strict=True)]


def mapped_root(folder: Path, n: int, seed: int) -> tuple[Path, list[Expected]]:
    arrays, expected = mapped_columns(n, seed)
    return write_root(folder / f"mapped_{seed}_{n}.root", arrays, tree="ntuple", pieces=2), expected


def mapped_parquet(folder: Path, n: int, seed: int) -> tuple[Path, list[Expected]]:
    import pyarrow as pa
    import pyarrow.parquet

    arrays, expected = mapped_columns(n, seed)
    path = folder / f"mapped_{seed}_{n}.parquet"
    columns = {k: pa.array(v.tolist() if isinstance(v, ak.Array) else v) for k, v in arrays.items()}
    pyarrow.parquet.write_table(pa.table(columns), path, row_group_size=5)
    return path, expected


def padded(n: int, seed: int) -> tuple[np.ndarray, list[Expected]]:
    jets, expected = jagged(n, seed)
    values = np.zeros((n, 6, 4), dtype="f4")
    for i, jet in enumerate(jets):
        for k, constituent in enumerate(jet):
            values[i, k] = constituent
    return values, expected


def mapped_npz(folder: Path, n: int, seed: int) -> tuple[Path, list[Expected]]:
    values, expected = padded(n, seed)
    path = folder / f"mapped_{seed}_{n}.npz"
    np.savez_compressed(path, c=values, truth=np.arange(n) % 2, w=np.arange(n) / 4, t=np.arange(n) * 0.5)
    return path, expected


def mapped_h5(folder: Path, n: int, seed: int) -> tuple[Path, list[Expected]]:
    """Compound datasets as of the ATLAS flavour-tagging group, in px, py, pz, E and with a mask."""
    import h5py

    values, expected = padded(n, seed)
    pt, eta, phi, mass = np.moveaxis(values.astype("f8"), -1, 0)
    kind = np.dtype([("px", "f8"), ("py", "f8"), ("pz", "f8"), ("e", "f8"), ("valid", "?")])
    consts = np.full(pt.shape, np.array((np.nan, np.nan, np.nan, np.nan, False), dtype=kind))
    there = pt > 0
    consts["px"][there], consts["py"][there] = (pt * np.cos(phi))[there], (pt * np.sin(phi))[there]
    consts["pz"][there] = (pt * np.sinh(eta))[there]
    consts["e"][there] = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)[there]
    consts["valid"] = there
    jets = np.zeros(n, dtype=[("truth", "i2"), ("w", "f8"), ("t", "f8")])
    jets["truth"], jets["w"], jets["t"] = (
        np.where(np.arange(n) % 2, 5, -3),
        np.arange(n) / 4,
        np.arange(n) * 0.5,
    )
    path = folder / f"mapped_{seed}_{n}.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("g/consts", data=consts, chunks=(min(n, 4), 6), compression="gzip")
        file.create_dataset("g/jets", data=jets)
    return path, expected


def mapped_events(folder: Path, n: int, seed: int) -> tuple[Path, list[Expected]]:
    """Several jets an event; every particle says which it belongs to, or none."""
    rng = np.random.default_rng(seed)
    jets = [[four(rng, 300.0) for _ in range(int(rng.integers(0, 4)))] for _ in range(n)]
    parts = [[four(rng, 20.0) for _ in range(int(rng.integers(0, 9)))] for _ in range(n)]
    index = [
        [int(rng.integers(-1, len(j))) if j else -1 for _ in p] for j, p in zip(jets, parts, strict=True)
    ]
    expected = []
    for event in range(n):
        for k, jet in enumerate(jets[event]):
            chosen = [i for i, of in enumerate(index[event]) if of == k]
            inside, charges = [parts[event][i] for i in chosen], [float(i % 2) for i in chosen]
            observables = {"stored": jet[0], "run": float(event)}
            expected.append(Expected(event, k, inside, charges=charges, weight=0.5, observables=observables))
    arrays: dict[str, Any] = {}
    for prefix, rows in (("j", jets), ("p", parts)):
        for k, name in enumerate(("pt", "eta", "phi", "m")):
            arrays[f"{prefix}_{name}"] = column([[v[k] for v in row] for row in rows])
    arrays["p_jet"] = column(index, "i4")  # type: ignore[arg-type]
    arrays["p_q"] = column([[i % 2 for i in range(len(row))] for row in parts])
    arrays["run"], arrays["w"] = np.arange(n), np.full(n, 0.5)
    return write_root(folder / f"mapped_{seed}_{n}.root", arrays, tree="t", pieces=2), expected


def jetnet(folder: Path, n: int, seed: int) -> tuple[Path, list[Expected]]:
    import h5py

    rng = np.random.default_rng(seed)
    jets = np.stack(
        [rng.uniform(800, 1200, n), rng.normal(0, 1, n), rng.uniform(5, 200, n), np.zeros(n)], axis=1
    )
    particles = np.zeros((n, 30, 4), dtype="f4")
    expected = []
    for i in range(n):
        k = int(rng.integers(0, 31))
        jets[i, 3] = k
        particles[i, :k, :2], particles[i, :k, 2] = rng.normal(0, 0.2, (k, 2)), (rng.random(k) + 0.01) / 8
        particles[i, :k, 3] = 1
        rel = particles[i, :k].astype("f8")
        pt, eta = np.float32(jets[i, 0]).astype("f8"), np.float32(jets[i, 1]).astype("f8")
        inside = [(pt * r[2], eta + r[0], r[1], 0.0) for r in rel]
        expected.append(Expected(i, constituents=inside, observables={"jet_n_particles": k}))
    path = folder / f"jetnet_{seed}_{n}.hdf5"
    with h5py.File(path, "w") as file:
        file["particle_features"] = particles
        file["jet_features"] = jets.astype("f4")
    return path, expected


def pictures(n: int, seed: int, shape: tuple[int, ...]) -> tuple[np.ndarray, list[Expected]]:
    rng = np.random.default_rng(seed)
    images = np.where(rng.random((n, *shape)) < 0.3, rng.exponential(10, (n, *shape)), 0).astype("f4")
    return images, [Expected(i, label=i % 2, observables={"mass": i * 2.0}) for i in range(n)]


def with_images(expected: list[Expected], images: np.ndarray) -> list[Expected]:
    """``(n, channels, eta, phi)`` as the jets must hold them."""
    return [replace(e, image=image) for e, image in zip(expected, images, strict=True)]


def images_h5(folder: Path, n: int, seed: int) -> tuple[Path, list[Expected]]:
    import h5py

    images, expected = pictures(n, seed, (9, 12))
    with h5py.File(folder / f"i_{seed}_{n}.h5", "w") as file:
        file.create_dataset("images", data=images, compression="gzip")
        file["labels"], file["mass"] = np.arange(n) % 2, np.arange(n) * 2.0
        file["names"] = [b"x"] * n
    return folder / f"i_{seed}_{n}.h5", with_images(expected, images[:, None])


def images_channels(folder: Path, n: int, seed: int) -> tuple[Path, list[Expected]]:
    import h5py

    images, expected = pictures(n, seed, (12, 9, 3))
    with h5py.File(folder / f"c_{seed}_{n}.h5", "w") as file:
        file["X"], file["y"], file["mass"] = images, np.arange(n)[:, None] % 2, np.arange(n) * 2.0
    return folder / f"c_{seed}_{n}.h5", with_images(expected, np.moveaxis(images, 3, 1))


def images_npz(folder: Path, n: int, seed: int) -> tuple[Path, list[Expected]]:
    images, expected = pictures(n, seed, (1, 8, 10))
    path = folder / f"i_{seed}_{n}.npz"
    np.savez_compressed(path, data=images.astype("f8"), is_signal=np.arange(n) % 2, mass=np.arange(n) * 2.0)
    return path, with_images(expected, images)


def images_npy(folder: Path, n: int, seed: int) -> tuple[Path, list[Expected]]:
    images, expected = pictures(n, seed, (8, 10))
    path = folder / f"i_{seed}_{n}.npy"
    np.save(path, images)
    turned = np.swapaxes(images, 1, 2)[:, None]  # read with axes=phi,eta
    return path, [Expected(e.entry, image=image) for e, image in zip(expected, turned, strict=True)]


def images_table(folder: Path, n: int, seed: int, **options: Any) -> tuple[Path, list[Expected]]:
    images, expected = pictures(n, seed, (10, 10))
    columns = {f"img_{i}": images.reshape(n, -1)[:, i] for i in range(100)}
    columns |= {"is_signal_new": np.arange(n) % 2, "mass": np.arange(n) * 2.0}
    path = write_table(folder / f"t_{seed}_{n}.h5", pd.DataFrame(columns), **options)
    return path, with_images(expected, images[:, None])


def lhco(folder: Path, n: int, seed: int, *, truth: bool = True) -> tuple[Path, list[Expected]]:
    """Two or one or no bunches of particles far apart, so that the jets are known without clustering."""
    rng = np.random.default_rng(seed)
    rows, expected = np.zeros((n, 2101 if truth else 2100)), []
    for event in range(n):
        axes = [(0.0, 3.0), (0.5, -0.2)][: int(rng.integers(0, 3))]
        bunches = []
        for eta, phi in axes:
            pt = rng.exponential(100, int(rng.integers(1, 9))) + 1
            r, angle = rng.uniform(0, 0.3, len(pt)), rng.uniform(-np.pi, np.pi, len(pt))
            bunches.append(np.stack([pt, eta + r * np.cos(angle), phi + r * np.sin(angle)], axis=1))
        everything = np.concatenate([np.zeros((0, 3)), *bunches])
        rows[event, : everything.size] = everything[rng.permutation(len(everything))].ravel()
        if truth:
            rows[event, 2100] = event % 2

        def pt_of(b: np.ndarray) -> float:
            return float(np.hypot((b[:, 0] * np.cos(b[:, 2])).sum(), (b[:, 0] * np.sin(b[:, 2])).sum()))

        bunches.sort(key=pt_of, reverse=True)
        for k in range(2):
            inside = bunches[k][np.argsort(-bunches[k][:, 0])] if k < len(bunches) else np.zeros((0, 3))
            fours = [(*map(float, row), 0.0) for row in inside]
            expected.append(Expected(event, k, constituents=fours, label=event % 2 if truth else None))  # type: ignore[arg-type]
    path = write_table(
        folder / f"lhco_{seed}_{n}.h5",
        pd.DataFrame(rows),
        key="df",
        format="fixed",
        complib=None,
        complevel=0,
    )
    return path, expected


def darkmachines(folder: Path, n: int, seed: int) -> tuple[Path, list[Expected]]:
    rng = np.random.default_rng(seed)
    lines, expected = [], []
    for event in range(n):
        kinds = rng.choice(["j", "b", "e-", "m+", "g"], int(rng.integers(0, 6)))
        objects = [four(rng, 50e3) for _ in kinds]
        energies = [np.hypot(pt * np.cosh(eta), mass) for pt, eta, _, mass in objects]
        text = [
            f"{k},{e!r},{o[0]!r},{o[1]!r},{o[2]!r}"
            for k, e, o in zip(kinds, map(float, energies), objects, strict=True)
        ]
        lines.append(";".join([str(event), "njets", "0.5", "120000.0", "1.25", *text]) + ";")
        inside = [(pt / 1000, eta, phi, mass / 1000) for pt, eta, phi, mass in objects]
        counts = {
            "n_jets": (kinds == "j").sum(),
            "n_muons": (kinds == "m+").sum(),
            "met": 120.0,
            "event_id": event,
        }
        expected.append(Expected(event, constituents=inside, weight=0.5, observables=counts))
    path = folder / f"dm_{seed}_{n}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path, expected


FORMATS: dict[str, Format] = {
    "jetnet": Format(jetnet, "jetnet"),
    "images": Format(images_h5, "images"),
    "images-channels": Format(images_channels, "images"),
    "images-npz": Format(images_npz, "npz"),
    "images-npy": Format(images_npy, "npz", {"options": {"axes": "phi,eta"}}),
    "images-table": Format(images_table, "imagetable"),
    "images-fixed": Format(lambda f, n, s: images_table(f, n, s, format="fixed"), "imagetable"),
    "lhco": Format(lhco, "lhco"),
    "lhco-black-box": Format(lambda f, n, s: lhco(f, n, s, truth=False), "lhco"),
    "darkmachines": Format(darkmachines, "darkmachines"),
    "mapping-root": Format(mapped_root, "mapping", {"mapping": _FLAT}),
    "mapping-events": Format(
        mapped_events,
        "mapping",
        {
            "mapping": {
                "jets": {"pt": "j_pt", "eta": "j_eta", "phi": "j_phi"},
                "constituents": {
                    "pt": "p_pt",
                    "eta": "p_eta",
                    "phi": "p_phi",
                    "mass": "p_m",
                    "jet": "p_jet",
                    "charge": "p_q",
                },
                "weight": "w",
                "observables": {"stored": "j_pt", "run": "run"},
            }
        },
    ),
    "mapping-jets": Format(
        lambda f, n, s: nano(f, n, s, spelling=None),
        "mapping",
        {
            "mapping": {
                "tree": "Events",
                "jets": {"pt": "FatJet_pt", "eta": "FatJet_eta", "phi": "FatJet_phi", "mass": "FatJet_mass"},
                "weight": "genWeight",
                "observables": [
                    *("FatJet_pt", "FatJet_tau1", "FatJet_jetId"),
                    *("run", "luminosityBlock", "event"),
                ],
            }
        },
    ),
    "mapping-parquet": Format(mapped_parquet, "mapping", {"mapping": _FLAT}),
    "mapping-npz": Format(
        mapped_npz,
        "mapping",
        {
            "mapping": {
                **_FLAT,
                "constituents": dict(
                    zip(("pt", "eta", "phi", "mass"), (f"c[{k}]" for k in range(4)), strict=True)
                ),
            }
        },
    ),
    "mapping-h5": Format(
        mapped_h5,
        "mapping",
        {
            "mapping": {
                "constituents": {
                    "px": "g/consts.px",
                    "py": "g/consts.py",
                    "pz": "g/consts.pz",
                    "E": "g/consts.e",
                    "mask": "g/consts.valid",
                },
                "label": {"column": "g/jets.truth", "signal": [5], "background": [-3]},
                "weight": "g/jets.w",
                "observables": {"tau": "g/jets.t"},
            }
        },
    ),
    "physlite": Format(physlite, "physlite"),
    "physlite-rntuple": Format(lambda f, n, s: physlite(f, n, s, kind="rntuple"), "physlite"),
    "treemaker": Format(treemaker, "treemaker"),
    "treemaker-rntuple": Format(lambda f, n, s: treemaker(f, n, s, kind="rntuple"), "treemaker"),
    "delphes": Format(delphes, "delphes"),
    "delphes-no-signs": Format(lambda f, n, s: delphes(f, n, s, signs=False), "delphes"),
    "pfnano": Format(nano, "nanoaod"),
    "pfnano-rntuple": Format(lambda f, n, s: nano(f, n, s, kind="rntuple"), "nanoaod"),
    "nanoaod-v15": Format(
        lambda f, n, s: nano(
            f, n, s, spelling=("FatJetPFCand", "pfCandIdx", "PFCand"), puppi=False, charge="pdgId"
        ),
        "nanoaod",
    ),
    "nanoaod-jets": Format(lambda f, n, s: nano(f, n, s, spelling=None), "nanoaod"),
    "pfnano-ak4": Format(
        lambda f, n, s: nano(
            f, n, s, collection="Jet", spelling=("JetPFCands", "pFCandsIdx", "PFCands"), charge=None
        ),
        "nanoaod",
        {"options": {"collection": "Jet"}},
    ),
}
