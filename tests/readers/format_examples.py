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


FORMATS: dict[str, Format] = {
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
