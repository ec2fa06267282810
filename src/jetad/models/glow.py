"""A normalising flow: the exact density of images or vectors."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from ..distributed.shared_batch import normal
from ..errors import ConfigError
from .base import MethodSettings
from .density import LikelihoodModel
from .networks import Architecture
from .networks.flow import Flow
from .networks.inputs import InputsConfig

__all__ = ["Glow", "GlowSettings"]

_MOMENTS, _START = 20_000, 512  # jets that moments are measured on, and that the flow is started with


class GlowSettings(MethodSettings):
    """Size of the flow, and the noise that keeps its density finite."""

    levels: int | None = Field(
        None, ge=1, le=6, description="halvings of an image, at most 3 if left out; vectors have none"
    )
    steps: int = Field(
        4, ge=1, le=256, description="normalisation, invertible convolution and coupling, in each level"
    )
    hidden: int = Field(32, ge=1, description="channels (units) of the networks in the couplings")
    noise: float = Field(
        0.05,
        gt=0,
        description="normal noise on training inputs, in units of the root mean square over inputs of their "
        "standard deviations in the background; none when scoring",
    )


class Glow(LikelihoodModel):
    """``-ln p(x)`` of a flow in nats, of x in units of the inputs: multi-scale on images, flat on vectors.

    Pixels of a jet image are continuous, and most are the same number in nearly every jet: zero. A
    density of them has no maximum, so training adds normal noise to the inputs; what is learned is the
    density of the background smeared by it, and scores are that density at the jet itself. In front of
    the flow every input is shifted and scaled by its mean and standard deviation in the background,
    noise included. `noise` is the smallest intensity that counts.

    References:
        Kingma, Dhariwal, "Glow: generative flow with invertible 1x1 convolutions", 2018,
        arXiv:1807.03039
    """

    Settings = GlowSettings
    settings: GlowSettings
    noise: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        if not isinstance(network, InputsConfig):
            raise ConfigError("method 'glow' has a network of its own; choose network kind 'inputs'")
        super().__init__(shape, network, settings)
        d = self.input.n_features
        image = len(shape) == 3 and network.components is None
        levels = _levels(shape, self.settings.levels) if image else 0
        if not image and self.settings.levels is not None:
            raise ConfigError("model.levels are halvings of an image; features and components have none")
        if d < 2:
            raise ConfigError("method 'glow' needs at least two numbers a jet")
        size = (shape[0], shape[1], shape[2]) if image else (d, 1, 1)
        flow = Flow(size, levels, self.settings.steps, self.settings.hidden)
        self.flow = flow.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.register_buffer("noise", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("std", torch.ones(d))

    def start(self, x: Tensor) -> None:
        some = x[:: max(1, len(x) // _MOMENTS)][:_MOMENTS]
        variance = some.double().var(dim=0, correction=0)
        noise = self.settings.noise * variance.mean().sqrt()
        self.noise.copy_(noise)
        self.mean.copy_(some.double().mean(dim=0))
        self.std.copy_((variance + noise.square()).sqrt())
        generator = torch.Generator(x.device).manual_seed(0)
        self.flow.start(self._scaled(self.noisy(x[:: max(1, len(x) // _START)][:_START], generator)))

    def noisy(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x + self.noise * normal(x.shape, generator, device=x.device, dtype=x.dtype)

    def energy(self, x: Tensor) -> Tensor:
        result: Tensor = self.std.log().sum() - self.flow.log_prob(self._scaled(x))
        return result

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Inputs ``(n, d)`` drawn from the density."""
        z = torch.randn(
            n, len(self.mean), generator=generator, dtype=self.mean.dtype, device=self.mean.device
        )
        result: Tensor = self.flow.inverse(z).flatten(1) * self.std + self.mean
        return result

    def _scaled(self, x: Tensor) -> Tensor:
        return ((x - self.mean) / self.std).view(-1, *self.flow.shape)


def _levels(shape: tuple[int, ...], wanted: int | None) -> int:
    """How often an image is halved.

    Raises:
        ConfigError: if it cannot be.
    """
    _, h, w = shape
    possible = 0
    while math.gcd(h, w) % 2 ** (possible + 1) == 0:
        possible += 1
    if possible < (wanted or 1):
        raise ConfigError(
            f"method 'glow' halves images {wanted or 1} times: n_eta and n_phi must be multiples of "
            f"{2 ** (wanted or 1)}, found {h} and {w}"
        )
    return wanted or min(possible, 3)
