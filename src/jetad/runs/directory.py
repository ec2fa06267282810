"""The directory of one training: configuration, weights, preprocessing, calibration, history, provenance.

Long, because one class alone knows the files of a run, how they are tied to each other, and how each is
replaced without loss.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import logging
import os
import re
import shutil
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, InputError, OutputError
from ..files import (
    atomic_output,
    own_token,
    real,
    refuse_link,
    refuse_url,
    remove_leftovers,
    require_plain,
    require_readable,
)
from ..files.fields import Fields
from ..files.jsonfiles import append_line, read_lines, read_object
from ..files.locks import locked
from .provenance import file_hash
from .summary import summarize

if TYPE_CHECKING:
    from ..config import RunConfig

__all__ = ["Run", "find_run"]

logger = logging.getLogger("jetad.training")

_FORMAT = 1
_FILES = (
    "config.yaml", "model.safetensors", "preprocessing.json", "calibration.json", "history.jsonl",
    "checkpoint.pt", "checkpoint.previous.pt", "provenance.json",
)  # fmt: skip

_MADE_BESIDE = ("tracking.json", "tensorboard")  # by jetad.tracking

# what atomic_output makes; a killed process may have left one
_TEMPORARY = re.compile(r"\..+\.tmp(\.\w+)?")

# what a calibration was measured with
_TIED = ("config.yaml", "model.safetensors", "preprocessing.json")

_untied: set[Path] = set()  # runs without hashes of which the user knows


class Run:
    """One training on disk; nothing in it is unpickled.

    Files: ``config.yaml``, ``model.safetensors``, ``preprocessing.json``, ``calibration.json``,
    ``history.jsonl``, ``checkpoint.pt``, ``provenance.json``, ``plots/``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Run('{self.path}')"

    def _repr_html_(self) -> str:
        return summarize(self)._repr_html_()

    # --- life ------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: Path, config: RunConfig, provenance: Mapping[str, Any]) -> Run:
        """A new run directory holding its configuration and provenance, marked unfinished.

        It gets its name when it is complete: a killed process leaves nothing in the way of the next one.
        """
        refuse_url(path)
        _remove_leftovers(path)
        temporary = path.with_name(f".{path.name}.{own_token()}.tmp")
        run = cls(temporary)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.mkdir()
            (temporary / "plots").mkdir()
            run._write_text("config.yaml", config.to_yaml())
            run.write_json("provenance.json", {**provenance, "format": _FORMAT, "status": "running"})
            os.rename(temporary, path)  # also over an empty folder, but over nothing else
        except OSError as error:
            raise OutputError(f"{path}: cannot be created ({error.strerror or error})") from error
        except OutputError as error:
            raise OutputError(str(error).replace(str(temporary), str(path))) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return cls(path)

    def remove(self) -> None:
        """Remove the run directory; killed in between, it is not left in part under its name.

        Raises:
            OutputError: if a process is training in it, or it cannot be removed.
        """
        _remove_leftovers(self.path)
        with self.locked():
            self._discard()

    def remove_unfinished(self) -> None:
        """Remove the run directory of a training that has not come to its end.

        Raises:
            InputError: if it cannot be told whether the training is finished.
            OutputError: if it is finished, a process is training in it, it is a link, it holds files that are
                no part of a run, or it cannot be removed.
        """
        refuse_link(self.path)
        with self.locked():
            if self.finished:
                raise OutputError(f"{self.path}: is finished, and only unfinished runs are removed")
            others = self.other_files()
            if others:
                more = f" and {len(others) - 3} more" if len(others) > 3 else ""
                raise OutputError(
                    f"{self.path}: holds files that are no part of a run "
                    f"({', '.join(map(str, others[:3]))}{more}); move them away first"
                )
            self._discard()

    def other_files(self) -> list[Path]:
        """What somebody else has put into the run directory, relative to it."""
        own = {*_FILES, "lock", "plots"}
        found = [
            p for p in sorted(self.path.iterdir()) if p.name not in own and not _TEMPORARY.fullmatch(p.name)
        ]
        plots = self.path / "plots"
        if plots.is_symlink() or plots.is_dir():
            found += [plots] if plots.is_symlink() else sorted(plots.iterdir())
        return [path.relative_to(self.path) for path in found]

    def _discard(self) -> None:
        away = self.path.with_name(f".{self.path.name}.{own_token()}.old")
        try:
            os.rename(self.path, away)
            shutil.rmtree(away)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be removed ({error.strerror or error})") from error

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """An existing run directory.

        Raises:
            InputError: if the folder is missing or is not a run.
        """
        run = cls(path)
        if not run.path.is_dir():
            raise InputError(f"{path}: no such run directory; 'jetad train' makes one")
        for name in ("config.yaml", "provenance.json"):
            if not (run.path / name).is_file():
                raise InputError(f"{path}: is not a run directory ({name} is missing)")
        return run

    @property
    def finished(self) -> bool:
        """Whether the training ran to its end."""
        return self.provenance.get("status") == "finished"

    @property
    def provenance(self) -> dict[str, Any]:
        """What repeats the training.

        Raises:
            InputError: if the file is missing or damaged.
        """
        values = self.read_json("provenance.json")
        try:
            fields = Fields(values)
            for name in ("inputs", "signal_inputs"):
                for file in fields.parts(name) if name in fields else ():
                    file.text("path")
                    if file.any("sha256") is not None:
                        file.text("sha256")
            if not all(isinstance(word, str) for word in values.get("command", [])):
                raise InputError("'command' is no list of words")
        except (InputError, TypeError) as error:
            raise InputError(f"{self.path / 'provenance.json'}: is damaged: {error}") from error
        return values

    def finish(self, **more: Any) -> None:
        """Mark the run as complete and point ``latest`` beside it at it."""
        ended = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self.write_json("provenance.json", {**self.provenance, **more, "ended": ended, "status": "finished"})
        (self.path / "checkpoint.previous.pt").unlink(missing_ok=True)
        latest = self.path.parent / "latest"
        # tasks of one job finish beside each other, in containers even with the same process id
        remove_leftovers(latest.parent, ".latest.", ".tmp")
        temporary = latest.with_name(f".latest.{own_token()}.tmp")
        if latest.exists() and not latest.is_symlink():
            return  # somebody's own file or folder
        temporary.symlink_to(self.path.name, target_is_directory=True)
        os.replace(temporary, latest)

    @property
    def files(self) -> list[Path]:
        """The files that make up the run, whether they are there or not."""
        return [self.path / name for name in _FILES]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in this folder, or removing it, inside the block.

        Raises:
            OutputError: if another process does so.
        """
        with locked(
            self.path / "lock",
            f"{self.path}: another process is training in this folder now; wait for it to end, or choose "
            "another --output",
        ):
            yield

    # --- configuration -------------------------------------------------------------------------

    def config(self) -> RunConfig:
        from ..config import read_config
        from ..files.yamlfiles import read_text

        path = self.path / "config.yaml"
        try:
            text = read_text(path)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"{path}: cannot be read ({reason})") from error
        if not text.strip("\0 \n") or "\0" in text:
            raise InputError(f"{path}: is damaged: what was written is lost; train again in another folder")
        return read_config(text, source=str(path))

    def model_hash(self) -> str:
        """SHA-256 of the weights, first 16 digits."""
        return hashlib.sha256((self.path / "model.safetensors").read_bytes()).hexdigest()[:16]

    # --- files -----------------------------------------------------------------------------------

    def write_json(self, name: str, value: Any) -> None:
        self._write_text(name, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        try:
            return read_object(path)
        except FileNotFoundError as error:
            raise InputError(f"{path}: cannot be read ({error})") from error

    def write_calibration(self, values: Mapping[str, Any]) -> None:
        """Write ``calibration.json``, with the hashes of the files that it belongs to and of itself."""
        sealed = {
            **{key: value for key, value in values.items() if key not in ("files", "digest")},
            "files": {name: file_hash(self.path / name) for name in _TIED},
        }
        self.write_json("calibration.json", {**sealed, "digest": _digest(sealed)})

    def read_calibration(self) -> dict[str, Any]:
        """What ``calibration.json`` holds, if it and the files that it was measured with are as they were.

        Runs of earlier versions have no hashes; they are read as they are.

        Raises:
            InputError: naming the file that is missing, damaged or was changed.
        """
        path = self.path / "calibration.json"
        values = self.read_json("calibration.json")
        if "digest" not in values and "files" not in values:
            if self.path not in _untied:
                _untied.add(self.path)
                logger.info(
                    "%s: made by an earlier version, without hashes of its files: changes go unnoticed",
                    self.path,
                )
            return values
        content = {key: value for key, value in values.items() if key != "digest"}
        if values.get("digest") != _digest(content):
            raise InputError(
                f"{path}: was changed after it was written (its digest is another); "
                "take it from a copy of the run, or train again"
            )
        for name, known in values["files"].items():
            if file_hash(self.path / name) != known:
                raise InputError(
                    f"{self.path / name}: was changed after the training (its hash is not the one in "
                    "calibration.json); take it from a copy of the run, or train again"
                )
        return values

    def save_weights(self, state: Mapping[str, Any]) -> None:
        """Write ``model.safetensors`` from a flat name -> tensor mapping."""
        from safetensors.torch import save_file

        tensors = {k: v.detach().cpu().contiguous() for k, v in state.items()}
        with atomic_output(self.path / "model.safetensors", force=True) as temporary:
            save_file(tensors, temporary)

    def load_weights(self) -> dict[str, Any]:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.path / "model.safetensors"
        require_readable(path)
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path}: the weights cannot be read ({error})") from error

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write ``checkpoint.pt`` atomically, keeping the one before as ``checkpoint.previous.pt``."""
        import torch

        path = self.path / "checkpoint.pt"
        with atomic_output(path, force=True) as temporary:
            try:
                torch.save(_on_cpu(state), temporary)
            except RuntimeError as error:  # torch reports a full disk so
                raise OutputError(f"{path}: the checkpoint cannot be written ({error})") from error
            if path.exists():
                os.replace(path, self.path / "checkpoint.previous.pt")

    def load_checkpoint(self) -> tuple[dict[str, Any] | None, list[str]]:
        """The newest checkpoint that can be read, and a message for each that cannot."""
        import pickle

        import torch

        problems: list[str] = []
        for name in ("checkpoint.pt", "checkpoint.previous.pt"):
            path = self.path / name
            if not path.exists():
                continue
            require_plain(path)
            require_readable(path)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of torch about pickles: a damaged file is told of here
                    state = torch.load(path, weights_only=True, map_location="cpu")
            except (
                OSError,
                RuntimeError,
                EOFError,
                ValueError,
                KeyError,
                TypeError,
                AttributeError,
                IndexError,
                OverflowError,
                pickle.UnpicklingError,
                zipfile.BadZipFile,
            ):
                state = None
            if _is_checkpoint(state):
                return state, problems
            problems.append(f"{path}: damaged, going back to the one before")
        return None, problems

    def append_history(self, record: Mapping[str, Any]) -> None:
        append_line(self.path / "history.jsonl", record)

    def history(self) -> list[dict[str, Any]]:
        """The records, without one that was cut short by a full disk or a crash."""
        path = self.path / "history.jsonl"
        records = read_lines(path, "step")
        for number, record in enumerate(records, 1):
            if type(record["step"]) is not int:
                raise InputError(
                    f"{path}: record {number} has {str(record['step'])[:60]!r} as its step; "
                    "remove this line, or the file"
                )
        return records

    def truncate_history(self, step: int) -> None:
        """Drop records after ``step`` (written, but lost with the checkpoint that should have followed)."""
        records = [r for r in self.history() if r["step"] <= step]
        self._write_text("history.jsonl", "".join(json.dumps(r) + "\n" for r in records))

    def _write_text(self, name: str, text: str) -> None:
        with atomic_output(self.path / name, force=True) as temporary:
            temporary.write_text(text)


