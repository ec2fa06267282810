"""A first mapping for a file: guessed from names, shapes and numbers, tried on some rows, and judged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from ..errors import InputError, JetadError
from ..jets import Jets
from .base import MEV_THRESHOLD, container_of, reading, split_path
from .columnmap import ColumnMap, plain_name_of
from .containers.arrays import ArraySource, Source, is_number, open_source, tree_names
from .mapped import Mapped, is_filling

__all__ = [
    "Guess",
    "array_guesses",
    "first_good",
    "guesses",
    "judge",
    "label_of",
    "on_shell",
    "suggest_mapping",
    "weight_of",
]

_N_ROWS = 200  # rows that a guess is tried on; more where they hold no jet
_MORE_ROWS = 5_000
_MAX_FEATURES = 32  # numbers a particle
_MAX_OBSERVABLES = 50
_MAX_SHOWN = 8

# what a good guess must show
_MIN_FINITE = 0.9  # part of the jets with finite momenta
_MIN_PT, _MAX_ETA = 1.0, 8.0  # [GeV]; median pT, |eta| of nearly all
_MIN_COLLIMATED = 0.75  # median |sum of pT vectors| / sum of |pT|: a jet has 0.9, an event 0.1
_PT_FACTOR, _AXIS = 4.0, 0.5  # constituents against their stored jet: pT, |eta| (tracks are a part of it)

_LABELS = ("is_signal_new", "is_signal", "issignal", "signal", "label", "labels", "truth", "target", "y")
_WEIGHTS = ("weight", "weights", "event_weight", "mcweight", "genweight", "w")

_ROLES = {
    "pt": "pt", "eta": "eta", "phi": "phi", "mass": "mass", "m": "mass", "energy": "E", "en": "E", "e": "E",
    "px": "px", "py": "py", "pz": "pz", "charge": "charge", "deta": "deta", "dphi": "dphi",
    "valid": "mask", "mask": "mask", "etarel": "deta", "eta_rel": "deta", "phirel": "dphi", "phi_rel": "dphi",
    "ptrel": "pt_fraction", "pt_rel": "pt_fraction", "ptfrac": "pt_fraction", "pt_frac": "pt_fraction",
    "pts": "pt", "etas": "eta", "phis": "phi", "masses": "mass", "energies": "E",
}  # fmt: skip
_WORD = "|".join(sorted(_ROLES, key=len, reverse=True))
_BEHIND = re.compile(rf"(?i)^(.*?)({_WORD})$")
_BEFORE = re.compile(rf"(?i)^({_WORD})[_.](.*[a-z].*)$")
# pxj1, mj1: the role before the number of the jet; E_0, PX_0: the number behind
_OF_JET_NUMBER = re.compile(rf"(?i)^(.*?\.)?({_WORD})_?(j|jet)_?(\d{{1,2}})$")
_NUMBER_BEHIND = re.compile(rf"(?i)^(.*?)({_WORD})_?(\d{{1,6}})$")
# E_part0, px_c1: the role before the name and its number
_BEFORE_NUMBER = re.compile(rf"(?i)^(.*?\.)?({_WORD})[_.]([a-z][a-z_]*?)_?(\d{{1,6}})$")
_NUMBER_BETWEEN = re.compile(rf"(?i)^(.*?)(\d{{1,6}})[_.]?({_WORD})$")  # constit0_pt
_JET_NUMBER = re.compile(rf"(?i)^(.*?(?:j|jet)_?)(\d{{1,2}})([_.])({_WORD})$")

_GENERATOR = re.compile("gen|truth|mc|lhe|parton|hepmc|pythia")
_JET = re.compile(r"jet|(^|[._/])j\d*[_.]?$|^fj|ak\d|^j#")
_PARTICLES = re.compile("part|cand|const|pf|track|trk|tower|clus|^p_|constit")
# what an event holds beside jets and their particles
_OTHERS = re.compile(
    "ele|mu(?!l)|lep|tau|phot|gamma|isotrack|trig|subjet|hit|vert|sv|met|higgs|boson|neutrino|bquark|wdecay"
)


class Guess(NamedTuple):
    """Columns that may be jets, before they are tried."""

    what: str  # for messages: 'FatJet_*'
    keys: dict[str, Any]  # of a ColumnMap
    jet_prefix: str | None = None  # columns beginning so are features of the jets
    why_not: str | None = None  # why it is not even tried


class Verdict(NamedTuple):
    """What became of a guess."""

    reason: str | None  # why the jets are none; None if they are plausible
    is_mev: bool = False


class _Family(NamedTuple):
    prefix: str  # in lower case
    depth: int  # lists around a number: 0 one a row, 1 a list, 2 lists of lists
    roles: dict[str, str]  # role -> column

    @property
    def momenta(self) -> dict[str, str] | None:
        """The columns of a complete four-momentum, or ``None``."""
        r = self.roles
        keys: tuple[str, ...]
        if {"px", "py", "pz"} <= set(r) and ("E" in r or "mass" in r):
            keys = ("px", "py", "pz", "E" if "E" in r else "mass")
        elif {"pt", "eta"} <= set(r) and ("phi" in r or self.depth == 0):
            keys = ("pt", "eta", *(k for k in ("phi",) if k in r), *[k for k in ("mass", "E") if k in r][:1])
        elif {"deta", "dphi"} <= set(r) and {"pt", "pt_fraction"} & set(r):
            keys = ("pt" if "pt" in r else "pt_fraction", "deta", "dphi")
            keys += tuple([k for k in ("mass", "E") if k in r][:1])
        else:
            return None
        more = [k for k in ("charge", "mask") if k in r] if self.depth else []
        return {k: r[k] for k in (*keys, *more)}

    @property
    def name(self) -> str:
        return next(iter(self.roles.values()), self.prefix)

    @property
    def kind(self) -> str:
        prefix = self.prefix
        last = re.split("/", prefix.strip("._/"))[-1] or prefix
        if _JET.search(last) and not re.search("subjet|tau", last):
            # candidates of jets (JetPFCands) are particles
            particles = re.search("cand|const|part|clus|track|trk", last)
            return ("generated jets" if _GENERATOR.search(last) else "jets") if not particles else "particles"
        if _GENERATOR.search(last):
            return "generator records"
        if _OTHERS.search(last):
            return "leptons or other objects"
        return "particles" if _PARTICLES.search(last) else "unknown"

    @property
    def order(self) -> tuple[Any, ...]:
        """Large jets first, then the shortest name."""
        scale = bool(re.search("scale|uncal|raw|constit", self.prefix))
        large = re.search(r"fat|(^|[._/])fj|ak8|ak10|ak15|larger", self.prefix)
        return scale, not large, len(self.prefix), self.prefix


# --- from names ----------------------------------------------------------------------------------


def _depth(kind: str) -> int:
    inside = kind.partition("[")[2]
    return (kind.count("[") + inside.count(",")) if inside else 0


def _spelled(name: str) -> str:
    """The name of a column with the members of vectors as roles."""
    plain = re.sub(r"momentum\.([xyz])$", r"p\1", name)  # of EDM4hep
    plain = re.sub(r"\.fP\.f([XYZ])$", lambda m: f".p{m[1].lower()}", plain)  # of TLorentzVector
    plain = re.sub(r"(\.fP)?\.fE$", ".e", plain)
    plain = re.sub(r"\.fCoordinates\.f(Pt|Eta|Phi|M|E)$", r".\1", plain)  # of ROOT::Math
    plain = re.sub(r"\.fCoordinates\.f([XYZ])$", lambda m: f".p{m[1].lower()}", plain)
    plain = re.sub(r"\.fCoordinates\.fT$", ".e", plain)
    return re.sub(r"^(.*)(AK\d+)$", r"\2\1", plain)  # jetPtAK8 of CMS


def _families(columns: dict[str, str]) -> list[_Family]:
    """Columns of one object each, by what their names have in common."""
    found: dict[tuple[str, int], dict[str, str]] = {}
    numbered: dict[tuple[str, int], dict[str, dict[int, str]]] = {}
    for name, kind in columns.items():
        depth, plain = _depth(kind), _spelled(name)
        if depth == 0:
            _add_numbered(name, plain, numbered)
        if match := _BEHIND.match(plain):
            prefix, role = match[1], match[2]
            # 'eventphi' is no phi of 'event', but 'jetPhi' is
            if not prefix or not prefix[-1].isalpha() or role[0].isupper() or prefix.endswith("_"):
                found.setdefault((prefix.lower(), depth), {}).setdefault(_ROLES[role.lower()], name)
        if match := _BEFORE.match(plain):
            found.setdefault((match[2].lower(), depth), {}).setdefault(_ROLES[match[1].lower()], name)
    families = [_Family(prefix, depth, roles) for (prefix, depth), roles in found.items()]
    for (pattern, depth), by_role in numbered.items():
        sizes = {len(numbers) for numbers in by_role.values()}
        if len(sizes) == 1 and sizes.pop() >= 2:
            roles = {role: _with_hash(next(iter(n.values())), next(iter(n))) for role, n in by_role.items()}
            families.append(_Family(pattern, depth, roles))
    return families


def _add_numbered(name: str, plain: str, numbered: dict[tuple[str, int], dict[str, dict[int, str]]]) -> None:
    if match := _OF_JET_NUMBER.match(plain):
        key, role, number = f"{match[1] or ''}jet#", match[2], match[4]
    elif match := _JET_NUMBER.match(plain):
        key, role, number = f"{match[1]}#", match[4], match[2]
    elif match := _NUMBER_BEHIND.match(plain):
        key, role, number = f"{match[1]}particles#", match[2], match[3]
    elif match := _BEFORE_NUMBER.match(plain):
        key, role, number = f"{match[1] or ''}{match[3]}particles#", match[2], match[4]
    elif match := _NUMBER_BETWEEN.match(plain):
        key, role, number = f"{match[1]}#particles", match[3], match[2]
    else:
        return
    roles = numbered.setdefault((key.lower(), 1), {})
    roles.setdefault(_ROLES[role.lower()], {})[int(number)] = name


def _with_hash(name: str, number: int) -> str:
    """The column of one number as the pattern of all: the last such number becomes #."""
    head, _, tail = name.rpartition(str(number))
    return f"{head}#{tail}"


