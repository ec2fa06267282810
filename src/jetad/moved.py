"""Where modules were until 0.1, for programs that import them from there: for one release, with a warning."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
import warnings
from collections.abc import Sequence

__all__ = ["MOVED", "OldNames"]

#: Old module -> the modules that have its names now; the first one stands in the warning.
MOVED = {
    "adapters": ["jets.convert"],
    "batches": ["distributed.shared_batch"],
    "conditional": ["calibration"],
    "device_rows": ["detector.inputs"],
    "distances": ["models.distances"],
    "encoders": ["runs"],
    "gallery": ["evaluation.anomalies"],
    "hepdata": ["evaluation.hepdata"],
    "inspection": ["readers.inspection", "jets.hashing", "plots.mean_images"],
    "kinematics": ["jets.kinematics"],
    "models.likelihood": ["models.density"],
    "negatives": ["detector.negatives"],
    "precision": ["device"],
    "ranks": ["distributed.process_group"],
    "reconstructions": ["detector.reconstructions"],
    "references": ["report.citations"],
    "run": ["runs", "runs.directory", "runs.provenance"],
    "samplers.contrastive": ["samplers.short_chain"],
    "samples": ["demo"],
    "scoring": ["detector", "device"],
    "selection": ["jets.selection"],
    "training.objectives": ["objectives"],
    "training.phases": ["objectives.base"],
    "readers.arrays": [
        f"readers.containers.{name}" for name in ("arrays", "branches", "numpyfile", "parquet")
    ],
    "readers.csvfile": ["readers.containers.csv"],
    "readers.hdf5file": ["readers.containers.hdf5", "readers.containers.pandasframes"],
    "readers.rootfile": ["readers.containers.root", "readers.containers.jagged"],
} | {
    f"{before}.{name}": [f"{after}.{name}"]
    for before, after, names in (
        ("training", "objectives", "classification contrastive reconstruction transport"),
        ("readers", "readers.containers", "delimiters remote"),
        ("readers", "readers.formats", "darkmachines delphes edm4hep generated imagefile jetclass jetnet "
         "landscape layouts lhco mapping nanoaod physlite treemaker"),
    )
    for name in names.split()
} | {
    "readers.layouts": [f"readers.formats.{name}" for name in ("layouts", "aspen", "guessed")],
}  # fmt: skip


class OldNames(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module under its old name, where no other finder does."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, name = fullname.partition(".")
        return (
            importlib.machinery.ModuleSpec(fullname, self) if package == "jetad" and name in MOVED else None
        )

    def exec_module(self, module: types.ModuleType) -> None:
        name = module.__name__
        now = [f"jetad.{new}" for new in MOVED[name.partition(".")[2]]]
        warnings.warn(
            f"{name} is now {now[0]}; the old name works for one more release",
            DeprecationWarning,
            stacklevel=2,
        )

        def find(attribute: str) -> object:
            for other in map(importlib.import_module, now):
                if hasattr(other, attribute):
                    return getattr(other, attribute)
            raise AttributeError(f"module '{name}' has no attribute '{attribute}'; it is now {now[0]}")

        module.__dict__["__getattr__"] = find


if not any(isinstance(finder, OldNames) for finder in sys.meta_path):
    sys.meta_path.append(OldNames())
