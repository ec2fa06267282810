"""What each framework wants beside the graph: names and shapes of inputs, and its configuration files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..preprocessing.features import COLUMN

__all__ = ["ATHENA", "CMSSW", "GENERIC", "TRITON", "Target"]


class Target(NamedTuple):
    """One framework."""

    summary: str
    opset: int
    packed: bool  # constituents as (n, variables, k) instead of one input a variable
    files: Callable[[Path, Mapping[str, Any]], dict[Path, str]]  # beside the model
    folder: bool = False  # the output is a folder that holds the model


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


GENERIC = Target("ONNX Runtime anywhere", 17, False, _no_files)
CMSSW = Target("CMSSW: two packed inputs, preprocess.json", 15, True, _cmssw)
ATHENA = Target("Athena: preprocess.json with names, shapes and units", 15, False, _athena)
TRITON = Target("Triton server: a folder of its model repository", 17, False, _triton, folder=True)
