"""How many events of each slice of pT are needed, and which jets follow the spectrum of others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..jets import Jets
from .chunks import ChunkResult, JetSelection

__all__ = ["allocate", "bins_of_pt", "jets_needed", "match_pt", "merged_slices", "pt_quotas", "slice_rates"]


PT_MATCH_BINS = 25


def match_pt(
    pt: NDArray[np.floating], edges: NDArray[np.float64], quotas: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64] | None:
    """Rows of ``pt`` that fill each bin with its quota, drawn at random; ``None`` if there are too few.

    Inside a bin the jets keep their own distribution, so that nothing but pt is touched.
    """
    which = np.digitize(pt, edges[1:-1])
    rows = []
    for b, quota in enumerate(quotas):
        inside = np.flatnonzero(which == b)
        if len(inside) < quota:
            return None
        rows.append(rng.choice(inside, size=quota, replace=False))
    return np.sort(np.concatenate(rows))


def slice_rates(results: list[list[ChunkResult]]) -> NDArray[np.float64]:
    """Cross section of the wanted jets of each slice [mb], from all its chunks."""
    rates = []
    for slice_results in results:
        n_events = sum(r.n_events for r in slice_results)
        cross_section = sum(r.cross_section * r.n_events for r in slice_results) / max(n_events, 1)
        rates.append(cross_section * sum(len(r.jets) for r in slice_results) / max(n_events, 1))
    return np.array(rates)


def allocate(n: int, rates: NDArray[np.float64]) -> NDArray[np.int64]:
    """``n`` split in proportion to ``rates``, largest remainders first."""
    exact = n * rates / rates.sum()
    counts: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: n - counts.sum()]] += 1
    return counts


def bins_of_pt(pt: NDArray[np.float64], selection: JetSelection) -> NDArray[np.float64]:
    """Edges [GeV] of bins with equal numbers of the jets to match."""
    pt = pt[(pt >= selection.pt_min) & (pt < selection.pt_max)]
    if len(pt) < 4 * PT_MATCH_BINS:
        raise ConfigError(
            f"only {len(pt)} of the jets to match have a pt of {selection.pt_min:g}-{selection.pt_max:g} GeV,"
            f" at least {4 * PT_MATCH_BINS} are needed"
        )
    edges = np.quantile(pt, np.linspace(0, 1, PT_MATCH_BINS + 1))
    edges[0], edges[-1] = selection.pt_min, selection.pt_max
    return edges


def merged_slices(results: list[list[ChunkResult]]) -> tuple[Jets | None, int]:
    """As many jets as the slices allow in the right mixture, and their number."""
    rates = slice_rates(results)
    if not rates.sum() > 0:
        return None, 0
    counts = np.array([sum(len(r.jets) for r in rs) for rs in results])
    n = int(np.min(counts[rates > 0] / (rates[rates > 0] / rates.sum())))
    take = np.minimum(allocate(n, rates), counts)
    # chunks come in their own order, so that the number of workers does not matter
    parts = [Jets.concatenate(r.jets for r in rs)[: int(k)] for rs, k in zip(results, take, strict=True)]
    return Jets.concatenate(parts), int(take.sum())


def pt_quotas(n_jets: int) -> NDArray[np.int64]:
    """Jets of each bin of pT, as equal as they can be."""
    return allocate(n_jets, np.ones(PT_MATCH_BINS))


def jets_needed(results: list[list[ChunkResult]], n_jets: int, targets: NDArray[np.float64] | None) -> int:
    """Jets of the right mixture that will do, estimated."""
    if targets is None:
        return n_jets
    pool, n = merged_slices(results)
    if pool is None or n < 10 * PT_MATCH_BINS:
        return 2 * n_jets
    counts = np.bincount(np.digitize(pool.jet_pt, targets[1:-1]), minlength=PT_MATCH_BINS)
    # a bin with few jets so far is uncertain: count one more than found
    return int(np.ceil(np.max(pt_quotas(n_jets) / (counts + 1)) * n * 1.02))
