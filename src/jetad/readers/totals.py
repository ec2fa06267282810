"""What is counted and summed while a file is read for its inspection."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..jets import Jets
from ..jets.hashing import jet_hashes
from ..preprocessing.images import MAX_ETA, MAX_PHI, directions_make_sense
from .base import StoredJet

__all__ = ["PT_FACTOR", "Agreement", "Totals"]


_QUANTITIES = ("jet_pt", "jet_eta", "jet_phi", "jet_mass", "n_constituents")
# Constituents add up to the jet of the file: pT within this factor (energy corrections come after the
# clustering), eta within this, mass, scaled as the pT, within a part of it or so many GeV.
PT_FACTOR, _ETA, _MASS_PART, _MASS_GEV = 1.25, 0.02, 0.05, 2.0
_N_COMPARED = 100_000  # jets whose differences are kept for the median


class Agreement(NamedTuple):
    """The sums of the constituents against the jets that the file stores."""

    n_compared: int
    n_agree: int  # in pT, eta and mass
    pt_ratio: float  # stored / sum, median; corrections of the energy taken out where the file has them
    eta: float  # |difference|, median; NaN where eta is not stored
    mass: float  # |difference| [GeV], median, after scaling the sum to the stored pT; NaN as above


@dataclasses.dataclass
class Totals:
    """Running sums over the pieces of a file."""

    stored: StoredJet
    unit: float = 1.0  # of the stored jets, in GeV
    has_constituents: bool = True
    n_jets: int = 0
    n_not_finite: int = 0
    n_astray: int = 0  # jets with a constituent whose direction is none
    n_empty: int = 0
    n_unsorted: int = 0
    n_uncharged: int = 0  # jets with a constituent of unknown charge
    charged_pt: float = 0.0
    known_pt: float = 0.0  # of constituents whose charge is known
    n_full: int = 0
    n_filled: int = 0
    azimuth: NDArray[np.float32] = dataclasses.field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    labels: NDArray[np.int64] | None = None  # unknown, background, signal
    n_compared: int = 0
    n_agree: int = 0
    differences: list[NDArray[np.float64]] = dataclasses.field(default_factory=list)  # (3, n) each
    hashes: list[NDArray[np.uint64]] = dataclasses.field(default_factory=list)
    moments: dict[str, list[float]] = dataclasses.field(
        default_factory=lambda: {name: [math.inf, 0.0, -math.inf, 0] for name in _QUANTITIES}
    )

    def add(self, jets: Jets, n_slots: int | None) -> None:
        self.n_jets += len(jets)
        self.has_constituents = jets.has_constituents
        if jets.has_constituents:
            self.n_empty += int((jets.n_constituents == 0).sum())
        self.n_not_finite += int(_not_finite(jets).sum())
        if not directions_make_sense(jets.eta, jets.phi):
            self.n_astray += int((jets.sum_over_constituents(_astray(jets)) > 0).sum())
        self.n_unsorted += _count_unsorted(jets)
        self.n_filled += int(jets.n_constituents.sum())
        if n_slots is not None:
            self.n_full += int((jets.n_constituents >= n_slots).sum())
        if jets.charge is not None:
            self._add_charges(jets.charge, jets)
        hashes = jet_hashes(jets)
        self.hashes.append(hashes[jets.n_constituents > 0] if jets.has_constituents else hashes)
        if jets.labels is not None:
            counts = np.bincount(np.clip(jets.labels, -1, 1) + 1, minlength=3)
            self.labels = counts if self.labels is None else self.labels + counts
        with np.errstate(all="ignore"):
            if not len(self.azimuth):
                self.azimuth = np.asarray(jets.jet_phi)
            for name in _QUANTITIES:
                self._add_moments(name, np.asarray(getattr(jets, name), dtype=np.float64))
            if jets.has_constituents:
                self._compare(jets)

    def _compare(self, jets: Jets) -> None:
        """Add how the sums of the constituents differ from the jets of the file."""
        found = _differences(jets, self.stored, self.unit)
        if found is None:
            return
        agree = (
            (found[0] < PT_FACTOR)
            & (found[0] > 1 / PT_FACTOR)
            & ~(found[1] > _ETA)
            & ~(found[2] > np.maximum(_MASS_PART * found[3], _MASS_GEV))
        )
        known = np.isfinite(found[0])
        self.n_agree += int((agree & known).sum())
        if self.n_compared < _N_COMPARED:
            self.differences.append(found[:3, known])
        self.n_compared += int(known.sum())

    def agreement(self) -> Agreement | None:
        """All of it; ``None`` where nothing could be compared."""
        if not self.n_compared:
            return None
        values = np.concatenate(self.differences, axis=1)
        medians = [float(np.median(v[np.isfinite(v)])) if np.isfinite(v).any() else math.nan for v in values]
        return Agreement(self.n_compared, self.n_agree, *medians)

    def _add_charges(self, charge: NDArray[np.float32], jets: Jets) -> None:
        known = np.isfinite(charge)
        self.n_uncharged += int((jets.sum_over_constituents(~known) > 0).sum())
        pt = np.where(known & np.isfinite(jets.pt), jets.pt, 0).astype(np.float64)
        self.known_pt += float(pt.sum())
        self.charged_pt += float(pt[charge != 0].sum())

    def _add_moments(self, name: str, values: NDArray[np.float64]) -> None:
        values = values[np.isfinite(values)]
        if len(values):
            low, total, high, n = self.moments[name]
            self.moments[name] = [
                min(low, float(values.min())),
                total + float(values.sum()),
                max(high, float(values.max())),
                n + len(values),
            ]


def _differences(jets: Jets, stored: StoredJet, unit: float) -> NDArray[np.float64] | None:
    """Stored jets against sums of constituents: pT ratio, |eta|, |mass|, stored mass, ``(4, n_jets)``."""

    def column(name: str | None) -> NDArray[np.float64]:
        known = name is not None and name in jets.observables
        return np.asarray(jets.observables[name], dtype=np.float64) if known else np.full(len(jets), np.nan)  # type: ignore[index]

    raw = unit - unit * np.nan_to_num(column(stored.correction))
    pt, eta, mass = column(stored.pt) * raw, column(stored.eta), column(stored.mass) * raw
    if not np.isfinite(pt).any():
        return None
    momentum2 = (column(stored.pt) * np.cosh(eta)) ** 2
    mass = np.where(
        np.isnan(mass), raw * np.sqrt(np.maximum(column(stored.energy) ** 2 - momentum2, 0)), mass
    )
    ratio = pt / jets.jet_pt
    return np.stack([ratio, np.abs(eta - jets.jet_eta), np.abs(mass - ratio * jets.jet_mass), mass])


def _not_finite(jets: Jets) -> NDArray[np.bool_]:
    """Jets with a NaN or an infinity among their constituents, pixels or stored momentum, ``(n_jets,)``."""
    bad: NDArray[np.bool_] = jets.sum_over_constituents(~_finite(jets)) > 0
    for values in (jets.jet_momenta, jets.images):
        if values is not None:
            bad |= ~np.isfinite(values.reshape(len(jets), math.prod(values.shape[1:]))).all(axis=1)
    return bad


def _astray(jets: Jets) -> NDArray[np.bool_]:
    """Constituents with finite angles that are no directions, ``(n_total,)``."""
    return _finite(jets) & (jets.pt > 0) & ((np.abs(jets.eta) > MAX_ETA) | (np.abs(jets.phi) > MAX_PHI))


def _finite(jets: Jets) -> NDArray[np.bool_]:
    return np.isfinite(jets.pt) & np.isfinite(jets.eta) & np.isfinite(jets.phi) & np.isfinite(jets.mass)


def _count_unsorted(jets: Jets) -> int:
    jet = np.repeat(np.arange(len(jets)), jets.n_constituents)
    with np.errstate(all="ignore"):
        # the tolerance forgives the rounding of pT that is computed from px and py
        rises = (jets.pt[1:] > jets.pt[:-1] * np.float32(1 + 1e-5)) & (jet[1:] == jet[:-1])
    return len(np.unique(jet[1:][rises]))
