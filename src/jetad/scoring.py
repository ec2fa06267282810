"""Trained detectors: from jets, or files of jets, to scores."""

from __future__ import annotations

import contextlib
import copy
import logging
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .adapters import as_jets
from .calibration import BackgroundEfficiency, Surprise
from .checks import TrainingJets, check_labels
from .conditional import (
    QUANTITIES,
    BinnedEfficiency,
    Calibration,
    DecorrelatedEfficiency,
    calibration_from_dict,
    quantile_edges,
)
from .device_rows import device_rows
from .errors import ConfigError, InputError, JetadError, of_file, without_secrets
from .files.fields import Fields
from .jets import Jets
from .models import model_class
from .models.base import EnergyModel
from .models.networks.parts import PrincipalComponents
from .precision import computing_in
from .preprocessing import Preprocessor, preprocessor_from_dict
from .preprocessing.images import JetImages
from .readers import ReadOptions
from .registry import closest_first, resolve
from .run import Run, file_hash
from .scores import Scores
from .selection import Selection

__all__ = ["Member", "TrainedDetector", "Training", "calibrate", "load", "select_device"]

logger = logging.getLogger("jetad.scoring")

# jets scored at once: what stays in the cache of a CPU core, and what fills a GPU (less once it was too much)
_BATCH = {"cpu": 512, "cuda": 16384}
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


