"""The processes that train one detector together: who they are, and what they tell each other.

``torchrun`` and ``srun`` start the same command several times; each process is a *rank*. One process
alone is rank 0 of 1, and nothing here communicates.
"""

from __future__ import annotations

import datetime
import logging
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from ..errors import DivergedError, Interrupted, JetadError, RankError

__all__ = ["Launch", "Ranks", "find_launch", "join"]

_MEETING = datetime.timedelta(minutes=10)  # until all processes have started
# only a machine that hangs is waited for so long: a process that ends is noticed at once
_TIMEOUT = datetime.timedelta(minutes=30)

T = TypeVar("T")


class Launch(NamedTuple):
    """What a launcher says about this process."""

    rank: int
    size: int
    local_rank: int  # among those on the same machine
    meeting_point: str  # as torch.distributed.rendezvous takes it


def find_launch(environ: Mapping[str, str]) -> Launch | None:
    """What ``torchrun`` or ``srun`` left in the environment; ``None`` for a process of its own.

    A SLURM batch script is one process, however many tasks its job may start: only a step of more than
    one task counts.
    """
    if {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= set(environ):
        rank, size = int(environ["RANK"]), int(environ["WORLD_SIZE"])
        return Launch(rank, size, int(environ.get("LOCAL_RANK", rank)), "env://") if size > 1 else None
    if "SLURM_STEP_ID" not in environ or int(environ.get("SLURM_NTASKS", 1)) < 2:
        return None
    nodes = environ.get("SLURM_STEP_NODELIST") or environ["SLURM_NODELIST"]
    host = environ.get("MASTER_ADDR", _first_host(nodes))
    # another port for every step and start of every job, below those that the system hands out
    number = 31 * int(environ["SLURM_JOB_ID"]) + int(environ["SLURM_STEP_ID"])
    number += 7 * int(environ.get("SLURM_RESTART_COUNT", 0))
    port = environ.get("MASTER_PORT", str(12_000 + number % 20_000))
    return Launch(
        int(environ["SLURM_PROCID"]),
        int(environ["SLURM_NTASKS"]),
        int(environ["SLURM_LOCALID"]),
        f"tcp://{host}:{port}",
    )


def _first_host(nodes: str) -> str:
    """``node[03-07,9],gpu1`` -> ``node03``: where the tasks with the lowest numbers are."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])+", nodes)
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", first.group()) if first else nodes


class Ranks:
    """This process among those of the training.

    All ranks call the same methods in the same order.

    Arguments:
        rank: Number of this process; the first, 0, writes the files.
        size: Number of processes.
        local_rank: Number of this process among those of its machine: which GPU it takes.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_rank: int = 0) -> None:
        self.rank, self.size, self.local_rank = rank, size, local_rank

    def __repr__(self) -> str:
        return f"Ranks({self.rank} of {self.size})"

    @property
    def first(self) -> bool:
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """The GPU of this rank, where it is GPUs: one for each."""
        if self.size == 1 or device.type != "cuda":
            return device
        return torch.device("cuda", self.local_rank % torch.cuda.device_count())

    def same(self, value: T) -> T:
        """The first rank's ``value``, on all ranks."""
        if self.size == 1:
            return value
        box: list[Any] = [value if self.first else None]
        self._call(dist.broadcast_object_list, box, src=0)
        result: T = box[0]
        return result

    def align(self, module: nn.Module) -> None:
        """Give a module the first rank's parameters and buffers."""
        if self.size > 1:
            module.load_state_dict(self.same({k: v.cpu() for k, v in module.state_dict().items()}))

    def first_does(self, function: Callable[[], T]) -> T:
        """What ``function`` returns on the first rank, the only one that calls it; all wait for it.

        Its error is raised there, and the others leave with the same exit code.
        """
        if self.size == 1:
            return function()
        result: Any = None
        failure: JetadError | None = None
        if self.first:
            try:
                result = function()
            except JetadError as error:
                failure = error
        result, code = self.same((result, failure and failure.exit_code))
        if failure is not None:
            raise failure
        if code is not None:
            raise SystemExit(code)
        value: T = result
        return value

    def max(self, number: int) -> int:
        """The largest number of any rank."""
        if self.size == 1:
            return number
        x = torch.tensor(number)
        self._call(dist.all_reduce, x, op=dist.ReduceOp.MAX)
        return int(x)

    def sum(self, x: Tensor) -> Tensor:
        """The sum over ranks, written into ``x``."""
        if self.size > 1:
            self._call(dist.all_reduce, x)
        return x

    def gather(self, x: Tensor) -> Tensor:
        """``x`` of all ranks, of one shape, ``(size, *shape)``."""
        out = x.new_empty((self.size, *x.shape))
        self._call(dist.all_gather, list(out), x.contiguous())
        return out

    def mean_gradients(self, parameters: Sequence[nn.Parameter], weight: float) -> None:
        """Replace gradients by their sum over ranks, each times its ``weight``."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.sum(torch.cat([g.flatten() for g in gradients]).mul_(weight))
        for g, total in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            g.copy_(total.view_as(g))

    def _call(self, collective: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        try:
            collective(*args, **kwargs)
        except RuntimeError as error:
            raise RankError(
                f"another of the {self.size} processes of this training has ended or does not answer "
                f"({_reason(error)}); the last checkpoint stands: run the same command again, with any "
                "number of processes, to go on"
            ) from error


def _reason(error: Exception) -> str:
    """The first sentence, without the place in somebody's source."""
    text = re.sub(r"^\[\S*\.\w+:\d+\] ", "", str(error))
    return re.split(r"\.\s|\n", text)[0] or type(error).__name__


@contextmanager
def join(device: torch.device) -> Iterator[Ranks]:
    """Meet the other processes that a launcher started; alone, nothing happens.

    Inside, only the first rank says what all of them have to say.

    Arguments:
        device: CPU (ranks talk over gloo) or CUDA (NCCL, one GPU a rank).

    Raises:
        RankError: if the others do not come.
    """
    launch = find_launch(os.environ)
    if launch is None:
        yield Ranks()
        return
    ranks = Ranks(launch.rank, launch.size, launch.local_rank)
    if device.type == "cuda":
        torch.cuda.set_device(ranks.device(device))
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        store, *_ = next(rendezvous(launch.meeting_point, ranks.rank, ranks.size, timeout=_MEETING))
        dist.init_process_group(
            backend, store=store, rank=ranks.rank, world_size=ranks.size, timeout=_TIMEOUT
        )
    except (RuntimeError, ValueError) as error:
        where = launch.meeting_point
        if where == "env://":
            where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise RankError(
            f"rank {ranks.rank} of {ranks.size} did not meet the others at {where}; set MASTER_ADDR and "
            f"MASTER_PORT to a host name and a free port of the first one ({str(error).splitlines()[0]})"
        ) from error
    if not ranks.first:
        logging.getLogger("jetad").setLevel(logging.ERROR)
    try:
        yield ranks
    except (Interrupted, DivergedError) as error:  # all ranks agree on these
        dist.destroy_process_group()  # or its threads may abort the process while Python ends
        if not ranks.first:
            raise SystemExit(error.exit_code) from None
        raise
    except JetadError as error:
        error.args = (f"rank {ranks.rank} on {socket.gethostname()}: {error}",)
        raise
    dist.destroy_process_group()
