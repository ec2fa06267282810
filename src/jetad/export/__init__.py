"""Detectors outside jetad: one graph from constituents, jets or images to score and background efficiency."""

from typing import TYPE_CHECKING

from ..registry import lazy

if TYPE_CHECKING:
    from .common import Exported
    from .onnxfile import export_onnx
    from .package import export_package
    from .parity import ParityError
else:  # these import torch
    __getattr__, __dir__ = lazy(
        __name__, common=["Exported"], onnxfile=["export_onnx"], package=["export_package"],
        parity=["ParityError"],
    )  # fmt: skip

TARGETS = {
    "generic": "jetad.export.targets:GENERIC",
    "cmssw": "jetad.export.targets:CMSSW",
    "athena": "jetad.export.targets:ATHENA",
    "triton": "jetad.export.targets:TRITON",
}

__all__ = ["TARGETS", "Exported", "ParityError", "export_onnx", "export_package"]
