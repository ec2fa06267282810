"""Invertible layers with known volume: maps between inputs and independent normal numbers.

A layer maps ``(n, c, h, w)`` to as many values and gives ln |det| of its Jacobian. Vectors are images of one
pixel, on which convolutions are dense layers.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .parts import full, rounding_nothing

__all__ = ["ActNorm", "Coupling", "Flow", "FlowLayer", "InvertibleConvolution"]

# ln of the largest factor of a coupling
_MAX_LOG_SCALE = 2.0


class FlowLayer(nn.Module, abc.ABC):
    """One invertible map."""

    @abc.abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(n, c, h, w)`` to outputs and ln |det|: ``(n,)``, or one number for all."""

    @abc.abstractmethod
    def inverse(self, z: Tensor) -> Tensor:
        """Outputs back to inputs."""

    def start(self, x: Tensor) -> None:
        """Set what depends on the first inputs; nothing to do here."""


class ActNorm(FlowLayer):
    """A factor and a shift for every channel; the first inputs leave it with mean 0 and variance 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(1, channels, 1, 1))

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        mean = x.mean(dim=(0, 2, 3), keepdim=True)
        self.shift.copy_(-mean)
        self.log_scale.copy_(-(x - mean).square().mean(dim=(0, 2, 3), keepdim=True).sqrt().add(1e-6).log())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_det = self.log_scale.sum() * (x.shape[2] * x.shape[3])
        return (x + self.shift) * self.log_scale.exp(), log_det

    def inverse(self, z: Tensor) -> Tensor:
        return z * (-self.log_scale).exp() - self.shift


class InvertibleConvolution(FlowLayer):
    """A 1 x 1 convolution ``W = P L (U + S)``: P a fixed permutation, L and U triangular, S diagonal.

    It starts as a random rotation; the signs of S are fixed, so W never becomes singular.
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels))[0]
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", diagonal.sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(diagonal.abs().log())

    def weight(self) -> Tensor:
        """W, ``(c, c)``."""
        eye = torch.eye(len(self.sign), dtype=self.sign.dtype, device=self.sign.device)
        diagonal = eye * (self.sign * self.log_diagonal.exp())
        return self.permutation @ (self.lower.tril(-1) + eye) @ (self.upper.triu(1) + diagonal)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_det = self.log_diagonal.sum() * (x.shape[2] * x.shape[3])
        with rounding_nothing(x):  # what is inverted must not be rounded
            return nn.functional.conv2d(x, self.weight()[:, :, None, None]), log_det

    def inverse(self, z: Tensor) -> Tensor:
        with rounding_nothing(z):
            return nn.functional.conv2d(z, torch.linalg.inv(self.weight())[:, :, None, None])


class Coupling(FlowLayer):
    """Half of the channels set factor and shift of the others; it starts as the identity.

    The logarithm of a factor is between -2 and 2, so that no jet far from the background meets a
    factor that no jet of the background has seen.

    Arguments:
        shape: Channels, height and width.
        hidden: Channels of its network.
    """

    def __init__(self, shape: tuple[int, int, int], hidden: int) -> None:
        super().__init__()
        self.kept = shape[0] // 2
        self.network = _Network((self.kept, *shape[1:]), hidden, 2 * (shape[0] - self.kept))

    def _scale_and_shift(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = full(self.network(kept), kept).chunk(2, dim=1)
        return _MAX_LOG_SCALE * torch.tanh(raw / _MAX_LOG_SCALE), shift

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept, moved = x[:, : self.kept], x[:, self.kept :]
        log_scale, shift = self._scale_and_shift(kept)
        return torch.cat([kept, moved * log_scale.exp() + shift], dim=1), log_scale.sum(dim=(1, 2, 3))

    def inverse(self, z: Tensor) -> Tensor:
        kept, moved = z[:, : self.kept], z[:, self.kept :]
        log_scale, shift = self._scale_and_shift(kept)
        return torch.cat([kept, (moved - shift) * (-log_scale).exp()], dim=1)


class _Network(nn.Module):
    """Convolutions 3 x 3, 1 x 1, 3 x 3; jets are aligned, so every place has a bias of its own."""

    def __init__(self, shape: tuple[int, int, int], hidden: int, n_out: int) -> None:
        super().__init__()
        kernel = 1 if shape[1:] == (1, 1) else 3
        self.first = nn.Conv2d(shape[0], hidden, kernel, padding="same")
        self.place = nn.Parameter(torch.zeros(1, hidden, *shape[1:]))
        self.second = nn.Conv2d(hidden, hidden, 1)
        self.last = nn.Conv2d(hidden, n_out, kernel, padding="same")
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x) + self.place)
        out: Tensor = self.last(torch.relu(self.second(h)))
        return out


