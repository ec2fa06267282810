"""What every reader shares: protocol, options, and jets made of columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, InputError
from ..jets import Jets
from ..registry import closest_first

# writers of readers find these here, too
from .paths import container_of, nearest, plain_name, reading, require_container, split_path

__all__ = [
    "BaseReader", "FileSummary", "Reader", "StoredJet", "build_columns", "build_jets", "check_momenta_in_gev",
    "column_name", "container_of", "labels_of", "nearest", "plain_name", "reading", "require_container",
    "split_path", "wrong_units",
]  # fmt: skip

# Median jet pT [GeV] above which the numbers are taken for MeV (no jet of the LHC has more than its beams),
# and below which they are no momenta in GeV: TeV, or parts of the jet.
MEV_THRESHOLD = 7_000.0
_SMALLEST_PT = 1.0

_N_UNITS = 1000  # jets looked at for it

# Names that `Jets` computes itself; columns of the file with these names get the suffix `_file`.
_COMPUTED = ("jet_pt", "jet_eta", "jet_phi", "jet_mass")


class StoredJet(NamedTuple):
    """Observables that hold the file's own momenta of the jets, to compare constituents with."""

    pt: str | None = "jet_pt_file"  # [GeV]
    eta: str | None = None
    mass: str | None = None  # [GeV]
    energy: str | None = None  # [GeV], where the mass is not stored
    correction: str | None = None  # part of pt and mass that corrections after the clustering added


class FileSummary(NamedTuple):
    """What a file holds, found without reading all of it."""

    path: Path
    reader: str  # name in READERS
    container: str  # "HDF5 (pandas table)", "ROOT TTree", ...
    dataset: str  # tree or dataset inside the file
    n_jets: int
    columns: dict[str, str]  # name -> type
    n_slots: int | None = None  # zero-padded constituent slots a jet; None where jets are jagged
    truth: tuple[str, ...] = ()  # columns that labels come from
    observables: tuple[str, ...] = ()  # columns that become `Jets.observables`
    units: str = "unknown"  # "GeV", "GeV?", "MeV?", "GeV (converted from MeV)" or "unknown"
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # choices that were made in reading
    n_entries: int | None = None  # events, where one holds several jets
    stored: StoredJet = StoredJet()


class Reader(Protocol):
    """Reads one file format. Paths may carry a tree or dataset: ``file.root:tree``.

    Every jet of the file comes out, in the order of the file: jets without constituents or with
    non-finite values keep their row.
    """

    name: str  # key in READERS
    summary: str  # one line for `jetad readers`
    container: str  # "hdf5", "root", ... as `container_of` says
    containers: tuple[str, ...]  # all that it reads
    units: str | None  # "MeV" where the format is defined so, else None
    options: ClassVar[Mapping[str, Any]]  # name -> default

    def matches(self, path: str | Path) -> bool:
        """Whether the content is of this format; only asked for files of this container."""

    def lacks(self, path: str | Path) -> str:
        """Where it does not match: what was looked for and what there is instead, for a message."""

    def describe(self, path: str | Path) -> FileSummary:
        """What the file holds, from its metadata."""

    def count(self, path: str | Path) -> int:
        """Number of jets, from the metadata."""

    def iterate(self, path: str | Path, *, step: int) -> Iterator[Jets]:
        """All jets in order, in pieces of the length that suits the file; ``entry`` is the row in it.

        ``step`` is the length that the caller will cut or join the pieces to.
        """


class BaseReader:
    """Options of a reader: the class lists them with their defaults, ``name=value`` changes them.

    Raises:
        ConfigError: for an option that the reader does not have, or a value of another kind.
    """

    name = ""
    summary = ""
    container = ""
    containers: tuple[str, ...] = ()  # where there are several
    units: str | None = None
    options: ClassVar[Mapping[str, Any]] = {}  # name -> default
    seeks = False  # whether `iterate` can begin at a row, which is a jet: `start=`

    def __init__(self, **given: Any) -> None:
        self.containers = self.containers or (self.container,)
        for key in given:
            if key not in self.options:
                valid = ", ".join(closest_first(key, self.options)) or "none"
                raise ConfigError(f"reader '{self.name}' has no option '{key}'; it has: {valid}")
        self.settings = {k: _converted(k, given.get(k), v, self.name) for k, v in self.options.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.settings.items())})"


