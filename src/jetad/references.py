"""The papers behind what a run has used: for the reference list of a report, and for BibTeX."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from . import __version__
from .models import METHODS

if TYPE_CHECKING:
    from .config import RunConfig

__all__ = ["Reference", "bibtex", "references_of"]


@dataclasses.dataclass(frozen=True)
class Reference:
    """One paper, and what it stands for here."""

    key: str
    authors: tuple[str, ...]
    title: str
    year: int
    where: str = ""  # journal, volume and page, or proceedings
    arxiv: str = ""
    used_for: str = ""

    @property
    def url(self) -> str:
        """Its page on arXiv, or nothing."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else ""

    def text(self) -> str:
        """One line for a reference list."""
        parts = [", ".join(self.authors), f"“{self.title}”" if self.title else "", self.where]
        parts += [f"arXiv:{self.arxiv}" if self.arxiv else "", str(self.year) if self.year else ""]
        return ", ".join(part for part in parts if part)

    def bibtex(self) -> str:
        """One BibTeX entry."""
        fields = {
            "author": " and ".join(self.authors),
            "title": f"{{{self.title}}}" if self.title else "",
            "journal" if self.where and "software" not in self.where else "note": self.where,
            "eprint": self.arxiv,
            "archivePrefix": "arXiv" if self.arxiv else "",
            "year": str(self.year) if self.year else "",
        }
        lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
        kind = "article" if self.where and "software" not in self.where else "misc"
        return f"@{kind}{{{self.key},\n" + ",\n".join(lines) + "\n}"


