"""Where tensors are computed, and how precisely matrices are multiplied there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from .errors import ConfigError

__all__ = ["Precision", "computing_in", "has_bfloat16", "select_device"]

Precision = Literal["float32", "tf32", "bf16"]


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16; without them it would take many times as long."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch asks the processor; the names are private, and a version without them says no
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, name, bool)() for name in asked)


@contextmanager
def computing_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Inside, products and convolutions of float32 tensors have this precision.

    Arguments:
        precision: ``float32`` keeps 23 bits of a factor, on every device. ``tf32`` keeps 10, with sums in
            float32, on GPUs that have it; elsewhere it is ``float32``. ``bf16`` computes layers in bfloat16,
            of 7 bits (torch.autocast), on GPUs and CPUs with instructions for it; elsewhere it is
            ``float32``, too.
        device: Where it is computed.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = (
        precision != "float32"
    )  # torch allows it for convolutions by default
    try:
        if precision == "bf16" and has_bfloat16(device):
            with torch.autocast(device.type, torch.bfloat16):
                yield
        else:
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def select_device(name: str) -> torch.device:
    """``auto`` takes the GPU where there is one.

    Raises:
        ConfigError: if ``cuda`` is asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: no CUDA device is visible to torch; use --device cpu or auto")
    return torch.device(name)
