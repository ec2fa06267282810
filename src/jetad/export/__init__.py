"""Detectors outside jetad: one graph from constituents, jets or images to score and background efficiency."""

from .common import Exported
from .onnxfile import export_onnx
from .package import export_package
from .parity import ParityError

__all__ = ["Exported", "ParityError", "export_onnx", "export_package"]
