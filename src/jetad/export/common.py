"""What every export format shares: the graph, the names and shapes of its inputs, and the metadata."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from .. import __version__
from ..detector import TrainedDetector
from ..registry import resolve
from .graph import ConstituentGraph, ImageGraph, JetGraph
from .packed import Graph, Packed
from .parity import Parity

__all__ = ["INPUTS", "Exported", "make_graph", "metadata", "output_names", "quietly", "shapes"]

#: What can go in.
INPUTS = {
    "constituents": "padded pt, eta, phi and mask, and columns of the file that the detector sees",
    "jets": "jet momenta and columns of the file, for a detector that needs no constituents",
    "images": "jet images as the run makes them",
}


class Exported(NamedTuple):
    """What was written."""

    model: Path
    files: tuple[Path, ...]  # beside it
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    format: str
    n_jets: int  # compared with the engine
    parity: tuple[Parity, ...]


def make_graph(detector: TrainedDetector, inputs: str, *, packed: bool = False) -> Graph:
    """The graph of a detector on the CPU.

    Raises:
        ConfigError: if the detector cannot be written so.
    """
    resolve(INPUTS, inputs, "kind of input")
    graph: Graph
    if inputs == "images":
        graph = ImageGraph(detector)
    elif inputs == "jets":
        graph = JetGraph(detector)
    else:
        constituents = ConstituentGraph(detector)
        graph = Packed(constituents) if packed else constituents
    return graph.eval()


def output_names(detector: TrainedDetector) -> tuple[str, ...]:
    """Names of the outputs in their order."""
    decorrelated = hasattr(detector.background_efficiency, "transform")
    return "score", "background_efficiency", *(["score_decorrelated"] if decorrelated else [])


def shapes(graph: Graph, example: Sequence[Tensor]) -> dict[str, list[str | int]]:
    """Shapes of the inputs by name, free dimensions by their letter."""
    return {name: _shape(name, tensor) for name, tensor in zip(graph.inputs, example, strict=True)}


def _shape(name: str, example: Tensor) -> list[str | int]:
    if name in ("image", "jet_features"):
        return ["n", *example.shape[1:]]
    return ["n", *example.shape[1:-1], "k"] if example.dim() > 1 else ["n"]


def metadata(detector: TrainedDetector, shapes_of: dict[str, list[str | int]]) -> dict[str, str]:
    """What an exported file says of itself."""
    calibration = detector.background_efficiency
    return {
        **{key: str(value) for key, value in detector.metadata.items()},
        "jetad": __version__,
        "inputs": json.dumps(shapes_of),
        "outputs": json.dumps(output_names(detector)),
        "units": "pt, mass: GeV; phi: rad; padding and mask of padding: 0",
        "smallest_background_efficiency": "" if calibration is None else f"{calibration.smallest:.6g}",
    }


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Exporters warn of being traced and of each other; and attention is written as plain operations."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation that no other runtime has
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
