"""What every reader shares: protocol, file checks, and the one place low-level errors are translated."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, InputError, JetadError
from ..files import require_plain
from ..jets import Jets
from ..registry import closest_first
from .containers.delimiters import csv_delimiter
from .containers.remote import (
    UnansweredError,
    first_line,
    may_pass,
    remote_reason,
    remote_url,
    tree_of_remote,
)

__all__ = [
    "CONTAINER_NAMES",
    "BaseReader",
    "FileSummary",
    "Reader",
    "StoredJet",
    "build_columns",
    "build_jets",
    "check_momenta_in_gev",
    "column_name",
    "container_of",
    "labels_of",
    "nearest",
    "plain_name",
    "reading",
    "require_container",
    "split_path",
    "wrong_units",
]

# Median jet pT [GeV] above which the numbers are taken for MeV (no jet of the LHC has more than its beams),
# and below which they are no momenta in GeV: TeV, or parts of the jet.
MEV_THRESHOLD = 7_000.0
_SMALLEST_PT = 1.0

_N_UNITS = 1000  # jets looked at for it

# Names that `Jets` computes itself; columns of the file with these names get the suffix `_file`.
_COMPUTED = ("jet_pt", "jet_eta", "jet_phi", "jet_mass")

_CONTAINERS = {b"PAR1": "parquet", b"PK\x03\x04": "numpy", b"\x93NUMPY": "numpy"}
CONTAINER_NAMES = {
    "hdf5": "an HDF5 file",
    "root": "a ROOT file",
    "parquet": "a Parquet file",
    "numpy": "a NumPy file",
    "text": "a text file",
    "csv": "a table of text",
    "hepmc": "a file of generated events (HepMC)",
    "lhe": "a file of generated events (Les Houches)",
}

_TEXT_BYTES = 1 << 20  # of a text file, looked at to find out what it is

_HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf")
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_OTHER_MAGIC = {
    b"\x1f\x8b": "gzip-compressed (decompress it first)",
    b"BZh": "bzip2-compressed (decompress it first)",
    b"\xfd7zXZ\x00": "xz-compressed (decompress it first)",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself (run 'git lfs pull')",
    b"<!DOCTYPE": "a web page, so the download went wrong",
    b"<html": "a web page, so the download went wrong",
}


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


# --- errors --------------------------------------------------------------------------------------


@contextlib.contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Turn any error of the libraries below into an :class:`InputError` that names the file.

    A broken file makes HDF5, uproot and zlib raise nearly every type of exception, so all are caught
    here; the original one stays chained and is shown by ``jetad -vv``.
    """
    try:
        yield
    except JetadError:
        raise
    except MemoryError as error:
        raise InputError(
            f"{path}: more memory was asked for than there is ({first_line(error)}); "
            "the file is broken, or its jets must be read in smaller steps"
        ) from error
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read this file") from error
    except Exception as error:
        url = remote_url(path)
        if url is None:
            raise InputError(f"{path}: cannot be read, {_reason(error)}") from error
        kind = UnansweredError if may_pass(error) else InputError
        raise kind(f"{url}: {remote_reason(error) or f'cannot be read, {_reason(error)}'}") from error


def _reason(error: BaseException) -> str:
    text = str(error)
    eof = re.search(r"truncated file: eof = (\d+).*stored_eof = (\d+)", text)
    if eof:
        return f"the file is truncated: {eof[1]} of {eof[2]} bytes are there; copy or download it again"
    if isinstance(error, ImportError):
        return f"a package is missing: {' '.join(text.split())[:300]}"
    return f"the file is broken or of another kind ({type(error).__name__}: {first_line(error)})"


def nearest(wanted: str, available: Iterable[str], n: int = 8) -> str:
    """The available names most like the wanted one, as text for a message."""
    names = list(available)
    if not names:
        return "none"
    # the full comparison is slow for thousands of branches: keep those that share letters first
    if len(names) > 500:
        names = difflib.get_close_matches(wanted, names, n=50, cutoff=0.3) or names[:50]
    text = ", ".join(closest_first(wanted, names)[:n])
    return text if len(names) <= n else f"{text}, ..."


# --- paths and magic bytes -----------------------------------------------------------------------


def plain_name(path: str | Path) -> Path:
    """The name of a file, without its folder, its tree, and the query of a URL."""
    name = split_path(path)[0].name
    return Path(name.partition("?")[0] if remote_url(path) is not None else name)


def split_path(path: str | Path) -> tuple[Path, str | None]:
    """``file.root:dir/tree`` to the file and the object inside; ``None`` where no object is named."""
    text = str(path)
    if remote_url(text) is not None:
        scheme, _, rest = str(Path(text)).partition(":")
        remote_file, tree = tree_of_remote(rest.lstrip("/"))
        return Path(f"{scheme}:/{remote_file}"), tree
    if not Path(text).exists():
        head, _, tail = text.rpartition(":")
        if tail and Path(head).suffix and "://" not in text:
            return Path(head), tail.strip("/")
    return Path(text), None


