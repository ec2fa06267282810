"""Writers of the formats that hold events, images or single jets; they share no code with jetad."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
from reader_examples import write_root

__all__ = ["FORMATS", "Expected", "Format"]

Four = tuple[float, float, float, float]


@dataclass
class Expected:
    """What one jet of the file must come out as."""

    entry: int
    position: int = 0
    constituents: list[Four] | None = None  # (pt, eta, phi, mass); None where the file has none
    momentum: Four | None = None  # stored jet
    label: int | None = None
    weight: float | None = None
    observables: dict[str, float] = field(default_factory=dict)


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
            for p in range(len(particles)):
                links.append((int(rng.integers(-1, len(jets))) if jets else -1, p))
            order = rng.permutation(len(links))
            links = [links[i] for i in order]
            add(f"{spelling[0]}_jetIdx", [j for j, _ in links])
            add(f"{spelling[0]}_{spelling[1]}", [p for _, p in links])
        for j, jet in enumerate(jets):
            inside: list[Four] | None = None
            if spelling is not None:
                inside = []
                for i, p in links:
                    pt, eta, phi, mass = particles[p]
                    w = weights[p] if puppi else 1.0
                    if i == j and w > 0:
                        inside.append((pt * w, eta, phi, mass * w))
            expected.append(
                Expected(
                    event,
                    j,
                    constituents=inside,
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
        arrays[name] = column(values, "i4" if name.endswith(("Idx", "jetId")) else "f4")
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


def delphes(folder: Path, n: int, seed: int) -> tuple[Path, list[Expected]]:
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
                if where >= 0:
                    inside[where].append((pt, eta, phi, 0.13957 if name == "EFlowTrack" else 0.0))
            add(name, (pt_name, "Eta", "Phi"), table)
        add("FatJet", ("PT", "Eta", "Phi", "Mass"), jets)
        for j, jet in enumerate(jets):
            expected.append(Expected(event, j, constituents=inside[j], observables={"FatJet_PT": jet[0]}))
    arrays = {name: column(values) for name, values in rows.items()}
    return write_root(folder / f"delphes_{seed}_{n}.root", arrays, tree="Delphes", pieces=2), expected


FORMATS: dict[str, Format] = {
    "physlite": Format(physlite, "physlite"),
    "physlite-rntuple": Format(lambda f, n, s: physlite(f, n, s, kind="rntuple"), "physlite"),
    "treemaker": Format(treemaker, "treemaker"),
    "treemaker-rntuple": Format(lambda f, n, s: treemaker(f, n, s, kind="rntuple"), "treemaker"),
    "delphes": Format(delphes, "delphes"),
    "pfnano": Format(nano, "nanoaod"),
    "pfnano-rntuple": Format(lambda f, n, s: nano(f, n, s, kind="rntuple"), "nanoaod"),
    "nanoaod-v15": Format(
        lambda f, n, s: nano(f, n, s, spelling=("FatJetPFCand", "pfCandIdx", "PFCand"), puppi=False),
        "nanoaod",
    ),
    "nanoaod-jets": Format(lambda f, n, s: nano(f, n, s, spelling=None), "nanoaod"),
    "pfnano-ak4": Format(
        lambda f, n, s: nano(f, n, s, collection="Jet", spelling=("JetPFCands", "pFCandsIdx", "PFCands")),
        "nanoaod",
        {"options": {"collection": "Jet"}},
    ),
}
