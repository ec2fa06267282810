"""The feature representation as a torch module: a twin of ``jetad.preprocessing.features``."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..preprocessing.features import COLUMN, OBSERVABLES, JetFeatures
from ..preprocessing.substructure import CLUSTERED, PAIRWISE
from .frame import Frame, asinh, buffer, finite, fractions

__all__ = ["MASSIVE", "OF_THE_JET", "NormalQuantile", "Observables", "Scaling", "of_the_jet"]

# observables that are known for jets without constituents, and what they are made of
OF_THE_JET = {
    "mass": ("jet_mass",),
    "mass_over_pt": ("jet_mass", "jet_pt"),
    "pt": ("jet_pt",),
    "eta": ("jet_eta",),
}

# observables that depend on the masses of constituents
MASSIVE = {"mass", "mass_over_pt", *PAIRWISE}


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is 0."""
    return torch.where(b > 0, a / torch.where(b > 0, b, torch.ones_like(b)), (a + b) * 0)


class Pairs(nn.Module):
    """Correlators and energy-flow polynomials, as ``jetad.preprocessing.substructure.pairwise``."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names

    def forward(self, pt: Tensor, eta: Tensor, phi: Tensor, mass: Tensor) -> dict[str, Callable[[], Tensor]]:
        """How to compute each, ``(n,)``, from float64 ``(n, k)`` with pt = 0 as padding."""
        z = fractions(pt)
        grown = torch.exp(eta)
        transverse = torch.sqrt(pt * pt + mass * mass)
        slope = pt / torch.where(transverse > 0, transverse, torch.ones_like(pt)) * (grown - 1 / grown) / 2
        y = torch.where((pt > 0) & (mass != 0), asinh(slope), eta)
        phi = phi - 2 * math.pi * torch.floor((phi + math.pi) / (2 * math.pi))
        dy = y[:, :, None] - y[:, None, :]
        dphi = torch.abs(phi[:, :, None] - phi[:, None, :])
        dphi = torch.minimum(dphi, 2 * math.pi - dphi)
        r2 = dy * dy + dphi * dphi
        r = torch.sqrt(r2)

        def around(power: Tensor) -> Tensor:
            return torch.matmul(power, z[:, :, None])[:, :, 0]

        def loop() -> Tensor:
            zr = z[:, :, None] * r
            return (torch.matmul(zr, zr) * zr.transpose(1, 2)).sum((1, 2))

        u = around(r)
        zu = z * u
        edge = zu.sum(1)
        compute: dict[str, Callable[[], Tensor]] = {
            "c2": lambda: _ratio(loop() / 6, (edge / 2) ** 2),
            "d2": lambda: _ratio(loop() / 6, (edge / 2) ** 3),
            "efp_d1_0": lambda: edge,
            "efp_d2_0": lambda: (z * around(r2)).sum(1),
            "efp_d2_1": lambda: (zu * u).sum(1),
            "efp_d3_0": lambda: (z * around(r2 * r)).sum(1),
            "efp_d3_1": lambda: (zu * around(r2)).sum(1),
            "efp_d3_2": loop,
            "efp_d3_3": lambda: (zu * u * u).sum(1),
            "efp_d3_4": lambda: (zu * torch.matmul(r, zu[:, :, None])[:, :, 0]).sum(1),
        }
        return {name: compute[name] for name in self.names}


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """Coefficients from the highest power to the constant."""
    out = torch.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        out = out * x + c
    return out


class NormalQuantile(nn.Module):
    """The quantile function of the normal distribution between 1e-10 and 1 - 1e-10, to 1e-15.

    References:
        Wichura, "Algorithm AS 241: the percentage points of the normal distribution", 1988,
        doi:10.2307/2347330
    """

    _CENTRE = (
        (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
         13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.3871328727963666080),
        (5226.4952788528545610, 28729.085735721942674, 39307.895800092710610, 21213.794301586595867,
         5394.1960214247511077, 687.18700749205790830, 42.313330701600911252, 1.0),
    )  # fmt: skip
    _TAIL = (
        (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
         3.64784832476320460504, 5.76949722146069140550, 4.63033784615654529590, 1.42343711074968357734),
        (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966,
         0.14810397642748007459, 0.68976733498510000455, 1.67638483018380384940, 2.05319162663775882187, 1.0),
    )  # fmt: skip

    def forward(self, p: Tensor) -> Tensor:
        q = p - 0.5
        r = 0.180625 - q * q
        centre = q * _polynomial(r, self._CENTRE[0]) / _polynomial(r, self._CENTRE[1])
        t = torch.sqrt(-torch.log(torch.minimum(p, 1 - p))) - 1.6
        tail = torch.sign(q) * _polynomial(t, self._TAIL[0]) / _polynomial(t, self._TAIL[1])
        return torch.where(torch.abs(q) <= 0.425, centre, tail)


class Scaling(nn.Module):
    """Observables to features, as ``JetFeatures.transform``."""

    mean: Tensor
    std: Tensor
    quantiles: Tensor
    references: Tensor

    # a value so near an end of the training range is taken for that end, as in scikit-learn
    _END = 1e-7

    def __init__(self, features: JetFeatures) -> None:
        super().__init__()
        self.by_quantiles = features.quantiles is not None
        if features.quantiles is not None:
            self.register_buffer("quantiles", buffer(features.quantiles.T))
            self.register_buffer("references", buffer(np.linspace(0, 1, len(features.quantiles))))
            self.normal = NormalQuantile()
        else:
            self.register_buffer("mean", buffer(features.mean))
            self.register_buffer("std", buffer(features.std))

    def forward(self, values: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Columns ``(n,)`` float64 to features ``(n, n_observables)`` float32, and which are no NaN."""
        x = torch.stack(values, 1)
        valid = (x == x).all(1)
        if not self.by_quantiles:
            return ((x - self.mean) / self.std).float(), valid
        valid = valid & finite(x).all(1)
        columns = [self._to_normal(x[:, i], knots) for i, knots in enumerate(self.quantiles)]
        return torch.stack(columns, 1).float(), valid

    def _to_normal(self, x: Tensor, knots: Tensor) -> Tensor:
        # several quantiles may be equal: the mean of what comes from the right and from the left
        from_right = self._between(x, knots, (knots <= x[:, None]).to(torch.int64).sum(1))
        from_left = self._between(x, knots, (knots < x[:, None]).to(torch.int64).sum(1))
        p = (from_right + from_left) / 2
        p = torch.where(x + self._END > knots[-1], torch.ones_like(p), p)
        p = torch.where(x - self._END < knots[0], torch.zeros_like(p), p)
        result: Tensor = self.normal(torch.clamp(p, self._END, 1 - self._END))
        return result

    def _between(self, x: Tensor, knots: Tensor, n_below: Tensor) -> Tensor:
        right = torch.clamp(n_below, 1, len(knots) - 1)
        x0, x1 = knots[right - 1], knots[right]
        y0, y1 = self.references[right - 1], self.references[right]
        return y0 + (x - x0) / torch.where(x1 > x0, x1 - x0, torch.ones_like(x)) * (y1 - y0)


