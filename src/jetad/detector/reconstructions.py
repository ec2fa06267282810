"""What a trained autoencoder of images makes of jets, for pictures."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..jets import Jets
from ..preprocessing.images import JetImages
from .detector import TrainedDetector

__all__ = ["Reconstructed", "reconstruct"]


class Reconstructed(NamedTuple):
    """Images, each ``(n, n_channels, n_eta, n_phi)``."""

    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]
    channels: tuple[str, ...]

    def pictures(self, most: int = 4) -> tuple[NDArray[np.float32], NDArray[np.float32], list[str] | None]:
        """Inputs and outputs of the first jets, one channel after the other, ``(at most ``most``, 1, ...)``.

        With several channels there is a title for each.
        """
        n, n_channels, *size = self.inputs.shape
        n = min(n, max(1, most // n_channels))
        before, after = (v[:n].reshape(n * n_channels, 1, *size) for v in self[:2])
        return before, after, [*self.channels] * n if n_channels > 1 else None


def reconstruct(detector: TrainedDetector, jets: Jets) -> Reconstructed | None:
    """Input and output of the first member that is an autoencoder of images; ``None`` without one."""
    for member in detector.members:
        codec: Any = getattr(member.model, "reconstruct", None)
        if isinstance(member.preprocessor, JetImages) and codec is not None:
            with torch.no_grad():
                rows = torch.from_numpy(member.preprocessor.transform(jets)).to(detector.device)
                x = member.model.prepare(rows)
                before, after = (member.model.restore(v).cpu().numpy() for v in (x, codec(x)))
                return Reconstructed(before, after, member.preprocessor.config.channels)
    return None
