"""Convolutional networks that see only the pixels before, in the order of reading: row by row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["CausalNetwork"]


class _Shifted(nn.Module):
    """A convolution that sees above and to both sides (``down``), or above and to the left (``right``).

    The pixel itself is seen.
    """

    def __init__(self, n_in: int, n_out: int, height: int, width: int, *, right: bool) -> None:
        super().__init__()
        left = width - 1 if right else width // 2
        self.padding = (left, width - 1 - left, height - 1, 0)
        self.convolution = nn.Conv2d(n_in, n_out, (height, width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.convolution(nn.functional.pad(x, self.padding))
        return out


class _GatedBlock(nn.Module):
    """Residual block ``x + a * sigmoid(b)``, with ``(a, b)`` of x and, where there is one, another stack."""

    def __init__(self, filters: int, height: int, width: int, *, right: bool) -> None:
        super().__init__()
        self.first = _Shifted(2 * filters, filters, height, width, right=right)
        self.other = nn.Conv2d(2 * filters, filters, 1) if right else None
        self.second = _Shifted(2 * filters, 2 * filters, height, width, right=right)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        h = self.first(_both_signs(x))
        if self.other is not None and other is not None:
            h = h + self.other(_both_signs(other))
        a, b = self.second(_both_signs(h)).chunk(2, dim=1)
        result: Tensor = x + a * torch.sigmoid(b)
        return result


def _both_signs(x: Tensor) -> Tensor:
    return nn.functional.elu(torch.cat([x, -x], dim=1))


class CausalNetwork(nn.Module):
    """Images ``(n, 1, h, w)`` to ``(n, n_out, h, w)``; what stands at a pixel depends on earlier ones alone.

    One stack of gated convolutions sees the rows above, a second one what is to the left in the same
    row, and the first stack. Jets are aligned, so every place has a bias of its own.

    Arguments:
        size: Height and width.
        filters: Channels.
        blocks: Gated blocks in each stack; each sees two more rows.
        n_out: Numbers a pixel.

    References:
        van den Oord et al., "Conditional image generation with PixelCNN decoders", 2016,
        arXiv:1606.05328; Salimans, Karpathy, Chen, Kingma, "PixelCNN++", 2017, arXiv:1701.05517
    """

    def __init__(self, size: tuple[int, int], filters: int, blocks: int, n_out: int) -> None:
        super().__init__()
        # the second channel is one: it tells pixels from what lies outside
        self.above = _Shifted(2, filters, 2, 3, right=False)
        self.row_above = _Shifted(2, filters, 1, 3, right=False)
        self.left = _Shifted(2, filters, 2, 1, right=True)
        self.place = nn.Parameter(torch.zeros(2, filters, *size))
        self.down = nn.ModuleList(_GatedBlock(filters, 2, 3, right=False) for _ in range(blocks))
        self.right = nn.ModuleList(_GatedBlock(filters, 2, 2, right=True) for _ in range(blocks))
        self.last = nn.Conv2d(2 * filters, n_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, torch.ones_like(x)], dim=1)
        down = _move(self.above(x), down=1) + self.place[0]
        right = _move(self.row_above(x), down=1) + _move(self.left(x), right=1) + self.place[1]
        for first, second in zip(self.down, self.right, strict=True):
            down = first(down)
            right = second(right, down)
        out: Tensor = self.last(_both_signs(right))
        return out


def _move(x: Tensor, *, down: int = 0, right: int = 0) -> Tensor:
    """An image moved by whole pixels, with zeros where nothing comes in."""
    h, w = x.shape[-2:]
    return nn.functional.pad(x, (right, 0, down, 0))[..., :h, :w]
