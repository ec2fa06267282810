"""What is in a file of jets: ranges, truth, and what could go wrong, from one streamed pass."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Unpack

from ..checks.jets import remark_on_azimuth
from ..jets import Selection
from ..preprocessing.images import MAX_ETA, MAX_PHI
from . import FileSummary, ReadOptions, describe, iterate
from .totals import PT_FACTOR, Agreement, Totals

__all__ = ["Inspection", "Overlap", "Spread", "find_overlaps", "inspect_file"]

_MIN_AGREE = 0.9


class Spread(NamedTuple):
    """Range and mean of the finite values of one quantity; NaN where there are none."""

    minimum: float
    mean: float
    maximum: float


class Overlap(NamedTuple):
    """Jets that two files share."""

    first: str
    second: str
    n_jets: int  # distinct jets that stand in both


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What one file holds.

    Arguments:
        summary: Format, tree or dataset, columns, units.
        n_jets: Jets read.
        spreads: Jet pT, mass [GeV], eta, phi [rad] and multiplicity -> range and mean.
        labels: Jets called ``background``, ``signal`` and ``unknown``; ``None`` without truth.
        n_not_finite: Jets with a NaN or infinite constituent.
        n_empty: Jets without constituents.
        n_unsorted: Jets whose constituents are not in falling pT.
        n_duplicates: Jets that repeat an earlier one of the file, in any order of constituents.
        n_full: Jets that fill all zero-padded slots; ``None`` for jagged files.
        padding_fraction: Fraction of slots that are padding; ``None`` for jagged files.
        warnings: What the user should know, in words.
        hashes: Distinct hashes of the jets, sorted; 8 bytes a jet, the only thing that grows with the file.
        has_constituents: False where the file holds only jet momenta or images.
        stored: How the sums of the constituents compare with the jets of the file, if it has both.
        charged_fraction: Part of the pT of all constituents that is charged; ``None`` where the file does not
            say.
    """

    summary: FileSummary
    n_jets: int
    spreads: dict[str, Spread]
    labels: dict[str, int] | None
    n_not_finite: int
    n_empty: int
    n_unsorted: int
    n_duplicates: int
    n_full: int | None
    padding_fraction: float | None
    warnings: tuple[str, ...]
    hashes: NDArray[np.uint64] = dataclasses.field(repr=False)
    has_constituents: bool = True
    charged_fraction: float | None = None
    stored: Agreement | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON: plain numbers, ``None`` for what is not finite."""
        s = self.summary
        return {
            "file": str(s.path),
            "reader": s.reader,
            "container": s.container,
            "dataset": s.dataset,
            "n_jets": self.n_jets,
            "units": s.units,
            "n_entries": s.n_entries,
            "notes": list(s.notes),
            "columns": s.columns,
            "n_slots": s.n_slots,
            "truth": list(s.truth),
            "observables": list(s.observables),
            "labels": self.labels,
            "spreads": {
                name: {
                    key: value if math.isfinite(value) else None for key, value in spread._asdict().items()
                }
                for name, spread in self.spreads.items()
            },
            "n_not_finite": self.n_not_finite,
            "n_empty": self.n_empty,
            "n_unsorted": self.n_unsorted,
            "n_duplicates": self.n_duplicates,
            "n_full": self.n_full,
            "padding_fraction": self.padding_fraction,
            "charged_fraction": self.charged_fraction,
            "stored_jets": None
            if self.stored is None
            else {k: v if math.isfinite(v) else None for k, v in self.stored._asdict().items()},
            "warnings": list(self.warnings),
        }


def inspect_file(
    path: str | Path,
    *,
    step: int = 20_000,
    select: Selection | None = None,
    max_jets: int | None = None,
    **options: Unpack[ReadOptions],
) -> Inspection:
    """Read a file once, in pieces, and say what is in it: of all jets, or those that pass ``select``.

    Raises:
        InputError: if it cannot be read. Momenta in MeV are a warning here.
    """
    summary = describe(path, **options)
    # observables stay as the file has them
    unit = 1e-3 if summary.units == "GeV (converted from MeV)" else 1.0
    totals = Totals(stored=summary.stored, unit=unit)
    options = {**options, "reader": summary.reader}
    n_read = 0
    for jets in iterate(path, step=step, check_units=False, **options):
        if max_jets is not None:
            jets = jets[: max(max_jets - n_read, 0)]
        n_read += len(jets)
        totals.add(jets if select is None else select(jets, str(path)), summary.n_slots)
        if n_read == max_jets:
            break
    hashes = np.concatenate(totals.hashes) if totals.hashes else np.zeros(0, dtype=np.uint64)
    distinct = np.unique(hashes)
    spreads = {}
    for name, (low, total, high, n) in totals.moments.items():
        spreads[name] = Spread(low, total / n, high) if n else Spread(math.nan, math.nan, math.nan)
    labels = None
    if totals.labels is not None:
        labels = dict(zip(("unknown", "background", "signal"), totals.labels.tolist(), strict=True))
    padded = summary.n_slots is not None
    n_slots = totals.n_jets * (summary.n_slots or 0)
    result = Inspection(
        summary=summary,
        n_jets=totals.n_jets,
        spreads=spreads,
        labels=labels,
        n_not_finite=totals.n_not_finite,
        n_empty=totals.n_empty,
        n_unsorted=totals.n_unsorted,
        n_duplicates=len(hashes) - len(distinct),
        n_full=totals.n_full if padded else None,
        padding_fraction=1 - totals.n_filled / n_slots if n_slots else None,
        warnings=(),
        hashes=distinct,
        has_constituents=totals.has_constituents,
        charged_fraction=totals.charged_pt / totals.known_pt if totals.known_pt else None,
        stored=totals.agreement(),
    )
    warnings = [*summary.warnings, *_warnings(result, totals)]
    return dataclasses.replace(result, warnings=tuple(warnings))


def _warnings(found: Inspection, totals: Totals) -> Iterable[str]:
    def jets(n: int) -> str:
        return f"{n} jet{'s' if n != 1 else ''} of {found.n_jets}"

    if found.n_not_finite:
        what = "constituents" if found.has_constituents else "momenta or pixels"
        yield f"{jets(found.n_not_finite)} with NaN or infinite {what}: their score will be NaN"
    if totals.n_astray:
        yield (
            f"{jets(totals.n_astray)} with constituents of |eta| > {MAX_ETA:g} or |phi| > {MAX_PHI:g}, which "
            "are no directions: their score will be NaN"
        )
    if found.n_empty:
        yield f"{jets(found.n_empty)} without constituents: their score will be NaN"
    if totals.n_uncharged:
        yield f"{jets(totals.n_uncharged)} with constituents of unknown charge: no charged or neutral image"
    if found.n_duplicates:
        yield f"{jets(found.n_duplicates)} repeat an earlier one of the same file"
    if found.n_unsorted:
        yield f"{jets(found.n_unsorted)} with constituents not in falling pT order (images ignore the order)"
    if found.n_full:
        n_slots = found.summary.n_slots
        yield f"{jets(found.n_full)} fill all {n_slots} slots: softer constituents may have been cut"
    if found.labels and found.labels["unknown"]:
        yield f"{jets(found.labels['unknown'])} have truth that is neither background nor signal"
    if sentence := remark_on_azimuth(totals.azimuth):
        yield sentence
    if found.stored is not None:
        yield from _of_the_sums(found.stored)


def _of_the_sums(found: Agreement) -> Iterable[str]:
    """A sentence where the constituents are not those of the stored jets."""
    if not 1 / PT_FACTOR < found.pt_ratio < PT_FACTOR:
        yield f"the file's jet_pt is {found.pt_ratio:.3g} times the pT of the summed constituents (median)"
    elif found.n_agree < _MIN_AGREE * found.n_compared:
        more = "" if math.isnan(found.eta) else f", eta off by {found.eta:.2g}"
        more += "" if math.isnan(found.mass) else f", mass by {found.mass:.2g} GeV"
        n_off = found.n_compared - found.n_agree
        yield (
            f"the constituents do not add up to {n_off} of {found.n_compared} jets of the file (median: pT "
            f"{found.pt_ratio:.3f} times the sum{more}): some are missing, or belong to other jets, or have "
            "wrong momenta"
        )


def find_overlaps(inspections: Sequence[Inspection]) -> list[Overlap]:
    """Pairs of files that share jets, as training and test sets never should."""
    overlaps = []
    for a, b in itertools.combinations(inspections, 2):
        n = len(np.intersect1d(a.hashes, b.hashes, assume_unique=True))
        if n:
            overlaps.append(Overlap(str(a.summary.path), str(b.summary.path), n))
    return overlaps
