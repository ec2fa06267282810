"""Pythia 8 events as flat NumPy arrays, in batches."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, JetadError, MissingPackageError
from ..jets.kinematics import cylindrical
from .detector import Particles

__all__ = ["Events", "Generator", "import_pythia", "quiet_stdout"]

# Pythia takes seeds up to 900 million; 0 would mean "from the clock"
MAX_SEED = 900_000_000


def import_pythia() -> Any:
    """The ``pythia8mc`` module.

    Raises:
        MissingPackageError: if it is not installed.
    """
    try:
        import pythia8mc
    except ImportError as error:
        raise MissingPackageError(
            f"Pythia 8 is needed to simulate jets ({error}); install it with: pip install 'jetad[simulate]'"
        ) from error
    return pythia8mc


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Send what C++ libraries print on file descriptor 1 to nowhere; our stdout carries results only."""
    sys.stdout.flush()
    saved = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(nowhere)


@dataclasses.dataclass(frozen=True)
class Events:
    """The event records of a batch, flat over all events.

    Arguments:
        offsets: Where each record begins and ends, ``(n_events + 1,)``.
        pid: PDG ids, ``(n,)``.
        status: Pythia status codes, positive for stable particles, ``(n,)``.
        daughter1: First daughter's position inside the record, 0 for none, ``(n,)``.
        daughter2: Last daughter's position inside the record, ``(n,)``.
        px: Momentum [GeV], ``(n,)``.
        py: Momentum [GeV], ``(n,)``.
        pz: Momentum [GeV], ``(n,)``.
        energy_gev: Energy [GeV], ``(n,)``.
    """

    offsets: NDArray[np.int64]
    pid: NDArray[np.int64]
    status: NDArray[np.int64]
    daughter1: NDArray[np.int64]
    daughter2: NDArray[np.int64]
    px: NDArray[np.float64]
    py: NDArray[np.float64]
    pz: NDArray[np.float64]
    energy_gev: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.offsets) - 1


class Generator:
    """One initialised Pythia.

    Arguments:
        settings: Pythia lines.
        seed: Any non-negative integer; mapped into Pythia's range.
        min_parton_jet_pt: Drop events early whose hardest parton jet is softer [GeV], see `_parton_veto`.
        around: Id of the particle that the parton jet has to contain, or ``None`` for any.

    Raises:
        ConfigError: if Pythia does not know a line.
        JetadError: if Pythia cannot initialise with them.
    """

    def __init__(
        self,
        settings: list[str],
        *,
        seed: int,
        min_parton_jet_pt: float | None = None,
        around: int | None = None,
    ) -> None:
        pythia8mc = import_pythia()
        with quiet_stdout():
            self._pythia = pythia8mc.Pythia("", False)
            self._veto: Any = None
            if min_parton_jet_pt is not None:
                self._veto = _parton_veto(pythia8mc, min_parton_jet_pt, around)
                self._pythia.setUserHooksPtr(self._veto)
            for line in [*settings, "Random:setSeed = on", f"Random:seed = {seed % MAX_SEED + 1}"]:
                # Pythia returns False for a bad line and goes on without it
                if not self._pythia.readString(line):
                    raise ConfigError(f"Pythia does not know the setting '{line}'")
            if not self._pythia.init():
                raise JetadError("Pythia could not be initialised; the ranges may leave no phase space")
        self._charges: dict[int, float] = {}

    def batch(self, n_events: int) -> Events:
        """The next ``n_events`` events; those Pythia fails on are replaced."""
        import awkward as ak

        with quiet_stdout():
            record = self._pythia.nextBatch(n_events)["prt"]
        counts = ak.to_numpy(ak.num(record)).astype(np.int64)
        flat = ak.flatten(record)
        momentum = flat["p"]
        return Events(
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            **{
                name: ak.to_numpy(flat[field]).astype(np.int64)
                for name, field in (
                    ("pid", "id"),
                    ("status", "status"),
                    ("daughter1", "daughter1"),
                    ("daughter2", "daughter2"),
                )
            },
            **{name: ak.to_numpy(momentum[name]) for name in ("px", "py", "pz")},
            energy_gev=ak.to_numpy(momentum["e"]),
        )

    def cross_section(self) -> float:
        """Cross section of the events given so far [mb]; vetoed events have reduced it."""
        return float(self._pythia.infoPython().sigmaGen())

    def stable_particles(self, events: Events) -> Particles:
        """What reaches a detector or escapes, of all events."""
        rows = np.flatnonzero(events.status > 0)
        pid = events.pid[rows]
        pt, eta, phi, mass = cylindrical(
            events.energy_gev[rows], events.px[rows], events.py[rows], events.pz[rows]
        )
        event = np.repeat(np.arange(len(events)), np.diff(events.offsets))[rows]
        return Particles(event, pt, eta, phi, mass, pid, self._charge(pid))

    def _charge(self, pid: NDArray[np.int64]) -> NDArray[np.float64]:
        # the event record has no charges; the particle data has, one id at a time
        kinds, which = np.unique(pid, return_inverse=True)
        for kind in kinds.tolist():
            if kind not in self._charges:
                self._charges[kind] = self._pythia.particleData.charge(kind)
        return np.array([self._charges[kind] for kind in kinds.tolist()])[which]


def _parton_veto(pythia8mc: Any, min_pt: float, around: int | None) -> Any:
    """A Pythia hook that drops an event whose hardest parton jet is softer than ``min_pt`` [GeV].

    Low pT-hat slices make one wanted jet in hundreds or thousands of events. The shower is ordered in pt:
    when it reaches a tenth of the wanted pt the jets are nearly what they will be and little time has
    been spent. Events without a sum of partons in a cone of 1.0 (around a top or W where one is wanted)
    that comes near the wanted pt are dropped there, and Pythia takes them out of the cross section. The
    class is made here because its base needs pythia8mc.
    """

    class PartonVeto(pythia8mc.UserHooks):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.min_pt = min_pt

        def canVetoPT(self) -> bool:
            return True

        def scaleVetoPT(self) -> float:
            return 0.11 * min_pt

        def doVetoPT(self, position: int, event: Any) -> bool:
            if position == 5:  # decays of resonances: their mother was judged before
                return False
            partons = [p for p in (event[i] for i in range(3, event.size())) if p.isFinal()]
            # momentum balances: no jet has more than half of the scalar sum (quick, and settles most events)
            if sum(p.pT() for p in partons) < 2 * self.min_pt:
                return True
            px, py, eta, phi = np.array([(p.px(), p.py(), p.eta(), p.phi()) for p in partons]).T
            centre = [k for k, p in enumerate(partons) if around is None or p.idAbs() == around]
            d_phi = np.abs(phi[centre, None] - phi)
            near = (eta[centre, None] - eta) ** 2 + np.minimum(d_phi, 2 * np.pi - d_phi) ** 2 < 1.0
            return bool(np.max((near @ px) ** 2 + (near @ py) ** 2, initial=0.0) < self.min_pt**2)

    return PartonVeto()
