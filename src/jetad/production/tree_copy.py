"""A full copy of a ROOT tree with the scores as further branches, event by event where jets are in events."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, InputError
from ..readers.containers.root import open_root
from ..readers.paths import container_of, reading
from ..scores import PREFIX, Scores
from .event_lists import ByEntry

__all__ = ["check_copy", "copy_with_scores"]

logger = logging.getLogger("jetad.scoring")

_COPIED = ("score", "background_efficiency")
_STEP = 20_000


def check_copy(source: Path, output: Path) -> None:
    """Refuse what cannot be copied before anything is scored.

    Raises:
        ConfigError: if input or output is no ROOT file.
    """
    if container_of(source) != "root" or output.suffix != ".root":
        raise ConfigError(f"{source}: --copy needs a ROOT file as input and as output (-o NAME.root)")


def copy_with_scores(
    source: Path,
    path: Path,
    parts: Iterator[Scores],
    *,
    dataset: str,
    per_event: bool,
    provenance: str,
) -> None:
    """Write all branches of the tree of jets, and ``jetad_score`` and the like, to a new file.

    A tree with one jet per row gets one number per row; a tree of events gets lists, one number per jet in
    the order of the jets. Jagged branches are written as arrays with a counter (what uproot can write);
    branches that it cannot write are named in a warning.

    Arguments:
        source: File of jets, or ``file.root:tree``.
        path: The file to write.
        parts: Scores of all jets, in order.
        dataset: The tree.
        per_event: Whether an entry is an event with any number of jets.
        provenance: Goes into ``jetad_provenance``.

    Raises:
        InputError: if the scores do not fit to the entries, or a branch has the name of a new one.
    """
    import awkward as ak
    import uproot

    with open_root(source) as handle, uproot.recreate(path.absolute()) as file:
        with reading(source):
            tree = handle[dataset]
            n_entries = int(tree.num_entries)
            names = [name for name in tree.keys(recursive=False) if _can_be_written(tree[name])]
        left_out = sorted(set(tree.keys(recursive=False)) - set(names))
        if left_out:
            logger.warning("%s: branches that cannot be copied are left out: %s", source, ", ".join(left_out))
        rows = ByEntry(parts)
        written = None
        for start in range(0, n_entries, _STEP):
            stop = min(start + _STEP, n_entries)
            with reading(source):
                arrays = tree.arrays(names, entry_start=start, entry_stop=stop, library="ak")
                columns = {name: arrays[name] for name in names}
            scores = rows.until(stop)
            counts = np.bincount(scores.entry - start, minlength=stop - start)
            if not per_event and (len(counts) != stop - start or (counts != 1).any()):
                raise InputError(f"{source}: entries {start} to {stop} do not have one score each")
            for name, values in _new_columns(scores).items():
                if name in columns:
                    raise InputError(f"{source}: has a branch '{name}' already; copy a file without scores")
                columns[name] = ak.unflatten(values, counts) if per_event else values
            if written is None:
                types = {name: _type(values) for name, values in columns.items()}
                written = file.mktree(dataset.rpartition("/")[2], types, title="copy with jetad scores")
            written.extend(columns)
        if rows.n_left():
            raise InputError(f"{source}: has fewer entries than there are scores")
        file["jetad_provenance"] = provenance


def _new_columns(scores: Scores) -> dict[str, NDArray[Any]]:
    columns = {name: getattr(scores, name) for name in _COPIED} | dict(scores.extra)
    return {f"{PREFIX}{name}": values for name, values in columns.items()}


def _type(values: Any) -> Any:
    import awkward as ak

    if isinstance(values, np.ndarray):
        return values.dtype
    return ak.Array(values).type.content


def _can_be_written(branch: Any) -> bool:
    """Numbers, fixed arrays of numbers, and one list of numbers per entry."""
    import awkward as ak

    try:
        some = branch.array(entry_stop=1, library="ak")
    except Exception:  # uproot cannot read it
        return False
    layout = ak.to_packed(some).layout
    if layout.is_list and layout.is_regular is False:
        layout = layout.content
    return bool(layout.is_numpy) and not layout.parameters
