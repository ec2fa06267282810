"""What would make a number wrong although nothing fails: refused, or said in one line.

Arguments ``allow`` are names of what the user means, as :func:`jetad.checks.allowed.refuse` takes them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..files.fields import Fields
from ..jets import Jets
from ..jets.kinematics import delta_r
from .allowed import refuse

__all__ = ["TrainingJets", "check_label_of", "check_labels", "check_two_samples",
    "remark_on_azimuth", "same_selection",
]  # fmt: skip

logger = logging.getLogger("jetad.checks")

_N_JETS = 50_000  # of a training, looked at for what they are like
_OTHER_UNITS = 30.0  # about the root of 1000: medians of pT that differ by more differ in their units
_OUTSIDE = 0.05  # share of jets beyond the training that is worth a line
_TOLERANCE = 0.05  # beyond the ends of the training, part of the pT
_DIRECTED = 0.2  # mean of exp(i phi) or exp(2 i phi), which is 0 for jets in all directions
_OTHER_RADIUS = 0.7  # ratio of the reach of jets below which their radius is another


# --- truth ----------------------------------------------------------------------------------------------


def check_labels(
    n_signal: int, n_background: int, where: str, allow: Collection[str], *, role: str = "background"
) -> None:
    """Refuse to train on, or to calibrate with, jets of the other class.

    Arguments:
        n_signal: Jets labelled as signal.
        n_background: Jets labelled as background.
        where: What holds them, for the message.
        allow: As ``refuse`` takes it.
        role: What the jets are used as, ``background`` or ``signal``.

    Raises:
        InputError: if there are such jets and ``labels`` is not allowed.
    """
    wrong, other, value = (n_signal, "signal", 0) if role == "background" else (n_background, "background", 1)
    if wrong:
        refuse(
            "labels",
            f"{where}: {wrong} jets are labelled as {other}, but given as {role}; give the others only "
            f"(where there is --select: 'label == {value}')",
            allow,
        )


def check_label_of(labels: NDArray[Any], where: str, allow: Collection[str], *, role: str) -> None:
    """Refuse a sample that its labels say to be of the other class, all of it.

    Arguments:
        labels: 0 background, 1 signal, -1 unknown, ``(n,)``.
        where: What holds the jets, for the message.
        allow: As ``refuse`` takes it.
        role: What the sample is given as, ``background`` or ``signal``.

    Raises:
        InputError: if so, and ``labels`` is not allowed.
    """
    own, other = (0, 1) if role == "background" else (1, 0)
    if np.any(labels == other) and not np.any(labels == own):
        found = "signal" if other else "background"
        refuse(
            "labels",
            f"{where}: is given as {role}, but its labels say {found}: background and signal may "
            "be exchanged",
            allow,
        )


def check_two_samples(
    first: NDArray[np.uint64], second: NDArray[np.uint64], names: tuple[str, str], allow: Collection[str]
) -> None:
    """Refuse to compare a sample with itself, and say where two samples have some jets in common.

    Arguments:
        first: Words that tell the jets of a sample apart, ``(n,)``; 0 for jets that cannot be told apart.
        second: Those of the other, ``(m,)``.
        names: Of both, for the message.
        allow: As ``refuse`` takes it.

    Raises:
        InputError: if more than half of the smaller one is in the other, and ``overlap`` is not allowed.
    """
    first, second = first[first != 0], second[second != 0]
    shared = int(np.isin(second, first).sum())
    if not shared:
        return
    message = f"{shared} of {len(second)} jets of {names[1]} are jets of {names[0]}, too"
    if shared * 2 > min(len(first), len(second)):
        refuse("overlap", f"{message}: the two must be different samples", allow)
    else:
        logger.warning("warning: %s", message)


# --- the jets of a training -----------------------------------------------------------------------------


class TrainingJets(NamedTuple):
    """What the jets of a training were like, to know others by; NaN for what they do not say.

    ``pt_low`` and ``pt_high`` leave out one jet in a thousand on either side [GeV]; ``reach`` is how far the
    constituents of a jet go from its axis, exceeded by one jet in ten.
    """

    pt_low: float
    pt_median: float
    pt_high: float
    reach: float

    @classmethod
    def of(cls, jets: Jets) -> TrainingJets:
        """Measured on some jets."""
        with np.errstate(all="ignore"):
            pt = jets[:_N_JETS].jet_pt.astype(np.float64)
        pt = pt[np.isfinite(pt)]
        ends = np.quantile(pt, [0.001, 0.5, 0.999]).tolist() if len(pt) else [math.nan] * 3
        return cls(ends[0], ends[1], ends[2], _reach(jets))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> TrainingJets | None:
        """What ``to_dict`` gave; ``None`` for a run that says nothing of its jets.

        Raises:
            InputError: if the values are none.
        """
        if values is None:
            return None
        fields = Fields(values)
        return cls(**{k: math.nan if values.get(k) is None else fields.number(k) for k in cls._fields})

    def to_dict(self) -> dict[str, float | None]:
        """Plain numbers for JSON."""
        return {k: v if math.isfinite(v) else None for k, v in self._asdict().items()}

    def check_units(self, jets: Jets, where: str, allow: Collection[str] = ()) -> None:
        """Refuse jets so much harder or softer than those of the training that their units must differ.

        Raises:
            InputError: naming both medians, unless ``range`` is allowed.
        """
        with np.errstate(all="ignore"):
            pt = jets.jet_pt
        pt = pt[np.isfinite(pt)]
        median = float(np.median(pt)) if len(pt) else math.nan
        ratio = median / self.pt_median
        if ratio > _OTHER_UNITS or ratio < 1 / _OTHER_UNITS:
            refuse(
                "range",
                f"{where}: the median jet pT is {median:.4g} GeV, that of the training {self.pt_median:.4g} "
                "GeV: the units must differ (--units MeV reads a file in MeV)",
                allow,
            )

    def n_outside(self, pt: NDArray[np.floating]) -> int:
        """Jets whose pT [GeV] is beyond that of the training."""
        low, high = (1 - _TOLERANCE) * self.pt_low, (1 + _TOLERANCE) * self.pt_high
        return int(((pt < low) | (pt > high)).sum())

    def remark(self, n_outside: int, n_jets: int) -> str | None:
        """A sentence on jets beyond the training, where they are many."""
        if n_outside <= _OUTSIDE * n_jets:
            return None
        return (
            f"{n_outside} of {n_jets} jets have a pT outside that of the training ({self.pt_low:.4g} to "
            f"{self.pt_high:.4g} GeV): what their scores say was not learned; train in their range, or "
            f"--select 'jet_pt > {self.pt_low:.0f} & jet_pt < {self.pt_high:.0f}'"
        )

    def remark_on_radius(self, jets: Jets) -> str | None:
        """A sentence on jets that are wider or narrower than those of the training."""
        reach = _reach(jets)
        if not (reach < _OTHER_RADIUS * self.reach or reach > self.reach / _OTHER_RADIUS):
            return None
        return (
            f"constituents go {reach:.2f} from the axis of the jet, those of the training {self.reach:.2f} "
            "(nine jets in ten): the jet radius, or the grooming, may be another one"
        )


def _reach(jets: Jets) -> float:
    """How far the constituents of a jet go from its axis: nine jets in ten stay inside; NaN if unknown."""
    jets = jets[:2000]
    filled = jets.n_constituents > 1
    if not jets.has_constituents or filled.sum() < 20:
        return math.nan
    with np.errstate(all="ignore"):
        i = jets.jet_index
        distance = np.asarray(delta_r(jets.eta, jets.phi, jets.jet_eta[i], jets.jet_phi[i]), dtype=np.float64)
        furthest = np.maximum.reduceat(distance, jets.offsets[:-1][filled])
    furthest = furthest[np.isfinite(furthest)]
    return float(np.quantile(furthest, 0.9)) if len(furthest) else math.nan


def remark_on_azimuth(phi: NDArray[np.floating]) -> str | None:
    """A sentence on jets whose azimuth prefers some directions: their columns may be exchanged.

    Nothing is said of fewer than 100 jets, and of jets that all lie around phi = 0, as in relative
    coordinates.

    Arguments:
        phi: Azimuth of the jets, ``(n,)`` [rad].
    """
    phi = np.asarray(phi, dtype=np.float64)
    phi = phi[np.isfinite(phi)]
    if len(phi) < 100 or np.abs(phi).max() < 1:
        return None
    directions = [abs(np.exp(1j * k * phi).mean()) for k in (1, 2)]
    if max(directions) < max(_DIRECTED, 5 / math.sqrt(len(phi))):
        return None
    return (
        "the azimuth phi of the jets is not spread evenly: columns may be exchanged (py and pz, eta and phi) "
        "or angles wrong; see --mapping"
    )


def same_selection(first: str | None, second: str | None) -> bool:
    """Whether two selections are written alike, but for spaces."""
    return "".join((first or "").split()) == "".join((second or "").split())
