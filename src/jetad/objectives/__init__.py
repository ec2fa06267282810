"""The objectives that phases of a training have: one a file, one table."""

from __future__ import annotations

from collections.abc import Sequence

from ..models.base import EnergyModel
from ..registry import load
from .base import FirstPhaseConfig, Phase, PhaseInputs, SecondPhaseConfig, SignalInputs

__all__ = ["OBJECTIVES", "make_phases", "objective", "sections"]

OBJECTIVES = {
    "reconstruction": "jetad.objectives.reconstruction:Reconstruction",
    "likelihood": "jetad.objectives.reconstruction:Reconstruction",
    "embedding": "jetad.objectives.reconstruction:Reconstruction",
    "classification": "jetad.objectives.classification:Classification",
    "contrastive": "jetad.objectives.contrastive:Contrastive",
    "transport": "jetad.objectives.transport:Transport",
}


def objective(name: str) -> type[Phase]:
    """The class of an objective."""
    found: type[Phase] = load(OBJECTIVES, name, "objective")
    return found


def sections() -> dict[str, type[SecondPhaseConfig]]:
    """The settings of the objectives that have a section of their own in ``training``."""
    return {name: settings for name in OBJECTIVES if (settings := objective(name).Settings) is not None}


def make_phases(
    model: EnergyModel,
    config: FirstPhaseConfig,
    names: Sequence[str],
    n_train: int,
    signal: SignalInputs | None = None,
) -> list[Phase]:
    """The phases of a method in order; their sections of the configuration are there.

    ``signal`` is for a supervised method alone.
    """
    return [
        objective(name).build(PhaseInputs(name, model, config, getattr(config, name, None), n_train, signal))
        for name in names
    ]
