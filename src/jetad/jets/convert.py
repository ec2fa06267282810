"""Jets from what analysis frameworks hold in memory: awkward arrays and padded NumPy arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .collection import Jets

__all__ = ["Adapted", "as_jets"]

_CYLINDRICAL = {"pt": ("pt",), "eta": ("eta",), "phi": ("phi",), "mass": ("mass", "m", "M")}
_CARTESIAN = {"energy": ("E", "energy", "e", "t"), "px": ("px", "x"), "py": ("py", "y"), "pz": ("pz", "z")}


class Adapted(NamedTuple):
    """Jets, and how many of them are in each event where the data has events."""

    jets: Jets
    counts: NDArray[np.int64] | None

    def restore(self, values: NDArray[Any]) -> Any:
        """One value per jet in the shape of the data: an array, or an awkward array of lists per event."""
        if self.counts is None:
            return values
        import awkward as ak

        return ak.unflatten(values, self.counts)


def as_jets(data: Any) -> Adapted:
    """Jets from constituents in memory.

    Arguments:
        data: ``Jets``; a NumPy array ``(n_jets, n, 3 or 4)`` of (pt, eta, phi[, mass]) with pt = 0 as
            padding; or an awkward array of records, jets x constituents or events x jets x
            constituents, with fields ``pt, eta, phi[, mass]`` or ``E, px, py, pz`` (``energy``, vector's
            ``t, x, y, z``) in GeV and radians, and ``charge`` if there is one. Of an array with events,
            ``entry`` is the event and ``position`` the jet inside it.

    Raises:
        InputError: for anything else, saying what was found.

    Example:
        >>> import awkward as ak
        >>> pt, angle = [[50.0, 30.0], [20.0]], [[0.0, 0.1], [0.2]]
        >>> as_jets(ak.zip({"pt": pt, "eta": angle, "phi": angle})).jets
        Jets(2 jets, 3 constituents)
    """
    if isinstance(data, Jets):
        return Adapted(data, None)
    if isinstance(data, np.ndarray):
        return Adapted(Jets.from_padded(data), None)
    if type(data).__module__.partition(".")[0] not in ("awkward", "vector", "coffea"):
        raise InputError(
            "jets are Jets, a NumPy array (n_jets, n, 3 or 4) or an awkward array, "
            f"found {type(data).__name__}"
        )
    import awkward as ak

    names = set(ak.fields(data))
    depth = data.ndim
    if depth not in (2, 3):
        raise InputError(
            f"constituents are jets x constituents or events x jets x constituents, found {depth} dimensions"
        )
    found = _find(names)
    components = {name: data[field] for name, field in found.items()}
    if "charge" in names:
        components["charge"] = data["charge"]
    counts = entry = position = None
    if depth == 3:
        counts = np.asarray(ak.num(data, axis=1), dtype=np.int64)
        entry = np.repeat(np.arange(len(counts)), counts)
        position = np.arange(len(entry)) - np.repeat(np.cumsum(counts) - counts, counts)
        components = {name: ak.flatten(values, axis=1) for name, values in components.items()}
    first = next(iter(components.values()))
    offsets = np.concatenate([[0], np.cumsum(np.asarray(ak.num(first, axis=1), dtype=np.int64))])
    flat = {
        name: np.asarray(ak.to_numpy(ak.flatten(values, axis=1)), dtype=np.float64)
        for name, values in components.items()
    }
    fields: dict[str, Any] = {
        "offsets": offsets, "entry": entry, "position": position, "charge": flat.get("charge"),
    }  # fmt: skip
    with np.errstate(all="ignore"):
        if "pt" in flat:
            mass = flat.get("mass", np.zeros(len(flat["pt"])))
            jets = Jets(pt=flat["pt"], eta=flat["eta"], phi=flat["phi"], mass=mass, **fields)  # type: ignore[arg-type]
        else:
            jets = Jets.from_cartesian(flat["energy"], flat["px"], flat["py"], flat["pz"], **fields)
    return Adapted(jets, counts)


def _find(names: set[str]) -> dict[str, str]:
    """Component -> field of the record."""
    for wanted in (_CYLINDRICAL, _CARTESIAN):
        found = {
            component: next(s for s in spellings if s in names)
            for component, spellings in wanted.items()
            if names & set(spellings)
        }
        if len(found) == len(wanted) or (wanted is _CYLINDRICAL and {"pt", "eta", "phi"} <= set(found)):
            return found
    listed = ", ".join(sorted(names)) or "none"
    raise InputError(
        f"constituents need the fields pt, eta, phi[, mass] or E, px, py, pz; there are: {listed}"
    )