def find_run(explicit: str | Path | None) -> Run:
    """The run to use: ``explicit``, else ``$JETAD_RUN``, else ``runs/latest``."""
    if explicit is not None:
        return Run.open(explicit)
    if os.environ.get("JETAD_RUN"):
        return Run.open(os.environ["JETAD_RUN"])
    latest = Path("runs/latest")
    if not latest.exists():
        raise ConfigError(
            "no run to score with: pass --run DIR, set JETAD_RUN, or train one first (no runs/latest here)"
        )
    return Run.open(real(latest))


def unfinished_runs(folder: Path) -> Iterator[Run]:
    """Runs in ``folder`` that did not come to their end, newest first."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir(), reverse=True):
        if (
            not path.name.startswith(".")  # one that is being made or removed
            and not path.is_symlink()
            and (path / "provenance.json").is_file()
            and (path / "config.yaml").is_file()
        ):
            run = Run(path)
            try:
                finished = run.finished
            except InputError as error:  # of another training
                logger.warning("%s; this run is left alone", error)
                continue
            if not finished:
                yield run


def _remove_leftovers(path: Path) -> None:
    for end in (".tmp", ".old"):
        remove_leftovers(path.parent, f".{path.name}.", end)


def _is_checkpoint(state: Any) -> bool:
    """Whether the outermost of what a training wrote is there; its parts are checked where they are used."""
    try:
        fine = isinstance(state["finished"], dict) and isinstance(state["member"], str)
        trainer = state["trainer"]
        whole = [state["offset"], *([] if trainer is None else [trainer["total_step"]])]
    except (TypeError, KeyError, IndexError):
        return False
    return fine and all(type(n) is int and 0 <= n < 1 << 62 for n in whole)


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _on_cpu(state: Any) -> Any:
    """The same nested state with its tensors on the CPU: any machine can load it."""
    if isinstance(state, Mapping):
        return {k: _on_cpu(v) for k, v in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(_on_cpu(v) for v in state)
    return state.cpu() if hasattr(state, "cpu") else state
