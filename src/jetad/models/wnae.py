"""The Wasserstein normalized autoencoder."""

from __future__ import annotations

from .nae import NormalizedAutoencoder

__all__ = ["WassersteinNormalizedAutoencoder"]


class WassersteinNormalizedAutoencoder(NormalizedAutoencoder):
    """A normalized autoencoder trained on the transport distance between background and its own samples.

    The energies do not enter the loss; they act through the chains that draw the samples, so the
    gradient goes through the steps of the chains (``jetad.objectives.transport``).

    References:
        CMS Collaboration, "Wasserstein normalized autoencoder for anomaly detection", CMS-MLG-24-002,
        2025, arXiv:2510.02168
    """
