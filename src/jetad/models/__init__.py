"""Detectors: one method a file, one table; listed without importing torch."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..registry import load

__all__ = ["METHODS", "MODELS", "MethodInfo", "model_class"]


class MethodInfo(NamedTuple):
    """What ``jetad methods`` prints of a method, and the phases of its training."""

    kind: str
    inputs: tuple[str, ...]  # representations it takes
    reference: str
    summary: str
    phases: tuple[str, ...]


MODELS = {
    "nae": "jetad.models.nae:NormalizedAutoencoder",
    "wnae": "jetad.models.wnae:WassersteinNormalizedAutoencoder",
    "mpdr-s": "jetad.models.mpdr:ManifoldScalar",
    "mpdr-r": "jetad.models.mpdr:ManifoldReconstruction",
    "igebm": "jetad.models.igebm:ScalarEnergy",
    "ae": "jetad.models.autoencoder:Autoencoder",
    "glow": "jetad.models.glow:Glow",
    "pixelcnn": "jetad.models.pixelcnn:PixelCNN",
}

_ALL = ("image", "features", "constituents")
METHODS = {
    "nae": MethodInfo(
        "energy-based",
        _ALL,
        "arXiv:2105.05735, arXiv:2206.14225",
        "normalized autoencoder: reconstruction error as the energy of a density",
        ("reconstruction", "contrastive"),
    ),
    "wnae": MethodInfo(
        "energy-based",
        _ALL,
        "arXiv:2510.02168",
        "Wasserstein NAE: transport distance between background and the model's samples",
        ("reconstruction", "transport"),
    ),
    "mpdr-s": MethodInfo(
        "energy-based",
        _ALL,
        "arXiv:2310.18677",
        "manifold projection-diffusion recovery of a scalar energy",
        ("reconstruction", "contrastive"),
    ),
    "mpdr-r": MethodInfo(
        "energy-based",
        _ALL,
        "arXiv:2310.18677",
        "manifold projection-diffusion recovery of a reconstruction error",
        ("reconstruction", "contrastive"),
    ),
    "igebm": MethodInfo(
        "energy-based",
        _ALL,
        "arXiv:1903.08689",
        "scalar energy with negatives from persistent Langevin chains",
        ("contrastive",),
    ),
    "ae": MethodInfo(
        "reconstruction",
        _ALL,
        "arXiv:1808.08979",
        "autoencoder: reconstruction error; misses simpler outliers",
        ("reconstruction",),
    ),
    "glow": MethodInfo(
        "likelihood",
        ("image", "features"),
        "arXiv:1807.03039",
        "normalising flow with invertible 1x1 convolutions: exact -ln p of images or features",
        ("likelihood",),
    ),
    "pixelcnn": MethodInfo(
        "likelihood",
        ("image",),
        "arXiv:1701.05517",
        "autoregressive mixture of discretised logistics: exact -ln P of the levels of all pixels",
        ("likelihood",),
    ),
}


def model_class(name: str) -> Any:
    """The class of a method.

    Raises:
        ConfigError: for an unknown method, naming the nearest.
    """
    return load(MODELS, name, "method")
