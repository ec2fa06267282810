"""Trainings watched by other programs: TensorBoard, MLflow, Weights & Biases."""

from .base import TRACKERS, Tracker, check_trackers, tracking

__all__ = ["TRACKERS", "Tracker", "check_trackers", "tracking"]