def guesses(source: Source) -> Iterator[Guess]:
    """What of a file could be jets, the most likely first, and what looks like them but is not."""
    every = source.columns()
    columns = {n: kind for n, kind in every.items() if is_number(kind) and not _is_counter(n, every)}
    families = sorted((f for f in _families(columns) if f.momenta), key=lambda f: f.order)
    by_kind: dict[str, list[_Family]] = {}
    for family in families:
        by_kind.setdefault(family.kind, []).append(family)
    jets, generated = by_kind.get("jets", []), by_kind.get("generated jets", [])
    particles = [f for f in (*by_kind.get("particles", []), *by_kind.get("unknown", [])) if f.depth]
    lists = [f for f in jets if f.depth == 1]
    # jets with their constituents
    for jet in (f for f in jets if f.depth < 2):
        # lists j1_px beside one j_pt a row are its constituents
        inside_rows = lists if jet.depth == 0 else []
        for family in (*particles, *inside_rows):
            index = _index(family, columns) if jet.depth == 1 and family.depth == 1 else None
            if family.depth == jet.depth + 1 or index:
                inside = {**(family.momenta or {}), **({"jet": index} if index else {})}
                keys = {"jets": jet.momenta, "constituents": inside}
                yield Guess(f"{_star(family)} in {_star(jet)}", keys, jet.prefix)
    for family in particles:
        if "deta" in (family.momenta or {}):
            continue
        guess = Guess(_star(family), {"constituents": family.momenta})
        if lists and family.depth == 1:
            guess = guess._replace(
                why_not=f"are all particles of an event, which has jets: {_star(lists[0])}"
            )
        yield guess
    for jet in (*lists, *(f for f in jets if f.depth == 0)):
        yield Guess(_star(jet), {"jets": jet.momenta}, jet.prefix)
    if isinstance(source, ArraySource):
        yield from array_guesses(source)
    for jet in (f for f in generated if f.depth < 2):
        yield Guess(_star(jet), {"jets": jet.momenta}, jet.prefix)
    for family in by_kind.get("unknown", []):
        if family.depth == 0:
            yield Guess(_star(family), {"jets": family.momenta}, family.prefix)
    for kind in ("generator records", "leptons or other objects"):
        for family in by_kind.get(kind, []):
            yield Guess(_star(family), {}, why_not=f"are {kind}")


