"""A compiled package of a run for torch without jetad, in Python and in C++."""

from __future__ import annotations

import inspect
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..detector import TrainedDetector
from ..errors import ConfigError, MissingPackageError
from ..files import atomic_output, check_output
from ..jets import Jets
from ..runs import Run
from .common import Exported, make_graph, metadata, output_names, quietly, shapes
from .parity import check_jets, compare, graph_inputs

__all__ = ["export_package"]


def export_package(
    run: Run,
    output: str | Path,
    *,
    inputs: str = "constituents",
    tolerance: float = 1e-4,
    jets: Jets | None = None,
    force: bool = False,
) -> Exported:
    """Compile preprocessing, networks, score and calibration with AOTInductor, as one ``.pt2`` package.

    Inputs and outputs are those of :func:`~jetad.export.export_onnx`, by position. The package holds machine
    code for processors like this one and runs with the version of torch that compiled it, in Python
    (``torch._inductor.aoti_load_package``) and in C++ (``torch::inductor::AOTIModelPackageLoader``).

    Arguments:
        run: A trained run.
        output: The file, ``.pt2``.
        inputs: ``constituents``, ``jets`` or ``images``.
        tolerance: Largest difference of a score from the engine, relative to 1 + |score|.
        jets: Compared with the engine in addition to toys.
        force: Replace an existing file.

    Raises:
        ConfigError: if the run cannot be exported so.
        MissingPackageError: without a C++ compiler.
        ParityError: if a score differs too much; nothing is left then.
        OutputError: if the file exists or cannot be written.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise MissingPackageError(
            f"a package for torch is compiled, and there is no C++ compiler '{compiler}': install one, set "
            "CXX to another, or export an .onnx file"
        )
    path = check_output(output, force=force)
    detector = TrainedDetector.from_run(run, "cpu")
    graph = make_graph(detector, inputs)
    toys = check_jets(detector=detector)
    example = graph_inputs(graph, detector, toys[6:9])
    dimensions, outputs = shapes(graph, example), output_names(detector)
    free = [
        {i: torch.export.Dim.DYNAMIC for i, letter in enumerate(shape) if isinstance(letter, str)}
        for shape in dimensions.values()
    ]
    # what a graph takes beyond its named arguments is one argument, a list
    arguments = inspect.signature(graph.forward).parameters.values()
    named = sum(argument.kind is argument.POSITIONAL_OR_KEYWORD for argument in arguments)
    rest = [tuple(free[named:])] if free[named:] else []

    from torch._inductor import aoti_compile_and_package, aoti_load_package
    from torch._inductor.exc import InductorError
    from torch._inductor.utils import fresh_cache

    compared = [toys] + ([] if jets is None else [jets])
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "model.pt2"
        try:
            with quietly(), torch.no_grad(), fresh_cache(dir=folder):
                program = torch.export.export(graph, tuple(example), dynamic_shapes=(*free[:named], *rest))
                aoti_compile_and_package(
                    program,
                    package_path=str(draft),
                    inductor_configs={"aot_inductor.metadata": metadata(detector, dimensions)},
                )
        except (RuntimeError, InductorError) as error:
            what = str(error).splitlines()[0]
            raise ConfigError(f"{run.path}: this detector cannot be compiled ({what})") from error
        with quietly():
            package = aoti_load_package(str(draft))

        def call(columns: Sequence[Tensor]) -> list[NDArray[np.float32]]:
            return [values.numpy() for values in package(*(column.contiguous() for column in columns))]

        parity = compare(graph, detector, call, compared, tolerance=tolerance, output=path)
        with atomic_output(path, force=force) as temporary:
            shutil.copyfile(draft, temporary)
    n_jets = sum(len(part) for part in compared)
    name = f"AOTInductor of torch {torch.__version__}"
    return Exported(path, (), graph.inputs, outputs, name, n_jets, parity)
