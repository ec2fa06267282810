"""Anti-kT jets of many events in one call, with FastJet's awkward interface."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..extras import import_fastjet
from ..jets.kinematics import cartesian, cylindrical
from .detector import Particles

__all__ = ["HardestJets", "hardest_jets"]


@dataclasses.dataclass(frozen=True)
class HardestJets:
    """The hardest jet of each event that has one in range.

    Arguments:
        event: Event, ``(n_jets,)`` int64.
        pt: Jet transverse momentum [GeV], ``(n_jets,)``.
        eta: Jet pseudorapidity, ``(n_jets,)``.
        phi: Jet azimuth [rad], ``(n_jets,)``.
        rows: Rows of the clustered objects, jet after jet, in each the hardest first, ``(n_total,)``.
        counts: Constituents per jet, ``(n_jets,)``.
    """

    event: NDArray[np.int64]
    pt: NDArray[np.float64]
    eta: NDArray[np.float64]
    phi: NDArray[np.float64]
    rows: NDArray[np.int64]
    counts: NDArray[np.int64]


def hardest_jets(
    objects: Particles, n_events: int, *, radius: float, pt_range: tuple[float, float], eta_max: float
) -> HardestJets:
    """Cluster each event; keep its hardest jet if pt is in [low, high) GeV and |eta| < ``eta_max``."""
    import awkward as ak

    fastjet = import_fastjet("simulate jets")
    counts = np.bincount(objects.event, minlength=n_events)
    energy_gev, px, py, pz = cartesian(objects.pt, objects.eta, objects.phi, objects.mass)
    events = ak.unflatten(ak.zip({"px": px, "py": py, "pz": pz, "E": energy_gev}), counts)
    # FastJet's Python layer keeps every event's cluster sequence; an event without objects is legal
    sequence = fastjet.ClusterSequence(events, fastjet.JetDefinition(fastjet.antikt_algorithm, radius))
    # both calls need the same min_pt: constituent_index counts the jets of the event that pass it
    jets = sequence.inclusive_jets(min_pt=pt_range[0])
    members = sequence.constituent_index(min_pt=pt_range[0])
    pt, eta, phi, _ = cylindrical(*(ak.to_numpy(ak.flatten(jets[name])) for name in ("E", "px", "py", "pz")))
    n_jets = ak.to_numpy(ak.num(jets))
    event = np.repeat(np.arange(n_events), n_jets)
    order = np.lexsort((-pt, event))
    first = np.concatenate([[0], np.cumsum(n_jets)])[:-1][n_jets > 0]
    hardest = order[first]  # flat position of the hardest jet of each event that has any
    good = (pt[hardest] >= pt_range[0]) & (pt[hardest] < pt_range[1]) & (np.abs(eta[hardest]) < eta_max)
    hardest = hardest[good]
    chosen = ak.flatten(members)[hardest]
    size = ak.to_numpy(ak.num(chosen)).astype(np.int64)
    event = event[hardest]
    start = np.concatenate([[0], np.cumsum(counts)])[:-1]
    rows = ak.to_numpy(ak.flatten(chosen)).astype(np.int64) + np.repeat(start[event], size)
    jet = np.repeat(np.arange(len(hardest)), size)
    rows = rows[np.lexsort((-objects.pt[rows], jet))]
    return HardestJets(event, pt[hardest], eta[hardest], phi[hardest], rows, size)
