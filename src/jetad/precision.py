"""How precisely a GPU multiplies matrices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

__all__ = ["Precision", "computing_in"]

Precision = Literal["float32", "tf32", "bf16"]


@contextmanager
def computing_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Inside, products and convolutions of float32 tensors have this precision.

    Arguments:
        precision: ``float32`` keeps 23 bits of a factor, on every device. ``tf32`` keeps 10, with sums in
            float32, on GPUs that have it; elsewhere it is ``float32``. ``bf16`` computes layers in bfloat16,
            of 7 bits, on any device (torch.autocast); a CPU without instructions for it takes many
            times as long.
        device: Where it is computed.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = (
        precision != "float32"
    )  # torch allows it for convolutions by default
    try:
        if precision == "bf16":
            with torch.autocast(device.type, torch.bfloat16):
                yield
        else:
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
