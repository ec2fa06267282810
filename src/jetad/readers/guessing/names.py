"""Columns of one object each, by what their names have in common."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

__all__ = ["Family", "Guess", "N_ROWS", "depth_of", "families_of", "is_counter"]

N_ROWS = 200  # rows that a guess is tried on; more where they hold no jet

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


class Family(NamedTuple):
    """Columns of one object: what their names begin with, and which is what."""

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


def depth_of(kind: str) -> int:
    """Lists around a number, from the type of its column: 0 one a row, 1 a list, 2 lists of lists."""
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


def families_of(columns: dict[str, str]) -> list[Family]:
    """Columns of one object each, by what their names have in common."""
    found: dict[tuple[str, int], dict[str, str]] = {}
    numbered: dict[tuple[str, int], dict[str, dict[int, str]]] = {}
    for name, kind in columns.items():
        depth, plain = depth_of(kind), _spelled(name)
        if depth == 0:
            _add_numbered(name, plain, numbered)
        if match := _BEHIND.match(plain):
            prefix, role = match[1], match[2]
            # 'eventphi' is no phi of 'event', but 'jetPhi' is
            if not prefix or not prefix[-1].isalpha() or role[0].isupper() or prefix.endswith("_"):
                found.setdefault((prefix.lower(), depth), {}).setdefault(_ROLES[role.lower()], name)
        if match := _BEFORE.match(plain):
            found.setdefault((match[2].lower(), depth), {}).setdefault(_ROLES[match[1].lower()], name)
    families = [Family(prefix, depth, roles) for (prefix, depth), roles in found.items()]
    for (pattern, depth), by_role in numbered.items():
        sizes = {len(numbers) for numbers in by_role.values()}
        if len(sizes) == 1 and sizes.pop() >= 2:
            roles = {role: _with_hash(next(iter(n.values())), next(iter(n))) for role, n in by_role.items()}
            families.append(Family(pattern, depth, roles))
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


def is_counter(name: str, columns: dict[str, str]) -> bool:
    """Whether a column counts a list: nJet of Jet_pt."""
    if name[:1] != "n" or depth_of(columns[name]):
        return False
    rest = name[1:]
    return any(depth_of(k) and (n == rest or n.startswith(f"{rest}_")) for n, k in columns.items())
