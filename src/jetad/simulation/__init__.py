"""Simulated jets: Pythia 8 events, a light detector, anti-kT jets from FastJet (extra ``[simulate]``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .processes import PROCESSES

if TYPE_CHECKING:
    from .mixing import Progress, Simulation, simulate

__all__ = ["PROCESSES", "Progress", "Simulation", "simulate"]


def __getattr__(name: str) -> Any:
    # the table of processes is also for the command line's help, which should not wait for NumPy
    if name in __all__:
        from . import mixing

        return getattr(mixing, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
