"""An ONNX file of a run, kept only if it agrees with the engine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import __version__
from ..detector import TrainedDetector
from ..errors import ConfigError, MissingPackageError
from ..files import atomic_output, check_output, own_folder, refuse_inputs
from ..jets import Jets
from ..registry import load
from ..runs import Run
from . import TARGETS
from .common import Exported, make_graph, metadata, output_names, quietly, shapes
from .packed import Graph
from .parity import check_jets, compare, graph_inputs
from .targets import Target

__all__ = ["export_onnx"]


def export_onnx(
    run: Run,
    output: str | Path,
    *,
    target: str = "generic",
    inputs: str = "constituents",
    tolerance: float = 1e-4,
    jets: Jets | None = None,
    max_constituents: int = 200,
    force: bool = False,
    keep: Iterable[str | Path] = (),
) -> Exported:
    """Write preprocessing, networks, score and calibration as one ONNX graph.

    Inputs are float32 with a free number of jets n (and of constituents k): ``pt, eta, phi, mask`` and,
    where the detector needs it, ``mass``, each ``(n, k)`` in GeV and radians with zeros as padding, then
    columns of the file that it sees, ``file:NAME (n,)``; or momenta of jets and columns; or ``image (n,
    n_channels, n_eta, n_phi)``. Outputs are float32 ``(n,)``: ``score``, ``background_efficiency`` and, for a
    decorrelated calibration, ``score_decorrelated``. A jet that cannot be scored gets NaN.

    Arguments:
        run: A trained run.
        output: The file, or for ``triton`` the folder of the model.
        target: A name in ``TARGETS``.
        inputs: ``constituents``, ``jets`` or ``images``.
        tolerance: Largest difference of a score from the engine, relative to 1 + |score|.
        jets: Compared with the engine in addition to toys.
        max_constituents: Constituents that a framework with fixed shapes passes.
        force: Replace existing files.
        keep: Files that are read and must not be replaced.

    Raises:
        ConfigError: if the run cannot be exported so.
        MissingPackageError: without onnx and onnxruntime.
        ParityError: if a score differs too much; nothing is left then.
        OutputError: if a file exists or cannot be written.
    """
    onnx, runtime = _packages()
    chosen: Target = load(TARGETS, target, "target")
    if chosen.packed and inputs != "constituents":
        raise ConfigError(f"target '{target}' takes constituents, not {inputs}")
    model = Path(output) / "1" / "model.onnx" if chosen.folder else Path(output)
    detector = TrainedDetector.from_run(run, "cpu")
    graph = make_graph(detector, inputs, packed=chosen.packed)
    toys = check_jets(detector=detector)
    example = graph_inputs(graph, detector, toys[6:9])
    outputs, dimensions = output_names(detector), shapes(graph, example)
    facts = {
        "inputs": list(graph.inputs),
        "outputs": list(outputs),
        "shapes": dimensions,
        "needs_mass": getattr(getattr(graph, "graph", graph), "needs_mass", False),
        "columns": getattr(getattr(graph, "graph", graph), "columns", ()),
        "max_constituents": max_constituents,
    }
    files = chosen.files(model, facts)
    if chosen.folder:
        own_folder(model.parent)
    refuse_inputs([model, *files], keep)
    for path in (model, *files):
        check_output(path, force=force)

    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "model.onnx"
        try:
            _write(graph, example, draft, dimensions, outputs, chosen.opset)
        except (RuntimeError, torch.onnx.OnnxExporterError) as error:
            what = str(error).splitlines()[0]
            raise ConfigError(f"{run.path}: this detector cannot be written as ONNX ({what})") from error
        session = runtime.InferenceSession(str(draft), providers=["CPUExecutionProvider"])

        def call(columns: Sequence[Tensor]) -> list[NDArray[np.float32]]:
            feed = {name: column.numpy() for name, column in zip(graph.inputs, columns, strict=True)}
            found: list[NDArray[np.float32]] = session.run(None, feed)
            return found

        compared = [toys] + ([] if jets is None else [jets])
        parity = compare(graph, detector, call, compared, tolerance=tolerance, output=Path(output))
        proto = onnx.load(str(draft))
    proto.producer_name, proto.producer_version = "jetad", __version__
    proto.doc_string = "jetad: anomaly score of jets, higher is more anomalous"
    facts_of = metadata(detector, dimensions)
    facts_of["parity"] = json.dumps([result._asdict() for result in parity])
    for key, value in facts_of.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(proto)
    for path, text in files.items():
        with atomic_output(path, force=force) as temporary:
            temporary.write_text(text)
    with atomic_output(model, force=force) as temporary:
        temporary.write_bytes(proto.SerializeToString())
    n_jets = sum(len(part) for part in compared)
    name = f"ONNX, opset {chosen.opset}"
    return Exported(model, tuple(files), graph.inputs, outputs, name, n_jets, parity)


def _packages() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError(
            f"export needs onnx and onnxruntime ({error.name} is missing): pip install 'jetad[export]'"
        ) from error
    return onnx, onnxruntime


def _write(
    graph: Graph,
    example: Sequence[Tensor],
    path: Path,
    dimensions: dict[str, list[str | int]],
    outputs: Sequence[str],
    opset: int,
) -> None:
    """Write the graph by tracing, which reaches the opsets of older frameworks."""
    free = {
        name: {i: letter for i, letter in enumerate(shape) if isinstance(letter, str)}
        for name, shape in dimensions.items()
    }
    with quietly(), torch.no_grad():
        torch.onnx.export(
            graph,
            tuple(example),
            str(path),
            input_names=list(dimensions),
            output_names=list(outputs),
            dynamic_axes={**free, **{name: {0: "n"} for name in outputs}},
            opset_version=opset,
            dynamo=False,
        )
