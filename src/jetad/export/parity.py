"""Jets through a graph and through the engine: an export is kept only if both say the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..detector import TrainedDetector
from ..errors import JetadError
from ..jets import Jets
from ..preprocessing.features import COLUMN, JetFeatures
from ..preprocessing.images import MAX_ETA, MAX_PHI
from .graph import ConstituentGraph, ImageGraph, JetGraph
from .packed import Graph, Packed, pack

__all__ = ["BATCHES", "Parity", "ParityError", "check_jets", "compare", "graph_inputs", "padded_inputs"]

#: Batch sizes that are compared.
BATCHES = (1, 2, 1000)


class ParityError(JetadError):
    """The exported graph does not give the scores of the engine."""


class Parity(NamedTuple):
    """Largest differences between graph and engine at one batch size."""

    batch: int
    score: float  # |difference| / (1 + |score|)
    background_efficiency: float  # largest difference
    same_efficiency: bool  # no farther from the engine than the difference of the scores explains


def check_jets(n: int = 1000, seed: int = 7, detector: TrainedDetector | None = None) -> Jets:
    """Jets for the comparison: two-pronged toys of 2 to 80 constituents, and what comes in no good file.

    One has one constituent, one none, one a NaN; two have a constituent with a direction that is none, one
    has such a constituent without pT, which does not count.

    Columns of the file that the detector sees are drawn from what it was trained on, one value is NaN.
    """
    rng = np.random.default_rng(seed)
    counts = rng.integers(2, 80, n)
    counts[:3] = 30, 1, 0
    offsets = np.concatenate([[0], np.cumsum(counts)])
    jet, total = np.repeat(np.arange(n), counts), int(offsets[-1])
    prong = rng.integers(0, 2, total) * rng.uniform(0, 0.5, n)[jet]
    angle = rng.uniform(-np.pi, np.pi, n)[jet]
    eta = rng.uniform(-2, 2, n)[jet] + prong * np.sin(angle) + rng.normal(0, 0.08, total)
    phi = rng.uniform(-np.pi, np.pi, n)[jet] + prong * np.cos(angle) + rng.normal(0, 0.08, total)
    pt = rng.exponential(10, total) + 0.5
    pt[offsets[4]] = math.nan
    phi = (phi + np.pi) % (2 * np.pi) - np.pi
    for row, values in ((6, phi), (7, eta), (8, eta)):
        if row < n:
            values[offsets[row]] = 2 * (MAX_PHI if values is phi else -MAX_ETA)
    if n > 8:
        pt[offsets[8]] = 0
    order = np.lexsort((-pt, jet))
    return Jets(
        pt=pt[order].astype(np.float32),
        eta=eta[order].astype(np.float32),
        phi=phi[order].astype(np.float32),
        mass=np.full(total, 0.13957, dtype=np.float32),
        offsets=offsets,
        observables={} if detector is None else _columns(detector, n, rng),
        charge=rng.choice([-1, 0, 1], total),
    )


def _columns(detector: TrainedDetector, n: int, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    columns = {}
    for member in detector.members:
        features = member.preprocessor
        if not isinstance(features, JetFeatures):
            continue
        for i, name in enumerate(features.config.observables):
            if not name.startswith(COLUMN):
                continue
            if features.quantiles is None:
                values = rng.normal(features.mean[i], features.std[i], n)
            else:
                # a value that many training jets have is among them, and some lie outside the range
                values = rng.choice(features.quantiles[:, i], n) + rng.integers(0, 2, n) * rng.normal(
                    0, features.quantiles[:, i].std() / 10, n
                )
            values[5] = math.nan
            columns[name.removeprefix(COLUMN)] = values.astype(np.float32)
    return columns


def padded_inputs(jets: Jets, *, mass: bool, n_constituents: int | None = None) -> list[Tensor]:
    """``pt, eta, phi, mask[, mass]``, each float32 ``(n_jets, k)``, in the order of the constituents."""
    counts = jets.n_constituents
    k = int(counts.max(initial=1)) if n_constituents is None else n_constituents
    slot = np.arange(len(jets.pt)) - jets.offsets[jets.jet_index]
    keep = slot < k
    place = jets.jet_index[keep], slot[keep]

    def padded(values: NDArray[Any]) -> Tensor:
        out = np.zeros((len(jets), k), dtype=np.float32)
        out[place] = values[keep]
        return torch.from_numpy(out)

    columns = [padded(v) for v in (jets.pt, jets.eta, jets.phi, np.ones(len(jets.pt)))]
    return [*columns, padded(jets.mass)] if mass else columns


def graph_inputs(graph: Graph, detector: TrainedDetector, jets: Jets) -> list[Tensor]:
    """What a graph takes, in the order of ``graph.inputs``."""
    if isinstance(graph, Packed):
        return pack(graph_inputs(graph.graph, detector, jets))
    if isinstance(graph, ImageGraph):
        return [torch.from_numpy(detector.members[0].preprocessor.transform(jets))]

    def column(name: str) -> Tensor:
        is_column = name.startswith(COLUMN)
        values = jets.observables[name.removeprefix(COLUMN)] if is_column else getattr(jets, name)
        return torch.from_numpy(np.asarray(values, dtype=np.float32))

    if isinstance(graph, ConstituentGraph):
        return [*padded_inputs(jets, mass=graph.needs_mass), *(column(name) for name in graph.columns)]
    return [column(name) for name in graph.inputs]


def without_constituents(jets: Jets) -> Jets:
    """The same jets as a file of jet momenta has them."""
    momenta = np.stack([jets.jet_pt, jets.jet_eta, jets.jet_phi, jets.jet_mass], axis=1)
    return Jets.without_constituents(len(jets), jet_momenta=momenta, observables=jets.observables)


def compare(
    graph: Graph,
    detector: TrainedDetector,
    call: Callable[[Sequence[Tensor]], Sequence[NDArray[np.float32]]],
    jets: Sequence[Jets],
    *,
    tolerance: float,
    output: Path,
) -> tuple[Parity, ...]:
    """Run jets through an exported graph and the engine, at each of ``BATCHES``.

    Arguments:
        graph: What was exported.
        detector: The engine.
        call: The exported graph: inputs to outputs.
        jets: Samples of jets.
        tolerance: Largest difference of a score, relative to 1 + |score|.
        output: Named in the error.

    Raises:
        ParityError: if scores or efficiencies differ.
        InputError: if the jets lack a column that the detector sees.
    """
    results = tuple(
        _compare(graph, detector, call, part, batch, tolerance) for part in jets for batch in BATCHES
    )
    if not all(result.same_efficiency for result in results):
        raise ParityError(
            f"{output}: the graph does not agree with the engine in background_efficiency; "
            "nothing was written"
        )
    worst = max(results, key=lambda r: r.score)
    if not worst.score <= tolerance:
        raise ParityError(
            f"{output}: the graph does not agree with the engine: scores differ by {worst.score:.2g} of "
            f"1 + |score| at batch size {worst.batch}, allowed are {tolerance:g}; nothing was written"
        )
    return results


def _compare(
    graph: Graph,
    detector: TrainedDetector,
    call: Callable[[Sequence[Tensor]], Sequence[NDArray[np.float32]]],
    jets: Jets,
    batch: int,
    tolerance: float,
) -> Parity:
    """A missing or a wrong NaN counts as infinitely different."""
    jets = jets[: max(batch, 16)]
    if isinstance(graph, JetGraph):
        jets = without_constituents(jets)
    wanted = detector.evaluate(jets)
    columns = graph_inputs(graph, detector, jets)
    parts = [
        call([column[start : start + batch] for column in columns]) for start in range(0, len(jets), batch)
    ]
    score, efficiency, *_ = (np.concatenate(column) for column in zip(*parts, strict=True))
    difference = _distance(score, wanted.score) / (1 + np.nan_to_num(np.abs(wanted.score)))
    same = True
    if detector.background_efficiency is not None:
        needed = {name: getattr(jets, name) for name in detector.background_efficiency.columns}
        shift = tolerance * (1 + np.abs(wanted.score))
        high, low = (detector.background_efficiency(wanted.score + sign * shift, needed) for sign in (-1, 1))
        inside = (efficiency >= low - 1e-5) & (efficiency <= high + 1e-5)
        same = bool((inside | (np.isnan(efficiency) & np.isnan(low))).all())
    distance = _distance(efficiency, wanted.background_efficiency)
    return Parity(batch, float(difference.max()), float(distance.max()), same)


def _distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    both = np.isnan(a) & np.isnan(b)
    return np.where(both, 0.0, np.nan_to_num(np.abs(a.astype(np.float64) - b), nan=np.inf))
