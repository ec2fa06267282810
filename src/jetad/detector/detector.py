"""Trained detectors: from the directory of a run, and from jets to scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..calibration import (
    Calibration,
    DecorrelatedEfficiency,
    Surprise,
    calibration_from_dict,
)
from ..device import select_device
from ..errors import InputError
from ..files.fields import Fields
from ..jets import Jets, as_jets
from ..models import model_class
from ..models.base import EnergyModel
from ..preprocessing import preprocessor_from_dict
from ..runs import Run
from ..runs.provenance import file_hash
from ..scores import Scores
from ..shown import html_table
from .member import AT_ONCE_ON_CPU, Member
from .training import Training, damaged

__all__ = ["TrainedDetector", "load"]


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

    def _repr_html_(self) -> str:
        rows = [
            [member.name, type(member.model).__name__, " x ".join(map(str, member.preprocessor.shape))]
            for member in self.members
        ]
        title = f"Detector of run {self.metadata.get('run', '')}"
        return html_table(title, rows, ["member", "model", "input of a jet"])

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
            with damaged(run.path / "preprocessing.json"):
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
            with damaged(run.path / "calibration.json"):
                surprise = Surprise.from_dict(Fields(calibration).part("members").part(name).values)
            members.append(Member(name, preprocessor, model.to(where).eval().requires_grad_(False), surprise))
        with damaged(run.path / "calibration.json"):
            background = calibration_from_dict(Fields(calibration).any("background"))
        metadata: dict[str, Any] = {
            "run": run.path.resolve().name,
            "model_hash": run.model_hash(),
            "method": config.method,
            "calibration_hash": file_hash(run.path / "calibration.json")[:16],
            "smallest_background_efficiency": float(background.smallest),
        }
        if background.columns:
            metadata["independent_of"] = ", ".join(background.columns)
        return cls(members, background, where, metadata, Training.of(run, calibration))

    def energies(self, jets: Jets) -> dict[str, NDArray[np.float64]]:
        """Energies by member, each ``(n_jets,)``."""
        found = {member.name: np.empty(len(jets)) for member in self.members}
        scorers = {member.name: member.scorer(self.device) for member in self.members}
        # all members see the same few jets one after the other: those stay in the cache of a core
        step = AT_ONCE_ON_CPU if self.device.type == "cpu" else max(len(jets), 1)
        for first in range(0, len(jets), step):
            some = jets[first : first + step]
            for name, energies in scorers.items():
                found[name][first : first + step] = energies(some)
        return found

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
                :func:`jetad.jets.as_jets`), or images ``(n_jets, n_channels, n_eta, n_phi)`` as the run
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
            metadata=self.metadata,
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
