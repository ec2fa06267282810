"""From files to :class:`~jetad.jets.Jets`: the format is found from the content, whole or streamed."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from typing_extensions import TypedDict, Unpack

from ..errors import ConfigError, InputError
from ..files import require_plain
from ..jets import Jets, Selection
from ..registry import load, with_plugins, working
from .base import FileSummary, Reader, wrong_units
from .containers.remote import with_retries
from .paths import CONTAINER_NAMES, PathLike, container_of, expand, reading, split_path
from .streaming import reopened, resized

__all__ = [
    "READERS",
    "FileSummary",
    "ReadOptions",
    "check_format",
    "collection_of",
    "count",
    "describe",
    "detect",
    "expand",
    "get_reader",
    "hint_of_no_jets",
    "iterate",
    "read",
]

# name -> reader class; the modules import h5py and uproot only when they open a file. Other packages add
# theirs by entry points "jetad.readers".
_OURS = {
    "landscape": "jetad.readers.formats.landscape:LandscapeReader",
    "jetclass": "jetad.readers.formats.jetclass:JetClassReader",
    "nanoaod": "jetad.readers.formats.nanoaod:NanoAODReader",
    "physlite": "jetad.readers.formats.physlite:PhysliteReader",
    "treemaker": "jetad.readers.formats.treemaker:TreeMakerReader",
    "delphes": "jetad.readers.formats.delphes:DelphesReader",
    "edm4hep": "jetad.readers.formats.edm4hep:EDM4hepReader",
    "jetnet": "jetad.readers.formats.jetnet:JetNetReader",
    "energyflow": "jetad.readers.formats.layouts:EnergyFlowReader",
    "hls4ml": "jetad.readers.formats.layouts:Hls4mlReader",
    "aspen": "jetad.readers.formats.aspen:AspenReader",
    "atlastop": "jetad.readers.formats.layouts:AtlasTopReader",
    "ftag": "jetad.readers.formats.layouts:FlavourTaggingReader",
    "lhcofeatures": "jetad.readers.formats.layouts:OlympicsFeaturesReader",
    "imagetable": "jetad.readers.formats.imagefile:ImageTableReader",
    "images": "jetad.readers.formats.imagefile:ImagesReader",
    "npz": "jetad.readers.formats.imagefile:NumpyImagesReader",
    "lhco": "jetad.readers.formats.lhco:LHCOReader",
    "darkmachines": "jetad.readers.formats.darkmachines:DarkMachinesReader",
    "hepmc": "jetad.readers.formats.generated:HepMCReader",
    "lhe": "jetad.readers.formats.generated:LesHouchesReader",
    "arrays": "jetad.readers.formats.guessed:ArraysReader",
    "table": "jetad.readers.formats.guessed:TableReader",
    "mapping": "jetad.readers.formats.mapping:MappingReader",
}
READERS = with_plugins(_OURS, "jetad.readers")

logger = logging.getLogger(__name__)


class ReadOptions(TypedDict, total=False):
    """What every function here takes by keyword, too; the commands offer the same as options."""

    reader: str | None  # name in READERS; found from the content by default
    options: Mapping[str, Any] | None  # of that reader, such as {"collection": "Jet"}
    mapping: Any  # which columns are what: a YAML file, its keys, or a ColumnMap; instead of `reader`
    units: str | None  # "MeV": divide momenta by 1000; "GeV": they are GeV whatever they look like


def get_reader(name: str, options: Mapping[str, Any] | None = None) -> Reader:
    """The reader of that name; :class:`~jetad.errors.ConfigError` lists the valid ones and their options."""
    reader: Reader = load(READERS, name, "reader")(**(options or {}))
    return reader


def detect(path: PathLike, options: Mapping[str, Any] | None = None) -> str:
    """Name of the reader for a file, from its magic bytes and then its trees or datasets.

    Arguments:
        path: The file.
        options: Of the reader to be found; a collection that has another name than usual is found so.

    Raises:
        InputError: if the file is missing or broken, or no reader knows its content.
    """
    container = container_of(path)
    candidates = [get_reader(name) for name in _detected() if container in _containers(name)]
    if common := _common(options):
        candidates = [get_reader(r.name, common) if "external" in r.options else r for r in candidates]
    if options:
        candidates += [get_reader(r.name, options) for r in candidates if set(options) <= set(r.options)]
    name, reasons = with_retries(path, lambda: _match(path, candidates))
    if name:
        return name
    if not candidates:
        reasons = f"no reader finds its columns in {CONTAINER_NAMES[container]}"
    raise InputError(
        f"{path}: unknown format; 'jetad inspect --suggest-mapping FILE' writes a first mapping of its "
        f"columns ({reasons})"
    )


@functools.cache
def _detected() -> list[str]:
    """The readers that find their files by content; a broken one of another package is left out."""
    theirs = {name: target for name, target in READERS.items() if name not in _OURS}
    return [*(name for name in _OURS if name != "mapping"), *working(theirs, "reader")]


def _containers(name: str) -> tuple[str, ...]:
    """What a reader reads, from its class: none is made that cannot be meant."""
    kind = load(READERS, name, "reader")
    found: tuple[str, ...] = kind.containers or (kind.container,)
    return found


def _common(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """What matters to every reader that looks into an HDF5 file: whether parts of it may lie elsewhere."""
    return {key: value for key, value in (options or {}).items() if key == "external"}


def _match(path: PathLike, candidates: list[Reader]) -> tuple[str, str]:
    """The name of the first reader that knows the content, or why none does."""
    with reading(path):
        for reader in candidates:
            if reader.matches(path):
                return reader.name, ""
        reasons = {reader.name: f"not {reader.name}: {reader.lacks(path)}" for reader in candidates}
        return "", "; ".join(reasons.values())


def _reader_for(path: PathLike, options: ReadOptions) -> Reader:
    name, mapping = options.get("reader"), options.get("mapping")
    require_plain(split_path(path)[0])
    if mapping is not None:
        if name not in (None, "mapping"):
            raise ConfigError(f"a mapping names the columns itself: leave out the reader '{name}'")
        return get_reader("mapping", {**_common(options.get("options")), "mapping": mapping})
    chosen = get_reader(name or detect(path, options.get("options")), options.get("options"))
    prepare = getattr(chosen, "prepare", None)  # of readers that find columns and units by looking
    if prepare is not None:
        with_retries(path, lambda: _prepared(prepare, path))
    return chosen


def _prepared(prepare: Callable[[PathLike], None], path: PathLike) -> None:
    with reading(path):
        prepare(path)


def check_format(path: PathLike, **options: Unpack[ReadOptions]) -> None:
    """Find the reader of a file, so that a file which none can read is refused before work begins.

    Raises:
        InputError: if the file is missing or broken, or no reader knows its content.
    """
    _reader_for(path, options)


def count(path: PathLike, **options: Unpack[ReadOptions]) -> int:
    """Number of jets in a file, from its metadata."""
    chosen = _reader_for(path, options)

    def counted() -> int:
        with reading(path):
            return chosen.count(path)

    return with_retries(path, counted)


def hint_of_no_jets(path: PathLike, **options: Unpack[ReadOptions]) -> str:
    """What else a file without jets holds, as the end of a sentence; "" if there is nothing to say."""
    chosen = _reader_for(path, options)
    look = getattr(chosen, "other_jets", None)  # of readers of events
    if look is None:
        return ""
    with reading(path):
        collection, others = look(path)
    if not others:
        return ""
    counted = ", ".join(f"{name} ({n})" for name, n in others.items())
    return f" of '{collection}'; it has other jets: {counted}, --collection {next(iter(others))}"


def collection_of(path: PathLike, **options: Unpack[ReadOptions]) -> str | None:
    """Which jets of the events of a file are read, such as ``FatJet``; ``None`` where it holds one kind."""
    chosen = _reader_for(path, options)
    look = getattr(chosen, "collection_of", None)  # of readers of events
    if look is None:
        return None

    def looked_at() -> str:
        with reading(path):
            return str(look(path))

    return with_retries(path, looked_at)


def describe(path: PathLike, **options: Unpack[ReadOptions]) -> FileSummary:
    """What a file holds; only its first jets are read, to judge the units."""
    chosen = _reader_for(path, options)

    def looked_at() -> tuple[FileSummary, Jets | None]:
        with reading(path):
            return chosen.describe(path), next(chosen.iterate(path, step=1000), None)

    summary, first = with_retries(path, looked_at)
    if first is None or summary.n_jets == 0:
        hint = hint_of_no_jets(path, **options) if summary.n_jets == 0 else ""
        return summary._replace(warnings=(*summary.warnings, f"holds zero jets{hint}"))
    units = options.get("units") or chosen.units
    if units == "GeV":
        return summary._replace(units="GeV")
    if units == "MeV":
        problem = wrong_units(first.in_gev(), converted=True) if options.get("units") else None
        summary = summary._replace(units="GeV (converted from MeV)")
    else:
        problem = wrong_units(first)
        with np.errstate(all="ignore"):
            known = np.isfinite(first.jet_pt).any()
        unclear = "MeV?" if problem and "MeV" in problem[0] else "GeV?"
        summary = summary._replace(units=unclear if problem else "GeV" if known else "unknown")
    if problem is None:
        return summary
    return summary._replace(warnings=(*summary.warnings, "; ".join(problem)))


def iterate(
    path: PathLike,
    *,
    step: int = 20_000,
    check_units: bool = True,
    start: int = 0,
    stop: int | None = None,
    **options: Unpack[ReadOptions],
) -> Iterator[Jets]:
    """The jets of one file in pieces of exactly ``step`` (the last may be shorter), in file order.

    Every jet comes out, jets without constituents or with NaN too; ``entry`` is the row or event in this
    file, ``position`` the jet inside it. A file with zero jets yields nothing. Memory is bounded by
    ``step``, not by the file.

    Arguments:
        path: A file, or ``file.root:tree``.
        step: Jets per piece.
        check_units: Refuse momenta that cannot be in GeV, or in MeV where ``units`` says so.
        start: Only jets from this row on, counted through the file; readers that can, seek to it.
        stop: Only jets before this row.
        options: See :class:`ReadOptions`.

    Raises:
        InputError: at the call if the file cannot be opened, later if its content is broken.
    """
    if step < 1:
        raise InputError(f"the number of jets per step must be at least 1, found {step}")
    chosen = _reader_for(path, options)
    units = options.get("units") or chosen.units
    if units not in (None, "GeV", "MeV"):
        raise ConfigError(f"units are GeV or MeV, found '{units}'")
    blocks = reopened(chosen, path, step, start, stop)
    if units == "MeV":
        blocks = (block.in_gev() for block in blocks)
    check_units = check_units and (units is None or options.get("units") == "MeV")
    return resized(blocks, path, step, check_units, converted=units == "MeV")


def read(
    paths: PathLike | Iterable[PathLike],
    *,
    max_jets: int | None = None,
    select: Selection | str | None = None,
    **options: Unpack[ReadOptions],
) -> Jets:
    """All jets of one or several files (patterns too) as one collection, in order.

    Where only some files have truth, jets of the others get label -1. Observables are kept where all
    files have them.

    Arguments:
        paths: A file, a pattern, or several of them.
        max_jets: Stop after that many jets, counted after the selection.
        select: Keep only jets that pass, ``"jet_pt > 500 & abs(jet_eta) < 2"``; a
            :class:`~jetad.jets.Selection` has the cut flow afterwards.
        options: See :class:`ReadOptions`; the same for all files.

    Raises:
        InputError: if a file cannot be read, or all files together hold zero jets.
    """
    if max_jets is not None and max_jets < 1:
        raise InputError(f"the largest number of jets must be at least 1, found {max_jets}")
    selection = Selection(select) if isinstance(select, str) else select
    files = expand(paths)
    parts: list[Jets] = []
    n_left = np.inf if max_jets is None else max_jets
    for path in files:
        n_before = len(parts)
        step = int(min(20_000, max(n_left, 1))) if selection is None else 20_000
        for jets in iterate(path, step=step, **options):
            if selection is not None:
                jets = selection(jets, where=str(path))
            parts.append(jets[: int(n_left)] if len(jets) > n_left else jets)
            n_left -= len(parts[-1])
            if n_left <= 0:
                break
        if len(parts) == n_before:
            logger.warning("%s: holds zero jets%s", path, hint_of_no_jets(path, **options))
        if n_left <= 0:
            break
    if not parts:
        what = (
            f"{files[0]}: holds" if len(files) == 1 else f"{files[0]} and {len(files) - 1} more files: hold"
        )
        raise InputError(f"{what} zero jets{hint_of_no_jets(files[0], **options)}")
    if selection is not None and not any(map(len, parts)):
        raise InputError(f"none of {selection.flow.counts[0]} jets passes the selection '{selection.text}'")
    if any(p.labels is not None for p in parts):
        parts = [p if p.labels is not None else _with_unknown_truth(p) for p in parts]
    return Jets.concatenate(parts)


def _with_unknown_truth(jets: Jets) -> Jets:
    return dataclasses.replace(jets, labels=np.full(len(jets), -1, dtype=np.int8))
