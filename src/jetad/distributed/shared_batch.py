"""Batches whose rows several ranks share: each row meets the random numbers it meets in one process.

Everything takes the generator that losses and chains take anyway. With a plain one, or one rank, it does
what its counterpart in torch does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from .process_group import Ranks

__all__ = [
    "SharedGenerator", "integers", "length", "mean", "means", "normal", "part", "reseeded", "share",
    "uniform", "whole",
]  # fmt: skip


class SharedGenerator(torch.Generator):
    """A generator of the same state on all ranks, which knows which rows of the batch are this rank's.

    Row i of a batch belongs to rank ``i % size``. Numbers are drawn for the whole batch and all but the
    own rows thrown away, so they do not depend on how many ranks there are.

    Arguments:
        device: Where numbers are drawn.
        ranks: Who shares the batch.
    """

    ranks: Ranks
    first_row: int
    n_rows: int  # of the whole batch

    def __new__(cls, device: torch.device, ranks: Ranks) -> SharedGenerator:
        return super().__new__(cls, device)  # type: ignore[call-arg]  # the stub has no __new__

    def __init__(self, device: torch.device, ranks: Ranks) -> None:
        self.ranks = ranks
        self.first_row, self.n_rows = ranks.rank, 0

    @property
    def rows(self) -> range:
        """The rows of the batch that this rank has."""
        return range(self.first_row, self.n_rows, self.ranks.size)

    @property
    def weight(self) -> float:
        """The part of the batch that this rank has."""
        return len(self.rows) / self.n_rows


def _shared(generator: torch.Generator | None) -> SharedGenerator | None:
    return generator if isinstance(generator, SharedGenerator) and generator.ranks.size > 1 else None


def reseeded(generator: torch.Generator, seed: int) -> torch.Generator:
    """Another generator of the same kind."""
    if isinstance(generator, SharedGenerator):
        other: torch.Generator = SharedGenerator(generator.device, generator.ranks)
    else:
        other = torch.Generator(generator.device)
    return other.manual_seed(seed)


# --- rows ---------------------------------------------------------------------------------------------


def share(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """This rank's rows of a batch; what is drawn, gathered or averaged next belongs to that batch."""
    if isinstance(generator, SharedGenerator):
        generator.first_row, generator.n_rows = generator.ranks.rank, len(x)
        x = x[generator.first_row :: generator.ranks.size]
    return x


def length(x: Tensor, generator: torch.Generator | None) -> int:
    """Rows of the whole batch of which ``x`` is this rank's share."""
    shared = _shared(generator)
    return len(x) if shared is None else shared.n_rows


def whole(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """The rows of all ranks in the order of the batch.

    Gradients flow into the own rows, scaled so that the ranks' mean, which training takes, is the
    gradient of what is computed from the whole batch.
    """
    shared = _shared(generator)
    if shared is None:
        return x
    size, n = shared.ranks.size, shared.n_rows
    padded = x.new_zeros((-(-n // size), *x.shape[1:]))
    padded[: len(x)] = x.detach()
    # rank r has rows r, r + size, ...; the padding is at the end
    rows = shared.ranks.gather(padded).transpose(0, 1).flatten(0, 1)[:n]
    if x.requires_grad:
        rows = rows.index_add(0, torch.tensor(shared.rows, device=x.device), (x - x.detach()) / shared.weight)
    return rows


@contextmanager
def part(start: int, stop: int, generator: torch.Generator | None) -> Iterator[slice]:
    """Inside, the batch is rows ``start`` to ``stop`` of it; gives where these are in the own share."""
    shared = _shared(generator)
    if shared is None:
        yield slice(start, stop)
        return
    first, n, size = shared.first_row, shared.n_rows, shared.ranks.size
    shared.first_row, shared.n_rows = (first - start) % size, stop - start
    try:
        yield slice(len(range(first, start, size)), len(range(first, stop, size)))
    finally:
        shared.first_row, shared.n_rows = first, n


# --- means --------------------------------------------------------------------------------------------


def mean(value: Tensor, generator: torch.Generator | None) -> Tensor:
    """The mean over the batch, from that over the own rows; without gradients."""
    shared = _shared(generator)
    if shared is None:
        return value
    value = value.detach() * shared.weight if shared.rows else torch.zeros_like(value)
    return shared.ranks.sum(value)


def means(values: Mapping[str, Tensor | float], generator: torch.Generator) -> dict[str, Tensor | float]:
    """The same for several at once."""
    if _shared(generator) is None:
        return dict(values)
    numbers = torch.tensor([float(v) for v in values.values()], dtype=torch.float64)
    return dict(zip(values, mean(numbers, generator), strict=True))


# --- random numbers -----------------------------------------------------------------------------------


def normal(
    shape: Sequence[int], generator: torch.Generator | None, *, device: torch.device,
    dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    """Standard normal numbers for rows of the batch.

    Arguments:
        shape: ``(n, ...)`` for n own rows, or ``(k * n, ...)`` for k batches one after the other.
        generator: Source of the random numbers.
        device: Of the result.
        dtype: Of the result.
    """
    return _rows(lambda s: torch.randn(s, generator=generator, device=device, dtype=dtype), shape, generator)


def uniform(
    shape: Sequence[int], generator: torch.Generator | None, *, device: torch.device,
    dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    """Numbers between zero and one for rows of the batch, as :func:`normal`."""
    return _rows(lambda s: torch.rand(s, generator=generator, device=device, dtype=dtype), shape, generator)


def integers(
    high: int, shape: Sequence[int], generator: torch.Generator | None, *, device: torch.device
) -> Tensor:
    """Whole numbers below ``high`` for rows of the batch, as :func:`normal`."""
    return _rows(lambda s: torch.randint(high, s, generator=generator, device=device), shape, generator)


def _rows(
    draw: Callable[[tuple[int, ...]], Tensor], shape: Sequence[int], generator: torch.Generator | None
) -> Tensor:
    shared = _shared(generator)
    if shared is None:
        return draw(tuple(shape))
    mine, n = len(shared.rows), shared.n_rows
    k = shape[0] // mine if mine else 1
    numbers = draw((k * n, *shape[1:])).unflatten(0, (k, n))
    result: Tensor = numbers[:, shared.first_row :: shared.ranks.size].flatten(0, 1)
    return result