_JETAD = Reference(
    "jetad", ("The jetad developers",), "jetad: anomaly tagging of jets", 2026,
    f"software, version {__version__}",
    used_for="the program",
)  # fmt: skip
_MPDR = Reference(
    "Yoon:2023mpdr", ("S. Yoon", "Y.-U. Jin", "Y.-K. Noh", "F. C. Park"),
    "Energy-based models for anomaly detection: a manifold diffusion recovery approach", 2023,
    arxiv="2310.18677", used_for="manifold projection-diffusion recovery",
)  # fmt: skip
_MAHALANOBIS = (
    Reference(
        "Mahalanobis:1936", ("P. C. Mahalanobis",), "On the generalised distance in statistics", 1936,
        "Proc. Natl. Inst. Sci. India 2 (1936) 49", used_for="distance in units of the covariance",
    ),
    Reference(
        "Lee:2018", ("K. Lee", "K. Lee", "H. Lee", "J. Shin"),
        "A simple unified framework for detecting out-of-distribution samples and adversarial attacks", 2018,
        arxiv="1807.03888", used_for="distance to the nearest class",
    ),
)  # fmt: skip
_SUBSTRUCTURE = Reference(
    "Larkoski:2017jix", ("A. J. Larkoski", "I. Moult", "B. Nachman"),
    "Jet substructure at the Large Hadron Collider: a review of recent advances in theory and machine "
    "learning", 2020, "Phys. Rept. 841 (2020) 1", arxiv="1709.04464", used_for="observables of jets",
)  # fmt: skip
_SCIKIT_LEARN = Reference(
    "Pedregosa:2011", ("F. Pedregosa and others",), "Scikit-learn: machine learning in Python", 2011,
    "J. Mach. Learn. Res. 12 (2011) 2825", used_for="the fit",
)  # fmt: skip
_KNOWN = {
    "nae": (
        Reference(
            "Yoon:2021nae", ("S. Yoon", "Y.-K. Noh", "F. Park"),
            "Autoencoding under normalization constraints", 2021, arxiv="2105.05735",
            used_for="normalized autoencoder",
        ),
        Reference(
            "Dillon:2022nae", ("B. M. Dillon", "L. Favaro", "T. Plehn", "P. Sorrenson", "M. Krämer"),
            "A normalized autoencoder for LHC triggers", 2022, arxiv="2206.14225",
            used_for="normalized autoencoder on jet images",
        ),
    ),
    "wnae": (
        Reference(
            "CMS:2025wnae", ("CMS Collaboration",),
            "Wasserstein normalized autoencoder for anomaly detection", 2025, arxiv="2510.02168",
            used_for="Wasserstein normalized autoencoder",
        ),
    ),
    "mpdr-s": (_MPDR,),
    "mpdr-r": (_MPDR,),
    "igebm": (
        Reference(
            "Du:2019odh", ("Y. Du", "I. Mordatch"),
            "Implicit generation and generalization in energy-based models", 2019, arxiv="1903.08689",
            used_for="scalar energy",
        ),
    ),
    "ae": (
        Reference(
            "Heimel:2018mkt", ("T. Heimel", "G. Kasieczka", "T. Plehn", "J. M. Thompson"), "QCD or what?",
            2018, arxiv="1808.08979", used_for="autoencoder on jet images",
        ),
        Reference(
            "Farina:2018fyg", ("M. Farina", "Y. Nakai", "D. Shih"),
            "Searching for new physics with deep autoencoders", 2018, arxiv="1808.08992",
            used_for="autoencoder on jet images",
        ),
    ),
    "dae": (
        Reference(
            "Vincent:2008", ("P. Vincent", "H. Larochelle", "Y. Bengio", "P.-A. Manzagol"),
            "Extracting and composing robust features with denoising autoencoders", 2008, "ICML 2008",
            used_for="denoising autoencoder",
        ),
    ),
    "vae": (
        Reference(
            "Kingma:2013", ("D. P. Kingma", "M. Welling"), "Auto-encoding variational Bayes", 2013,
            arxiv="1312.6114", used_for="variational autoencoder",
        ),
        Reference(
            "Burda:2015", ("Y. Burda", "R. Grosse", "R. Salakhutdinov"),
            "Importance weighted autoencoders", 2015, arxiv="1509.00519",
            used_for="importance-sampled likelihood",
        ),
    ),
    "wae": (
        Reference(
            "Tolstikhin:2017", ("I. Tolstikhin", "O. Bousquet", "S. Gelly", "B. Schölkopf"),
            "Wasserstein auto-encoders", 2017, arxiv="1711.01558", used_for="Wasserstein autoencoder",
        ),
        Reference(
            "Gretton:2012", ("A. Gretton", "K. Borgwardt", "M. Rasch", "B. Schölkopf", "A. Smola"),
            "A kernel two-sample test", 2012, "JMLR 13 (2012) 723",
            used_for="maximum mean discrepancy of codes and prior",
        ),
    ),
    "dagmm": (
        Reference(
            "Zong:2018",
            ("B. Zong", "Q. Song", "M. R. Min", "W. Cheng", "C. Lumezanu", "D. Cho", "H. Chen"),
            "Deep autoencoding Gaussian mixture model for unsupervised anomaly detection", 2018, "ICLR 2018",
            used_for="autoencoder with a Gaussian mixture",
        ),
    ),
    "pca": (
        Reference(
            "Pearson:1901", ("K. Pearson",),
            "On lines and planes of closest fit to systems of points in space", 1901,
            "Phil. Mag. 2 (1901) 559", used_for="principal components",
        ),
        Reference(
            "Jackson:1979", ("J. E. Jackson", "G. S. Mudholkar"),
            "Control procedures for residuals associated with principal component analysis", 1979,
            "Technometrics 21 (1979) 341", used_for="residual outside the principal components",
        ),
    ),
    "gmm": (
        Reference(
            "Dempster:1977", ("A. P. Dempster", "N. M. Laird", "D. B. Rubin"),
            "Maximum likelihood from incomplete data via the EM algorithm", 1977,
            "J. R. Stat. Soc. B 39 (1977) 1", used_for="mixture of Gaussians",
        ),
        _SCIKIT_LEARN,
    ),
    "isolation-forest": (
        Reference(
            "Liu:2008", ("F. T. Liu", "K. M. Ting", "Z.-H. Zhou"), "Isolation forest", 2008,
            "ICDM 2008, 413", used_for="isolation forest",
        ),
        _SCIKIT_LEARN,
    ),
    "knn": (
        Reference(
            "Ramaswamy:2000", ("S. Ramaswamy", "R. Rastogi", "K. Shim"),
            "Efficient algorithms for mining outliers from large data sets", 2000, "SIGMOD 2000, 427",
            used_for="distance to the k-th neighbour",
        ),
    ),
    "one-class-svm": (
        Reference(
            "Schoelkopf:2001",
            ("B. Schölkopf", "J. C. Platt", "J. Shawe-Taylor", "A. J. Smola", "R. C. Williamson"),
            "Estimating the support of a high-dimensional distribution", 2001,
            "Neural Comput. 13 (2001) 1443", used_for="one-class support vector machine",
        ),
        _SCIKIT_LEARN,
    ),
    "mahalanobis": _MAHALANOBIS,
    "relative-mahalanobis": (
        Reference(
            "Ren:2021", ("J. Ren", "S. Fort", "J. Liu", "A. Guha Roy", "S. Padhy", "B. Lakshminarayanan"),
            "A simple fix to Mahalanobis distance for improving near-OOD detection", 2021,
            arxiv="2106.09022", used_for="relative Mahalanobis distance",
        ),
        *_MAHALANOBIS,
    ),
    "classifier": (
        Reference(
            "Kasieczka:2019dbj", ("A. Butter and others",), "The machine learning landscape of top taggers",
            2019, "SciPost Phys. 7 (2019) 014", arxiv="1902.09914", used_for="supervised taggers of jets",
        ),
    ),
    "mass": (_SUBSTRUCTURE,),
    "multiplicity": (_SUBSTRUCTURE,),
    "glow": (
        Reference(
            "Kingma:2018glow", ("D. P. Kingma", "P. Dhariwal"),
            "Glow: generative flow with invertible 1x1 convolutions", 2018, arxiv="1807.03039",
            used_for="normalising flow",
        ),
        Reference(
            "Dinh:2016realnvp", ("L. Dinh", "J. Sohl-Dickstein", "S. Bengio"),
            "Density estimation using Real NVP", 2016, arxiv="1605.08803",
            used_for="affine couplings and the multi-scale flow",
        ),
    ),
    "pixelcnn": (
        Reference(
            "Salimans:2017pixelcnn", ("T. Salimans", "A. Karpathy", "X. Chen", "D. P. Kingma"),
            "PixelCNN++: improving the PixelCNN with discretized logistic mixture likelihood and other "
            "modifications", 2017, arxiv="1701.05517", used_for="autoregressive model of pixels",
        ),
        Reference(
            "Oord:2016pixelcnn",
            ("A. van den Oord", "N. Kalchbrenner", "O. Vinyals", "L. Espeholt", "A. Graves",
             "K. Kavukcuoglu"),
            "Conditional image generation with PixelCNN decoders", 2016, arxiv="1606.05328",
            used_for="gated causal convolutions",
        ),
    ),
}  # fmt: skip
_IMAGES = Reference(
    "Heimel:2018mkt", ("T. Heimel", "G. Kasieczka", "T. Plehn", "J. M. Thompson"), "QCD or what?", 2018,
    arxiv="1808.08979", used_for="centring, rotation and flip of the images",
)  # fmt: skip
_SAMPLERS = {
    "pcd": Reference(
        "Tieleman:2008", ("T. Tieleman",),
        "Training restricted Boltzmann machines using approximations to the likelihood gradient", 2008,
        "ICML 2008", used_for="persistent chains",
    ),
    "cd": Reference(
        "Hinton:2002", ("G. E. Hinton",),
        "Training products of experts by minimizing contrastive divergence", 2002,
        "Neural Comput. 14 (2002) 1771", used_for="short chains from the background",
    ),
}  # fmt: skip
_SETS = Reference(
    "Komiske:2018cqr", ("P. T. Komiske", "E. M. Metodiev", "J. Thaler"), "Energy flow networks", 2019,
    arxiv="1810.05165", used_for="networks on sets of constituents",
)  # fmt: skip
_LANGEVIN = Reference(
    "Roberts:1996", ("G. O. Roberts", "R. L. Tweedie"),
    "Exponential convergence of Langevin distributions and their discrete approximations", 1996,
    "Bernoulli 2 (1996) 341", used_for="Metropolis-adjusted Langevin chains",
)  # fmt: skip
_COMBINATION = Reference(
    "Tippett:1931", ("L. H. C. Tippett",), "The methods of statistics", 1931, "Williams and Norgate",
    used_for="combination of the members' p-values",
)  # fmt: skip
_CONFORMAL = Reference(
    "Vovk:2005", ("V. Vovk", "A. Gammerman", "G. Shafer"), "Algorithmic learning in a random world", 2005,
    "Springer", used_for="background efficiency of a jet",
)  # fmt: skip
_EVALUATION = (
    Reference(
        "DeLong:1988", ("E. DeLong", "D. DeLong", "D. Clarke-Pearson"),
        "Comparing the areas under two or more correlated receiver operating characteristic curves", 1988,
        "Biometrics 44 (1988) 837", used_for="error of the AUC and paired comparison",
    ),
    Reference(
        "Clopper:1934", ("C. Clopper", "E. Pearson"),
        "The use of confidence or fiducial limits illustrated in the case of the binomial", 1934,
        "Biometrika 26 (1934) 404", used_for="intervals of efficiencies and rejections",
    ),
)  # fmt: skip
_SCULPTING = Reference(
    "Lin:1991", ("J. Lin",), "Divergence measures based on the Shannon entropy", 1991,
    "IEEE Trans. Inf. Theory 37 (1991) 145", used_for="Jensen-Shannon divergence of sculpted spectra",
)  # fmt: skip


