"""Trained detectors: from jets, or files of jets, to scores."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import Unpack

from .calibration import BackgroundEfficiency, Surprise
from .errors import ConfigError, InputError
from .jets import Jets
from .models import model_class
from .models.base import EnergyModel
from .preprocessing import Preprocessor, preprocessor_from_dict
from .readers import ReadOptions
from .run import Run, file_hash
from .scores import Scores, ScoreWriter
from .selection import Selection

__all__ = ["Member", "ScoreSummary", "TrainedDetector", "calibrate", "score_file", "select_device"]

logger = logging.getLogger("jetad.scoring")

_BATCH = 4096


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
        """Energies of jets, ``(n_jets,)``; NaN for jets that cannot be represented."""
        out = np.empty(len(jets), dtype=np.float64)
        for start in range(0, len(jets), _BATCH):
            rows = slice(start, start + _BATCH)
            x = torch.from_numpy(self.preprocessor.transform(jets[rows])).to(device)
            out[rows] = self.model.score(x).cpu().numpy()
        return out


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
        metadata = {"run": run.path.resolve().name, "model_hash": run.model_hash(), "method": config.method}
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


class ScoreSummary(NamedTuple):
    """The account of one scored file: ``read = scored + failed + selected_out``."""

    input: str
    output: str
    read: int
    scored: int
    failed: int
    selected_out: int = 0


def score_file(
    detector: TrainedDetector,
    path: Path,
    output: Path,
    *,
    force: bool = False,
    keep: Sequence[str] = (),
    step: int = 20_000,
    select: Selection | None = None,
    max_jets: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    **options: Unpack[ReadOptions],
) -> ScoreSummary:
    """Score every jet of a file, chunk by chunk, and write the score file.

    Arguments:
        detector: The trained detector.
        path: File of jets.
        output: Score file; its suffix chooses the format.
        force: Replace an existing output.
        keep: Columns of the input to carry along.
        step: Jets in memory at once.
        select: Score only jets that pass; the others have no row and are counted.
        max_jets: Stop after that many jets of the file.
        progress: Called with (jets done, jets in all).
        options: How the file is read (:class:`~jetad.readers.ReadOptions`).

    Raises:
        InputError: if the file cannot be read or lacks a column to keep; no output is left.
    """
    from .readers import count, iterate

    total = count(path, **options)
    total = total if max_jets is None else min(total, max_jets)
    read = failed = selected_out = 0
    with ScoreWriter(output, force=force) as writer:
        for jets in _checked(iterate(path, step=step, **options), path):
            jets = jets[: total - read]
            read += len(jets)
            if select is not None:
                n_before = len(jets)
                jets = select(jets, where=str(path))
                selected_out += n_before - len(jets)
            scores = detector.evaluate(jets)
            for name in keep:
                if name not in jets.observables:
                    available = ", ".join(sorted(jets.observables)) or "none"
                    raise InputError(f"{path}: has no column '{name}' to keep; available: {available}")
            if keep:
                scores = dataclasses.replace(scores, extra={name: jets.observables[name] for name in keep})
            writer.append(scores)
            failed += int(np.isnan(scores.score).sum())
            if progress is not None:
                progress(read, total)
            if read >= total:
                break
        writer.finish(
            {
                **detector.metadata,
                "input": str(path),
                "n_read": read,
                "n_scored": read - failed - selected_out,
                "n_selected_out": selected_out,
                "n_failed": failed,
                **({} if select is None else {"selection": select.text}),
            }
        )
    if failed:
        logger.warning(
            "%s: %d of %d jets could not be scored (no constituents or non-finite); score = NaN",
            path,
            failed,
            read - selected_out,
        )
    if select is not None:
        logger.info("%s: cut flow\n%s", path, select.flow)
    return ScoreSummary(str(path), str(output), read, read - failed - selected_out, failed, selected_out)


def _checked(chunks: Iterator[Jets], path: Path) -> Iterator[Jets]:
    """The chunks; a file without any jet is an error, not an empty output."""
    empty = True
    for jets in chunks:
        empty = empty and len(jets) == 0
        yield jets
    if empty:
        raise InputError(f"{path}: holds zero jets, there is nothing to score")


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