def container_of(path: str | Path) -> str:
    """``"hdf5"``, ``"root"``, ``"parquet"``, ``"numpy"`` or ``"text"`` from the first bytes of the file.

    Raises:
        InputError: for anything else, saying what was found.
    """
    file, _ = split_path(path)
    if remote_url(path) is not None:
        suffix = plain_name(path).suffix
        if suffix == ".root" or suffix in _HDF5_SUFFIXES:
            return "root" if suffix == ".root" else "hdf5"
        raise InputError(
            f"{path}: only files named .root or {', '.join(_HDF5_SUFFIXES)} are read from a server; "
            "copy the file here first"
        )
    with reading(file):
        if file.is_dir():
            raise InputError(f"{file}: is a folder; name the files in it, for example '{file}/*.root'")
        if not file.exists():
            raise InputError(f"{file}: no such file{_similar_file(file)}")
        require_plain(file)
        size = file.stat().st_size
        if size == 0:
            raise InputError(f"{file}: is empty (0 bytes); copy or download it again")
        with open(file, "rb") as stream:
            start = stream.read(64)
            if start.startswith(b"root"):
                _check_root_size(file, start, size)
                return "root"
            offset = 0  # HDF5 allows a user block of 512, 1024, 2048, ... bytes before its signature
            while offset < min(size, 1 << 20):
                stream.seek(offset)
                if stream.read(8) == _HDF5_MAGIC:
                    return "hdf5"
                offset = 2 * offset or 512
    for magic, container in _CONTAINERS.items():
        if start.startswith(magic):
            return container
    for magic, what in _OTHER_MAGIC.items():
        if start.startswith(magic):
            raise InputError(f"{file}: is {what}; jets are read from HDF5 and ROOT files")
    if file.suffix == ".root":
        raise InputError(f"{file}: not a ROOT file: first four bytes are {start[:4]!r} instead of b'root'")
    if file.suffix in _HDF5_SUFFIXES:
        raise InputError(f"{file}: not an HDF5 file: first eight bytes are {start[:8]!r}")
    kind = _text_kind(file)
    if kind != "csv" and start.count(b";") >= 3 and all(32 <= b < 127 or b in b"\t\r\n" for b in start):
        return "text"
    if kind is not None:
        return kind
    raise InputError(
        f"{file}: unknown format: first four bytes are {start[:4]!r}; "
        "jets are read from HDF5, ROOT, Parquet, NumPy and CSV files"
    )


def _text_kind(file: Path) -> str | None:
    """``"csv"``, ``"hepmc"`` or ``"lhe"`` from the first lines of a text file, ``None`` for anything else."""
    with reading(file), open(file, "rb") as stream:
        start = stream.read(_TEXT_BYTES)
    if b"\0" in start:
        return None
    text = start.decode("utf-8", errors="replace")
    if text.lstrip().startswith("HepMC::"):
        return "hepmc"
    if "<LesHouchesEvents" in text[:4096]:
        return "lhe"
    return "csv" if "\ufffd" not in text[:-4] and csv_delimiter(text) is not None else None


def require_container(path: str | Path, wanted: str | tuple[str, ...], reader: str) -> None:
    """Raise InputError if the file is not of a container that the reader needs."""
    found, wanted = container_of(path), (wanted,) if isinstance(wanted, str) else wanted
    if found not in wanted:
        is_a, needs = CONTAINER_NAMES[found], " or ".join(CONTAINER_NAMES[name] for name in wanted)
        raise InputError(f"{path}: is {is_a}, but reader '{reader}' needs {needs}")


def _check_root_size(file: Path, start: bytes, size: int) -> None:
    """A ROOT header says where the file ends (fEND); a shorter file lost its tail and its directory."""
    version = int.from_bytes(start[4:8], "big", signed=True)  # uproot 3 wrote negative ones
    end = int.from_bytes(start[12:20] if version >= 1_000_000 else start[12:16], "big")
    if len(start) < 64 or size < end:
        raise InputError(
            f"{file}: the file is truncated: {size} of {end} bytes are there; copy or download it again"
        )


def _similar_file(file: Path) -> str:
    if not file.parent.is_dir():
        return f" (nor is there a folder {file.parent})"
    names = [p.name for p in file.parent.iterdir() if p.is_file()]
    close = difflib.get_close_matches(file.name, names, n=1, cutoff=0.7)
    return f"; did you mean '{file.parent / close[0]}'?" if close else ""


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
