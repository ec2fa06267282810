"""One representation of jets with its network, and how it computes energies."""

from __future__ import annotations

import copy
import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..calibration import Surprise
from ..device import computing_in
from ..errors import InputError, JetadError
from ..jets import Jets
from ..models.base import EnergyModel
from ..models.networks.parts import PrincipalComponents
from ..preprocessing import Preprocessor
from ..preprocessing.images import JetImages
from .inputs import device_rows

__all__ = ["AT_ONCE_ON_CPU", "Member"]

logger = logging.getLogger("jetad.scoring")

# jets scored at once: what stays in the cache of a CPU core, and what fills a GPU (less once it was too much)
AT_ONCE_ON_CPU = 512
_BATCH = {"cpu": AT_ONCE_ON_CPU, "cuda": 16384}
# linear algebra takes another path for a handful of rows, and its last bits differ: no batch is smaller
_MIN_BATCH = 32
# rows at once where a CPU computes in float32: always as many, so that every sum has the same order
_BLOCK = 128

# what tells whether tensors are the same later on, without keeping them alive
_State = list[tuple["weakref.ref[Tensor]", int, torch.dtype]]

_projectors: weakref.WeakKeyDictionary[
    PrincipalComponents, tuple[_State, Callable[[Jets], NDArray[np.float64]] | None]
] = weakref.WeakKeyDictionary()
_copies: weakref.WeakKeyDictionary[EnergyModel, tuple[_State, EnergyModel]] = weakref.WeakKeyDictionary()


class Member(NamedTuple):
    """One representation with its network."""

    name: str
    preprocessor: Preprocessor
    model: EnergyModel
    surprise: Surprise | None  # None until the training has ended

    def energies(self, jets: Jets, device: torch.device) -> NDArray[np.float64]:
        """Energies of jets, ``(n_jets,)``; NaN for jets that cannot be represented.

        On a CPU the network computes in float64: in float32 the order of summation changes with the
        number of rows and threads, and scores with it, by some 1e-6 of their size. Convolutions, of which
        float64 costs five to fourteen times as much, compute in float32, on blocks of one size: their
        sums have one order there.
        """
        return self.scorer(device)(jets)

    def scorer(self, device: torch.device) -> Callable[[Jets], NDArray[np.float64]]:
        """``energies`` of the weights as they are now, for who asks for those of a few jets many times."""
        model = _for_scoring(self.model, device)
        project = self._projector() if device.type == "cpu" else None  # a GPU makes the images

        def energies(jets: Jets) -> NDArray[np.float64]:
            if project is None:
                x = device_rows(self.preprocessor, jets, device)
                return _scores(model.score, x, device, blocks=self.model.float32_scores)
            return _scores(model.score_inputs, torch.from_numpy(project(jets)), device)

        return lambda jets: _in_batches(lambda rows: energies(jets[rows]), len(jets), device)

    def _projector(self) -> Callable[[Jets], NDArray[np.float64]] | None:
        """From jets to principal components without images in between, where that is possible."""
        layer = self.model.input
        if not isinstance(self.preprocessor, JetImages) or type(layer) is not PrincipalComponents:
            return None
        tensors = [layer.basis, layer.mean]
        known = _projectors.get(layer)
        if known is None or not _unchanged(known[0], tensors):
            basis = layer.basis.detach().cpu().double().numpy()
            project = self.preprocessor.projector(basis)
            shift = layer.mean.detach().cpu().double().numpy() @ basis
            known = _state_of(tensors), None if project is None else lambda jets: project(jets) - shift
            _projectors[layer] = known
        return known[1]

    def image_energies(self, images: NDArray[Any], device: torch.device) -> NDArray[np.float64]:
        """Energies of ready-made images ``(n, n_channels, n_eta, n_phi)``.

        Raises:
            InputError: if this member does not see such images.
        """
        if images.shape[1:] != self.preprocessor.shape:
            raise InputError(
                f"member '{self.name}' takes rows of shape {self.preprocessor.shape}, "
                f"found {images.shape[1:]}; give constituents, or train with --representation image"
            )
        rows = torch.from_numpy(np.asarray(images, dtype=np.float32))
        model, blocks = _for_scoring(self.model, device), self.model.float32_scores
        return _in_batches(
            lambda part: _scores(model.score, rows[part], device, blocks=blocks), len(rows), device
        )


def _scores(
    score: Callable[[Tensor], Tensor], x: Tensor, device: torch.device, *, blocks: bool = False
) -> NDArray[np.float64]:
    n, on_cpu = len(x), device.type == "cpu"
    blocks = blocks and on_cpu
    missing = -n % _BLOCK if blocks else max(_MIN_BATCH - n, 0)
    if missing:
        x = torch.cat([x, x.new_zeros(missing, *x.shape[1:])])
    if blocks:
        scores = torch.cat([score(block) for block in x.float().split(_BLOCK)])
    else:
        scores = score(x.double() if on_cpu else x.to(device, torch.float32))
    energies: NDArray[np.float64] = scores[:n].cpu().numpy()
    return energies


def _in_batches(
    energies: Callable[[slice], NDArray[np.float64]], n: int, device: torch.device
) -> NDArray[np.float64]:
    """Energies of ranges of rows, joined; where the memory of a GPU is not enough, of half as many at once.

    Raises:
        JetadError: if not even the smallest batch fits.
    """
    out, start = np.empty(n, dtype=np.float64), 0
    while start < n:
        rows = slice(start, min(start + _BATCH[device.type], n))
        try:
            with computing_in("float32", device):
                out[rows] = energies(rows)
        except torch.OutOfMemoryError as error:
            size = rows.stop - start
            if size <= _MIN_BATCH:
                raise JetadError(
                    f"the GPU has too little memory to score {size} jets at once; use --device cpu, or "
                    "a GPU that nobody else uses"
                ) from error
            _BATCH[device.type] = max(size // 2, _MIN_BATCH)
        else:
            start = rows.stop
            continue
        # only now does nothing hold the tensors of the failed batch any more
        torch.cuda.empty_cache()
        logger.warning("the memory of the GPU is full: scoring %d jets at once", _BATCH[device.type])
    return out


def _for_scoring(model: EnergyModel, device: torch.device) -> EnergyModel:
    """The network that computes: on a CPU a copy, made once for the weights it has now."""
    if device.type != "cpu":
        return model
    tensors = [*model.parameters(), *model.buffers()]
    known = _copies.get(model)
    if known is None or not _unchanged(known[0], tensors):
        network = copy.deepcopy(model).eval().requires_grad_(False)
        known = _state_of(tensors), network if model.float32_scores else network.double()
        _copies[model] = known
    return known[1]


def _state_of(tensors: Sequence[Tensor]) -> _State:
    """What tells whether tensors are the same later on, without keeping them alive."""
    # in-place changes of a tensor, such as a step of an optimiser, raise its version
    return [(weakref.ref(t), t._version, t.dtype) for t in tensors]


def _unchanged(state: _State, tensors: Sequence[Tensor]) -> bool:
    return len(state) == len(tensors) and all(
        ref() is t and version == t._version and dtype == t.dtype
        for (ref, version, dtype), t in zip(state, tensors, strict=True)
    )
