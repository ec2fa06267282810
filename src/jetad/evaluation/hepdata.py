"""ROC curves as a HEPData submission: a folder of YAML tables with their uncertainties."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..errors import OutputError, encodable
from ..files import atomic_output, refuse_inputs
from . import Band, Evaluation, SignalSpread, Spread

__all__ = ["write_hepdata"]

#: Signal efficiencies of the tabulated curves.
_GRID = np.concatenate([[0.01, 0.02], np.linspace(0.05, 1.0, 39).round(3)])


def write_hepdata(
    curves: Sequence[Evaluation | Spread],
    folder: str | Path,
    *,
    comment: str = "",
    force: bool = False,
    inputs: Iterable[str | Path] = (),
) -> list[Path]:
    """Write ``submission.yaml`` and one table a curve, in the format of hepdata-submission.readthedocs.io.

    A table gives the background rejection with its asymmetric uncertainty at fixed signal efficiencies, and
    the AUC as a qualifier. Points where no background jet is left are not tabulated: HEPData has no bounds.

    Arguments:
        curves: Evaluations (uncertainty "stat") or spreads over runs (uncertainty "runs").
        folder: Made if it is missing.
        comment: The abstract of the submission.
        force: Replace files that exist.
        inputs: Files that are read and must stay.

    Returns:
        The files.

    Raises:
        OutputError: if a file exists and not ``force``, or cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be made ({error.strerror})") from error
    first = {"comment": comment or "ROC curves of jet anomaly detection, made by jetad"}
    documents: list[Mapping[str, Any]] = [first]
    tables: list[tuple[Path, str]] = []
    for evaluation in curves:
        for signal, result in evaluation.signals.items():
            name = f"ROC {signal} {evaluation.name}".strip()
            file = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") + ".yaml"
            if isinstance(result, SignalSpread):
                band = _read(result.band)
                n_signal, auc, spread, source = None, result.auc, result.auc_spread, "runs"
            else:
                band = (
                    _read(result.band) if result.band is not None
                    else Band(_GRID, *result.curve.rejection_band(_GRID))
                )  # fmt: skip
                n_signal, source = result.curve.n_signal, "stat"
                auc, spread = result.curve.auc, result.curve.auc_error
            table = _table(band, signal, evaluation, n_signal, auc, spread, source)
            tables.append((folder / file, yaml.safe_dump(table, sort_keys=False)))
            documents.append(
                {
                    "name": name[:64],
                    "description": f"Background rejection against signal efficiency for {signal}.",
                    "keywords": [
                        {"name": "reactions", "values": []},
                        {"name": "observables", "values": ["EFF"]},
                        {"name": "phrases", "values": ["jet tagging", "anomaly detection", "ROC curve"]},
                        {"name": "cmenergies", "values": []},
                    ],
                    "data_file": file,
                }
            )
    tables.append((folder / "submission.yaml", yaml.safe_dump_all(documents, sort_keys=False)))
    written = [path for path, _ in tables]
    refuse_inputs(written, inputs)
    for path, text in tables:
        with atomic_output(path, force=force) as temporary:
            temporary.write_text(encodable(text), encoding="utf-8")
    return [written[-1], *written[:-1]]


def _read(band: Band) -> Band:
    """The band at the tabulated efficiencies."""
    columns = (np.interp(_GRID, band.signal_efficiency, column) for column in band[1:])
    return Band(_GRID, *columns)


def _table(
    band: Band,
    signal: str,
    evaluation: Evaluation | Spread,
    n_signal: int | None,
    auc: float,
    auc_error: float,
    source: str,
) -> dict[str, Any]:
    known = np.isfinite(band.value)
    rows = []
    for value, low, high in zip(band.value[known], band.low[known], band.high[known], strict=True):
        row: dict[str, Any] = {"value": _round(value)}
        if math.isfinite(low) and math.isfinite(high):
            errors = {"plus": _round(high - value), "minus": -_round(value - low)}
            row["errors"] = [{"asymerror": errors, "label": source}]
        rows.append(row)
    qualifiers = [
        {"name": "Signal", "value": signal},
        {"name": "Background jets", "value": evaluation.n_background},
        {"name": "AUC", "value": f"{auc:.4f} +- {auc_error:.4f}"},
    ]
    if evaluation.name:
        qualifiers.insert(0, {"name": "Detector", "value": evaluation.name})
    if n_signal is not None:
        qualifiers.insert(-1, {"name": "Signal jets", "value": n_signal})
    return {
        "independent_variables": [
            {
                "header": {"name": "Signal efficiency"},
                "values": [{"value": _round(x)} for x in band.signal_efficiency[known]],
            }
        ],
        "dependent_variables": [
            {
                "header": {"name": "Background rejection 1/eff_B"},
                "qualifiers": qualifiers,
                "values": rows,
            }
        ],
    }


def _round(value: float) -> float:
    return float(f"{value:.5g}")
