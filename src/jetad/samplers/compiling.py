"""Steps of chains compiled by torch: fewer, larger kernels, and CUDA graphs on a GPU."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from ..errors import ConfigError

__all__ = ["begin_chain", "check_compiler", "compilable", "compiled_chains", "end_chain"]

P = ParamSpec("P")
T = TypeVar("T")

_wanted: ContextVar[bool] = ContextVar("compiled_chains", default=False)

# variants of a function that are kept: members, phases and kinds of chains each have their own
_VARIANTS = 64


@contextmanager
def compiled_chains(wanted: bool = True) -> Iterator[None]:
    """Inside, functions that are :func:`compilable` run compiled; the first call of each takes seconds.

    The compiler reorders sums: numbers are those of plain chains within rounding, not bit for bit.
    """
    token = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(token)


def begin_chain() -> None:
    """Say that what compiled functions have returned is needed no more: CUDA graphs reuse its memory."""
    if _wanted.get():
        torch.compiler.cudagraph_mark_step_begin()


def end_chain(x: Tensor) -> Tensor:
    """What compiled functions have returned, in memory of its own."""
    return x.clone() if _wanted.get() else x


def compilable(function: Callable[P, T]) -> Callable[P, T]:
    """A function of tensors that :func:`compiled_chains` compiles as a whole.

    Raises:
        ConfigError: from the compiled function, where torch cannot compile it.
    """
    compiled: list[Callable[P, T]] = []

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if not _wanted.get():
            return function(*args, **kwargs)
        if not compiled:
            limit = "recompile_limit"
            if not hasattr(torch._dynamo.config, limit):
                limit = "cache_size_limit"  # its name until torch 2.6
            setattr(torch._dynamo.config, limit, max(_VARIANTS, getattr(torch._dynamo.config, limit)))
            mode = "reduce-overhead" if torch.cuda.is_available() else None
            compiled.append(torch.compile(function, fullgraph=True, dynamic=False, mode=mode))
        try:
            return compiled[0](*args, **kwargs)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = " ".join(line for line in str(error).splitlines()[:2] if line)
            raise ConfigError(
                f"training.compile: torch cannot compile the chains here ({reason}); it needs a C++ compiler "
                "(CXX) and, on a GPU, triton; leave --compile out to train without"
            ) from error

    return call


def check_compiler(device: torch.device) -> None:
    """Compile something small, to fail before hours of work.

    Raises:
        ConfigError: if torch cannot compile here.
    """
    with warnings.catch_warnings(), compiled_chains():
        warnings.simplefilter("ignore")  # torch's own, where it loads its compiler
        compilable(torch.sin)(torch.zeros(8, device=device))
