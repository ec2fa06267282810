"""Prongs and energy flow in jets: soft drop, N-subjettiness, energy correlators and polynomials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..extras import import_fastjet
from ..jets import Jets
from ..jets.kinematics import cartesian, delta_phi

__all__ = ["CLUSTERED", "PAIRWISE", "clustered", "pairwise"]

# name -> what it is; z = pt / sum of pt, R the distance of two constituents in rapidity and azimuth
CLUSTERED = {
    "soft_drop_mass": "mass after soft drop, z_cut = 0.1 and beta = 0 [GeV]",
    "tau1": "1-subjettiness, sum z min R / 0.8",
    "tau2": "2-subjettiness",
    "tau3": "3-subjettiness",
    "tau21": "tau2 / tau1",
    "tau32": "tau3 / tau2",
}
PAIRWISE = {
    "c2": "e3 / e2^2, energy correlators with beta = 1",
    "d2": "e3 / e2^3, energy correlators with beta = 1",
    "efp_d1_0": "energy-flow polynomial of one edge, beta = 1",
    "efp_d2_0": "energy-flow polynomial of a double edge",
    "efp_d2_1": "energy-flow polynomial of a chain of two edges",
    "efp_d3_0": "energy-flow polynomial of a triple edge",
    "efp_d3_1": "energy-flow polynomial of an edge at a double edge",
    "efp_d3_2": "energy-flow polynomial of a triangle",
    "efp_d3_3": "energy-flow polynomial of a star of three edges",
    "efp_d3_4": "energy-flow polynomial of a chain of three edges",
}

_Z_CUT = 0.1
_R0 = 0.8  # of the jets of CMS, JetClass and `jetad simulate`; a factor of all tau_N
_RADIUS = 1000.0  # the largest of FastJet: everything becomes one jet

# pairs of constituents held at once: 2e5 float64 are 1.6 MB a matrix
_PAIRS = 200_000
# pseudojets of histories looked at at once
_IN_HISTORIES = 40_000
# constituents clustered at once; FastJet keeps the history of all of them
_CLUSTERED_AT_ONCE = 200_000


def _ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """a / b, and 0 where b is 0: a jet of one direction has no prongs to tell apart."""
    return np.divide(a, b, out=np.where(np.isnan(a + b), np.nan, 0.0), where=b > 0)


def _rapidity(jets: Jets) -> NDArray[np.float64]:
    """Rapidity of each constituent, ``(n_total,)``; the pseudorapidity of one without pT or mass."""
    pt, eta, mass = (v.astype(np.float64) for v in (jets.pt, jets.eta, jets.mass))
    with np.errstate(all="ignore"):
        y = np.arcsinh(pt / np.hypot(pt, mass) * np.sinh(eta))
    y[np.isinf(y)] = np.nan  # infinities would warn in every difference
    return np.where((pt > 0) & (mass != 0), y, eta)


def _batches(jets: Jets) -> Iterator[NDArray[np.int64]]:
    """Rows of jets of similar multiplicity, so many that their pairs fit into memory."""
    counts = jets.n_constituents
    order = np.argsort(counts, kind="stable")
    stop = len(order)
    while stop > 0:
        widest = int(counts[order[stop - 1]])
        start = max(stop - max(_PAIRS // max(widest, 1) ** 2, 1), 0)
        yield order[start:stop]
        stop = start


def pairwise(jets: Jets, valid: NDArray[np.bool_], names: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
    """Observables of ``PAIRWISE`` by name, ``(n_jets,)`` each; meaningless where not ``valid``.

    An energy-flow polynomial is a sum over one constituent per vertex of a graph, of their z and of an R
    for each edge. All multigraphs of up to three edges that hang together are there, with beta = 1:

    - as ``u = R z``, the ones without a loop are sums over pairs: ``z.u``, ``z.(R^2 z)``, ``z.u^2``, ...,
    - the triangle is the trace of ``(z R)^3``, a product of matrices.

    The correlators are two of them: ``e2`` is half the edge and ``e3`` a sixth of the triangle. All are
    safe against soft and collinear emissions, and invariant under rotations about the jet axis, boosts
    along the beam, and a common factor of all pT.

    References:
        Larkoski, Salam, Thaler, 2013, arXiv:1305.0007 (C2); Larkoski, Moult, Neill, 2014,
        arXiv:1409.6298 (D2); Komiske, Metodiev, Thaler, 2017, arXiv:1712.07124 (energy-flow polynomials)
    """
    jet = jets.jet_index
    pt = np.where(valid[jet], jets.pt, 0).astype(np.float64)
    total = jets.sum_over_constituents(pt)
    z = pt / np.where(total > 0, total, 1)[jet]
    y = np.where(valid[jet], _rapidity(jets), 0.0)
    phi = delta_phi(np.where(valid[jet], jets.phi, 0.0).astype(np.float64), 0.0)

    triangle = any(name in ("c2", "d2", "efp_d3_2") for name in names)
    out = {name: np.full(len(jets), np.nan) for name in names}
    for rows in _batches(jets):
        counts = jets.n_constituents[rows]
        k = np.arange(int(counts.max()))
        if not len(k):
            break  # only jets without constituents are left
        index = np.minimum(jets.offsets[rows][:, None] + k, len(pt) - 1)
        padded = (np.where(k < counts[:, None], v[index], 0.0) for v in (z, y, phi))
        values = _graphs(*padded, triangle=triangle)
        for name in names:
            out[name][rows] = values[name]()
    return out


def _graphs(
    z: NDArray[np.float64], y: NDArray[np.float64], phi: NDArray[np.float64], *, triangle: bool
) -> dict[str, Callable[[], NDArray[np.float64]]]:
    """How to compute each of ``PAIRWISE`` from padded ``(n, k)`` constituents, padding with z = 0."""
    # n: jets, i and j: constituents
    dy = y[:, :, None] - y[:, None, :]
    dphi = np.abs(phi[:, :, None] - phi[:, None, :])
    np.minimum(dphi, 2 * np.pi - dphi, out=dphi)
    r2 = dy * dy + dphi * dphi
    r = np.sqrt(r2)
    u = np.matmul(r, z[:, :, None])[:, :, 0]
    zu = z * u

    def around(power: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = np.matmul(power, z[:, :, None])[:, :, 0]
        return result

    edge = zu.sum(axis=1)
    loop = np.zeros(len(z))
    if triangle:
        zr = z[:, :, None] * r
        loop = np.einsum("nij,nji->n", np.matmul(zr, zr), zr)
    e2, e3 = edge / 2, loop / 6
    return {
        "c2": lambda: _ratio(e3, e2**2),
        "d2": lambda: _ratio(e3, e2**3),
        "efp_d1_0": lambda: edge,
        "efp_d2_0": lambda: (z * around(r2)).sum(axis=1),
        "efp_d2_1": lambda: (zu * u).sum(axis=1),
        "efp_d3_0": lambda: (z * around(r2 * r)).sum(axis=1),
        "efp_d3_1": lambda: (zu * around(r2)).sum(axis=1),
        "efp_d3_2": lambda: loop,
        "efp_d3_3": lambda: (zu * u * u).sum(axis=1),
        "efp_d3_4": lambda: np.einsum("ni,nij,nj->n", zu, r, zu, optimize=True),
    }


def clustered(jets: Jets, valid: NDArray[np.bool_], names: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
    """Observables of ``CLUSTERED`` by name, ``(n_jets,)`` each; NaN where not ``valid``. Needs FastJet.

    Soft drop goes through the Cambridge/Aachen history of the constituents. The axes of tau_N are those of
    N exclusive kT jets, improved by one pass of minimisation, the choice of CMS; beta = 1. tau_N of a jet
    of up to N constituents is 0.

    Raises:
        MissingPackageError: without FastJet.

    References:
        Larkoski, Marzani, Soyez, Thaler, 2014, arXiv:1402.2657 (soft drop); Thaler, Van Tilburg, 2011,
        arXiv:1011.2268 and arXiv:1108.2701 (N-subjettiness); Cacciari, Salam, Soyez, 2012,
        arXiv:1111.6097 (FastJet)
    """
    import awkward as ak

    fastjet = import_fastjet(f"compute {names[0]}")
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, _RADIUS)
    # a pseudorapidity beyond any detector overflows in FastJet
    usable = valid & (
        jets.sum_over_constituents(np.abs(np.where(valid[jets.jet_index], jets.eta, 0)) > 50) == 0
    )
    out = {name: np.full(len(jets), np.nan) for name in names}
    at_once = max(int(_CLUSTERED_AT_ONCE / max(jets.n_constituents.mean(), 1.0)), 1) if len(jets) else 1
    for rows in np.split(np.flatnonzero(usable), np.arange(at_once, int(usable.sum()), at_once)):
        if not len(rows):
            continue
        part = jets[rows]
        energy_gev, px, py, pz = cartesian(part.pt, part.eta, part.phi, part.mass)
        real = part.pt > 0
        counts = part.sum_over_constituents(real).astype(np.int64)
        momenta = {"px": px[real], "py": py[real], "pz": pz[real], "E": energy_gev[real]}
        sequence = fastjet.ClusterSequence(ak.unflatten(ak.zip(momenta), counts), definition)
        for name, values in _from_sequence(sequence, names).items():
            out[name][rows] = values
    return out


def _soft_drop_mass(history: Any) -> NDArray[np.float64]:
    """Masses after soft drop, ``(n_jets,)``, from the Cambridge/Aachen history of each jet.

    What contrib's SoftDrop gives, for many jets at once: its interface takes 0.45 ms a jet.

    Arguments:
        history: Momenta ``px, py, pz, E`` of all pseudojets of a jet: its n constituents, then the n - 1 sums
            of two of those before, in the order of the clustering.
    """
    import awkward as ak

    counts = ak.num(history).to_numpy()
    flat = np.stack([ak.flatten(history[name]).to_numpy() for name in ("px", "py", "pz", "E")])
    starts = np.cumsum(counts) - counts
    masses = np.zeros(len(counts))
    order = np.argsort(counts, kind="stable")
    stop = len(order)
    while stop > 0:
        widest = int(counts[order[stop - 1]])
        rows = order[max(stop - max(_IN_HISTORIES // max(widest, 1), 1), 0) : stop]
        place = np.arange(widest)
        index = np.minimum(starts[rows][:, None] + place, flat.shape[1] - 1)
        padded = np.where(place < counts[rows][:, None], flat[:, index], np.nan)
        masses[rows] = _declustered(padded, counts[rows])
        stop -= len(rows)
    return masses


def _declustered(momenta: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Masses after soft drop from histories ``(4, n, k)`` of ``counts (n,)`` pseudojets, then NaN."""
    momenta, place = momenta.copy(), np.arange(momenta.shape[2])
    at = counts - 1  # the pseudojet that is looked at: the whole jet
    active = np.flatnonzero(counts > 1)
    while len(active):
        whole = momenta[:, active, at[active]]
        # only what was there before can be a part of it
        before = np.where(place < at[active][:, None], momenta[:, active], np.nan)
        first, second = _parts(before, whole)
        pt = np.hypot(*before[:2, np.arange(len(active))[:, None], np.stack([first, second], axis=1)])
        harder = np.where(pt[:, 0] >= pt[:, 1], first, second)
        dropped = ~(pt.min(axis=1) > _Z_CUT * pt.sum(axis=1))
        at[active[dropped]] = harder[dropped]
        active = active[dropped]
        active = active[at[active] > counts[active] // 2]  # a constituent has no parts
    px, py, pz, energy = momenta[:, np.arange(len(at)), at]
    mass2 = (energy + pz) * (energy - pz) - px * px - py * py
    masses: NDArray[np.float64] = np.sqrt(np.maximum(mass2, 0.0))
    return masses


def _parts(
    momenta: NDArray[np.float64], whole: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of the two momenta of ``(4, n, k)`` whose sum is ``whole (4, n)``, to the last bit."""
    energy = momenta[3]
    jet, first = np.nonzero(energy >= 0.4999 * whole[3][:, None])  # one of the two has half of it
    pair, second = np.nonzero(energy[jet] + energy[jet, first][:, None] == whole[3][jet][:, None])
    jet, first = jet[pair], first[pair]
    fits = np.ones(len(first), dtype=bool)
    for component, total in zip(momenta[:3], whole[:3], strict=True):
        fits &= component[jet, first] + component[jet, second] == total[jet]
    found, place = np.unique(jet[fits], return_index=True)
    assert len(found) == len(energy)  # FastJet adds each component, and nothing else
    return first[fits][place], second[fits][place]


def _from_sequence(sequence: Any, names: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
    """Observables of ``CLUSTERED`` from FastJet's cluster sequences."""
    values: dict[str, NDArray[np.float64]] = {}
    if "soft_drop_mass" in names:
        values["soft_drop_mass"] = _soft_drop_mass(sequence.jets())
    if any(name != "soft_drop_mass" for name in names):
        tau = sequence.njettiness(
            measure_definition="NormalizedMeasure", axes_definition="OnePass_KT_Axes",
            njets=[1, 2, 3], beta=1.0, R0=_R0,
        ).to_numpy()  # fmt: skip
        values |= {"tau1": tau[:, 0], "tau2": tau[:, 1], "tau3": tau[:, 2]}
        values |= {"tau21": _ratio(tau[:, 1], tau[:, 0]), "tau32": _ratio(tau[:, 2], tau[:, 1])}
    return {name: values[name] for name in names}
