"""What each framework wants beside the graph: names and shapes of inputs, and its configuration files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .graph import ConstituentGraph

__all__ = ["TARGETS", "Packed", "Target"]


class Target(NamedTuple):
    """One framework."""

    summary: str
    opset: int
    packed: bool  # constituents as (n, variables, k) instead of one input a variable
    files: Callable[[Path, Mapping[str, Any]], dict[Path, str]]  # beside the model
    folder: bool = False  # the output is a folder that holds the model


class Packed(nn.Module):
    """The graph with constituents as ``pf_features (n, 3 or 4, k)`` and ``pf_mask (n, 1, k)``."""

    def __init__(self, graph: ConstituentGraph) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, pf_features: Tensor, pf_mask: Tensor) -> tuple[Tensor, ...]:
        columns = [pf_features[:, i] for i in range(4 if self.graph.needs_mass else 3)]
        outputs: tuple[Tensor, ...] = self.graph(*columns[:3], pf_mask[:, 0], *columns[3:])
        return outputs


def pack(inputs: Sequence[Tensor]) -> list[Tensor]:
    """``pt, eta, phi, mask[, mass]`` to the two inputs of ``Packed``."""
    pt, eta, phi, mask, *mass = inputs
    return [torch.stack([pt, eta, phi, *mass], 1), mask[:, None]]


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
    lengths = {
        "min_length": 1,
        "max_length": facts["max_constituents"],
        "var_length": facts["max_constituents"],
    }

    def group(names: list[str]) -> dict[str, Any]:
        return {"var_names": names, "var_infos": {name: plain for name in names}, **lengths}

    values = {
        "input_names": facts["inputs"],
        "output_names": facts["outputs"],
        "pf_features": group([f"pfcand_{name}" for name in _variables(facts)]),
        "pf_mask": group(["pfcand_mask"]),
    }
    return {model.with_name("preprocess.json"): json.dumps(values, indent=1) + "\n"}


def _athena(model: Path, facts: Mapping[str, Any]) -> dict[Path, str]:
    """``preprocess.json`` with name, type, shape and unit of each input and output."""
    units = {"pt": "GeV", "mass": "GeV", "phi": "rad"}
    values = {
        "model": model.name,
        "inputs": [
            {"name": name, "type": "float32", "shape": facts["shapes"][name], "unit": units.get(name, "1")}
            for name in facts["inputs"]
        ],
        "outputs": [{"name": name, "type": "float32", "shape": ["n"]} for name in facts["outputs"]],
        "padding": 0.0,
    }
    return {model.with_name("preprocess.json"): json.dumps(values, indent=1) + "\n"}


def _triton(model: Path, facts: Mapping[str, Any]) -> dict[Path, str]:
    """``config.pbtxt``: the first dimension is the batch, so that the server can join requests."""

    def tensor(name: str, dims: str) -> str:
        return f'  {{ name: "{name}" data_type: TYPE_FP32 dims: [ {dims} ] }}'

    def dims(name: str) -> str:
        return ", ".join(str(d) if isinstance(d, int) else "-1" for d in facts["shapes"][name][1:])

    inputs = ",\n".join(tensor(name, dims(name)) for name in facts["inputs"])
    # one number a jet: the server counts the batch dimension itself, dims may not be empty
    outputs = ",\n".join(
        f'  {{ name: "{name}" data_type: TYPE_FP32 dims: [ 1 ] reshape: {{ shape: [ ] }} }}'
        for name in facts["outputs"]
    )
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
