"""How a run is, at a glance; read without its weights, and without torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InputError, encodable
from ..files.locks import is_locked
from ..files.yamlfiles import YAMLError, load_yaml, read_text
from ..shown import html_table

if TYPE_CHECKING:
    from .directory import Run

__all__ = ["RunSummary", "settings_of", "summarize"]

#: Record of the history -> what it is the AUC of, behind this.
_MONITOR = "monitor_"


class RunSummary(NamedTuple):
    """One run at a glance.

    Arguments:
        path: Its folder.
        state: ``finished``; ``training``, by a process that is alive; ``unfinished``, and the same command
            goes on; or ``damaged``.
        method: Its method, ``?`` where the configuration cannot be read.
        members: Representations that it has a detector for.
        seed: Of its training.
        n_jets: Jets by use (``train``, ``validation``, ``calibration``); nothing before it is finished.
        started: When, as ISO 8601 in UTC; empty where unknown.
        ended: When it was finished, likewise.
        step: Optimiser steps so far.
        energy: Mean energy of held-out background by member, the last one recorded. Other methods and
            representations have other scales.
        auc: Last recorded AUC of each kind of monitored signal by member (``member: name``).
        inputs: Files of background: name, and the first digits of the SHA-256 of the content.
        n_bytes: Size on disk.
        problem: What is damaged.
    """

    path: Path
    state: str
    method: str
    members: tuple[str, ...]
    seed: int | None
    n_jets: Mapping[str, int]
    started: str
    ended: str
    step: int
    energy: Mapping[str, float]
    auc: Mapping[str, float]
    inputs: Mapping[str, str]
    n_bytes: int
    problem: str

    def _repr_html_(self) -> str:
        facts = {
            "state": self.state,
            "method": self.method,
            "members": ", ".join(self.members),
            "jets": ", ".join(f"{n} {use}" for use, n in self.n_jets.items()),
            "background": ", ".join(self.inputs),
            "started": self.started[:16],
            "ended": self.ended[:16],
            "held-out energy": ", ".join(f"{name} {value:.4g}" for name, value in self.energy.items()),
            "AUC (watched)": ", ".join(f"{name} {value:.3f}" for name, value in self.auc.items()),
            "problem": self.problem,
        }
        return html_table(f"Run {self.path}", [[name, text] for name, text in facts.items() if text])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self._asdict(), "path": encodable(str(self.path)), "members": list(self.members)}


def summarize(run: Run) -> RunSummary:
    """How a run is; what cannot be read of it is told in ``problem``."""
    state, problems = "unfinished", []
    provenance: Mapping[str, Any] = {}
    settings: Mapping[str, Any] = {}
    history: list[dict[str, Any]] = []
    try:
        provenance = run.provenance
        state = "finished" if provenance.get("status") == "finished" else state
        settings = settings_of(run)
        history = run.history()
        _require_weights(run, state)
    except InputError as error:
        problems.append(str(error))
        state = "damaged"
    if state == "unfinished" and is_locked(run.path / "lock"):
        state = "training"
    members = settings.get("members")
    energy, auc = _last_values(history)
    return RunSummary(
        path=run.path,
        state=state,
        method=str(settings.get("method", "?")),
        members=tuple(map(str, members)) if isinstance(members, Mapping) else (),
        seed=_whole(provenance.get("seed")),
        n_jets={
            str(k): n for k, v in _mapping(provenance.get("n_jets")).items() if (n := _whole(v)) is not None
        },
        started=str(provenance.get("started", "")),
        ended=str(provenance.get("ended", "")),
        step=max((record["step"] for record in history), default=0),
        energy=energy,
        auc=auc,
        inputs={file["path"]: (file.get("sha256") or "")[:12] for file in provenance.get("inputs", [])},
        n_bytes=sum(_size(path) for path in _below(run.path)),
        problem="; ".join(problems),
    )


def settings_of(run: Run) -> dict[str, Any]:
    """The configuration as nested plain values; it is not checked, and no torch is imported.

    Raises:
        InputError: if it cannot be read.
    """
    path = run.path / "config.yaml"
    try:
        values = load_yaml(read_text(path))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({reason})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: is damaged: it holds no settings")
    return values


def _require_weights(run: Run, state: str) -> None:
    missing = [path.name for path in run.files[:4] if not path.is_file()]
    if state == "finished" and missing:
        raise InputError(f"{run.path}: {', '.join(missing)} of a finished run is missing")


def _last_values(history: Iterable[Mapping[str, Any]]) -> tuple[dict[str, float], dict[str, float]]:
    """The last energy of held-out background of each member, and the last AUC of each monitored signal."""
    energy: dict[str, float] = {}
    auc: dict[str, float] = {}
    for record in history:
        member = str(record.get("member", ""))
        for key, value in record.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            if key == "val_energy":
                energy[member] = float(value)
            elif key.startswith(_MONITOR):
                auc[f"{member}: {key.removeprefix(_MONITOR)}"] = float(value)
    return energy, auc


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _whole(value: Any) -> int | None:
    return value if type(value) is int else None


def _below(folder: Path) -> Iterator[Path]:
    """All files of a folder, nothing behind a link."""
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # a temporary file that has just got its name
        return 0
