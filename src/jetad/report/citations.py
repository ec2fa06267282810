"""The papers behind what a run has used: for the reference list of a report, and for BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .. import __version__
from ..models import METHODS
from ..papers import Reference

if TYPE_CHECKING:
    from ..config import RunConfig

__all__ = ["Reference", "bibtex", "references_of"]


_JETAD = Reference(
    "jetad", ("The jetad developers",), "jetad: anomaly tagging of jets", 2026,
    f"software, version {__version__}",
    used_for="the program",
)  # fmt: skip
_IMAGES = Reference(
    "Heimel:2018mkt", ("T. Heimel", "G. Kasieczka", "T. Plehn", "J. M. Thompson"), "QCD or what?", 2018,
    arxiv="1808.08979", used_for="centring, rotation and flip of the images",
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
    found = [_JETAD, *(METHODS[config.method].papers or _by_number(config.method))]
    for member in config.members.values():
        if member.preprocessing.representation == "image":
            found.append(_IMAGES)
        found += member.network.papers
        if (sampler := member.training.sampler) is not None:
            found += [_LANGEVIN, *sampler.papers]
    if len(config.members) > 1:
        found.append(_COMBINATION)
    found.append(_CONFORMAL)
    found += _EVALUATION if evaluation else ()
    found += [_SCULPTING] if sculpting else []
    unique: dict[str, Reference] = {}
    for reference in found:
        unique.setdefault(reference.key, reference)
    return list(unique.values())


def _by_number(method: str) -> tuple[Reference, ...]:
    """The papers of a method whose card has no more than their numbers."""
    numbers = re.findall(r"arXiv:(\d{4}\.\d{4,5})", METHODS[method].reference)
    return tuple(
        Reference(
            f"arXiv:{number}", (), "", 2000 + int(number[:2]), arxiv=number, used_for=f"method '{method}'"
        )
        for number in numbers
    )


def bibtex(references: Iterable[Reference]) -> str:
    """A BibTeX file."""
    return "\n\n".join(reference.bibtex() for reference in references) + "\n"