def _star(family: _Family) -> str:
    names = list((family.momenta or family.roles).values())
    return f"'{names[0]}'" if len(names) == 1 else f"'{names[0]}', '{names[1]}', ..."


def _index(family: _Family, columns: dict[str, str]) -> str | None:
    """The column that says to which jet of its event a particle belongs."""
    wanted = {family.prefix + word for word in ("jet", "jetidx", "jet_idx", "jetindex", "jet_index")}
    return next((n for n, kind in columns.items() if n.lower() in wanted and _depth(kind) == 1), None)


# --- from numbers --------------------------------------------------------------------------------


def array_guesses(source: ArraySource) -> Iterator[Guess]:
    """Arrays (n, particles, features) or (n, features, particles) as constituents, (n, features) as jets.

    Which number is which follows from ranges and from the mass shell, E^2 >= p^2.
    """
    names = [n for n, a in source.arrays.items() if a.dtype.kind in "fiu" and n in source.columns()]
    inside: dict[str, dict[str, str]] = {}  # relative to a jet, by array
    for name in names:
        array = source.arrays[name]
        if len(array.shape) not in (3, 4) or not min(array.shape):
            continue
        rows = np.asarray(array[: min(_N_ROWS, array.shape[0])], dtype=np.float64)
        rows = rows.reshape(-1, *rows.shape[-2:])  # of events with several jets, their jets
        for axis in (2, 1):
            if not 3 <= rows.shape[axis] <= _MAX_FEATURES:
                continue
            slots = rows if axis == 2 else np.swapaxes(rows, 1, 2)
            end = "]" if axis == 2 else ", :]"
            for mask, there in _masks(source, slots, array, f"{name}[", end):
                for roles in _roles(slots[there]):
                    four = {r: f"{name}[{i}{end}" for r, i in roles.items()}
                    yield Guess(f"'{name}'", {"constituents": {**four, "mask": mask}})
            filled = (slots != 0).any(axis=2) & np.isfinite(slots).all(axis=2) & ~is_filling(slots)
            for roles in _roles(slots[filled]):
                yield Guess(f"'{name}'", {"constituents": {r: f"{name}[{i}{end}" for r, i in roles.items()}})
            if relative := _relative(np.where(filled[..., None], slots, 0)):
                inside[name] = {r: f"{name}[{i}{end}" for r, i in relative.items()}
    jets = []
    for name in names:
        array = source.arrays[name]
        if len(array.shape) == 2 and 3 <= array.shape[1] <= _MAX_FEATURES and array.shape[0]:
            rows = np.asarray(array[: min(_N_ROWS, array.shape[0])], dtype=np.float64)
            for roles in _roles(rows[np.isfinite(rows).all(axis=1)]):
                jets.append(Guess(f"'{name}'", {"jets": {r: f"{name}[{i}]" for r, i in roles.items()}}))
    for jet in jets:
        for name, four in inside.items():
            yield Guess(f"'{name}' in {jet.what}", {**jet.keys, "constituents": four})
    yield from jets


