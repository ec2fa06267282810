"""Distances between two samples: what a Wasserstein autoencoder minimises and what training watches.

All take ``x (n, d)`` and ``y (m, d)``; the differentiable ones are so in both.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

__all__ = [
    "DISTANCES", "energy_distance", "exact_transport", "mean_discrepancy", "sinkhorn_divergence",
    "sliced_transport",
]  # fmt: skip


def energy_distance(x: Tensor, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Energy distance ``2 <|x - y|> - <|x - x'|> - <|y - y'|>``, at least zero.

    Pairs of different jets only, as in an unbiased estimate; it may then come out slightly negative.

    References:
        Szekely, Rizzo, "Energy statistics", J. Stat. Plan. Inference 143 (2013) 1249
    """
    n, m = len(x), len(y)
    # a tiny offset: the slope of a distance at zero is undefined, and the diagonal is zero
    cross = _lengths(x, y).mean()
    within = _lengths(x, x).sum() / max(n * (n - 1), 1) + _lengths(y, y).sum() / max(m * (m - 1), 1)
    return 2 * cross - within


def _lengths(x: Tensor, y: Tensor) -> Tensor:
    squares = _squares(x, y)
    # zero stays zero with slope zero: the slope of a length is undefined there
    return torch.where(squares > 1e-12, squares.clamp_min(1e-12).sqrt(), torch.zeros_like(squares))


def _squares(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances of all pairs, ``(n, m)``."""
    cross = x @ y.T
    return (x.square().sum(1)[:, None] + y.square().sum(1)[None] - 2 * cross).clamp_min(0)


def mean_discrepancy(x: Tensor, y: Tensor, bandwidth: float | None = None) -> Tensor:
    """Squared maximum mean discrepancy with the kernel ``exp(-|x - y|^2 / (2 b^2))``.

    Pairs of different points only: unbiased, so it averages zero for samples of one distribution and may
    come out negative. Without a bandwidth ``b^2`` is the mean of the two samples' median squared
    distances, held fixed in the gradient. The samples have at least two points.

    References:
        Gretton et al., "A kernel two-sample test", JMLR 13 (2012) 723
    """
    if bandwidth is None:
        with torch.no_grad():
            square = sum(nn.functional.pdist(v).square().median() for v in (x, y)) / 2
    else:
        square = torch.tensor(bandwidth**2)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-_squares(a, b) / (2 * square))

    def within(a: Tensor) -> Tensor:
        k = kernel(a, a)
        return (k.sum() - k.diagonal().sum()) / (len(a) * (len(a) - 1))

    return within(x) + within(y) - 2 * kernel(x, y).mean()


def exact_transport(x: Tensor, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Optimal transport cost with squared Euclidean distances and uniform weights, samples of one size.

    The plan is found on the CPU (an assignment, as the weights are uniform); the gradient is the one
    at that plan, which is exact wherever the plan does not jump.

    Raises:
        ValueError: for samples of different size.

    References:
        Crouse, "On implementing 2D rectangular assignment algorithms", IEEE Trans. Aerosp. Electron.
        Syst. 52 (2016) 1679 (the solver in scipy)
    """
    from scipy.optimize import linear_sum_assignment

    if len(x) != len(y):
        raise ValueError(f"exact transport takes samples of one size, found {len(x)} and {len(y)}")
    rows, columns = linear_sum_assignment(_squares(x.detach(), y.detach()).cpu().double().numpy())
    return (x[torch.from_numpy(rows)] - y[torch.from_numpy(columns)]).square().sum(dim=1).mean()


def sliced_transport(
    x: Tensor, y: Tensor, generator: torch.Generator | None = None, n_projections: int = 64
) -> Tensor:
    """Mean transport cost of random one-dimensional projections times d, samples of one size.

    With the factor d two samples that differ by a shift have the same cost as in ``exact_transport``.

    Raises:
        ValueError: for samples of different size.

    References:
        Bonneel, Rabin, Peyre, Pfister, "Sliced and Radon Wasserstein barycenters of measures", J. Math.
        Imaging Vis. 51 (2015) 22
    """
    if len(x) != len(y):
        raise ValueError(f"sliced transport takes samples of one size, found {len(x)} and {len(y)}")
    d = x.shape[1]
    axes = torch.randn(d, n_projections, generator=generator, device=x.device, dtype=x.dtype)
    axes = axes / axes.norm(dim=0)
    a, b = (x @ axes).sort(dim=0).values, (y @ axes).sort(dim=0).values
    result: Tensor = d * (a - b).square().mean()
    return result


def sinkhorn_divergence(
    x: Tensor,
    y: Tensor,
    generator: torch.Generator | None = None,
    blur: float = 0.05,
    n_iterations: int = 50,
    scale: float | None = None,
) -> Tensor:
    """Debiased entropic transport cost, squared Euclidean distances, uniform weights.

    Arguments:
        x: Samples ``(n, d)``.
        y: Samples ``(m, d)``.
        generator: Not used.
        blur: Square root of the regularisation relative to ``scale``.
        n_iterations: Of the Sinkhorn algorithm, after a start from coarse regularisation.
        scale: Squared length; the mean squared distance of the samples if ``None``.

    References:
        Cuturi, 2013, arXiv:1306.0895; Feydy et al., 2019, arXiv:1810.08278
    """
    unit = max(float(_squares(x.detach(), y.detach()).mean()), 1e-30) if scale is None else scale
    epsilon = blur**2 * unit

    def cost(a: Tensor, b: Tensor) -> Tensor:
        squares = _squares(a, b)
        with torch.no_grad():
            f, g = squares.new_zeros(len(a)), squares.new_zeros(len(b))
            log_a, log_b = -math.log(len(a)), -math.log(len(b))
            for k in range(n_iterations):
                e = max(epsilon, unit * 0.5**k)
                f_new = -e * torch.logsumexp((g[None] - squares) / e + log_b, dim=1)
                g_new = -e * torch.logsumexp((f_new[:, None] - squares) / e + log_a, dim=0)
                f, g = (f + f_new) / 2, (g + g_new) / 2
            f = -epsilon * torch.logsumexp((g[None] - squares) / epsilon + log_b, dim=1)
            value = f.mean() + g.mean()
            plan = ((f[:, None] + g[None] - squares) / epsilon + log_a + log_b).exp()
        # the slope of the optimum is that of the cost at the optimal plan (envelope theorem)
        return value + (plan * (squares - squares.detach())).sum()

    return cost(x, y) - (cost(x, x) + cost(y, y)) / 2


DISTANCES: dict[str, Any] = {
    "exact": exact_transport,
    "sliced": sliced_transport,
    "sinkhorn": sinkhorn_divergence,
    "energy": energy_distance,
}
