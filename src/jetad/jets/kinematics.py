"""Four-momenta in natural units: GeV and radians, phi in [-pi, pi). Pure NumPy functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["cartesian", "cylindrical", "delta_phi", "delta_r"]


def delta_phi(phi_a: ArrayLike, phi_b: ArrayLike) -> NDArray[np.floating]:
    """Azimuthal difference a - b wrapped into [-pi, pi)."""
    difference = np.subtract(phi_a, phi_b)
    wrapped: NDArray[np.floating] = difference - 2 * np.pi * np.floor((difference + np.pi) / (2 * np.pi))
    return wrapped


def delta_r(eta_a: ArrayLike, phi_a: ArrayLike, eta_b: ArrayLike, phi_b: ArrayLike) -> NDArray[np.floating]:
    """Angular distance sqrt(delta eta^2 + delta phi^2)."""
    result: NDArray[np.floating] = np.hypot(np.subtract(eta_a, eta_b), delta_phi(phi_a, phi_b))
    return result


def cylindrical(
    energy_gev: ArrayLike, px: ArrayLike, py: ArrayLike, pz: ArrayLike
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """(E, px, py, pz) to (pt, eta, phi, mass), computed in float64; shapes are kept.

    A space-like vector (E < |p|, from rounding) has mass 0; a vector with pt = 0 has eta 0.
    """
    energy_gev, px, py, pz = (np.asarray(v, dtype=np.float64) for v in (energy_gev, px, py, pz))
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is reported where it is used
        pt2 = px * px + py * py
        pt = np.sqrt(pt2)
        eta = np.arcsinh(np.divide(pz, pt, out=np.zeros_like(pt), where=pt > 0))
        # a NaN component must not hide behind the pt > 0 test
        eta = np.where(np.isnan(pt) | np.isnan(pz), np.nan, eta)
        mass2 = energy_gev * energy_gev - pt2 - pz * pz
        return pt, eta, np.arctan2(py, px), np.sqrt(np.maximum(mass2, 0.0))


def cartesian(
    pt: ArrayLike, eta: ArrayLike, phi: ArrayLike, mass: ArrayLike
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """(pt, eta, phi, mass) to (E, px, py, pz), computed in float64; shapes are kept."""
    pt, eta, phi, mass = (np.asarray(v, dtype=np.float64) for v in (pt, eta, phi, mass))
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is reported where it is used
        pz = pt * np.sinh(eta)
        # cosine and sine by the tangent of half the angle, which NumPy computes several times as fast
        half = np.tan(0.5 * phi)
        scale = pt / (1 + half * half)
        px, py = scale * (1 - half * half), scale * (2 * half)
        return np.sqrt(pt * pt + pz * pz + mass * mass), px, py, pz
