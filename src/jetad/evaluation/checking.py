"""Whether samples of scores are what they are taken for: labels, and jets that are there twice."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from ..checks.jets import check_labels, check_two_samples
from ..scores import Scores

__all__ = ["check_jets", "check_samples"]

logger = logging.getLogger("jetad.evaluation")

_FEW = 0.01  # share of repeated jets that is worth a line


def check_samples(background: Scores, signals: Mapping[str, Scores], allow: Collection[str] = ()) -> None:
    """Refuse samples whose labels contradict their role, or that share their jets.

    Arguments:
        background: Scores of background jets.
        signals: Scores of signal jets by name.
        allow: What is refused otherwise, as :func:`jetad.checks.allowed.refuse` takes it.

    Raises:
        InputError: naming the sample.
    """
    for where, role, scores in (
        ("the background", "background", background),
        *((f"signal '{name}'", "signal", scores) for name, scores in signals.items()),
    ):
        n_signal, n_background = (int((scores.label == value).sum()) for value in (1, 0))
        check_labels(n_signal, n_background, where, allow, role=role)
    check_jets(background, signals, allow)


def check_jets(
    background: Scores, signals: Mapping[str, Scores], allow: Collection[str], what: str = "the background"
) -> None:
    """Jets that are in two samples, or twice in one."""
    own = _words(background)
    for name, words in ((what, own), *((f"signal '{n}'", _words(s)) for n, s in signals.items())):
        known = words[words != 0]
        n_twice = len(known) - len(np.unique(known))
        if n_twice > _FEW * len(words):
            logger.warning(
                "warning: %s: %d of %d jets are there twice: errors are too small", name, n_twice, len(words)
            )
    for name, scores in signals.items():
        check_two_samples(own, _words(scores), (what, f"signal '{name}'"), allow)


def _words(scores: Scores) -> NDArray[np.uint64]:
    """What tells jets of score files apart, ``(n,)``: score and momentum; 0 where there is no momentum."""
    words = np.zeros(len(scores), dtype=np.uint64)
    for name in ("score", "jet_pt", "jet_eta", "jet_phi", "jet_mass"):
        bits = getattr(scores, name).view(np.uint32).astype(np.uint64)
        words = (words ^ bits) * np.uint64(0x9E3779B97F4A7C15)  # wraps round
        words ^= words >> np.uint64(29)
    words[~np.isfinite(scores.jet_pt)] = 0
    return words
