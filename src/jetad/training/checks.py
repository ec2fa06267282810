"""What is refused before anything is trained: inputs that do not go with the method or with each other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..config import RunConfig
from ..errors import ConfigError, of_file
from ..models import METHODS
from ..preprocessing.images import ImageConfig, JetImages
from ..readers import ReadOptions, iterate
from ..readers.containers.remote import remote_url
from ..readers.paths import split_path
from ..runs.provenance import file_hash

__all__ = ["check_charges", "check_inputs", "check_no_overlap", "same_content"]


def check_inputs(config: RunConfig, background: Sequence[Path], signal: Sequence[Path]) -> None:
    """Refuse to train without what the method needs, or with signal that must not enter.

    Raises:
        ConfigError: if signal or classes of the background are missing or make no sense.
    """
    info = METHODS[config.method]
    if signal and not info.signal:
        supervised = ", ".join(name for name, other in METHODS.items() if other.signal)
        raise ConfigError(
            f"--signal: no signal enters the training of method '{config.method}', only that of the "
            f"supervised reference ({supervised}); watch signal with --monitor"
        )
    if info.signal and not signal:
        raise ConfigError(
            f"method '{config.method}' is a supervised reference and trains on signal, too: give it with "
            "'jetad train --signal FILE'"
        )
    same = {os.path.realpath(p) for p in background} & {os.path.realpath(p) for p in signal}
    if same:
        raise ConfigError(f"--signal {same.pop()}: is given as background, too")
    if info.classes == "required" and config.data.classes is None:
        raise ConfigError(
            f"method '{config.method}' needs classes of the background: --set data.classes=COLUMN, or "
            "data.classes=files for one class a file; with a single class its two distances are the same "
            "and every score is zero"
        )


def check_no_overlap(background: Sequence[Path], monitor: Mapping[str, Path]) -> None:
    """Refuse to monitor a file that is trained on, or a copy of one."""
    for name, path in monitor.items():
        if any(same_content(path, other) for other in background):
            raise ConfigError(
                f"--monitor {name}={path}: is a training file; monitor jets the detector does not see"
            )


def same_content(first: Path, second: Path) -> bool:
    """Whether two names are one file, or a file and a copy of it; files on servers are known by name."""
    if str(first) == str(second):
        return True
    if remote_url(first) is not None or remote_url(second) is not None:
        return False
    (one, inside), (two, other) = split_path(first), split_path(second)
    if inside != other:
        return False
    if os.path.realpath(one) == os.path.realpath(two):
        return True
    return one.stat().st_size == two.stat().st_size and file_hash(one) == file_hash(two)


def check_charges(paths: Iterable[Path], config: RunConfig, options: ReadOptions) -> None:
    """Look at the first jets of files for what the images of a member need.

    Raises:
        InputError: naming the first file without charges, where a member has channels of them.
    """
    images = [m.preprocessing for m in config.members.values() if isinstance(m.preprocessing, ImageConfig)]
    needy = next((c for c in images if c.needs_charge), None)
    if needy is None:
        return
    for path in paths:
        jets = next(iterate(path, step=100, **options), None)
        if jets is not None:
            with of_file(path):
                JetImages(needy).check(jets)
