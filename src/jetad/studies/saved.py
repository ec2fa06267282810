"""Studies read back from the files that their commands wrote."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files.jsonfiles import read_json
from .contamination import Contamination
from .robustness import Robustness
from .two_way import TwoWay

__all__ = ["load_studies", "load_study", "study_files"]

Study = TwoWay | Robustness | Contamination

_KINDS: dict[str, Any] = {"two-way": TwoWay, "robustness": Robustness, "contamination": Contamination}
_FILES = ("two_way.json", "robustness.json", "contamination.json")


def load_study(path: str | Path) -> Study:
    """The study in a JSON file of 'jetad two-way', 'jetad robustness' or 'jetad contamination'.

    Raises:
        InputError: if it is anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    values = read_json(path, "make the study again")
    kind = values.get("study") if isinstance(values, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InputError(
            f"{path}: is not the result of a study; 'jetad two-way', 'jetad robustness' and 'jetad "
            "contamination' write them"
        )
    try:
        study: Study = _KINDS[kind].from_dict(values)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"{path}: the {kind} study is not whole ({type(error).__name__}: {error}); make it again"
        ) from error
    return study


def study_files(path: str | Path) -> list[Path]:
    """The files of studies in a folder that a command made; a file is one itself."""
    path = Path(path)
    return [path / name for name in _FILES if (path / name).is_file()] if path.is_dir() else [path]


def load_studies(paths: Iterable[str | Path]) -> list[Study]:
    """Studies from files, or from the folders that the commands made.

    Raises:
        InputError: for a folder without a study, or a file that is none.
    """
    found: list[Study] = []
    for path in map(Path, paths):
        files = study_files(path)
        if not files:
            raise InputError(f"{path}: holds none of {', '.join(_FILES)}")
        found += [load_study(file) for file in files]
    return found