def select_device(name: str) -> torch.device:
    """``auto`` takes the GPU where there is one.

    Raises:
        ConfigError: if ``cuda`` is asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: no CUDA device is visible to torch; use --device cpu or auto")
    return torch.device(name)


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
        model = _for_scoring(self.model, device)
        project = self._projector() if device.type == "cpu" else None  # a GPU makes the images

        def energies(rows: slice) -> NDArray[np.float64]:
            if project is None:
                x = device_rows(self.preprocessor, jets[rows], device)
                return _scores(model.score, x, device, blocks=self.model.float32_scores)
            return _scores(model.score_inputs, torch.from_numpy(project(jets[rows])), device)

        return _in_batches(energies, len(jets), device)

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


@contextlib.contextmanager
def _damaged(path: Path) -> Iterator[None]:
    """Say of which file of a run a value makes no sense, and what to do about it."""
    try:
        yield
    except JetadError as error:
        raise InputError(
            f"{path}: {error}; the file is damaged or was changed: take it from a copy of the run, or train "
            "again"
        ) from error


class Training(NamedTuple):
    """What a detector was trained on and calibrated with, to notice jets that it was not made for."""

    jets: TrainingJets | None = None
    inputs: frozenset[str] = frozenset()  # SHA-256 of the files
    select: str | None = None
    calibration_select: str | None = None

    @classmethod
    def of(cls, run: Run, calibration: Mapping[str, Any]) -> Training:
        """What a run says of it; runs of earlier versions say less.

        Raises:
            InputError: if its provenance is damaged.
        """
        known = run.provenance
        with _damaged(run.path / "provenance.json"):
            jets = TrainingJets.from_dict(known.get("training_jets"))
        selections = (known.get("reading") or {}).get("select"), calibration.get("select")
        return cls(
            jets,
            frozenset(str(entry["sha256"]) for entry in known.get("inputs", []) if entry.get("sha256")),
            *(value if isinstance(value, str) else None for value in selections),
        )

    def check(self, jets: Jets, where: str | Path, allow: Collection[str] = ()) -> None:
        """Refuse jets whose units cannot be those of the training.

        Raises:
            InputError: unless ``range`` is allowed.
        """
        if self.jets is not None:
            self.jets.check_units(jets, str(where), allow)

    def remarks(self, jets: Jets) -> list[str]:
        """Sentences on jets that are unlike those of the training."""
        if self.jets is None or not len(jets):
            return []
        found = (
            self.jets.remark(self.jets.n_outside(jets.jet_pt), len(jets)),
            self.jets.remark_on_radius(jets),
        )
        return [sentence for sentence in found if sentence]


class TrainedDetector:
    """What a run has learned: ``score`` ranks jets, higher is more anomalous.

    With one member the score is its energy. With several, each energy becomes its surprise -ln p on
    background held out of the optimisation, and the score is the largest: a jet is as anomalous as the
    most surprised of its detectors says (Tippett's combination of p-values).

    Arguments:
        members: The detectors.
        background_efficiency: The calibration of the score, or ``None``.
        device: Where the networks are.
        metadata: Goes into score files.
        training: What it was trained on.
    """

    def __init__(
        self,
        members: Sequence[Member],
        background_efficiency: Calibration | None,
        device: torch.device,
        metadata: dict[str, Any] | None = None,
        training: Training | None = None,
    ) -> None:
        self.training = training or Training()
        self.members = list(members)
        self.background_efficiency = background_efficiency
        self.device = device
        self.metadata = metadata or {}

    def __repr__(self) -> str:
        return f"TrainedDetector({', '.join(m.name for m in self.members)})"

    @classmethod
    def from_run(cls, run: Run, device: str = "auto") -> TrainedDetector:
        """Load a run; nothing is unpickled.

        Raises:
            InputError: if it holds no trained model yet, a file of it is missing or damaged, or was changed
                after the training.
        """
        if not (run.path / "model.safetensors").is_file():
            raise InputError(
                f"{run.path}: holds no trained model yet; run the same 'jetad train' command again"
            )
        config = run.config()
        weights, preprocessing = run.load_weights(), run.read_json("preprocessing.json")
        calibration = run.read_calibration()
        where = select_device(device)
        members = []
        for name, member in config.members.items():
            with _damaged(run.path / "preprocessing.json"):
                preprocessor = preprocessor_from_dict(Fields(preprocessing).part(name).values)
                if preprocessor.config != member.preprocessing:
                    raise InputError(f"the settings of member '{name}' are others than those of config.yaml")
            model: EnergyModel = model_class(config.method)(preprocessor.shape, member.network, member.model)
            prefix = f"{name}."
            own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            try:
                model.load_state_dict(own)
            except (RuntimeError, TypeError, ValueError) as error:
                what = " ".join(str(error).split())[:300]
                raise InputError(
                    f"{run.path}: its files do not fit together (member '{name}': {what})"
                ) from error
            if any(v.is_floating_point() and bool(v.isnan().any()) for v in own.values()):
                raise InputError(
                    f"{run.path / 'model.safetensors'}: member '{name}' has weights that are no numbers"
                )
            with _damaged(run.path / "calibration.json"):
                surprise = Surprise.from_dict(Fields(calibration).part("members").part(name).values)
            members.append(Member(name, preprocessor, model.to(where).eval().requires_grad_(False), surprise))
        with _damaged(run.path / "calibration.json"):
            background = calibration_from_dict(Fields(calibration).any("background"))
        metadata = {
            "run": run.path.resolve().name,
            "model_hash": run.model_hash(),
            "method": config.method,
            "calibration_hash": file_hash(run.path / "calibration.json")[:16],
        }
        return cls(members, background, where, metadata, Training.of(run, calibration))

    def energies(self, jets: Jets) -> dict[str, NDArray[np.float64]]:
        """Energies by member, each ``(n_jets,)``."""
        return {member.name: member.energies(jets, self.device) for member in self.members}

    def combine(self, energies: dict[str, NDArray[np.float64]]) -> NDArray[np.float32]:
        """Energies by member to scores, ``(n_jets,)`` float32."""
        if len(self.members) == 1:
            return energies[self.members[0].name].astype(np.float32)
        surprises = []
        for member in self.members:
            assert member.surprise is not None
            surprises.append(member.surprise(energies[member.name]))
        # NaN where any member has NaN
        result: NDArray[np.float32] = np.max(surprises, axis=0).astype(np.float32)
        return result

    def score(self, jets: Any) -> Any:
        """Anomaly scores, ``(n_jets,)`` float32; NaN for jets that cannot be scored.

        Arguments:
            jets: ``Jets``, an awkward array or a padded NumPy array of constituents (see
                :func:`jetad.adapters.as_jets`), or images ``(n_jets, n_channels, n_eta, n_phi)`` as the run
                makes them. An awkward array with events gives lists of scores per event.

        Raises:
            InputError: for data of another shape, or images for a detector that needs constituents.
        """
        if isinstance(jets, np.ndarray) and jets.ndim == 4:
            return self.combine({m.name: m.image_energies(jets, self.device) for m in self.members})
        adapted = as_jets(jets)
        return adapted.restore(self.combine(self.energies(adapted.jets)))

    def background_efficiencies(self, jets: Any) -> Any:
        """Fraction of held-out background at least as anomalous, ``(n_jets,)`` float32; as ``score``."""
        adapted = as_jets(jets)
        return adapted.restore(self.evaluate(adapted.jets).background_efficiency)

    def evaluate(self, jets: Jets) -> Scores:
        """Scores with everything a score file holds, rows in the order of ``jets``."""
        score = self.score(jets)
        columns: dict[str, Any] = {"label": jets.labels}  # None where the file has no truth
        if self.background_efficiency is not None:
            needed = {name: getattr(jets, name) for name in self.background_efficiency.columns}
            columns["background_efficiency"] = self.background_efficiency(score, needed)
            if isinstance(self.background_efficiency, DecorrelatedEfficiency):
                columns["extra"] = {"score_decorrelated": self.background_efficiency.transform(score, needed)}
        return Scores(
            score=score,
            entry=jets.entry,
            jet=jets.position,
            jet_pt=jets.jet_pt,
            jet_eta=jets.jet_eta,
            jet_phi=jets.jet_phi,
            jet_mass=jets.jet_mass,
            **columns,
        )


def load(run: Run | str | Path, device: str = "auto") -> TrainedDetector:
    """The trained detector of a run directory: ``jetad.load("runs/latest").score(jets)``.

    Arguments:
        run: The directory, or an open run.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        InputError: if it is no finished run.
    """
    return TrainedDetector.from_run(run if isinstance(run, Run) else Run.open(run), device)


def calibrate(
    run: Run,
    paths: Sequence[Path],
    *,
    device: str = "auto",
    in_bins_of: Mapping[str, Sequence[float] | int] | None = None,
    decorrelate: str | None = None,
    weight: str | None = None,
    select: str | None = None,
    max_jets: int | None = None,
    options: ReadOptions | None = None,
    allow: Collection[str] = (),
) -> Calibration:
    """Measure background efficiencies on files of background and keep them in the run.

    Arguments:
        run: The trained run; its ``calibration.json`` is replaced.
        paths: Background that it was not trained on; read in a stream.
        device: Where to score.
        in_bins_of: Quantity (``jet_pt``, ``jet_mass``) -> inner edges, or the number of bins of equal
            content; efficiencies then hold in each bin.
        decorrelate: Quantity that the score is made independent of.
        weight: Column of event weights.
        select: Cuts, as :class:`~jetad.selection.Selection` takes them.
        max_jets: Stop after that many jets, counted after the selection.
        options: How the files are read.
        allow: What is refused otherwise, as :func:`jetad.allowed.refuse` takes it.

    Raises:
        ConfigError: for options that exclude each other, or a quantity that jets do not have.
        InputError: for a file the run was trained on (by content), one without jets or without the column
            of weights, with jets labelled as signal or of other units than the training, or too few jets.
    """
    from .readers import iterate

    quantities = [*(in_bins_of or {}), *([decorrelate] if decorrelate else [])]
    for name in quantities:
        resolve(dict.fromkeys(QUANTITIES, ""), name, "jet quantity")
    if decorrelate and (in_bins_of or weight):
        raise ConfigError("decorrelation cannot be combined with bins or event weights")
    trained = {entry["sha256"]: entry["path"] for entry in run.provenance.get("inputs", [])}
    for path in paths:
        if path.is_file() and (same := trained.get(file_hash(path))):
            raise InputError(
                f"{path}: the detector was trained on this file ({same}); calibrate on jets it has not seen"
            )
    detector = TrainedDetector.from_run(run, device)
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in ("score", "weight", *quantities)}
    selection = None if select is None else Selection(select)
    left = np.inf if max_jets is None else max_jets
    looked_at: set[Path] = set()
    for path in paths:
        for jets in iterate(path, **(options or {})):
            if selection is not None:
                jets = selection(jets, where=str(path))
            jets = jets[: int(left)] if len(jets) > left else jets
            left -= len(jets)
            if not len(jets):
                continue
            detector.training.check(jets, path, allow)
            if jets.labels is not None:
                check_labels(int((jets.labels == 1).sum()), int((jets.labels == 0).sum()), str(path), allow)
            if path not in looked_at:
                looked_at.add(path)
                _say(detector.training.remarks(jets), path)
                if weight is None and jets.weights is not None and np.ptp(jets.weights) > 0:
                    _say(["has event weights, and every jet counts once; --weight weight uses them"], path)
            with of_file(path):
                parts["score"].append(detector.score(jets))
            for name in quantities:
                parts[name].append(getattr(jets, name))
            if weight is not None:
                parts["weight"].append(_weights(jets, weight, path))
    if not parts["score"]:
        raise InputError(f"{paths[0]}: holds zero jets" + (f" that pass '{select}'" if select else ""))
    values = {name: np.concatenate(part) for name, part in parts.items() if part}
    calibration: Calibration
    if in_bins_of:
        edges = {
            name: quantile_edges(values[name], wanted) if isinstance(wanted, int) else wanted
            for name, wanted in in_bins_of.items()
        }
        calibration = BinnedEfficiency.fit(values["score"], values, edges, values.get("weight"))
    elif decorrelate:
        calibration = DecorrelatedEfficiency.fit(values["score"], values, decorrelate)
    else:
        calibration = BackgroundEfficiency(values["score"], values.get("weight"))
    run.write_calibration(
        {
            **run.read_calibration(),
            "background": calibration.to_dict(),
            "source": [without_secrets(str(path)) for path in paths],
            "select": select,
        }
    )
    return calibration


def _say(sentences: Sequence[str], path: Path) -> None:
    for sentence in sentences:
        logger.warning("warning: %s: %s", path, sentence)


def _weights(jets: Jets, name: str, path: Path) -> NDArray[np.float64]:
    if name in jets.observables:
        return np.asarray(jets.observables[name], dtype=np.float64)
    if name == "weight" and jets.weights is not None:
        return jets.weights
    available = ", ".join(closest_first(name, jets.observables)) or "none"
    raise InputError(f"{path}: has no column '{name}' of event weights; available: {available}")