class Flow(nn.Module):
    """Images or vectors to independent standard normal numbers.

    Each level halves the image (four times the channels), runs ``steps`` times normalisation, invertible
    convolution and coupling, and hands half of the channels on; the other half is normal with a mean
    and a width that the half handed on sets.

    Arguments:
        shape: Channels, height and width; both divisible by 2^levels.
        levels: Halvings; 0 for a vector.
        steps: In each level.
        hidden: Channels of the networks.

    References:
        Kingma, Dhariwal, "Glow: generative flow with invertible 1x1 convolutions", 2018,
        arXiv:1807.03039; Dinh, Sohl-Dickstein, Bengio, "Density estimation using Real NVP", 2016,
        arXiv:1605.08803
    """

    def __init__(self, shape: tuple[int, int, int], levels: int, steps: int, hidden: int) -> None:
        super().__init__()
        self.shape = shape
        self.halves = levels > 0
        c, h, w = (4 * shape[0], shape[1] // 2, shape[2] // 2) if self.halves else shape
        self.layers = nn.ModuleList(
            layer
            for _ in range(steps)
            for layer in (ActNorm(c), InvertibleConvolution(c), Coupling((c, h, w), hidden))
        )
        self.handed_on = c // 2 if levels > 1 else 0
        self.rest: Flow | None = None
        if levels > 1:
            self.prior = _Network((self.handed_on, h, w), hidden, 2 * (c - self.handed_on))
            self.rest = Flow((self.handed_on, h, w), levels - 1, steps, hidden)

    def _layers(self) -> Iterable[FlowLayer]:
        return self.layers  # type: ignore[return-value]

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Set the normalisations from first inputs ``(n, c, h, w)``."""
        x = self._halved(x)
        for layer in self._layers():
            layer.start(x)
            x = layer(x)[0]
        if self.rest is not None:
            self.rest.start(x[:, : self.handed_on])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(n, c, h, w)`` to ``(n, c h w)`` and ln |det|, ``(n,)``."""
        x = self._halved(x)
        log_det = x.new_zeros(())
        for layer in self._layers():
            x, change = layer(x)
            log_det = log_det + change
        if self.rest is None:
            return x.flatten(1), log_det
        kept, left = x[:, : self.handed_on], x[:, self.handed_on :]
        mean, log_std = self.prior(kept).chunk(2, dim=1)
        z, change = self.rest(kept)
        left = (left - mean) * (-log_std).exp()
        return torch.cat([left.flatten(1), z], dim=1), log_det + change - log_std.sum(dim=(1, 2, 3))

    def inverse(self, z: Tensor) -> Tensor:
        """Normal numbers ``(n, c h w)`` to ``(n, c, h, w)``."""
        c, h, w = (4 * self.shape[0], self.shape[1] // 2, self.shape[2] // 2) if self.halves else self.shape
        if self.rest is None:
            x = z.view(-1, c, h, w)
        else:
            n_left = (c - self.handed_on) * h * w
            kept = self.rest.inverse(z[:, n_left:])
            mean, log_std = self.prior(kept).chunk(2, dim=1)
            left = z[:, :n_left].view(-1, c - self.handed_on, h, w) * log_std.exp() + mean
            x = torch.cat([kept, left], dim=1)
        for layer in reversed(self.layers):
            x = layer.inverse(x)  # type: ignore[operator]
        return nn.functional.pixel_shuffle(x, 2) if self.halves else x

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of ``(n, c, h, w)``, ``(n,)``."""
        z, log_det = self(x)
        result: Tensor = log_det - 0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=1)
        return result

    def _halved(self, x: Tensor) -> Tensor:
        return nn.functional.pixel_unshuffle(x, 2) if self.halves else x
