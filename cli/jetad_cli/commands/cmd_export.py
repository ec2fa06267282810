"""jetad export: a run as one ONNX graph, or compiled for torch."""

from __future__ import annotations

import json
from pathlib import Path

import click

from jetad.export import TARGETS

from ..numbers import FiniteRange
from ..options import force_option, json_option
from ..overwriting import files_meant, keep_inputs
from ..terminal import echo

__all__ = ["command"]


@click.command()
@click.option(
    "--run",
    "run_dir",
    type=click.Path(path_type=Path),
    help="Run directory.  [default: $JETAD_RUN, runs/latest]",
)
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    help="ONNX file, a folder for triton; model.pt2 for a compiled package for torch.",
)
@click.option(
    "--target",
    type=click.Choice(list(TARGETS)),
    default="generic",
    show_default=True,
    help="Names, opset and files for a framework.",
)
@click.option(
    "--input",
    "inputs",
    type=click.Choice(["constituents", "jets", "images"]),
    default="constituents",
    show_default=True,
    help="What goes in: padded pt, eta, phi in GeV and radians with a mask; momenta of jets and columns of "
    "files, for detectors that need no constituents; or jet images.",
)
@click.option("--check", metavar="FILE", help="Compare on these jets, too.")
@click.option(
    "--tolerance",
    type=FiniteRange(0, min_open=True),
    default=1e-4,
    show_default=True,
    help="Largest difference of a score from the engine, relative to 1 + |score|.",
)
@click.option(
    "--max-constituents",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Constituents that CMSSW passes.",
)
@force_option
@json_option()
def command(
    run_dir: Path | None,
    output: Path,
    target: str,
    inputs: str,
    check: str | None,
    tolerance: float,
    max_constituents: int,
    force: bool,
    as_json: bool,
) -> None:
    """Write preprocessing, networks, score and calibration as one ONNX graph, or compiled for torch.

    The graph is compared with jetad at batch sizes 1, 2 and 1000 and refused if a score differs.

    \b
    jetad export --run runs/latest -o model.onnx
    jetad export --run runs/latest -o model.pt2
    jetad export -o jetad_tagger/ --target triton --check qcd.root
    """
    from jetad import readers
    from jetad.errors import ConfigError
    from jetad.runs import find_run

    if output.suffix == ".pt2" and target != "generic":
        raise ConfigError(f"--target {target} is for ONNX: give -o a name that does not end with .pt2")

    run = find_run(run_dir)
    keep_inputs([output], run, check)
    jets = None if check is None else readers.read(check, max_jets=10_000)

    import torch

    from jetad.export import export_onnx, export_package

    torch.set_num_threads(1)
    if output.suffix == ".pt2":
        result = export_package(run, output, inputs=inputs, tolerance=tolerance, jets=jets, force=force)
    else:
        result = export_onnx(
            run, output, target=target, inputs=inputs, tolerance=tolerance, jets=jets,
            max_constituents=max_constituents, force=force, keep=files_meant((run, check)),
        )  # fmt: skip
    if as_json:
        values = result._asdict()
        values["model"], values["files"] = str(result.model), [str(path) for path in result.files]
        values["parity"] = [parity._asdict() for parity in result.parity]
        echo(json.dumps(values))
        return
    beside = f" and {', '.join(str(path) for path in result.files)}" if result.files else ""
    worst = max(parity.score for parity in result.parity)
    echo(f"{result.model}{beside}: {', '.join(result.inputs)} -> {', '.join(result.outputs)}")
    echo(f"compared on {result.n_jets} jets: scores differ by at most {worst:.2g} of 1 + |score|")
