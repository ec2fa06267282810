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
