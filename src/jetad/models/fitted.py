"""Methods without gradients: constants measured on the background in one go."""

from __future__ import annotations

import abc
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from .base import EnergyModel

__all__ = ["FittedModel", "by_blocks", "covariance", "mean", "sample", "seed_of", "whitening"]

logger = logging.getLogger("jetad.training")

_CHUNK = 10_000  # rows converted to float64 at once
_TABLE = 4_000_000  # entries of a table of rows and points, 32 MB


class FittedModel(EnergyModel):
    """A detector whose constants come from the background in closed form, or from a classical algorithm.

    The constants are buffers, and energies are computed in float64. Shapes of buffers may depend on the
    data: a buffer takes the shape of what is loaded into it.
    """

    @abc.abstractmethod
    def fit(self, x: Tensor, generator: torch.Generator, classes: Tensor | None = None) -> None:
        """Measure the constants on background inputs ``(n, d)``; randomness comes from the generator.

        ``classes`` are the classes of the background ``(n,)``, counted from 0, where it has any.
        """

    def keep(self, device: torch.device, **constants: ArrayLike | Tensor) -> None:
        """Set buffers by name."""
        for name, value in constants.items():
            # as it will be loaded: the order in memory decides over the last digit of a product
            setattr(self, name, torch.as_tensor(value).to(device).contiguous())

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        for name, buffer in self._buffers.items():
            value = state_dict.get(prefix + name)
            if buffer is not None and value is not None and value.shape != buffer.shape:
                self._buffers[name] = buffer.new_empty(value.shape)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def seed_of(generator: torch.Generator) -> int:
    """A seed for scikit-learn."""
    return int(torch.randint(2**31 - 1, (), generator=generator, device=generator.device))


def sample(x: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """At most ``n`` rows at random in their order; says so if there are more."""
    if len(x) <= n:
        return x
    logger.warning("fitted to %d of the %d training jets; model.max_jets sets how many", n, len(x))
    rows = torch.randperm(len(x), generator=generator, device=generator.device)[:n]
    return x[rows.sort().values.to(x.device)]


def mean(x: Tensor, classes: Tensor | None = None) -> Tensor:
    """Mean of rows ``(n, d)``, or of those of each class, ``(k, d)`` float64, without a copy of them."""
    n_classes = 1 if classes is None else int(classes.max()) + 1
    sums = x.new_zeros(n_classes, x.shape[1] + 1, dtype=torch.float64)
    for rows, group in _chunks(x, classes):
        sums.index_add_(0, group, nn.functional.pad(rows, (0, 1), value=1.0))
    return sums[:, :-1] / sums[:, -1:]


def covariance(x: Tensor, means: Tensor, classes: Tensor | None = None) -> Tensor:
    """Covariance around the mean, or around that of each row's class; ``means (k, d)`` to ``(d, d)``."""
    total = means.new_zeros(x.shape[1], x.shape[1])
    for rows, group in _chunks(x, classes):
        r = rows - means[group]
        total += r.T @ r
    return total / len(x)


def _chunks(x: Tensor, classes: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Some rows at a time in float64, with their classes."""
    for start in range(0, len(x), _CHUNK):
        rows = x[start : start + _CHUNK].double()
        none = torch.zeros(len(rows), dtype=torch.int64, device=x.device)
        yield rows, none if classes is None else classes[start : start + _CHUNK]


def whitening(matrix: Tensor) -> Tensor:
    """W ``(d, d)`` with ``|r W|^2 = r C^-1 r`` for a covariance C."""
    values, vectors = torch.linalg.eigh(matrix)
    # a direction without variance would be blown up to noise
    result: Tensor = vectors / values.clamp_min(1e-12 * values[-1]).sqrt()
    return result


def by_blocks(x: Tensor, n_points: int, function: Callable[[Tensor], Tensor]) -> Tensor:
    """``function(x)`` on blocks of rows, for functions that make tables ``(n, n_points)``."""
    size = max(1, _TABLE // n_points)
    if len(x) <= size:
        return function(x)
    return torch.cat([function(part) for part in x.split(size)])
