"""Trained encoders as the input of other detectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .directory import Run

__all__ = ["describe_encoder"]


def describe_encoder(path: str | Path) -> dict[str, Any]:
    """What ``resolve_config`` needs of a finished run to train detectors on its embedding.

    Raises:
        ConfigError: if the run has several members, or makes its embedding of fitted features.
        InputError: if it is no finished run.
    """
    run = Run.open(path)
    config = run.config()
    name, *more = config.members
    if more:
        raise ConfigError(
            f"{path}: has the members {', '.join(config.members)}; an encoder has one: train it with "
            "--representation"
        )
    member = config.members[name]
    if member.preprocessing.representation == "features":
        raise ConfigError(f"{path}: encodes a few features; train an encoder of images or constituents")
    run.load_weights()  # says what is wrong with an unfinished run
    return {
        "preprocessing": member.preprocessing.model_dump(mode="json"),
        "source": {
            "method": config.method,
            "network": member.network.model_dump(mode="json"),
            "model": member.model.model_dump(mode="json"),
            "member": name,
            "weights": str((run.path / "model.safetensors").resolve()),
            "model_hash": run.model_hash(),
        },
    }
