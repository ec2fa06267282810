"""A light detector: tracks, calorimeter towers, and what is lost; NumPy on flat arrays of particles.

Not a detector simulation but the effects that shape jets, at the scale of ATLAS and CMS: tracks with
an efficiency and a momentum resolution, electromagnetic and hadronic towers with a granularity and a
sampling term, thresholds, and energy flow (a charged particle is measured by its track alone, a lost
one by its tower). No magnetic field, showers' lateral size, pile-up or noise.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

__all__ = ["Detector", "Particles", "is_invisible", "measure"]

CHARGED_PION_MASS = 0.13957  # GeV; every track is taken for a pion
_NEUTRINOS = (12, 14, 16)
_OTHER_INVISIBLE = (18, 39, 51, 52, 53, 1000012, 1000014, 1000016, 1000022, 1000039)


@dataclasses.dataclass(frozen=True)
class Detector:
    """Numbers of the light detector; lengths of towers in eta and phi [rad], energies in GeV."""

    track_eta_max: float = 2.5
    track_pt_min: float = 0.5
    track_efficiency: float = 0.95
    # sigma(pt) / pt = constant (+) linear * pt / GeV
    track_resolution: tuple[float, float] = (0.01, 2e-4)
    calorimeter_eta_max: float = 4.9
    em_granularity: float = 0.025
    hadronic_granularity: float = 0.1
    # sigma(E) / E = sampling / sqrt(E / GeV) (+) constant
    em_resolution: tuple[float, float] = (0.10, 0.007)
    hadronic_resolution: tuple[float, float] = (0.50, 0.03)
    em_threshold: float = 0.5
    hadronic_threshold: float = 1.0


@dataclasses.dataclass(frozen=True)
class Particles:
    """Particles or detector objects of several events, flat; ``event`` rises.

    Arguments:
        event: Event each one belongs to, ``(n,)`` int64.
        pt: Transverse momentum [GeV], ``(n,)``.
        eta: Pseudorapidity, ``(n,)``.
        phi: Azimuth [rad], ``(n,)``.
        mass: Mass [GeV], ``(n,)``.
        pid: PDG id, ``(n,)``; of detector objects 211 (track), 22 and 130 (towers).
        charge: Electric charge [e], ``(n,)``.
    """

    event: NDArray[np.int64]
    pt: NDArray[np.floating]
    eta: NDArray[np.floating]
    phi: NDArray[np.floating]
    mass: NDArray[np.floating]
    pid: NDArray[np.int64]
    charge: NDArray[np.floating]

    def __len__(self) -> int:
        return len(self.pt)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Particles:
        return Particles(**{f.name: getattr(self, f.name)[rows] for f in dataclasses.fields(self)})


def is_invisible(pid: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which ids leave nothing in a detector: neutrinos, dark matter, everything in the hidden valley."""
    pid = np.abs(pid)
    hidden_valley = (pid >= 4900000) & (pid < 5000000)
    return np.isin(pid, _NEUTRINOS + _OTHER_INVISIBLE) | hidden_valley


def measure(particles: Particles, rng: np.random.Generator, detector: Detector | None = None) -> Particles:
    """Tracks and towers of stable particles; sorted by event, empty events have none.

    Muons count as tracks and leave nothing in the calorimeter when the track is lost.
    """
    detector = detector or Detector()
    seen = particles[~is_invisible(particles.pid) & (np.abs(particles.eta) < detector.calorimeter_eta_max)]
    muon = np.abs(seen.pid) == 13
    trackable = (
        (seen.charge != 0) & (np.abs(seen.eta) < detector.track_eta_max) & (seen.pt > detector.track_pt_min)
    )
    tracked = trackable & (rng.random(len(seen)) < detector.track_efficiency)
    rest = seen[~tracked & ~muon]
    electromagnetic = np.isin(np.abs(rest.pid), (11, 22))
    parts = [
        _tracks(seen[tracked], rng, detector),
        _towers(
            rest[electromagnetic],
            rng,
            pid=22,
            granularity=detector.em_granularity,
            resolution=detector.em_resolution,
            threshold=detector.em_threshold,
        ),
        _towers(
            rest[~electromagnetic],
            rng,
            pid=130,
            granularity=detector.hadronic_granularity,
            resolution=detector.hadronic_resolution,
            threshold=detector.hadronic_threshold,
        ),
    ]
    joined = Particles(
        **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(Particles)}
    )
    return joined[np.argsort(joined.event, kind="stable")]


def _tracks(charged: Particles, rng: np.random.Generator, detector: Detector) -> Particles:
    constant, linear = detector.track_resolution
    relative_std = np.hypot(constant, linear * charged.pt)
    # a curvature is measured well or not at all: never below a tenth of the truth
    pt = charged.pt * np.maximum(1 + relative_std * rng.standard_normal(len(charged)), 0.1)
    return dataclasses.replace(
        charged, pt=pt, mass=np.full(len(charged), CHARGED_PION_MASS), pid=np.full(len(charged), 211)
    )


def _towers(
    particles: Particles,
    rng: np.random.Generator,
    *,
    pid: int,
    granularity: float,
    resolution: tuple[float, float],
    threshold: float,
) -> Particles:
    """Energies summed in towers and smeared; massless, at a random point of the tower as in Delphes."""
    n_phi = round(2 * np.pi / granularity)
    phi_width = 2 * np.pi / n_phi
    energy_gev = np.sqrt((particles.pt * np.cosh(particles.eta)) ** 2 + particles.mass**2)
    i_eta = np.floor(particles.eta / granularity).astype(np.int64)
    i_phi = np.floor((particles.phi + np.pi) / phi_width).astype(np.int64) % n_phi
    n_eta = 1000  # wider than any calorimeter, so that each tower has its own key
    key = (particles.event * n_eta + i_eta + n_eta // 2) * n_phi + i_phi
    key, tower = np.unique(key, return_inverse=True)
    summed = np.bincount(tower, weights=energy_gev, minlength=len(key))
    sampling, constant = resolution
    std = np.hypot(sampling * np.sqrt(summed), constant * summed)
    measured = summed + std * rng.standard_normal(len(key))
    eta = (key // n_phi % n_eta - n_eta // 2 + rng.random(len(key))) * granularity
    phi = (key % n_phi + rng.random(len(key))) * phi_width - np.pi
    towers = Particles(
        event=key // n_phi // n_eta,
        pt=measured / np.cosh(eta),
        eta=eta,
        phi=phi,
        mass=np.zeros(len(key)),
        pid=np.full(len(key), pid),
        charge=np.zeros(len(key)),
    )
    return towers[measured > threshold]
