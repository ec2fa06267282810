"""Example jets, and writers of each format that share no code with jetad."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pandas as pd
import uproot
from numpy.typing import NDArray


@dataclass
class Example:
    """Jets as flat (E, px, py, pz) float32 with counts and labels, the way files hold them."""

    momenta: NDArray[np.float32]  # (n_total, 4)
    counts: NDArray[np.int64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def offsets(self) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(self.counts)])

    @property
    def charges(self) -> NDArray[np.float32]:
        return (np.arange(len(self.momenta)) % 3 - 1).astype(np.float32)

    def expected_pt(self) -> NDArray[np.float64]:
        return np.hypot(self.momenta[:, 1].astype(float), self.momenta[:, 2].astype(float))

    def expected(self) -> tuple[NDArray[Any], ...]:
        """(pt, eta, phi, mass), by a plain loop over constituents."""
        rows = []
        for energy, px, py, pz in self.momenta.astype(float).tolist():
            pt = np.hypot(px, py)
            rows.append(
                (pt, np.arcsinh(pz / pt), np.arctan2(py, px), np.sqrt(max(energy**2 - pt**2 - pz**2, 0)))
            )
        return tuple(np.array(rows, dtype=np.float32).reshape(-1, 4).T)


def make_example(
    n_jets: int, seed: int = 0, *, max_constituents: int = 9, min_constituents: int = 1
) -> Example:
    rng = np.random.default_rng(seed)
    counts = rng.integers(min_constituents, max_constituents + 1, n_jets)
    n_total = int(counts.sum())
    pt = rng.exponential(20.0, n_total) + 1.0
    # falling pT inside each jet
    jet = np.repeat(np.arange(n_jets), counts)
    pt = pt[np.lexsort((-pt, jet))]
    eta = rng.normal(0, 0.3, n_total)
    phi = np.repeat(rng.uniform(-np.pi, np.pi, n_jets), counts) + rng.normal(0, 0.3, n_total)
    mass = rng.choice([0.0, 0.13957], n_total)
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    momenta = np.stack([energy, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1).astype(
        np.float32
    )
    return Example(momenta, counts, rng.integers(0, 2, n_jets))


def landscape_frame(
    example: Example, n_slots: int = 12, *, truth: str | None = "is_signal_new"
) -> pd.DataFrame:
    padded = np.zeros((len(example), n_slots, 4), dtype=np.float32)
    for i, (start, stop) in enumerate(zip(example.offsets[:-1], example.offsets[1:], strict=True)):
        padded[i, : stop - start] = example.momenta[start:stop]
    names = [f"{c}_{i}" for i in range(n_slots) for c in ("E", "PX", "PY", "PZ")]
    parton = pd.DataFrame(
        np.ones((len(example), 4), np.float32), columns=["truthE", "truthPX", "truthPY", "truthPZ"]
    )
    frame = pd.concat([pd.DataFrame(padded.reshape(len(example), -1), columns=names), parton], axis=1)
    extra = {"ttv": np.arange(len(example)) % 3}
    if truth:
        extra[truth] = example.labels
    return pd.concat([frame, pd.DataFrame(extra)], axis=1)


def jetclass_arrays(example: Example, dtype: str = "f4", *, charge: bool = True) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        f"part_{name}": ak.unflatten(example.momenta[:, k].astype(dtype), example.counts)
        for k, name in enumerate(("energy", "px", "py", "pz"))
    }
    if charge:
        arrays["part_charge"] = ak.unflatten(example.charges, example.counts)
    arrays["jet_pt"] = np.linspace(500, 600, len(example)).astype(np.float32)
    arrays["jet_nparticles"] = example.counts.astype(np.float32)
    arrays["jet_tau1"] = np.linspace(0, 1, len(example)).astype(np.float32)
    arrays["label_QCD"] = (example.labels == 0).astype(np.float32)
    arrays["label_Tbqq"] = (example.labels == 1).astype(np.int32)
    arrays["label_Hbb"] = np.zeros(len(example), dtype=bool)
    return arrays


def write_root(
    path: Path, arrays: dict[str, Any], *, tree: str = "tree", kind: str = "ttree", pieces: int = 1
) -> Path:
    def branch_type(array: Any) -> Any:
        return (
            ak.type(array).content
            if isinstance(array, ak.Array)
            else np.dtype((array.dtype, array.shape[1:]))
        )

    n = len(next(iter(arrays.values())))
    with uproot.recreate(path) as file:
        if kind == "rntuple":
            file.mkrntuple(tree, ak.Array(arrays))
        else:
            file.mktree(tree, {name: branch_type(array) for name, array in arrays.items()})
            for part in np.array_split(np.arange(n), pieces):
                if len(part):
                    file[tree].extend({k: v[part[0] : part[-1] + 1] for k, v in arrays.items()})
    return path


def write_table(path: Path, frame: pd.DataFrame, key: str = "table", **options: Any) -> Path:
    frame.to_hdf(path, key=key, **{"format": "table", "complib": "zlib", "complevel": 5, **options})
    return path


# every layout that the readers know, as writers of an Example
LAYOUTS: dict[str, Callable[[Path, Example], Path]] = {
    "table-zlib": lambda folder, e: write_table(folder / "t.h5", landscape_frame(e)),
    "table-plain": lambda folder, e: write_table(
        folder / "p.h5", landscape_frame(e), complib=None, complevel=0
    ),
    "table-columns": lambda folder, e: write_table(
        folder / "c.h5", landscape_frame(e), data_columns=["is_signal_new"]
    ),
    "table-double": lambda folder, e: write_table(
        folder / "d.h5", landscape_frame(e).astype("f8"), key="jets/all"
    ),
    "fixed": lambda folder, e: write_table(folder / "f.h5", landscape_frame(e), format="fixed"),
    "ttree": lambda folder, e: write_root(folder / "t.root", jetclass_arrays(e)),
    "ttree-baskets": lambda folder, e: write_root(folder / "b.root", jetclass_arrays(e), pieces=5),
    "ttree-double": lambda folder, e: write_root(
        folder / "d.root", jetclass_arrays(e, "f8", charge=False), tree="a/b"
    ),
    "rntuple": lambda folder, e: write_root(folder / "n.root", jetclass_arrays(e), kind="rntuple"),
}
