"""The jets everything starts from: jagged constituents with their truth and bookkeeping."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..registry import closest_first
from ..shown import html_table
from .kinematics import cartesian, cylindrical

if TYPE_CHECKING:
    import awkward as ak

__all__ = ["Jets"]

_QUANTITIES = {"jet_pt": "GeV", "jet_eta": "", "jet_phi": "rad", "jet_mass": "GeV", "n_constituents": ""}
_SHOWN = 10_000  # jets whose ranges a notebook shows
_CONSTITUENT_FIELDS = ("pt", "eta", "phi", "mass")
# jets whose momenta are summed at once: their constituents stay in the cache of a core
_AT_ONCE = 512


@dataclasses.dataclass(frozen=True, eq=False)
class Jets:
    """A collection of jets with jagged constituents; immutable, rows keep their order.

    Constituents of jet ``i`` are ``pt[offsets[i]:offsets[i + 1]]`` and so on, in the order of the file.
    Values are not required to be finite: a jet with a bad constituent stays in its row and is
    reported when it is scored.

    Arguments:
        pt: Constituent transverse momenta [GeV], ``(n_total,)`` float32.
        eta: Constituent pseudorapidities, ``(n_total,)``.
        phi: Constituent azimuths [rad], ``(n_total,)``.
        mass: Constituent masses [GeV], ``(n_total,)``.
        offsets: Where each jet begins and ends, ``(n_jets + 1,)`` int64, from 0 to n_total.
        charge: Constituent charges [e], ``(n_total,)``, 0 for neutral, NaN for unknown; ``None`` where the
            file does not say.
        labels: Truth, 0 background, 1 signal, -1 unknown, ``(n_jets,)`` int8, or ``None``.
        weights: Event weights, ``(n_jets,)`` float64, or ``None`` for 1 each.
        entry: Row or event of the input file, ``(n_jets,)`` int64; 0, 1, ... by default.
        position: Position of the jet inside its entry, ``(n_jets,)`` int32; 0 by default.
        observables: Further numbers per jet by name, each ``(n_jets,)``.
        jet_momenta: (pt, eta, phi, mass) of each jet [GeV, rad], ``(n_jets, 4)`` float32, where the file
            stores jets without constituents; ``None`` where they are summed from the constituents.
        images: Ready-made jet images, ``(n_jets, n_channels, n_eta, n_phi)`` float32, where the file
            holds those instead of constituents.

    Raises:
        InputError: if the arrays do not fit together.

    Examples:
        >>> jets = Jets.from_lists([[(50.0, 0.0, 0.0, 0.0), (30.0, 0.1, 0.0, 0.0)], [(20.0, 0.0, 1.0, 0.0)]])
        >>> len(jets), jets.n_constituents.tolist()
        (2, [2, 1])
    """

    pt: NDArray[np.float32]
    eta: NDArray[np.float32]
    phi: NDArray[np.float32]
    mass: NDArray[np.float32]
    offsets: NDArray[np.int64]
    charge: NDArray[np.float32] | None = dataclasses.field(default=None, kw_only=True)
    labels: NDArray[np.int8] | None = None
    weights: NDArray[np.float64] | None = None
    entry: NDArray[np.int64] = None  # type: ignore[assignment]
    position: NDArray[np.int32] = None  # type: ignore[assignment]
    observables: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)
    jet_momenta: NDArray[np.float32] | None = None
    images: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        for name in _CONSTITUENT_FIELDS:
            put(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.float32))
        put(self, "offsets", np.ascontiguousarray(self.offsets, dtype=np.int64))
        n_total = self.pt.shape[0]
        if any(getattr(self, name).shape != (n_total,) for name in _CONSTITUENT_FIELDS):
            shapes = ", ".join(f"{name} {getattr(self, name).shape}" for name in _CONSTITUENT_FIELDS)
            raise InputError(f"constituent arrays differ in shape: {shapes}")
        if self.charge is not None:
            put(self, "charge", np.ascontiguousarray(self.charge, dtype=np.float32))
            if self.charge.shape != (n_total,):
                raise InputError(
                    f"'charge' has shape {self.charge.shape}, but there are {n_total} constituents"
                )
        o = self.offsets
        if o.ndim != 1 or o.size < 1 or o[0] != 0 or o[-1] != n_total or np.any(np.diff(o) < 0):
            raise InputError(f"offsets must rise from 0 to the {n_total} constituents")
        if self.entry is None:
            put(self, "entry", np.arange(len(self), dtype=np.int64))
        if self.position is None:
            put(self, "position", np.zeros(len(self), dtype=np.int32))
        for name, dtype in (
            ("labels", np.int8), ("weights", np.float64), ("entry", np.int64), ("position", np.int32),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None:
                put(self, name, self._per_jet(name, value, dtype))
        put(self, "observables", {k: self._per_jet(k, v, None) for k, v in self.observables.items()})
        for name, shape in (("jet_momenta", "(n_jets, 4)"), ("images", "(n_jets, n_channels, n_eta, n_phi)")):
            value = getattr(self, name)
            if value is None:
                continue
            array = np.ascontiguousarray(value, dtype=np.float32)
            fits = array.shape[1:] == (4,) if name == "jet_momenta" else array.ndim == 4
            if len(array) != len(self) or not fits:
                raise InputError(f"'{name}' of {len(self)} jets must be {shape}, found {array.shape}")
            if n_total:
                raise InputError(f"jets have either constituents or '{name}', not both")
            put(self, name, array)

    def _per_jet(self, name: str, value: ArrayLike, dtype: Any) -> NDArray[Any]:
        array = np.asarray(value, dtype=dtype)
        if array.shape != (len(self),):
            raise InputError(f"'{name}' has shape {array.shape}, but there are {len(self)} jets")
        return array

    def column(self, name: str, purpose: str = "") -> NDArray[Any]:
        """A number of each jet, ``(n_jets,)``: a column of its file, ``label``, ``weight``, ``jet_pt`` ...

        Arguments:
            name: Of the column.
            purpose: What it is for, to be said where it is missing.

        Raises:
            InputError: listing the closest columns.
        """
        if name in self.observables:
            return self.observables[name]
        values: NDArray[Any] | None = None
        if name in _QUANTITIES:
            values = getattr(self, name)
        elif name in ("label", "weight"):
            values = self.labels if name == "label" else self.weights
        if values is None:
            closest = ", ".join(closest_first(name, self.observables)[:8]) or "none"
            raise InputError(f"the file has no column '{name}'{purpose}; closest: {closest}")
        return values

    # --- other ways in and out -------------------------------------------------------------------

    @classmethod
    def from_cartesian(
        cls,
        energy_gev: ArrayLike,
        px: ArrayLike,
        py: ArrayLike,
        pz: ArrayLike,
        offsets: ArrayLike,
        **fields: Any,
    ) -> Jets:
        """From flat constituent four-momenta [GeV], each ``(n_total,)``; ``fields`` as in the class."""
        pt, eta, phi, mass = cylindrical(energy_gev, px, py, pz)
        return cls(pt=pt, eta=eta, phi=phi, mass=mass, offsets=np.asarray(offsets), **fields)

    @classmethod
    def from_padded(cls, constituents: ArrayLike, **fields: Any) -> Jets:
        """From ``(n_jets, n, 3 or 4)`` arrays of (pt, eta, phi[, mass]); slots with pt = 0 are padding."""
        array = np.asarray(constituents)
        if array.ndim != 3 or array.shape[2] not in (3, 4):
            raise InputError(f"expected constituents of shape (n_jets, n, 3 or 4), found {array.shape}")
        mask = array[..., 0] != 0  # NaN != 0: a broken constituent is kept, and reported later
        flat = array[mask]
        mass = flat[:, 3] if array.shape[2] == 4 else np.zeros(len(flat), dtype=np.float32)
        offsets = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
        return cls(pt=flat[:, 0], eta=flat[:, 1], phi=flat[:, 2], mass=mass, offsets=offsets, **fields)

    @classmethod
    def from_lists(
        cls, constituents: Iterable[Iterable[tuple[float, float, float, float]]], **fields: Any
    ) -> Jets:
        """From one list of (pt, eta, phi, mass) per jet."""
        rows = [np.asarray(list(jet), dtype=np.float32).reshape(-1, 4) for jet in constituents]
        flat = np.concatenate(rows) if rows else np.zeros((0, 4), dtype=np.float32)
        offsets = np.cumsum([0] + [len(row) for row in rows])
        return cls(pt=flat[:, 0], eta=flat[:, 1], phi=flat[:, 2], mass=flat[:, 3], offsets=offsets, **fields)

    @classmethod
    def without_constituents(cls, n_jets: int, **fields: Any) -> Jets:
        """Jets of a file that stores only ``jet_momenta`` or ``images``; ``fields`` as in the class."""
        none = np.zeros(0, dtype=np.float32)
        return cls(
            pt=none, eta=none, phi=none, mass=none, offsets=np.zeros(n_jets + 1, dtype=np.int64), **fields
        )

    def to_awkward(self) -> ak.Array:
        """Constituents as records ``pt, eta, phi, mass`` and, where known, ``charge``, one list per jet."""
        import awkward as ak

        names = (*_CONSTITUENT_FIELDS, *(["charge"] if self.charge is not None else []))
        records = ak.zip({name: getattr(self, name) for name in names})
        return ak.unflatten(records, self.n_constituents)

    def padded(self, n: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The ``n`` hardest constituents as ``(n_jets, n, 4)`` (pt, eta, phi, mass) and their mask."""
        jet = self.jet_index
        order = np.lexsort((-self.pt, jet))
        rank = np.arange(len(order)) - self.offsets[jet]
        keep = rank < n
        out = np.zeros((len(self), n, 4), dtype=np.float32)
        for k, name in enumerate(_CONSTITUENT_FIELDS):
            out[jet[keep], rank[keep], k] = getattr(self, name)[order[keep]]
        mask = np.arange(n) < np.minimum(self.n_constituents, n)[:, None]
        return out, mask

    # --- rows ------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        truth = "" if self.labels is None else f", {int((self.labels == 1).sum())} signal"
        return f"Jets({len(self)} jets, {len(self.pt)} constituents{truth})"

    def _repr_html_(self) -> str:
        some = self[:_SHOWN]
        rows: list[tuple[object, ...]] = []
        for name, unit in (*_QUANTITIES.items(), *((name, "") for name in some.observables)):
            values = np.asarray(some.column(name))
            values = values[np.isfinite(values)] if values.dtype.kind in "biuf" else values[:0]
            if values.size:
                rows.append((name, unit, *(f"{x:.5g}" for x in (values.min(), values.mean(), values.max()))))
        of = f", ranges of the first {_SHOWN}" if len(self) > _SHOWN else ""
        return html_table(repr(self) + of, rows, ["", "unit", "min", "mean", "max"])

    def __getitem__(self, rows: slice | NDArray[Any] | list[int]) -> Jets:
        """Jets of a slice, a boolean mask or an index array, in the asked order.

        Of neighbouring jets (``jets[20:30]``) the arrays are views.
        """
        if isinstance(rows, (int, np.integer)):
            raise TypeError("use jets[i:i + 1] for one jet")
        if isinstance(rows, slice) and rows.step in (None, 1):
            first, last, _ = rows.indices(len(self))
            return self._neighbours(first, max(first, last))
        index = np.arange(len(self))[rows]
        counts = self.n_constituents[index]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        # flat position = start of the jet in the old array + running number inside the jet
        flat = np.repeat(self.offsets[:-1][index] - offsets[:-1], counts) + np.arange(offsets[-1])
        return Jets(
            **{name: getattr(self, name)[flat] for name in _CONSTITUENT_FIELDS},
            offsets=offsets,
            charge=None if self.charge is None else self.charge[flat],
            labels=None if self.labels is None else self.labels[index],
            weights=None if self.weights is None else self.weights[index],
            entry=self.entry[index],
            position=self.position[index],
            observables={k: v[index] for k, v in self.observables.items()},
            jet_momenta=None if self.jet_momenta is None else self.jet_momenta[index],
            images=None if self.images is None else self.images[index],
        )

    def _neighbours(self, first: int, last: int) -> Jets:
        """Jets ``first`` to ``last`` (exclusive), as views."""
        if (first, last) == (0, len(self)):
            return self
        rows, offsets = slice(first, last), self.offsets[first : last + 1]
        part = slice(offsets[0], offsets[-1])

        def some(values: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if values is None else values[rows]

        return Jets(
            **{name: getattr(self, name)[part] for name in _CONSTITUENT_FIELDS},
            offsets=offsets - offsets[0],
            charge=None if self.charge is None else self.charge[part],
            labels=some(self.labels),
            weights=some(self.weights),
            entry=self.entry[rows],
            position=self.position[rows],
            observables={name: values[rows] for name, values in self.observables.items()},
            jet_momenta=some(self.jet_momenta),
            images=some(self.images),
        )

    @staticmethod
    def concatenate(parts: Iterable[Jets]) -> Jets:
        """Several collections as one, in order; charge, truth, weights, observables stay where all have them.

        Raises:
            InputError: if some have constituents and others do not.
        """
        parts = list(parts)
        if not parts:
            return Jets.from_lists([])
        if len(parts) == 1:
            return parts[0]
        if len({p.has_constituents for p in parts}) > 1:
            raise InputError("jets with constituents and jets without cannot be one data set")
        if len({None if p.images is None else p.images.shape[1:] for p in parts}) > 1:
            raise InputError("jet images of different sizes cannot be one data set")
        starts = np.cumsum([0] + [len(p.pt) for p in parts])
        offsets = np.concatenate([[0]] + [p.offsets[1:] + s for p, s in zip(parts, starts, strict=False)])

        def joined(name: str) -> Any:
            values = [getattr(p, name) for p in parts]
            return None if any(v is None for v in values) else np.concatenate(values)

        names = [k for k in parts[0].observables if all(k in p.observables for p in parts)]
        return Jets(
            **{
                name: joined(name)
                for name in (
                    *_CONSTITUENT_FIELDS,
                    "charge",
                    "labels",
                    "weights",
                    "entry",
                    "position",
                    "jet_momenta",
                    "images",
                )
            },
            offsets=offsets,
            observables={k: np.concatenate([p.observables[k] for p in parts]) for k in names},
        )

    def in_gev(self) -> Jets:
        """These jets with momenta divided by 1000, from MeV; observables stay as the file has them."""
        scaled = self.jet_momenta
        if scaled is not None:
            scaled = scaled * np.array([1e-3, 1, 1, 1e-3], dtype=np.float32)
        return dataclasses.replace(
            self, pt=self.pt * np.float32(1e-3), mass=self.mass * np.float32(1e-3), jet_momenta=scaled
        )

    # --- jet quantities ---------------------------------------------------------------------------

    @property
    def has_constituents(self) -> bool:
        """False for jets of a file that stores only jet momenta or images."""
        return self.jet_momenta is None and self.images is None

    @cached_property
    def n_constituents(self) -> NDArray[np.int64]:
        """Constituents per jet, ``(n_jets,)``."""
        return np.diff(self.offsets)

    @cached_property
    def _filled(self) -> tuple[NDArray[np.bool_] | None, NDArray[np.int64]]:
        """Which jets have constituents, ``None`` where all have, and where those begin."""
        filled = self.n_constituents > 0
        if filled.all():
            return None, self.offsets[:-1]
        return filled, self.offsets[:-1][filled]

    @cached_property
    def jet_index(self) -> NDArray[np.int64]:
        """The jet each constituent belongs to, ``(n_total,)``."""
        return np.repeat(np.arange(len(self)), self.n_constituents)

    def sum_over_constituents(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Sum of a flat ``(n_total,)`` array inside each jet, ``(n_jets,)`` float64; 0 for an empty jet."""
        filled, starts = self._filled  # reduceat has no empty sums
        if filled is None and len(starts):
            every: NDArray[np.float64] = np.add.reduceat(values, starts, dtype=np.float64)
            return every
        sums = np.zeros(len(self))
        if len(starts):
            sums[filled] = np.add.reduceat(values, starts, dtype=np.float64)
        return sums

    @cached_property
    def _four_momentum(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        if self.jet_momenta is not None:
            pt, eta, phi, mass = np.ascontiguousarray(self.jet_momenta.T)
            return pt, eta, phi, mass
        total = np.empty((4, len(self)))
        for first in range(0, len(self), _AT_ONCE):
            some = self[first : first + _AT_ONCE]
            for values, components in zip(
                total, cartesian(some.pt, some.eta, some.phi, some.mass), strict=True
            ):
                values[first : first + _AT_ONCE] = some.sum_over_constituents(components)
        pt, eta, phi, mass = cylindrical(*total)
        empty = self.n_constituents == 0
        return tuple(np.where(empty, np.nan, v).astype(np.float32) for v in (pt, eta, phi, mass))  # type: ignore[return-value]

    @property
    def jet_pt(self) -> NDArray[np.float32]:
        """Jet pT [GeV] from the summed four-momentum, ``(n_jets,)``; NaN for an empty jet.

        Where the file stores jets without constituents, as it stores them.
        """
        return self._four_momentum[0]

    @property
    def jet_eta(self) -> NDArray[np.float32]:
        """Jet pseudorapidity, ``(n_jets,)``."""
        return self._four_momentum[1]

    @property
    def jet_phi(self) -> NDArray[np.float32]:
        """Jet azimuth [rad], ``(n_jets,)``."""
        return self._four_momentum[2]

    @property
    def jet_mass(self) -> NDArray[np.float32]:
        """Jet invariant mass [GeV], ``(n_jets,)``."""
        return self._four_momentum[3]
