"""What each framework wants beside the graph: names and shapes of inputs, and its configuration files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..preprocessing.features import COLUMN
from .graph import ConstituentGraph, ImageGraph, JetGraph

__all__ = ["TARGETS", "Graph", "Packed", "Target", "pack"]


class Target(NamedTuple):
    """One framework."""

    summary: str
    opset: int
    packed: bool  # constituents as (n, variables, k) instead of one input a variable
    files: Callable[[Path, Mapping[str, Any]], dict[Path, str]]  # beside the model
    folder: bool = False  # the output is a folder that holds the model


class Packed(nn.Module):
    """The graph with constituents as ``pf_features (n, 3 or 4, k)`` and ``pf_mask (n, 1, k)``.

    Columns of the file are ``jet_features (n, n_columns, 1)``.
    """

    def __init__(self, graph: ConstituentGraph) -> None:
        super().__init__()
        self.graph = graph

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs in their order."""
        return "pf_features", "pf_mask", *(["jet_features"] if self.graph.columns else [])

    def forward(
        self, pf_features: Tensor, pf_mask: Tensor, jet_features: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        parts = [pf_features[:, i] for i in range(4 if self.graph.needs_mass else 3)]
        columns = [] if jet_features is None else list(jet_features[:, :, 0].unbind(1))
        outputs: tuple[Tensor, ...] = self.graph(*parts[:3], pf_mask[:, 0], *parts[3:], *columns)
        return outputs


Graph = ConstituentGraph | ImageGraph | JetGraph | Packed


def pack(inputs: Sequence[Tensor]) -> list[Tensor]:
    """``pt, eta, phi, mask[, mass][, columns]`` to the inputs of ``Packed``."""
    pt, eta, phi, mask, *more = inputs
    mass, columns = [x for x in more if x.dim() == 2], [x for x in more if x.dim() == 1]
    packed = [torch.stack([pt, eta, phi, *mass], 1), mask[:, None]]
    return [*packed, torch.stack(columns, 1)[:, :, None]] if columns else packed


def _no_files(model: Path, facts: Mapping[str, Any]) -> dict[Path, str]:
    return {}


def _variables(facts: Mapping[str, Any]) -> list[str]:
    return ["pt", "eta", "phi", *(["mass"] if facts["needs_mass"] else [])]


def _cmssw(model: Path, facts: Mapping[str, Any]) -> dict[Path, str]:
    """``preprocess.json`` of the ONNX taggers of CMSSW: nothing is scaled, the graph takes physical units."""
    plain = {
        "median": 0.0,
        "norm_factor": 1.0,
        "replace_inf_value": 0.0,
        "lower_bound": -1e32,
        "upper_bound": 1e32,
        "pad": 0.0,
    }

    def group(names: list[str], length: int) -> dict[str, Any]:
        lengths = {"min_length": 1, "max_length": length, "var_length": length}
        return {"var_names": names, "var_infos": {name: plain for name in names}, **lengths}

    values = {
        "input_names": facts["inputs"],
        "output_names": facts["outputs"],
        "pf_features": group([f"pfcand_{name}" for name in _variables(facts)], facts["max_constituents"]),
        "pf_mask": group(["pfcand_mask"], facts["max_constituents"]),
    }
    if facts["columns"]:
        values["jet_features"] = group([name.removeprefix(COLUMN) for name in facts["columns"]], 1)
    return {model.with_name("preprocess.json"): json.dumps(values, indent=1) + "\n"}


def _athena(model: Path, facts: Mapping[str, Any]) -> dict[Path, str]:
    """``preprocess.json`` with name, type, shape and unit of each input and output."""
    units = {"pt": "GeV", "mass": "GeV", "phi": "rad", "jet_pt": "GeV", "jet_mass": "GeV"}
    values = {
        "model": model.name,
        "inputs": [
            {
                "name": name,
                "type": "float32",
                "shape": facts["shapes"][name],
                "unit": "as in the file" if name.startswith(COLUMN) else units.get(name, "1"),
            }
            for name in facts["inputs"]
        ],
        "outputs": [{"name": name, "type": "float32", "shape": ["n"]} for name in facts["outputs"]],
        "padding": 0.0,
    }
    return {model.with_name("preprocess.json"): json.dumps(values, indent=1) + "\n"}


def _triton(model: Path, facts: Mapping[str, Any]) -> dict[Path, str]:
    """``config.pbtxt``: the first dimension is the batch, so that the server can join requests."""

    def tensor(name: str, shape: Sequence[str | int]) -> str:
        # one number a jet: the server counts the batch dimension itself, dims may not be empty
        dims = ", ".join(str(d) if isinstance(d, int) else "-1" for d in shape)
        size = f"[ {dims} ]" if shape else "[ 1 ] reshape: { shape: [ ] }"
        return f'  {{ name: "{name}" data_type: TYPE_FP32 dims: {size} }}'

    inputs = ",\n".join(tensor(name, facts["shapes"][name][1:]) for name in facts["inputs"])
    outputs = ",\n".join(tensor(name, ()) for name in facts["outputs"])
    text = (
        f'name: "{model.parents[1].name}"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 4096\n'
        f"input [\n{inputs}\n]\noutput [\n{outputs}\n]\ndynamic_batching {{ }}\n"
    )
    return {model.parents[1] / "config.pbtxt": text}


TARGETS = {
    "generic": Target("ONNX Runtime anywhere", 17, False, _no_files),
    "cmssw": Target("CMSSW: two packed inputs, preprocess.json", 15, True, _cmssw),
    "athena": Target("Athena: preprocess.json with names, shapes and units", 15, False, _athena),
    "triton": Target("Triton server: a folder of its model repository", 17, False, _triton, folder=True),
}
