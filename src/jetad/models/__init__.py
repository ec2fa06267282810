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
    "dae": "jetad.models.denoising:DenoisingAutoencoder",
    "vae": "jetad.models.vae:VariationalAutoencoder",
    "wae": "jetad.models.wae:WassersteinAutoencoder",
    "dagmm": "jetad.models.dagmm:MixtureAutoencoder",
    "clr": "jetad.models.clr:ContrastiveEncoder",
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
    "dae": MethodInfo(
        "reconstruction",
        _ALL,
        "ICML 2008, doi:10.1145/1390156.1390294",
        "denoising autoencoder: learns to remove noise; reconstruction error of the clean jet",
        ("reconstruction",),
    ),
    "vae": MethodInfo(
        "likelihood",
        _ALL,
        "arXiv:1312.6114, arXiv:1509.00519",
        "variational autoencoder: importance-sampled likelihood, or reconstruction",
        ("likelihood",),
    ),
    "wae": MethodInfo(
        "reconstruction",
        _ALL,
        "arXiv:1711.01558",
        "Wasserstein autoencoder: reconstruction error, codes kept to a prior",
        ("reconstruction",),
    ),
    "dagmm": MethodInfo(
        "likelihood",
        _ALL,
        "ICLR 2018, openreview:BJJLHbb0-",
        "autoencoder with a Gaussian mixture of its codes and errors",
        ("likelihood",),
    ),
    "clr": MethodInfo(
        "representation",
        ("constituents",),
        "arXiv:2312.03067, arXiv:2108.04253",
        "contrastive encoder; distance in its embedding, or --encoder of other detectors",
        ("embedding",),
    ),
}


def model_class(name: str) -> Any:
    """The class of a method.

    Raises:
        ConfigError: for an unknown method, naming the nearest.
    """
    return load(MODELS, name, "method")
