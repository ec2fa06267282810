"""The configuration of one training: what it holds, how it is put together, what is said about mistakes."""

from .resolve import read_config, resolve_config
from .schema import (
    ContrastiveConfig,
    DataConfig,
    MemberConfig,
    RunConfig,
    SecondPhaseConfig,
    TrainingConfig,
    TransportConfig,
)

__all__ = [
    "ContrastiveConfig",
    "DataConfig",
    "MemberConfig",
    "RunConfig",
    "SecondPhaseConfig",
    "TrainingConfig",
    "TransportConfig",
    "read_config",
    "resolve_config",
]
