"""What a run has learned, loaded to score jets."""

from .detector import Member, TrainedDetector, calibrate, load

__all__ = ["Member", "TrainedDetector", "calibrate", "load"]
