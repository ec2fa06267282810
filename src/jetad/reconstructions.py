"""What a trained autoencoder of images makes of jets, for pictures."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .jets import Jets
from .scoring import TrainedDetector

__all__ = ["Reconstructed", "reconstruct"]


class Reconstructed(NamedTuple):
    """Images, each ``(n, 1, n_eta, n_phi)``."""

    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]


def reconstruct(detector: TrainedDetector, jets: Jets) -> Reconstructed | None:
    """Input and output of the first member that is an autoencoder of images; ``None`` without one."""
    for member in detector.members:
        codec: Any = getattr(member.model, "reconstruct", None)
        if len(member.preprocessor.shape) == 3 and codec is not None:
            with torch.no_grad():
                rows = torch.from_numpy(member.preprocessor.transform(jets)).to(detector.device)
                x = member.model.prepare(rows)
                pair = (member.model.restore(v).cpu().numpy() for v in (x, codec(x)))
                return Reconstructed(*pair)
    return None
