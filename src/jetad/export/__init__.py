"""Detectors outside jetad: one graph from constituents or images to score and background efficiency."""

from .onnxfile import Exported, ParityError, export_onnx

__all__ = ["Exported", "ParityError", "export_onnx"]
