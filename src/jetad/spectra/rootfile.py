"""Histograms as ROOT TH1D, for ROOT itself, combine, cabinetry and everything else that reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, InputError
from ..files import atomic_output
from .histogram import Histogram

__all__ = ["root_name", "write_histograms"]


def root_name(name: str) -> str:
    """A name that every tool takes: letters, digits and underscores.

    Example:
        >>> root_name("Z' -> dark"), root_name("2 tops")
        ('Z_dark', 'h2_tops')
    """
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "signal"
    return plain if not plain[0].isdigit() else f"h{plain}"


def write_histograms(
    histograms: Mapping[str, Histogram],
    path: str | Path,
    *,
    metadata: Mapping[str, Any] | None = None,
    force: bool = False,
) -> None:
    """Write one ROOT file with a TH1D for each histogram, its errors (Sumw2), underflow and overflow.

    Arguments:
        histograms: By name; ``folder/name`` is put into a folder. Names get letters, digits and underscores.
        path: The file, ``.root``.
        metadata: Kept as JSON in the TObjString ``jetad_provenance``.
        force: Replace a file that exists.

    Raises:
        ConfigError: for another suffix.
        InputError: if two names become the same.
        OutputError: if the file exists and not ``force``, or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".root":
        raise ConfigError(f"{path}: histograms are written as ROOT; end the name in .root")
    named: dict[str, Histogram] = {}
    for name, histogram in histograms.items():
        plain = "/".join(root_name(part) for part in name.split("/"))
        if plain in named:
            raise InputError(
                f"'{name}' would have the name of another histogram, '{plain}'; call one differently"
            )
        named[plain] = histogram
    import uproot

    with atomic_output(path, force=force) as temporary, uproot.recreate(temporary.absolute()) as file:
        for name, histogram in named.items():
            file[name] = _th1d(name.rpartition("/")[2], histogram)
        file["jetad_provenance"] = json.dumps(dict(metadata or {}), sort_keys=True)


def _th1d(name: str, histogram: Histogram) -> Any:
    from uproot.writing import identify

    values, edges = histogram.values(), histogram.edges
    centres = (edges[1:] + edges[:-1]) / 2
    axis = identify.to_TAxis(
        fName="xaxis", fTitle=histogram.label, fNbins=len(values), fXmin=edges[0], fXmax=edges[-1],
        fXbins=edges.astype(">f8"),
    )  # fmt: skip
    return identify.to_TH1x(
        fName=name, fTitle=name, data=histogram.values(flow=True).astype(">f8"),
        fEntries=float(histogram.entries or values.sum()), fTsumw=values.sum(),
        fTsumw2=histogram.variances().sum(), fTsumwx=np.sum(values * centres),
        fTsumwx2=np.sum(values * centres**2),
        fSumw2=histogram.variances(flow=True).astype(">f8"), fXaxis=axis,
    )  # fmt: skip
