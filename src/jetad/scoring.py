"""Trained detectors: from jets, or files of jets, to scores."""

from __future__ import annotations

import copy
import logging
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .calibration import BackgroundEfficiency, Surprise
from .errors import ConfigError, InputError
from .jets import Jets
from .models import model_class
from .models.base import EnergyModel
from .preprocessing import Preprocessor, preprocessor_from_dict
from .run import Run, file_hash
from .scores import Scores

__all__ = ["Member", "TrainedDetector", "calibrate", "select_device"]

logger = logging.getLogger("jetad.scoring")

# jets scored at once: what stays in the cache of a CPU core, and what fills a GPU
_CPU_BATCH, _GPU_BATCH = 512, 16384
# linear algebra takes another path for a handful of rows, and its last bits differ: no batch is smaller
_MIN_BATCH = 32

_doubles: weakref.WeakKeyDictionary[EnergyModel, tuple[int, EnergyModel]] = weakref.WeakKeyDictionary()


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
        number of rows and threads, and scores with it, by some 1e-6 of their size.
        """
        out = np.empty(len(jets), dtype=np.float64)
        on_cpu = device.type == "cpu"
        model, batch = (_in_double(self.model), _CPU_BATCH) if on_cpu else (self.model, _GPU_BATCH)
        for start in range(0, len(jets), batch):
            rows = slice(start, start + batch)
            x = torch.from_numpy(self.preprocessor.transform(jets[rows]))
            n = len(x)
            if n < _MIN_BATCH:
                x = torch.cat([x, x.new_zeros(_MIN_BATCH - n, *x.shape[1:])])
            x = x.double() if on_cpu else x.to(device)
            out[rows] = model.score(x)[:n].cpu().numpy()
        return out


def _in_double(model: EnergyModel) -> EnergyModel:
    """A float64 copy of a network, made once for the weights it has now."""
    # in-place changes of a tensor, such as a step of an optimiser, raise its version
    version = sum(t._version for t in (*model.parameters(), *model.buffers()))
    known = _doubles.get(model)
    if known is None or known[0] != version:
        known = version, copy.deepcopy(model).double().eval().requires_grad_(False)
        _doubles[model] = known
    return known[1]


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
    """

    def __init__(
        self,
        members: Sequence[Member],
        background_efficiency: BackgroundEfficiency | None,
        device: torch.device,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.members = list(members)
        self.background_efficiency = background_efficiency
        self.device = device
        self.metadata = metadata or {}

    def __repr__(self) -> str:
        return f"TrainedDetector({', '.join(m.name for m in self.members)})"

    @classmethod
    def from_run(cls, run: Run, device: str = "auto") -> TrainedDetector:
        """Load a run; nothing is unpickled."""
        config = run.config()
        weights = run.load_weights()
        preprocessing, calibration = run.read_json("preprocessing.json"), run.read_json("calibration.json")
        where = select_device(device)
        members = []
        for name, member in config.members.items():
            try:
                preprocessor = preprocessor_from_dict(preprocessing[name])
                model: EnergyModel = model_class(config.method)(preprocessor.shape, member.network)
                prefix = f"{name}."
                model.load_state_dict(
                    {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
                )
                surprise = Surprise.from_dict(calibration["members"][name])
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                raise InputError(
                    f"{run.path}: its files do not fit together (member '{name}': {error})"
                ) from error
            members.append(Member(name, preprocessor, model.to(where).eval().requires_grad_(False), surprise))
        metadata = {
            "run": run.path.resolve().name,
            "model_hash": run.model_hash(),
            "method": config.method,
            "calibration_hash": file_hash(run.path / "calibration.json")[:16],
        }
        return cls(members, BackgroundEfficiency.from_dict(calibration["background"]), where, metadata)

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
        return np.max(surprises, axis=0).astype(np.float32)  # NaN where any member has NaN

    def score(self, jets: Jets) -> NDArray[np.float32]:
        """Anomaly scores, ``(n_jets,)`` float32; NaN for jets that cannot be scored."""
        return self.combine(self.energies(jets))

    def evaluate(self, jets: Jets) -> Scores:
        """Scores with everything a score file holds, rows in the order of ``jets``."""
        score = self.score(jets)
        columns: dict[str, Any] = {"label": jets.labels}  # None where the file has no truth
        if self.background_efficiency is not None:
            columns["background_efficiency"] = self.background_efficiency(score)
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


def calibrate(run: Run, paths: Sequence[Path], *, device: str = "auto") -> BackgroundEfficiency:
    """Measure background efficiencies on files of background and keep them in the run.

    Raises:
        InputError: for a file the run was trained on (by content), or one without jets.
    """
    from .readers import read

    trained = {entry["sha256"]: entry["path"] for entry in run.provenance.get("inputs", [])}
    for path in paths:
        if path.is_file() and (same := trained.get(file_hash(path))):
            raise InputError(
                f"{path}: the detector was trained on this file ({same}); calibrate on jets it has not seen"
            )
    detector = run.detector(device)
    calibration = BackgroundEfficiency(detector.score(read(paths)))
    run.write_json(
        "calibration.json",
        {
            **run.read_json("calibration.json"),
            "background": calibration.to_dict(),
            "source": [str(path) for path in paths],
        },
    )
    return calibration
