"""What a detector was trained on, to notice jets that it was not made for."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..checks.jets import TrainingJets
from ..errors import InputError, JetadError
from ..jets import Jets
from ..runs import Run

__all__ = ["Training", "damaged"]


@contextlib.contextmanager
def damaged(path: Path) -> Iterator[None]:
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
    calibration_inputs: frozenset[str] = frozenset()  # SHA-256 of the files
    collection: str | None = None  # of jets, where events hold several

    @classmethod
    def of(cls, run: Run, calibration: Mapping[str, Any]) -> Training:
        """What a run says of it; runs of earlier versions say less.

        Raises:
            InputError: if its provenance is damaged.
        """
        known = run.provenance
        with damaged(run.path / "provenance.json"):
            jets = TrainingJets.from_dict(known.get("training_jets"))
        reading = known.get("reading") or {}
        select, calibrated, collection = (
            value if isinstance(value, str) else None
            for value in (reading.get("select"), calibration.get("select"), known.get("collection"))
        )
        hashes = calibration.get("sha256")
        return cls(
            jets,
            frozenset(str(entry["sha256"]) for entry in known.get("inputs", []) if entry.get("sha256")),
            select,
            calibrated,
            frozenset(map(str, hashes)) if isinstance(hashes, list) else frozenset(),
            collection,
        )

    def check(self, jets: Jets, where: str | Path, allow: Collection[str] = ()) -> None:
        """Refuse jets whose units cannot be those of the training.

        Raises:
            InputError: unless ``range`` is allowed.
        """
        if self.jets is not None:
            self.jets.check_units(jets, str(where), allow)

    def remark_on_collection(self, collection: str | None) -> str | None:
        """A sentence on jets of another collection than those of the training; ``None`` if it is the same.

        Arguments:
            collection: Name of what is read, ``None`` where files hold one kind of jets.
        """
        if collection is None or self.collection is None or collection == self.collection:
            return None
        return (
            f"jets are those of '{collection}', the detector was trained on those of '{self.collection}': "
            f"they may be clustered or calibrated in another way; --collection {self.collection} reads those"
        )

    def remarks(self, jets: Jets) -> list[str]:
        """Sentences on jets that are unlike those of the training."""
        if self.jets is None or not len(jets):
            return []
        found = (
            self.jets.remark(self.jets.n_outside(jets.jet_pt), len(jets)),
            self.jets.remark_on_radius(jets),
        )
        return [sentence for sentence in found if sentence]
