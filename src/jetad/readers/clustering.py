"""Anti-kT jets of events of particles, with FastJet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..extras import import_fastjet
from ..jets import Jets
from .base import BaseReader

__all__ = ["ClusteringReader", "cluster"]


class ClusteringReader(BaseReader):
    """Base of readers of events of particles: their ``n_jets`` hardest jets come out, hardest first.

    They are clustered here (anti-kT, ``radius``). ``entry`` is the event, ``position`` 0, 1, ... An event
    with fewer jets has empty ones, so that every event has as many rows.
    """

    options: ClassVar[Mapping[str, Any]] = {"radius": 1.0, "n_jets": 2}

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        if not (0 < self.settings["radius"] <= 3 and 0 < self.settings["n_jets"] <= 100):
            raise InputError(
                f"reader '{self.name}': the radius is in (0, 3] and the number of jets in 1 ... 100"
            )

    @property
    def jets_per_event(self) -> int:
        return int(self.settings["n_jets"])

    def clustered(
        self,
        pt: NDArray[np.float64],
        eta: NDArray[np.float64],
        phi: NDArray[np.float64],
        mass: NDArray[np.float64],
        counts: NDArray[np.int64],
        first: int,
        *,
        charge: NDArray[Any] | None = None,
        **per_event: NDArray[Any] | None,
    ) -> Jets:
        """The jets of some events.

        Arguments:
            pt: Of the particles of all events [GeV], ``(n_total,)``.
            eta: Of the same.
            phi: Of the same [rad].
            mass: Of the same [GeV].
            counts: Particles per event, ``(n_events,)``.
            first: Number of the first event in the file.
            charge: Of the particles, or ``None``.
            per_event: ``labels`` and ``weights`` of the events, ``(n_events,)``.
        """
        n_events, n_jets = len(counts), self.jets_per_event
        jet, bad = cluster(pt, eta, phi, mass, counts, float(self.settings["radius"]), n_jets)
        pt = np.where(bad, np.nan, pt)
        order = np.flatnonzero(jet >= 0)
        order = order[np.lexsort((-pt[order], jet[order]))]
        n_constituents = np.bincount(jet[order], minlength=n_events * n_jets)
        fields: dict[str, Any] = {k: np.repeat(v, n_jets) for k, v in per_event.items() if v is not None}
        with np.errstate(all="ignore"):
            return Jets(
                pt=pt[order].astype(np.float32),
                eta=eta[order].astype(np.float32),
                phi=phi[order].astype(np.float32),
                mass=mass[order].astype(np.float32),
                offsets=np.concatenate([[0], np.cumsum(n_constituents)]),
                charge=None if charge is None else charge[order],
                entry=np.repeat(np.arange(first, first + n_events), n_jets),
                position=np.tile(np.arange(n_jets), n_events),
                **fields,
            )


def cluster(
    pt: NDArray[np.float64],
    eta: NDArray[np.float64],
    phi: NDArray[np.float64],
    mass: NDArray[np.float64],
    counts: NDArray[np.int64],
    radius: float,
    n_jets: int,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The jet of each particle, ``event * n_jets + rank``, -1 for one in no leading jet; and which are bad.

    Arguments:
        pt: Of the particles of all events [GeV], ``(n_total,)``.
        eta: Of the same.
        phi: Of the same [rad].
        mass: Of the same [GeV].
        counts: Particles per event.
        radius: Of the anti-kT algorithm.
        n_jets: The hardest ones of each event.

    In an event with a particle that is no real one (not finite, negative pt) nothing can be clustered: all
    its particles go to the first jet, which the bad one keeps from being scored.
    """
    import awkward as ak

    fastjet = import_fastjet("cluster these events, which hold no jets")
    event = np.repeat(np.arange(len(counts)), counts)
    bad = ~(
        np.isfinite(mass)
        & np.isfinite(pt)
        & np.isfinite(eta)
        & np.isfinite(phi)
        & (pt > 0)
        & (pt < 1e9)
        & (np.abs(eta) < 50)
    )
    spoilt = np.bincount(event[bad], minlength=len(counts)) > 0
    out = np.where(spoilt[event], event * n_jets, -1)
    used = np.flatnonzero(~spoilt[event])
    if not len(used):
        return out, bad
    n_used = np.where(spoilt, 0, counts)
    px, py, pz = pt[used] * np.cos(phi[used]), pt[used] * np.sin(phi[used]), pt[used] * np.sinh(eta[used])
    energy = np.sqrt(px**2 + py**2 + pz**2 + mass[used] ** 2)
    events = ak.unflatten(ak.zip({"px": px, "py": py, "pz": pz, "E": energy}), n_used)
    sequence = fastjet.ClusterSequence(events, fastjet.JetDefinition(fastjet.antikt_algorithm, radius))
    jets, members = sequence.inclusive_jets(), sequence.constituent_index()
    jet_pt = np.hypot(ak.to_numpy(ak.flatten(jets.px)), ak.to_numpy(ak.flatten(jets.py)))
    n_found = ak.to_numpy(ak.num(jets))
    jet_event = np.repeat(np.arange(len(counts)), n_found)
    order = np.lexsort((-jet_pt, jet_event))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - np.concatenate([[0], np.cumsum(n_found)])[jet_event[order]]
    chosen = ak.flatten(members)
    size = ak.to_numpy(ak.num(chosen))
    start = np.concatenate([[0], np.cumsum(n_used)])[jet_event]
    place = used[ak.to_numpy(ak.flatten(chosen)) + np.repeat(start, size)]
    number = np.where(rank < n_jets, jet_event * n_jets + rank, -1)
    out[place] = np.repeat(number, size)
    return out, bad
