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
    classes: str = "none"  # of the background (data.classes): none, optional or required
    signal: bool = False  # trains on signal, too


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
    "pca": "jetad.models.pca:PrincipalSubspace",
    "gmm": "jetad.models.gmm:GaussianMixtureDensity",
    "isolation-forest": "jetad.models.isolation_forest:IsolationForestScore",
    "knn": "jetad.models.knn:NeighbourDistance",
    "one-class-svm": "jetad.models.one_class_svm:SupportVectors",
    "mahalanobis": "jetad.models.mahalanobis:Mahalanobis",
    "relative-mahalanobis": "jetad.models.mahalanobis:RelativeMahalanobis",
    "classifier": "jetad.models.classifier:Classifier",
    "mass": "jetad.models.observable:JetMass",
    "multiplicity": "jetad.models.observable:Multiplicity",
    "glow": "jetad.models.glow:Glow",
    "pixelcnn": "jetad.models.pixelcnn:PixelCNN",
    "clr": "jetad.models.clr:ContrastiveEncoder",
}

_ALL = ("image", "features", "constituents")
_VECTORS = ("image", "features")  # a list of constituents is no point of a space with distances
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
        "doi:10.1145/1390156.1390294",
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
        "openreview:BJJLHbb0-",
        "autoencoder with a Gaussian mixture of its codes and errors",
        ("likelihood",),
    ),
    "pca": MethodInfo(
        "reconstruction",
        _VECTORS,
        "Pearson 1901, Jackson & Mudholkar 1979",
        "squared distance to the leading principal components of the background",
        ("fit",),
    ),
    "gmm": MethodInfo(
        "likelihood",
        _VECTORS,
        "Dempster, Laird & Rubin 1977",
        "-ln p of a mixture of Gaussians with full covariances",
        ("fit",),
    ),
    "isolation-forest": MethodInfo(
        "classical",
        _VECTORS,
        "Liu, Ting & Zhou 2008",
        "random trees: few cuts tell an anomalous jet from all others",
        ("fit",),
    ),
    "knn": MethodInfo(
        "classical",
        _VECTORS,
        "Ramaswamy, Rastogi & Shim 2000",
        "distance to the k-th nearest jet of the background",
        ("fit",),
    ),
    "one-class-svm": MethodInfo(
        "classical",
        _VECTORS,
        "Schölkopf et al. 2001",
        "support vector machine with a border around most of the background",
        ("fit",),
    ),
    "mahalanobis": MethodInfo(
        "classical",
        _VECTORS,
        "Mahalanobis 1936, arXiv:1807.03888",
        "squared distance to the mean, or nearest class, in units of the covariance",
        ("fit",),
        classes="optional",
    ),
    "relative-mahalanobis": MethodInfo(
        "classical",
        _VECTORS,
        "arXiv:2106.09022",
        "Mahalanobis distance to the nearest class minus that to all; needs data.classes",
        ("fit",),
        classes="required",
    ),
    "classifier": MethodInfo(
        "supervised reference",
        _ALL,
        "arXiv:1902.09914",
        "uses signal (--signal), so no anomaly detector: the ceiling for those",
        ("classification",),
        signal=True,
    ),
    "mass": MethodInfo(
        "trivial reference",
        ("features",),
        "arXiv:1709.04464",
        "the jet mass itself: what a detector must beat",
        ("fit",),
    ),
    "multiplicity": MethodInfo(
        "trivial reference",
        ("features",),
        "arXiv:1709.04464",
        "the number of constituents itself: what a detector must beat",
        ("fit",),
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