def of_the_jet(name: str, columns: dict[str, Tensor]) -> Tensor:
    """An observable that is a column of the file, or follows from the momentum of the jet; float64."""
    if name.startswith(COLUMN):
        return columns[name].double()
    parts = [columns[part] for part in OF_THE_JET[name]]
    return parts[0] / parts[1] if len(parts) > 1 else parts[0]


class Observables(nn.Module):
    """The feature representation, as ``JetFeatures``."""

    def __init__(self, features: JetFeatures) -> None:
        super().__init__()
        self.names = features.config.observables
        for name in self.names:
            if name in CLUSTERED:
                raise ConfigError(
                    f"the feature '{name}' needs FastJet and cannot be exported; those that can: "
                    + ", ".join(n for n in OBSERVABLES if n not in CLUSTERED)
                )
        self.frame = Frame()
        self.pairs = Pairs(tuple(name for name in self.names if name in PAIRWISE))
        self.scaling = Scaling(features)

    def forward(
        self, pt: Tensor, eta: Tensor, phi: Tensor, mass: Tensor, mask: Tensor, columns: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Returns features ``(n, n_observables)`` float32 and which jets are valid."""
        z = fractions(pt)
        x, y = self.frame(pt, eta, phi)
        r = torch.sqrt(x * x + y * y)
        compute: dict[str, Callable[[], Tensor]] = {
            "major_axis": lambda: torch.sqrt((z * y * y).sum(1)),
            "minor_axis": lambda: torch.sqrt((z * x * x).sum(1)),
            "n_constituents": lambda: mask.sum(1),
            "girth": lambda: (z * r).sum(1),
            "lha": lambda: (z * torch.sqrt(r / 0.8)).sum(1),
            "ptd": lambda: torch.sqrt((z * z).sum(1)),
            "leading_fraction": lambda: z.amax(1),
        }
        if self.pairs.names:
            compute |= self.pairs(pt, eta, phi, mass)
        values = [compute[name]() if name in compute else of_the_jet(name, columns) for name in self.names]
        rows, valid = self.scaling(values)
        if all(name.startswith(COLUMN) for name in self.names):
            return rows, valid
        return rows, valid & (pt.sum(1) > 0)
