"""Guesses tried on some rows: are the jets that come out plausible?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import JetadError
from ...jets import Jets
from ..base import MEV_THRESHOLD
from ..columnmap import ColumnMap
from ..containers.arrays import Source
from ..mapped import Mapped
from .names import N_ROWS, Guess

__all__ = ["Verdict", "first_good", "judge"]

_MORE_ROWS = 5_000

# what a good guess must show
_MIN_FINITE = 0.9  # part of the jets with finite momenta
_MIN_PT, _MAX_ETA = 1.0, 8.0  # [GeV]; median pT, |eta| of nearly all
_MIN_COLLIMATED = 0.75  # median |sum of pT vectors| / sum of |pT|: a jet has 0.9, an event 0.1
_PT_FACTOR, _AXIS = 4.0, 0.5  # constituents against their stored jet: pT, |eta| (tracks are a part of it)


class Verdict(NamedTuple):
    """What became of a guess."""

    reason: str | None  # why the jets are none; None if they are plausible
    is_mev: bool = False


def judge(source: Source, guess: Guess, path: str | Path) -> Verdict:
    """Read some rows with a guess and see whether what comes out can be jets."""
    if guess.why_not is not None:
        return Verdict(guess.why_not)
    try:
        mapped = Mapped(ColumnMap(**guess.keys), source, path)
        jets = mapped.first(N_ROWS)
        if not len(jets) or (jets.has_constituents and not len(jets.pt)):
            jets = mapped.first(_MORE_ROWS)
    except (JetadError, ValueError) as error:
        return Verdict(f"cannot be read so ({' '.join(str(error).split())[:150]})")
    with np.errstate(all="ignore"):
        return _plausible(jets)


def _plausible(jets: Jets) -> Verdict:
    if jets.has_constituents:
        jets = jets[jets.n_constituents > 0]
    if not len(jets):
        return Verdict("hold no jet in the first rows")
    momenta = np.stack([jets.jet_pt, jets.jet_eta, jets.jet_phi, jets.jet_mass]).astype(np.float64)
    good = np.isfinite(momenta).all(axis=0) & (momenta[0] > 0)
    if good.mean() < _MIN_FINITE:
        return Verdict(f"give {int((~good).sum())} of {len(jets)} jets with momenta that are no numbers")
    pt = float(np.median(momenta[0][good]))
    if (np.abs(momenta[1][good]) > _MAX_ETA).mean() > 0.1:
        return Verdict("give jets along the beam (|eta| > 8)")
    is_mev = pt > MEV_THRESHOLD
    if not _MIN_PT <= (pt / 1000 if is_mev else pt) <= MEV_THRESHOLD:
        return Verdict(f"give jets of {pt:.3g} GeV (median pT)")
    if jets.has_constituents:
        if (jets.pt < 0).any() or (np.abs(jets.phi) > 7).any():
            return Verdict("give particles with negative pT or phi beyond 2 pi")
        reason = _not_the_jets(jets) if "jet_pt_file" in jets.observables else _not_collimated(jets)
        if reason:
            return Verdict(reason)
    return Verdict(None, is_mev)


def _not_collimated(jets: Jets) -> str | None:
    several = jets.n_constituents > 1
    if several.mean() < 0.2:
        return "hardly ever are more than one a row: they are no constituents of jets"
    part = jets.jet_pt / jets.sum_over_constituents(jets.pt)
    median = float(np.median(part[several]))
    if median < _MIN_COLLIMATED:
        return f"fly in all directions (their pT adds up to {100 * median:.0f}%): whole events, no jets"
    return None


def _not_the_jets(jets: Jets) -> str | None:
    stored_pt, stored_eta = jets.observables["jet_pt_file"], jets.observables["jet_eta_file"]
    ratio = stored_pt / jets.jet_pt
    good = (ratio > 1 / _PT_FACTOR) & (ratio < _PT_FACTOR) & (np.abs(stored_eta - jets.jet_eta) < _AXIS)
    if good.mean() < 0.7:
        return f"do not add up to {int((~good).sum())} of {len(good)} of them"
    return None


def first_good(
    source: Source, path: str | Path, found: Iterable[Guess]
) -> tuple[Guess | None, Verdict, list[str]]:
    """The first guess that stands the trial, and what was said of those before it."""
    refused: list[str] = []
    for guess in found:
        verdict = judge(source, guess, path)
        if verdict.reason is None:
            return guess, verdict, refused
        refused.append(f"{guess.what} {verdict.reason}")
    return None, Verdict("nothing"), refused
