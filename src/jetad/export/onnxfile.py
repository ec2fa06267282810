"""An ONNX file of a run, kept only if it agrees with the engine."""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .. import __version__
from ..errors import ConfigError, JetadError, MissingPackageError, OutputError
from ..files import atomic_output, check_output
from ..jets import Jets
from ..registry import resolve
from ..run import Run
from ..scoring import TrainedDetector
from .graph import ConstituentGraph, ImageGraph
from .targets import TARGETS, Packed, pack

__all__ = ["BATCHES", "Exported", "ParityError", "Parity", "check_jets", "export_onnx", "padded_inputs"]

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


class Exported(NamedTuple):
    """What was written."""

    model: Path
    files: tuple[Path, ...]  # beside it
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opset: int
    n_jets: int  # compared with the engine
    parity: tuple[Parity, ...]


def check_jets(n: int = 1000, seed: int = 7) -> Jets:
    """Jets for the comparison: two-pronged toys of 2 to 80 constituents, one of 1, an empty and a NaN one."""
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
    order = np.lexsort((-pt, jet))
    phi = (phi + np.pi) % (2 * np.pi) - np.pi
    return Jets(
        pt=pt[order].astype(np.float32),
        eta=eta[order].astype(np.float32),
        phi=phi[order].astype(np.float32),
        mass=np.full(total, 0.13957, dtype=np.float32),
        offsets=offsets,
    )


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
) -> Exported:
    """Write preprocessing, networks, score and calibration as one ONNX graph.

    Inputs are float32 with a free number of jets n (and of constituents k): ``pt, eta, phi, mask`` and,
    where the detector needs it, ``mass``, each ``(n, k)`` in GeV and radians with zeros as padding; or
    ``image (n, 1, n_eta, n_phi)``. Outputs are float32 ``(n,)``: ``score``, ``background_efficiency`` and,
    for a decorrelated calibration, ``score_decorrelated``. A jet that cannot be scored gets NaN.

    Arguments:
        run: A trained run.
        output: The file, or for ``triton`` the folder of the model.
        target: ``generic``, ``cmssw``, ``athena`` or ``triton``.
        inputs: ``constituents`` or ``images``.
        tolerance: Largest difference of a score from the engine, relative to 1 + |score|.
        jets: Compared with the engine in addition to toys.
        max_constituents: Constituents that a framework with fixed shapes passes.
        force: Replace existing files.

    Raises:
        ConfigError: if the run cannot be exported so.
        MissingPackageError: without onnx and onnxruntime.
        ParityError: if a score differs too much; nothing is left then.
        OutputError: if a file exists or cannot be written.
    """
    onnx, runtime = _packages()
    resolve(dict.fromkeys(TARGETS, ""), target, "target")
    chosen = TARGETS[target]
    if inputs not in ("constituents", "images"):
        raise ConfigError(f"inputs are 'constituents' or 'images', found '{inputs}'")
    if chosen.packed and inputs == "images":
        raise ConfigError(f"target '{target}' takes constituents, not images")
    model = Path(output) / "1" / "model.onnx" if chosen.folder else Path(output)
    detector = run.detector("cpu")
    graph, names, example = _graph(detector, inputs, packed=chosen.packed)
    n_outputs = 2 + ("score_decorrelated" in _extra(detector))
    out_names = ("score", "background_efficiency", "score_decorrelated")[:n_outputs]
    facts = {
        "inputs": list(names),
        "outputs": list(out_names),
        "shapes": {n: _shape(n, t) for n, t in zip(names, example, strict=True)},
        "needs_mass": getattr(getattr(graph, "graph", graph), "needs_mass", False),
        "max_constituents": max_constituents,
    }
    files = chosen.files(model, facts)
    if chosen.folder:
        try:
            model.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{output}: cannot be created ({error.strerror})") from error
    for path in (model, *files):
        check_output(path, force=force)

    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "model.onnx"
        try:
            opset = _write(graph, example, draft, names, out_names, chosen.opset)
        except (RuntimeError, torch.onnx.OnnxExporterError) as error:
            what = str(error).splitlines()[0]
            raise ConfigError(f"{run.path}: this detector cannot be written as ONNX ({what})") from error
        session = runtime.InferenceSession(str(draft), providers=["CPUExecutionProvider"])
        compared = [check_jets()] + ([] if jets is None else [jets])
        results = [
            _compare(detector, session, part, names, inputs, chosen.packed, batch, tolerance)
            for part in compared
            for batch in BATCHES
        ]
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
        proto = onnx.load(str(draft))
    metadata = {
        **{key: str(value) for key, value in detector.metadata.items()},
        "jetad": __version__,
        "inputs": json.dumps(facts["shapes"]),
        "units": "pt, mass: GeV; phi: rad; padding and mask of padding: 0",
        "smallest_background_efficiency": _smallest(detector),
        "parity": json.dumps([r._asdict() for r in results]),
    }
    proto.producer_name, proto.producer_version = "jetad", __version__
    proto.doc_string = "jetad: anomaly score of jets, higher is more anomalous"
    for key, value in metadata.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(proto)
    for path, text in files.items():
        with atomic_output(path, force=force) as temporary:
            temporary.write_text(text)
    with atomic_output(model, force=force) as temporary:
        temporary.write_bytes(proto.SerializeToString())
    n_jets = sum(len(part) for part in compared)
    return Exported(model, tuple(files), tuple(names), out_names, opset, n_jets, tuple(results))