def _masks(
    source: ArraySource, slots: NDArray[np.float64], array: Any, start: str, end: str
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Columns that say which slots ``(n, particles)`` are filled: arrays beside, or features of 1, then 0."""
    whole = (*array.shape[:-2], slots.shape[1])
    for name, other in source.arrays.items():
        if other.shape == whole and other.dtype.kind in "biuf":
            there = np.asarray(other[: min(_N_ROWS, array.shape[0])]).reshape(slots.shape[:2])
            if np.isin(there, (0, 1)).all() and (re.search("mask|valid", name.lower()) or _fills(there)):
                yield name, there == 1
    for i in range(slots.shape[2]):
        if np.isin(slots[..., i], (0, 1)).all() and _fills(slots[..., i]):
            yield f"{start}{i}{end}", slots[..., i] == 1


def _fills(there: NDArray[Any]) -> bool:
    """Whether rows of 0 and 1 begin with 1 and change once, some of them at least."""
    return bool(
        (np.diff(there.astype(np.int8), axis=1) <= 0).all() and (there == 1).any() and (there == 0).any()
    )


def _relative(slots: NDArray[np.float64]) -> dict[str, int] | None:
    """Where ``(n, particles, features)`` has pt_fraction, deta, dphi: parts of a whole, and small angles."""
    n_features = slots.shape[2]
    for i in range(n_features - 2):
        for order in (("pt_fraction", "deta", "dphi"), ("deta", "dphi", "pt_fraction")):
            places = dict(zip(order, range(i, i + 3), strict=True))
            part, deta, dphi = (slots[..., places[k]] for k in ("pt_fraction", "deta", "dphi"))
            whole = part.sum(axis=1)
            small = all((np.abs(v) < 3.2).all() and (v < 0).any() and (v > 0).any() for v in (deta, dphi))
            if (part >= 0).all() and 0.5 < np.median(whole) < 1.2 and whole.max() < 2 and small:
                return places
    return None


def _roles(values: NDArray[np.float64]) -> Iterator[dict[str, int]]:
    """Ways to read ``(n, features)`` as four-momenta: role -> position."""
    n_features = values.shape[1]
    if len(values) < 3:
        return
    for i in range(n_features - 3):
        for roles in (dict(zip(("E", "px", "py", "pz"), range(i, i + 4), strict=True)),
                      dict(zip(("px", "py", "pz", "E"), range(i, i + 4), strict=True))):  # fmt: skip
            if on_shell(values[:, [roles[k] for k in ("E", "px", "py", "pz")]]):
                yield roles
    for i in range(n_features - 2):
        for order in (("pt", "eta", "phi"), ("eta", "phi", "pt"), ("pt", "phi", "eta")):
            places = dict(zip(order, range(i, i + 3), strict=True))
            pt, eta, phi = (values[:, places[k]] for k in ("pt", "eta", "phi"))
            if _cylindrical(pt, eta, phi):
                yield {**places, **_fourth(values, i + 3, pt, eta)}


def on_shell(values: NDArray[np.float64]) -> bool:
    """Whether columns are (E, px, py, pz): E >= |p|, and of light particles nearly equal."""
    energy, momenta = values[:, 0], values[:, 1:]
    if (energy <= 0).any() or (momenta == 0).all(axis=0).any() or not (momenta < 0).any():
        return False
    p = np.sqrt((momenta**2).sum(axis=1))
    return bool((energy >= p * (1 - 1e-3)).mean() > 0.995 and np.median((energy - p) / energy) < 0.3)


def _cylindrical(pt: NDArray[np.float64], eta: NDArray[np.float64], phi: NDArray[np.float64]) -> bool:
    in_phi = (np.abs(phi) <= 3.2).all() or ((phi >= 0) & (phi <= 6.3)).all()
    whole = all(np.array_equal(v, np.round(v)) for v in (eta, phi))
    sided = (eta < 0).any() and (eta > 0).any() and len(np.unique(phi)) > 2
    return bool(
        (pt >= 0).all() and pt.max() > 1.5 and (np.abs(eta) < 7).all() and in_phi and sided and not whole
    )


def _fourth(values: NDArray[np.float64], place: int, pt: Any, eta: Any) -> dict[str, int]:
    """What stands behind (pt, eta, phi): the energy, the ids of the particles, the mass, or else."""
    if place >= values.shape[1]:
        return {}
    fourth = values[:, place]
    p = pt * np.cosh(eta)
    if (fourth >= p * (1 - 1e-3)).mean() > 0.995 and np.median(fourth / np.where(p > 0, p, 1)) < 1.5:
        return {"E": place}
    if np.isin(np.abs(fourth), (11, 13, 22, 130, 211, 310, 321, 2112, 2212)).mean() > 0.95:
        return {"pid": place}
    is_mask = np.isin(fourth, (0, 1)).all()
    return {"mass": place} if values.shape[1] == 4 and (fourth >= 0).all() and not is_mask else {}


# --- the trial -----------------------------------------------------------------------------------


def judge(source: Source, guess: Guess, path: str | Path) -> Verdict:
    """Read some rows with a guess and see whether what comes out can be jets."""
    if guess.why_not is not None:
        return Verdict(guess.why_not)
    try:
        mapped = Mapped(ColumnMap(**guess.keys), source, path)
        jets = mapped.first(_N_ROWS)
        if not len(jets) or (jets.has_constituents and not len(jets.pt)):
            jets = mapped.first(_MORE_ROWS)
    except (JetadError, ValueError) as error:
        return Verdict(f"cannot be read so ({' '.join(str(error).split())[:150]})")
    with np.errstate(all="ignore"):
        return _plausible(jets)


def _plausible(jets: Jets) -> Verdict:
    if jets.has_constituents:
        jets = jets[jets.n_constituents > 0]
    if not len(jets):
        return Verdict("hold no jet in the first rows")
    momenta = np.stack([jets.jet_pt, jets.jet_eta, jets.jet_phi, jets.jet_mass]).astype(np.float64)
    good = np.isfinite(momenta).all(axis=0) & (momenta[0] > 0)
    if good.mean() < _MIN_FINITE:
        return Verdict(f"give {int((~good).sum())} of {len(jets)} jets with momenta that are no numbers")
    pt = float(np.median(momenta[0][good]))
    if (np.abs(momenta[1][good]) > _MAX_ETA).mean() > 0.1:
        return Verdict("give jets along the beam (|eta| > 8)")
    is_mev = pt > MEV_THRESHOLD
    if not _MIN_PT <= (pt / 1000 if is_mev else pt) <= MEV_THRESHOLD:
        return Verdict(f"give jets of {pt:.3g} GeV (median pT)")
    if jets.has_constituents:
        if (jets.pt < 0).any() or (np.abs(jets.phi) > 7).any():
            return Verdict("give particles with negative pT or phi beyond 2 pi")
        reason = _not_the_jets(jets) if "jet_pt_file" in jets.observables else _not_collimated(jets)
        if reason:
            return Verdict(reason)
    return Verdict(None, is_mev)


def _not_collimated(jets: Jets) -> str | None:
    several = jets.n_constituents > 1
    if several.mean() < 0.2:
        return "hardly ever are more than one a row: they are no constituents of jets"
    part = jets.jet_pt / jets.sum_over_constituents(jets.pt)
    median = float(np.median(part[several]))
    if median < _MIN_COLLIMATED:
        return f"fly in all directions (their pT adds up to {100 * median:.0f}%): whole events, no jets"
    return None


def _not_the_jets(jets: Jets) -> str | None:
    stored_pt, stored_eta = jets.observables["jet_pt_file"], jets.observables["jet_eta_file"]
    ratio = stored_pt / jets.jet_pt
    good = (ratio > 1 / _PT_FACTOR) & (ratio < _PT_FACTOR) & (np.abs(stored_eta - jets.jet_eta) < _AXIS)
    if good.mean() < 0.7:
        return f"do not add up to {int((~good).sum())} of {len(good)} of them"
    return None


def first_good(
    source: Source, path: str | Path, found: Iterable[Guess]
) -> tuple[Guess | None, Verdict, list[str]]:
    """The first guess that stands the trial, and what was said of those before it."""
    refused: list[str] = []
    for guess in found:
        verdict = judge(source, guess, path)
        if verdict.reason is None:
            return guess, verdict, refused
        refused.append(f"{guess.what} {verdict.reason}")
    return None, Verdict("nothing"), refused


# --- the text ------------------------------------------------------------------------------------


def suggest_mapping(path: str | Path) -> str:
    """A mapping for a file as YAML, to be checked by eye: the first guess whose jets are plausible.

    Raises:
        InputError: if the file cannot be read, or no columns give plausible jets; the candidates are listed.
    """
    container = container_of(path)
    refused: list[str] = []
    seen: dict[str, str] = {}
    for tree in tree_names(path, container):
        with reading(path), open_source(path, container, tree) as source:
            seen = seen or source.columns()
            guess, verdict, why = first_good(source, path, guesses(source))
            refused += why
            if guess is not None:
                return _text(source, guess, verdict, path, refused)
    shown = "; ".join(refused[:_MAX_SHOWN]) or "no names or numbers look like momenta"
    more = f"; and {len(refused) - _MAX_SHOWN} more" if len(refused) > _MAX_SHOWN else ""
    held = ", ".join(f"{n} ({k})" for n, k in list(seen.items())[:12]) or "nothing"
    raise InputError(
        f"{path}: no columns were found that are jets: {shown}{more}. The file holds {held}"
        f"{', ...' if len(seen) > 12 else ''}. If it has jets, name them in a mapping: "
        "constituents: {pt: a, eta: b, phi: c}, or of an array (n, particles, 4) {E: 'x[0]', px: 'x[1]', "
        "py: 'x[2]', pz: 'x[3]'}, of (n, 4, particles) {E: 'x[0, :]', ...}"
    )


def _text(source: Source, guess: Guess, verdict: Verdict, path: str | Path, refused: list[str]) -> str:
    columns = source.columns()
    keys: dict[str, Any] = {"tree": source.name} if source.kind.startswith("ROOT") else {}
    if verdict.is_mev:
        keys["units"] = "MeV"
    keys |= {k: dict(v) for k, v in guess.keys.items()}
    used = {v for part in keys.values() if isinstance(part, dict) for v in part.values()}
    bases = {re.sub(r"\[.*", "", name) for name in used}
    numbers = {n: k for n, k in columns.items() if is_number(k) and n not in used and n not in bases}
    depth = 1 if _rows_are_events(guess, columns) else 0
    scalars = [n for n, kind in numbers.items() if _depth(kind) == 0 and not _is_counter(n, columns)]
    label, hint = _label(source, path, scalars)
    if label is not None:
        keys["label"] = label
    named = {label} if isinstance(label, str) else set()
    weight = next((n for w in _WEIGHTS for n in scalars if _last(n) == w and n not in named), None)
    if weight:
        keys["weight"] = weight
    scalars = [n for n in scalars if n not in named and n != weight]
    of_jets = []
    if guess.jet_prefix and depth:
        of_jets = [n for n, k in numbers.items() if n.lower().startswith(guess.jet_prefix) and _depth(k) == 1]
        if any("#" in name for name in used):
            of_jets = _numbered_features(scalars, used)
            scalars = [n for n in scalars if not _in_pattern(n, of_jets)]
    observables = [*of_jets, *(n for n in scalars if "#" not in n and not _in_pattern(n, used))]
    if observables:
        keys["observables"] = {plain_name_of(n): n for n in observables[:_MAX_OBSERVABLES]}
    shown = "" if len(refused) < 1 else "".join(f"# not taken: {text}\n" for text in refused[:_MAX_SHOWN])
    others = [
        f"#   {n}: {k}"
        for n, k in numbers.items()
        if n not in observables and n not in named and not _in_pattern(n, used)
    ]
    tail = "# other columns:\n" + "\n".join(others[:200]) + "\n" if others else ""
    name = Path(split_path(path)[0]).name
    head = f"# guessed from {name} and tried on its first rows: check every line, remove what is not wanted\n"
    units = "" if verdict.is_mev else "# units: MeV\n"
    return head + hint + shown + units + yaml.safe_dump(keys, sort_keys=False) + tail


def _last(name: str) -> str:
    return re.split(r"[./]", name)[-1].lower()


def _numbered_features(scalars: list[str], used: set[str]) -> list[str]:
    """Features of numbered jets, tau1j1 and tau1j2 as tau1j#, where there is one for each jet."""
    pattern = next(u for u in used if "#" in u)
    last = re.search(r"((?:j|jet)_?)#", pattern, flags=re.I)
    if last is None:
        return []
    found: dict[str, set[int]] = {}
    for name in scalars:
        if match := re.search(rf"{last[1]}(\d{{1,2}})(?!\d)", name):
            key = f"{name[: match.start(1)]}#{name[match.end(1) :]}"
            found.setdefault(key, set()).add(int(match[1]))
    size = max((len(numbers) for numbers in found.values()), default=0)
    return [k for k, numbers in found.items() if len(numbers) == size > 1 and k not in used]


def _in_pattern(name: str, used: Iterable[str]) -> bool:
    """Whether a column is one of a numbered family that is used."""
    patterns = (re.escape(u).replace(r"\#", r"\d+") for u in used if "#" in u)
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def _is_counter(name: str, columns: dict[str, str]) -> bool:
    """Whether a column counts a list: nJet of Jet_pt."""
    if name[:1] != "n" or _depth(columns[name]):
        return False
    rest = name[1:]
    return any(_depth(k) and (n == rest or n.startswith(f"{rest}_")) for n, k in columns.items())


def _rows_are_events(guess: Guess, columns: dict[str, str]) -> bool:
    four = guess.keys.get("jets")
    if not four:
        return False
    name = next(iter(four.values()))
    return "#" in name or (_depth(columns.get(name, "")) == 1)


def label_of(source: Source) -> tuple[Any, str]:
    """The truth of a file as a mapping says it, or ``None``, and what to say of it."""
    columns = source.columns()
    scalars = [n for n, kind in columns.items() if is_number(kind) and _depth(kind) == 0]
    found, hint = _label_inside(source, scalars)
    return found, "; ".join(line.removeprefix("# ") for line in hint.splitlines())


def weight_of(columns: dict[str, str]) -> str | None:
    """The column of weights, or ``None``."""
    scalars = [n for n, kind in columns.items() if is_number(kind) and _depth(kind) == 0]
    return next((n for w in _WEIGHTS for n in scalars if _last(n) == w), None)


def _label(source: Source, path: str | Path, scalars: list[str]) -> tuple[Any, str]:
    """The column of the truth, in this file or one beside it, and what to say of it."""
    found, hint = _label_inside(source, scalars)
    if found is None and not hint and isinstance(source, ArraySource):
        return _label_beside(source, path)
    return found, hint


def _label_inside(source: Source, scalars: list[str]) -> tuple[Any, str]:
    usual = [n for w in _LABELS for n in scalars if _last(n) == w]
    usual += [
        n
        for n in scalars
        if n not in usual and re.search(r"[_./](labels?|truth|target|is_?signal)$", n.lower())
    ]
    hint = ""
    for name in usual:
        values = _some_values(source, name)
        if np.isin(values, (-1, 0, 1)).all():
            return name, ""
        some = ", ".join(f"{v:g}" for v in values[:8])
        hint += (
            f"# '{name}' has the values {some}: say which are signal, "
            f"label: {{column: {name}, signal: [...], background: [...]}}\n"
        )
    if hint:
        return None, hint
    if not isinstance(source, ArraySource):
        return None, ""
    two = {n: a for n, a in source.arrays.items() if len(a.shape) == 2 and a.shape[1] == 2}
    found = next((n for w in _LABELS for n in two if _last(n) == w), None)
    if found is not None and _is_one_hot(two[found]):
        label = {"signal_columns": [f"{found}[1]"], "background_columns": [f"{found}[0]"]}
        return label, f"# '{found}' has one number a class: check which of them is the signal\n"
    return None, ""


def _some_values(source: Source, name: str) -> NDArray[Any]:
    """Different values of a column in its first and last rows; NaN is left out."""
    n = source.n_rows([name])
    ends = [(0, min(n, _N_ROWS)), (max(n - _N_ROWS, 0), n)]
    rows = np.concatenate(
        [np.asarray(source.read([name], *end)[name], dtype=np.float64).ravel() for end in ends]
    )
    return np.unique(rows[~np.isnan(rows)])


def _is_one_hot(array: Any) -> bool:
    rows = np.asarray(array[: min(_N_ROWS, array.shape[0])])
    return bool(np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all())


def _label_beside(source: ArraySource, path: str | Path) -> tuple[Any, str]:
    """Truth in a second file: X_test.npy and y_test.npy, tl_pf_vectors.npy and tl_labels.npy."""
    file = split_path(path)[0]
    if file.suffix != ".npy" or not file.parent.is_dir():
        return None, ""
    n_rows = next(iter(source.arrays.values())).shape[0]
    words = set(re.split(r"[_.\-]", file.stem.lower()))
    candidates = []
    for other in sorted(file.parent.glob("*.npy")):
        others = re.split(r"[_.\-]", other.stem.lower())
        if other == file or not any(
            w in ("y", "label", "labels", "truth", "target", "targets") for w in others
        ):
            continue
        try:
            with open_source(other, container_of(other)) as second:
                columns = second.columns()
                array = getattr(second, "arrays", {}).get("data")
                if array is None or array.shape not in ((n_rows,), (n_rows, 2)):
                    continue
        except JetadError:
            continue
        candidates.append((-len(words & set(others)), other.name, columns, array))
    if not candidates:
        return None, ""
    _, name, _, array = min(candidates, key=lambda c: c[:2])
    if array.shape == (n_rows,):
        return {"column": "data", "file": name}, f"# truth is in the file {name} beside it\n"
    label = {"signal_columns": ["data[1]"], "background_columns": ["data[0]"], "file": name}
    return label, f"# truth is in the file {name}: check which of its two numbers is the signal\n"