def _converted(key: str, value: Any, default: Any, reader: str) -> Any:
    """A value as the kind of the default; text comes from the command line."""
    if value is None:
        return default
    if isinstance(default, bool) or (default is None and key.startswith("use_")):
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if str(value).lower() in words:
            return words[str(value).lower()]
        raise ConfigError(f"reader '{reader}': option '{key}' is yes or no, found '{value}'")
    if isinstance(default, (int, float)):
        try:
            number = type(default)(value)
        except (TypeError, ValueError):
            number = None
        if number is None or not number >= 0:
            raise ConfigError(f"reader '{reader}': option '{key}' is a number, not negative; found '{value}'")
        return number
    return str(value)


# --- arrays to Jets ------------------------------------------------------------------------------


def column_name(name: str) -> str:
    """Name of a file's column among the observables; ``_file`` is appended where jetad computes its own."""
    return f"{name}_file" if name in _COMPUTED else name


def build_jets(
    momenta: tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]],
    offsets: NDArray[np.int64],
    *,
    first_entry: int,
    labels: NDArray[np.int8] | None,
    observables: Mapping[str, NDArray[Any]],
    charge: NDArray[Any] | None = None,
) -> Jets:
    """Jets from flat constituent (E, px, py, pz) [GeV], each ``(n_total,)``, one jet per row.

    A slot whose four numbers are all zero holds no constituent and is dropped; one with NaN is kept.

    Arguments:
        momenta: Energy and momentum components.
        offsets: Slots of jet i are ``offsets[i]`` to ``offsets[i + 1]``, ``(n_jets + 1,)``.
        first_entry: Row of the first jet in its file.
        labels: Truth ``(n_jets,)`` or ``None``.
        observables: Column name -> ``(n_jets,)``.
        charge: Of the slots, ``(n_total,)``, or ``None``.
    """
    filled = (momenta[0] != 0) | (momenta[1] != 0) | (momenta[2] != 0) | (momenta[3] != 0)
    if not filled.all():
        offsets = np.concatenate([[0], np.cumsum(filled)])[offsets]
        momenta = tuple(component[filled] for component in momenta)
        charge = None if charge is None else charge[filled]
    n_jets = len(offsets) - 1
    # NaN, inf and values beyond float32 are the user's data, reported when the jet is scored
    with np.errstate(all="ignore"):
        return Jets.from_cartesian(
            *momenta,
            offsets=offsets,
            charge=charge,
            labels=labels,
            entry=np.arange(first_entry, first_entry + n_jets),
            observables={column_name(name): _native(values) for name, values in observables.items()},
        )


def labels_of(signal: NDArray[np.bool_], background: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Truth ``(n,)``: 1 signal, 0 background, -1 where a jet is neither or both."""
    return np.select([signal & ~background, background & ~signal], [1, 0], default=-1).astype(np.int8)


def build_columns(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Columns of a file as observables: their names, one number a jet, copies in the machine's byte order."""
    return {column_name(name): _native(values.reshape(len(values))) for name, values in columns.items()}


def _native(values: NDArray[Any]) -> NDArray[Any]:
    """A contiguous copy in the byte order of this machine; the block it was cut from can be freed."""
    return np.array(values, dtype=values.dtype.newbyteorder("="))


def wrong_units(jets: Jets, *, converted: bool = False) -> tuple[str, str] | None:
    """What is wrong with momenta that cannot be in GeV, and what to do; ``None`` if they can be.

    Arguments:
        jets: The first ones of a file.
        converted: They were divided by 1000, because the user said MeV.
    """
    with np.errstate(all="ignore"):
        jet_pt = jets[:_N_UNITS].jet_pt
    finite = jet_pt[np.isfinite(jet_pt)]
    if not len(finite):
        return None
    median = float(np.median(finite))
    if converted:
        if median >= _SMALLEST_PT:
            return None
        return (
            f"the momenta are not in MeV: the median jet pT would be {median:.3g} GeV",
            "leave out --units MeV",
        )
    if median > MEV_THRESHOLD:
        return (
            f"the momenta look like MeV: the median jet pT is {median:.0f}, which would be "
            f"{median / 1000:.0f} TeV",
            'if they are, read them with --units MeV (units="MeV"), else with --units GeV',
        )
    if median < _SMALLEST_PT:
        return (
            f"the momenta are not in GeV: the median jet pT is {median:.3g}, so they may be in "
            "TeV, or parts of the jet",
            "convert the file to GeV; if they are in GeV, read them with --units GeV",
        )
    return None


def check_momenta_in_gev(jets: Jets, path: str | Path, *, converted: bool = False) -> None:
    """Raise InputError if the momenta cannot be in GeV; arguments as of ``wrong_units``."""
    problem = wrong_units(jets, converted=converted)
    if problem is not None:
        raise InputError(f"{path}: {'; '.join(problem)}")