def references_of(config: RunConfig, *, evaluation: bool = False, sculpting: bool = False) -> list[Reference]:
    """The papers of exactly what this configuration uses, jetad first, each once.

    Arguments:
        config: Of the run.
        evaluation: ROC curves with their errors were made.
        sculpting: Sculpted spectra were compared.
    """
    found = [_JETAD, *(_KNOWN.get(config.method) or _from_table(config.method))]
    for member in config.members.values():
        if member.preprocessing.representation == "image":
            found.append(_IMAGES)
        if member.network.kind == "deepset":
            found.append(_SETS)
        phase = member.training.contrastive or member.training.transport
        if phase is not None:
            found.append(_LANGEVIN)
            found += [_SAMPLERS[phase.sampler.kind]] if phase.sampler.kind in _SAMPLERS else []
    if len(config.members) > 1:
        found.append(_COMBINATION)
    found.append(_CONFORMAL)
    found += _EVALUATION if evaluation else ()
    found += [_SCULPTING] if sculpting else []
    unique: dict[str, Reference] = {}
    for reference in found:
        unique.setdefault(reference.key, reference)
    return list(unique.values())


def _from_table(method: str) -> tuple[Reference, ...]:
    """A method without an entry above still has the numbers of its papers in ``METHODS``."""
    if method not in METHODS:
        return ()
    info = METHODS[method]
    numbers = re.findall(r"arXiv:(\d{4}\.\d{4,5})", info.reference)
    return tuple(
        Reference(
            f"arXiv:{number}", (), "", 2000 + int(number[:2]), arxiv=number, used_for=f"method '{method}'"
        )
        for number in numbers
    )


def bibtex(references: Iterable[Reference]) -> str:
    """A BibTeX file."""
    return "\n\n".join(reference.bibtex() for reference in references) + "\n"