def _packages() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError(
            f"export needs onnx and onnxruntime ({error.name} is missing): pip install 'jetad[export]'"
        ) from error
    return onnx, onnxruntime


def _extra(detector: TrainedDetector) -> set[str]:
    return {"score_decorrelated"} if hasattr(detector.background_efficiency, "transform") else set()


def _smallest(detector: TrainedDetector) -> str:
    calibration = detector.background_efficiency
    return "" if calibration is None else f"{calibration.smallest:.6g}"


def _shape(name: str, example: Tensor) -> list[str | int]:
    """Free dimensions by their letter."""
    if example.dim() == 4:
        return ["n", *example.shape[1:]]
    return ["n", *example.shape[1:-1], "k"]


def _graph(
    detector: TrainedDetector, inputs: str, *, packed: bool
) -> tuple[nn.Module, tuple[str, ...], list[Tensor]]:
    graph: nn.Module
    if inputs == "images":
        graph = ImageGraph(detector)
        return graph.eval(), ("image",), [torch.rand(3, *detector.members[0].preprocessor.shape)]
    constituents = ConstituentGraph(detector).eval()
    example = padded_inputs(check_jets(12)[5:8], mass=constituents.needs_mass)
    if packed:
        return Packed(constituents).eval(), ("pf_features", "pf_mask"), pack(example)
    names = ("pt", "eta", "phi", "mask", *(["mass"] if constituents.needs_mass else []))
    return constituents, names, example


def _write(
    graph: nn.Module,
    example: Sequence[Tensor],
    path: Path,
    names: Sequence[str],
    out_names: Sequence[str],
    opset: int,
) -> int:
    """Write the graph by tracing, which reaches the opsets of older frameworks; returns the opset."""
    free = {
        name: {i: letter for i, letter in enumerate(_shape(name, t)) if isinstance(letter, str)}
        for name, t in zip(names, example, strict=True)
    }
    axes = {**free, **{name: {0: "n"} for name in out_names}}
    with _quietly(), torch.no_grad():
        torch.onnx.export(
            graph,
            tuple(example),
            str(path),
            input_names=list(names),
            output_names=list(out_names),
            dynamic_axes=axes,
            opset_version=opset,
            dynamo=False,
        )
    return opset


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """The tracer warns of being traced, and of being the older of two exporters."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation that no other runtime has
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _compare(
    detector: TrainedDetector,
    session: Any,
    jets: Jets,
    names: Sequence[str],
    inputs: str,
    packed: bool,
    batch: int,
    tolerance: float,
) -> Parity:
    """Run jets through graph and engine; a missing or a wrong NaN counts as infinitely different."""
    jets = jets[: max(batch, 16)]
    wanted = detector.evaluate(jets)
    if inputs == "images":
        columns = [torch.from_numpy(detector.members[0].preprocessor.transform(jets))]
    else:
        columns = padded_inputs(jets, mass="mass" in names or (packed and _needs_mass(detector)))
        columns = pack(columns) if packed else columns
    parts = []
    for start in range(0, len(jets), batch):
        feed = {n: c[start : start + batch].numpy() for n, c in zip(names, columns, strict=True)}
        parts.append(session.run(None, feed))
    score, efficiency, *_ = (np.concatenate(column) for column in zip(*parts, strict=True))
    difference = _distance(score, wanted.score) / (1 + np.nan_to_num(np.abs(wanted.score)))
    same = True
    if detector.background_efficiency is not None:
        columns_needed = {name: getattr(jets, name) for name in detector.background_efficiency.columns}
        shift = tolerance * (1 + np.abs(wanted.score))
        high, low = (
            detector.background_efficiency(wanted.score + sign * shift, columns_needed) for sign in (-1, 1)
        )
        inside = (efficiency >= low - 1e-5) & (efficiency <= high + 1e-5)
        same = bool((inside | (np.isnan(efficiency) & np.isnan(low))).all())
    distance = _distance(efficiency, wanted.background_efficiency)
    return Parity(batch, float(difference.max()), float(distance.max()), same)


def _distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    both = np.isnan(a) & np.isnan(b)
    return np.where(both, 0.0, np.nan_to_num(np.abs(a.astype(np.float64) - b), nan=np.inf))


def _needs_mass(detector: TrainedDetector) -> bool:
    return ConstituentGraph(detector).needs_mass
