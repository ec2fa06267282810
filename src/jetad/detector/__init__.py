"""What a run has learned, loaded to score jets."""

from .calibrate import calibrate
from .detector import TrainedDetector, load
from .member import Member

__all__ = ["Member", "TrainedDetector", "calibrate", "load"]
