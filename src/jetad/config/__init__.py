"""The configuration of one training: what it holds, how it is put together, what is said about mistakes."""

from .schema import (
    ContrastiveConfig,
    DataConfig,
    MemberConfig,
    RunConfig,
    SecondPhaseConfig,
    TrainingConfig,
    TransportConfig,
    resolve_config,
)

__all__ = [
    "ContrastiveConfig",
    "DataConfig",
    "MemberConfig",
    "RunConfig",
    "SecondPhaseConfig",
    "TrainingConfig",
    "TransportConfig",
    "resolve_config",
]
