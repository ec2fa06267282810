"""Background efficiencies measured on files of background, kept in the run."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration import (
    QUANTITIES,
    BackgroundEfficiency,
    BinnedEfficiency,
    Calibration,
    DecorrelatedEfficiency,
    quantile_edges,
)
from ..checks.jets import check_labels, remark_on_azimuth
from ..errors import ConfigError, InputError, of_file, without_secrets
from ..jets import Selection
from ..readers import ReadOptions
from ..registry import resolve
from ..runs import Run
from ..runs.provenance import file_hash
from .detector import TrainedDetector

__all__ = ["calibrate"]

logger = logging.getLogger("jetad.scoring")


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
        select: Cuts, as :class:`~jetad.jets.Selection` takes them.
        max_jets: Stop after that many jets, counted after the selection.
        options: How the files are read.
        allow: What is refused otherwise, as :func:`jetad.checks.allowed.refuse` takes it.

    Raises:
        ConfigError: for options that exclude each other, or a quantity that jets do not have.
        InputError: for a file the run was trained on (by content), one without jets or without the column
            of weights, with jets labelled as signal or of other units than the training, or too few jets.
    """
    from ..readers import collection_of, iterate

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
                remarks = [remark_on_azimuth(jets.jet_phi)]
                if detector.training.collection:
                    collection = collection_of(path, **(options or {}))
                    remarks.append(detector.training.remark_on_collection(collection))
                _say(filter(None, remarks), path)
                if weight is None and jets.weights is not None and np.ptp(jets.weights) > 0:
                    _say(["has event weights, and every jet counts once; --weight weight uses them"], path)
            with of_file(path):
                parts["score"].append(detector.score(jets))
            for name in quantities:
                parts[name].append(getattr(jets, name))
            if weight is not None:
                with of_file(path):
                    column = jets.column(weight, " of event weights")
                parts["weight"].append(column.astype(np.float64))
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
            "sha256": [file_hash(path) for path in paths if path.is_file()],
        }
    )
    return calibration


def _say(sentences: Iterable[str], path: Path) -> None:
    for sentence in sentences:
        logger.warning("warning: %s: %s", path, sentence)
