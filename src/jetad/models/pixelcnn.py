"""An autoregressive model: the probability of every pixel given those before it."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from ..errors import ConfigError, InputError
from .base import MethodSettings
from .density import LikelihoodModel
from .networks import Architecture
from .networks.causal import CausalNetwork
from .networks.inputs import InputsConfig
from .networks.parts import full

__all__ = ["PixelCNN", "PixelCNNSettings", "log_mass"]

_LARGEST_LOG_SCALE = 1.0  # where levels go from -1 to 1


class PixelCNNSettings(MethodSettings):
    """Size of the network, and how intensities become levels."""

    levels: int = Field(256, ge=2, le=65536, description="numbers that a pixel can take")
    saturated: float = Field(
        0.01, gt=0, lt=1, description="part of the background whose brightest pixel is at the top level"
    )
    power: float = Field(
        0.5, gt=0, le=1, description="level ~ intensity^power: below 1, more levels for dim pixels"
    )
    filters: int = Field(16, ge=1, description="channels of the network")
    blocks: int = Field(3, ge=1, le=256, description="gated blocks; each sees two more rows and columns")
    mixtures: int = Field(5, ge=1, description="logistic distributions a pixel")


class PixelCNN(LikelihoodModel):
    """``-ln P`` of the levels of all pixels in nats, each given those above and to the left.

    An intensity v becomes level ``round((L - 1) min(1, v / v_top)^power)``; v_top is exceeded by the
    brightest pixel of a fraction ``saturated`` of the background jets. The level is distributed as a
    mixture of logistic distributions, integrated over the level; the lowest and the highest level take
    the tails, so exact zeros need no noise. Unlike the published ones, widths are bounded from above, too:
    one beyond all levels leaves half to each of the outermost two, and does not come back.

    References:
        Salimans, Karpathy, Chen, Kingma, "PixelCNN++: improving the PixelCNN with discretized logistic
        mixture likelihood and other modifications", 2017, arXiv:1701.05517
    """

    Settings = PixelCNNSettings
    settings: PixelCNNSettings
    top: Tensor

    def __init__(
        self, shape: tuple[int, ...], network: Architecture, settings: MethodSettings | None = None
    ) -> None:
        if len(shape) != 3 or shape[0] != 1:
            raise ConfigError("method 'pixelcnn' takes images of one channel")
        if not isinstance(network, InputsConfig) or network.components is not None:
            raise ConfigError(
                "method 'pixelcnn' has a network of its own, on pixels; choose network kind 'inputs' without "
                "components"
            )
        super().__init__(shape, network, settings)
        s = self.settings
        self.size = shape[1], shape[2]
        self.network = CausalNetwork(self.size, s.filters, s.blocks, 3 * s.mixtures)
        bias = self.network.last.bias
        assert bias is not None
        with torch.no_grad():  # components that start alike stay alike
            bias[s.mixtures : 2 * s.mixtures] = torch.linspace(-1, 1, s.mixtures)
        self.register_buffer("top", torch.ones(()))

    def fit_input(self, rows: Tensor) -> None:
        """Measure the intensity of the top level on training background."""
        top = torch.quantile(rows.flatten(1).amax(dim=1), 1 - self.settings.saturated)
        if not top > 0:
            raise InputError("the images of the background are empty; there is nothing to learn")
        self.top.copy_(top)

    def prepare(self, rows: Tensor) -> Tensor:
        """Rows ``(n, 1, h, w)`` to levels ``(n, h w)``, whole numbers from 0 to L - 1."""
        part = (super().prepare(rows) / self.top).clamp(0, 1)
        return torch.round(part**self.settings.power * (self.settings.levels - 1))

    def restore(self, x: Tensor) -> Tensor:
        return super().restore((x / (self.settings.levels - 1)) ** (1 / self.settings.power) * self.top)

    def mixture(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, means and log-scales of levels scaled to -1 ... 1, each ``(n, k, h w)``."""
        image = (2 * x / (self.settings.levels - 1) - 1).view(-1, 1, *self.size)
        weights, means, widths = full(self.network(image), image).flatten(2).chunk(3, dim=1)
        low = math.log(2 / (self.settings.levels - 1)) - 2  # 256 levels: the published -7
        log_scales = low + softplus(widths - low) - softplus(widths - _LARGEST_LOG_SCALE)
        return torch.log_softmax(weights, dim=1), means, log_scales

    def energy(self, x: Tensor) -> Tensor:
        log_weights, means, log_scales = self.mixture(x)
        masses = log_mass(x[:, None], means, log_scales, self.settings.levels)
        return -torch.logsumexp(log_weights + masses, dim=1).sum(dim=1)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Levels ``(n, h w)`` drawn pixel by pixel; as many passes of the network as there are pixels."""
        x = self.top.new_zeros(n, self.size[0] * self.size[1])
        for i in range(x.shape[1]):
            log_weights, means, log_scales = (v[:, :, i] for v in self.mixture(x))
            chosen = torch.multinomial(log_weights.exp(), 1, generator=generator)
            u = torch.rand(chosen.shape, generator=generator, dtype=x.dtype, device=x.device)
            value = means.gather(1, chosen) + log_scales.gather(1, chosen).exp() * torch.logit(u, eps=1e-7)
            x[:, i] = torch.round((value[:, 0] + 1) / 2 * (self.settings.levels - 1)).clamp(
                0, self.settings.levels - 1
            )
        return x


def log_mass(x: Tensor, means: Tensor, log_scales: Tensor, levels: int) -> Tensor:
    """Logarithm of what logistic distributions on -1 ... 1 give to levels ``0 ... levels - 1``; broadcasts.

    With a and b the upper and lower edge of the level in units of the scale,
    ``sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a))``, which never cancels.
    """
    unit = 2 / (levels - 1)
    precision = torch.exp(-log_scales)
    upper = ((x + 0.5) * unit - 1 - means) * precision
    lower = ((x - 0.5) * unit - 1 - means) * precision
    below, above = logsigmoid(upper), logsigmoid(-lower)
    width = unit * precision  # 1 - exp(-w) = tanh(w / 2) (1 + exp(-w))
    inside = below + above + torch.log(torch.tanh(width / 2)) + softplus(-width)
    return torch.where(x < 0.5, below, torch.where(x > levels - 1.5, above, inside))
