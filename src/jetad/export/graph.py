"""The whole scoring as one torch module: padded constituents or images in, score and efficiency out.

Everything here is a twin of NumPy code elsewhere and is compared with it before an export is kept. Only
operations are used that ONNX runtimes have in float64, where float64 matters: a constituent must fall
into the same pixel as in the engine.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ..calibration import BackgroundEfficiency, Surprise
from ..conditional import BinnedEfficiency, Calibration, DecorrelatedEfficiency
from ..errors import ConfigError
from ..models.base import EnergyModel
from ..preprocessing.constituents import JetConstituents
from ..preprocessing.features import OBSERVABLES, JetFeatures
from ..preprocessing.images import _ON_AXIS, JetImages
from ..preprocessing.substructure import CLUSTERED, PAIRWISE
from ..scoring import Member, TrainedDetector

__all__ = ["ConstituentGraph", "ImageGraph"]


def _buffer(values: ArrayLike, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=dtype)


def _finite(x: Tensor) -> Tensor:
    return torch.abs(x) < math.inf  # false for NaN


class Frame(nn.Module):
    """Constituents in the frame of their jet, as ``jetad.preprocessing.images.align``, float64."""

    def __init__(self, *, rotate: bool = True, flip: bool = True) -> None:
        super().__init__()
        self.rotate, self.flip = rotate, flip

    def forward(self, pt: Tensor, eta: Tensor, phi: Tensor) -> tuple[Tensor, Tensor]:
        """Float64 ``(n, k)`` each, padding with pt = 0; returns (eta', phi')."""
        total = pt.sum(1, keepdim=True)
        norm = torch.where(total > 0, total, torch.ones_like(total))
        # relative to the first constituent, so that the mean never crosses the cut at +-pi
        phi = phi - phi[:, :1]
        phi = phi - 2 * math.pi * torch.floor((phi + math.pi) / (2 * math.pi))
        eta = eta - (pt * eta).sum(1, keepdim=True) / norm
        phi = phi - (pt * phi).sum(1, keepdim=True) / norm
        if self.rotate:
            ee = (pt * eta * eta).sum(1, keepdim=True)
            ep = (pt * eta * phi).sum(1, keepdim=True)
            pp = (pt * phi * phi).sum(1, keepdim=True)
            # half of the angle atan2(y, x) without an arcus tangent, which runtimes have in float32 only
            x, y = ee - pp, 2 * ep
            r = torch.sqrt(x * x + y * y)
            zero = r <= 0
            r = torch.where(zero, torch.ones_like(r), r)
            larger = torch.sqrt((1 + torch.abs(x) / r) / 2)
            smaller = torch.abs(y) / (2 * r * larger)
            sign = torch.where(y < 0, -torch.ones_like(y), torch.ones_like(y))
            cos_a = torch.where(zero, torch.ones_like(x), torch.where(x >= 0, larger, smaller))
            sin_a = torch.where(zero, torch.zeros_like(x), sign * torch.where(x >= 0, smaller, larger))
            eta, phi = eta * sin_a - phi * cos_a, eta * cos_a + phi * sin_a
            eta, phi = (torch.where(torch.abs(v) < _ON_AXIS, torch.zeros_like(v), v) for v in (eta, phi))
        if self.flip:
            eta = eta * self._sign(pt, eta)
            phi = phi * self._sign(pt, phi)
        return eta, phi

    @staticmethod
    def _sign(pt: Tensor, x: Tensor) -> Tensor:
        side = (
            torch.where(x > 0, pt, torch.zeros_like(pt)) - torch.where(x < 0, pt, torch.zeros_like(pt))
        ).sum(1, keepdim=True)
        return torch.where(side < 0, -torch.ones_like(side), torch.ones_like(side))


class Pixels(nn.Module):
    """The image representation, as ``JetImages``; pixel sums are a product of two one-hot matrices."""

    g_eta: Tensor
    g_phi: Tensor
    bin_eta: Tensor
    bin_phi: Tensor

    def __init__(self, images: JetImages) -> None:
        super().__init__()
        c = images.config
        if c.reference:
            raise ConfigError("images with 'reference: true' cannot be exported from constituents")
        self.config = c
        self.frame = Frame(rotate=c.rotate, flip=c.flip)
        filters = images._filters or (np.eye(c.n_eta), np.eye(c.n_phi))
        self.register_buffer("g_eta", _buffer(filters[0], torch.float32))
        self.register_buffer("g_phi", _buffer(np.ascontiguousarray(filters[1].T), torch.float32))
        self.register_buffer("bin_eta", _buffer(np.arange(c.n_eta)))
        self.register_buffer("bin_phi", _buffer(np.arange(c.n_phi)))

    def forward(
        self, pt: Tensor, eta: Tensor, phi: Tensor, mass: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns images ``(n, 1, n_eta, n_phi)`` float32 and which of them are valid."""
        c = self.config
        eta, phi = self.frame(pt, eta, phi)
        i_eta = torch.floor(eta / c.pixel_eta + c.n_eta / 2)
        i_phi = torch.floor(phi / c.pixel_phi + c.n_phi / 2)
        total = pt.sum(1, keepdim=True)
        share = (pt / torch.where(total > 0, total, torch.ones_like(total))).float()
        # no bin is equal to the index of a constituent outside the window
        at_eta = (i_eta[:, :, None] == self.bin_eta).float() * share[:, :, None]
        at_phi = (i_phi[:, :, None] == self.bin_phi).float()
        pixels = at_eta.transpose(1, 2) @ at_phi
        kept = pixels.sum((1, 2), keepdim=True)
        valid = kept > 0
        if c.normalize == "none" or c.intensity == "log":
            pixels = pixels * total[:, :, None].float()
        if c.intensity == "log":
            pixels = torch.log(1 + pixels)
        if c.pixel_power != 1.0:
            pixels = torch.where(pixels > 0, pixels, torch.zeros_like(pixels)) ** c.pixel_power
        if c.normalize == "sum":
            scale = pixels.sum((1, 2), keepdim=True)
            pixels = pixels / torch.where(valid, scale, torch.ones_like(scale))
        elif c.normalize == "max":
            scale = pixels.amax((1, 2), keepdim=True)
            pixels = pixels / torch.where(valid, scale, torch.ones_like(scale))
        if c.sigma > 0:
            pixels = self.g_eta @ pixels @ self.g_phi
        return pixels[:, None], valid[:, 0, 0]


class Leading(nn.Module):
    """The constituent representation, as ``JetConstituents``."""

    def __init__(self, constituents: JetConstituents) -> None:
        super().__init__()
        self.config = constituents.config
        self.frame = Frame(rotate=self.config.rotate, flip=self.config.flip)

    def forward(
        self, pt: Tensor, eta: Tensor, phi: Tensor, mass: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns rows ``(n, n_constituents, 3)`` float32 and which of them are valid."""
        c = self.config
        eta, phi = self.frame(pt, eta, phi)
        total = pt.sum(1, keepdim=True)
        w = (pt / torch.where(total > 0, total, torch.ones_like(total))) ** c.pt_power
        rows = torch.stack([w, w * eta / c.angular_scale, w * phi / c.angular_scale], 2)
        # of equal float32 pT the first one leads: less than the last digit of the others moves
        key = pt * (1 - torch.cumsum(torch.ones_like(pt), 1) * 2.0**-45)
        # padding, so that there are always enough to choose from
        key = nn.functional.pad(key, (0, c.n_constituents))
        rows = nn.functional.pad(rows, (0, 0, 0, c.n_constituents))
        order = torch.topk(key, c.n_constituents, dim=1).indices[:, :, None]
        return torch.gather(rows, 1, order.expand(-1, -1, 3)).float(), total[:, 0] > 0


def _four_momentum(
    pt: Tensor, eta: Tensor, phi: Tensor, mass: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """pT, mass and eta of jets, ``(n,)`` float64."""
    grown = torch.exp(eta)
    pz = pt * (grown - 1 / grown) / 2
    px, py = pt * torch.sin(phi + math.pi / 2), pt * torch.sin(phi)
    energy_gev = torch.sqrt(px * px + py * py + pz * pz + mass * mass) * mask
    px, py, pz, energy_gev = (v.sum(1) for v in (px, py, pz, energy_gev))
    pt2 = px * px + py * py
    mass2 = energy_gev * energy_gev - pt2 - pz * pz
    jet_mass = torch.sqrt(torch.where(mass2 > 0, mass2, torch.zeros_like(mass2)))
    jet_pt = torch.sqrt(pt2)
    slope = pz / jet_pt
    return jet_pt, jet_mass, torch.sign(slope) * torch.log(slope.abs() + torch.sqrt(slope * slope + 1))


class Observables(nn.Module):
    """The feature representation, as ``JetFeatures``."""

    mean: Tensor
    std: Tensor

    def __init__(self, features: JetFeatures) -> None:
        super().__init__()
        self.names = features.config.observables
        for name in self.names:
            if name not in OBSERVABLES:
                raise ConfigError(f"'{name}' is a column of files, which an exported graph does not see")
            if name in CLUSTERED or name in PAIRWISE:
                raise ConfigError(
                    f"the feature '{name}' cannot be exported; a graph computes sums over constituents only: "
                    + ", ".join(n for n in OBSERVABLES if n not in CLUSTERED and n not in PAIRWISE)
                )
        if features.config.scaling == "quantile-normal":
            raise ConfigError(
                "features with 'scaling: quantile-normal' cannot be exported, only with 'standard' or 'none'"
            )
        self.frame = Frame()
        self.register_buffer("mean", _buffer(features.mean))
        self.register_buffer("std", _buffer(features.std))

    def forward(
        self, pt: Tensor, eta: Tensor, phi: Tensor, mass: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns features ``(n, n_observables)`` float32 and which jets are valid."""
        total = pt.sum(1, keepdim=True)
        z = pt / torch.where(total > 0, total, torch.ones_like(total))
        x, y = self.frame(pt, eta, phi)
        r = torch.sqrt(x * x + y * y)
        columns = []
        for name in self.names:
            if name in ("mass", "mass_over_pt", "pt", "eta"):
                jet_pt, jet_mass, jet_eta = _four_momentum(pt, eta, phi, mass, mask)
            columns.append(
                {
                    "major_axis": lambda: torch.sqrt((z * y * y).sum(1)),
                    "minor_axis": lambda: torch.sqrt((z * x * x).sum(1)),
                    "n_constituents": lambda: mask.sum(1),
                    "mass": lambda: jet_mass,  # noqa: B023
                    "mass_over_pt": lambda: jet_mass / jet_pt,  # noqa: B023
                    "pt": lambda: jet_pt,  # noqa: B023
                    "eta": lambda: jet_eta,  # noqa: B023
                    "girth": lambda: (z * r).sum(1),
                    "lha": lambda: (z * torch.sqrt(r / 0.8)).sum(1),
                    "ptd": lambda: torch.sqrt((z * z).sum(1)),
                    "leading_fraction": lambda: z.amax(1),
                }[name]()
            )
        rows = (torch.stack(columns, 1) - self.mean) / self.std
        return rows.float(), total[:, 0] > 0


def _representation(member: Member) -> nn.Module:
    if isinstance(member.preprocessor, JetImages):
        return Pixels(member.preprocessor)
    if isinstance(member.preprocessor, JetConstituents):
        return Leading(member.preprocessor)
    if isinstance(member.preprocessor, JetFeatures):
        return Observables(member.preprocessor)
    raise ConfigError(f"member '{member.name}': {type(member.preprocessor).__name__} cannot be exported")


class SurpriseGraph(nn.Module):
    """As ``jetad.calibration.Surprise``, float64."""

    knots: Tensor
    surprises: Tensor

    def __init__(self, surprise: Surprise) -> None:
        super().__init__()
        self.threshold, self.scale, self.tail = surprise.threshold, surprise.scale, surprise.tail
        knots, values = np.asarray(surprise.knots), np.asarray(surprise.surprises)
        if len(knots) == 1:
            knots, values = np.append(knots, knots + 1), np.append(values, values)
        self.register_buffer("knots", _buffer(knots))
        self.register_buffer("surprises", _buffer(values))

    def forward(self, s: Tensor) -> Tensor:
        below = (self.knots <= s[:, None]).to(torch.int64).sum(1)
        right = torch.clamp(below, 1, len(self.knots) - 1)
        x0, x1 = self.knots[right - 1], self.knots[right]
        y0, y1 = self.surprises[right - 1], self.surprises[right]
        u = torch.clamp((s - x0) / (x1 - x0), 0.0, 1.0)
        beyond = -math.log(self.tail) + (s - self.threshold) / self.scale
        return torch.where(s > self.threshold, beyond, y0 + u * (y1 - y0))


class EfficiencyGraph(nn.Module):
    """As ``jetad.calibration.BackgroundEfficiency``; the search goes over blocks, then inside one."""

    firsts: Tensor
    blocks: Tensor
    fractions: Tensor

    def __init__(self, efficiency: BackgroundEfficiency) -> None:
        super().__init__()
        m = len(efficiency.scores)
        self.width = math.isqrt(m - 1) + 1
        n_blocks = -(-m // self.width)
        knots = np.full(n_blocks * self.width, np.inf)
        knots[:m] = efficiency.scores
        fractions = np.zeros(n_blocks * self.width + 1)
        fractions[: m + 1] = efficiency.fractions
        blocks = knots.reshape(n_blocks, self.width)
        self.n_eff = efficiency.n_eff
        self.register_buffer("blocks", _buffer(blocks))
        self.register_buffer("firsts", _buffer(blocks[:, 0]))
        self.register_buffer("fractions", _buffer(fractions))

    def forward(self, s: Tensor) -> Tensor:
        block = torch.clamp((self.firsts < s[:, None]).to(torch.int64).sum(1) - 1, min=0)
        inside = (self.blocks[block] < s[:, None]).to(torch.int64).sum(1)
        f = self.fractions[block * self.width + inside]
        return (1 + self.n_eff * f) / (self.n_eff + 1)


class CalibrationGraph(nn.Module):
    """Any calibration; bins and nodes are evaluated all and the right one is taken."""

    edges: Tensor
    nodes: Tensor

    def __init__(self, calibration: Calibration) -> None:
        super().__init__()
        self.columns = calibration.columns
        self.kind = "plain"
        if isinstance(calibration, BinnedEfficiency):
            self.kind = "bins"
            self.shape = calibration.shape
            self.cells = nn.ModuleList(EfficiencyGraph(cell) for cell in calibration.cells)
            for name, edges in calibration.edges.items():
                self.register_buffer(f"edges_{name}", _buffer(edges))
        elif isinstance(calibration, DecorrelatedEfficiency):
            self.kind = "decorrelated"
            self.register_buffer("nodes", _buffer(calibration.nodes))
            self.scales = nn.ModuleList(SurpriseGraph(scale) for scale in calibration.scales)
            self.cells = nn.ModuleList([EfficiencyGraph(calibration.efficiency)])
        elif isinstance(calibration, BackgroundEfficiency):
            self.cells = nn.ModuleList([EfficiencyGraph(calibration)])
        else:
            raise ConfigError(f"a calibration of type {type(calibration).__name__} cannot be exported")

    def forward(self, s: Tensor, columns: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Efficiencies ``(n,)``, and the decorrelated score where there is one."""
        if self.kind == "bins":
            cell = torch.zeros_like(s).to(torch.int64)
            for name, size in zip(self.columns, self.shape, strict=True):
                cell = cell * size + (getattr(self, f"edges_{name}") <= columns[name][:, None]).to(
                    torch.int64
                ).sum(1)
            p = self.cells[0](s)
            for i, graph in enumerate(self.cells):
                p = torch.where(cell == i, graph(s), p)
            return p, None
        if self.kind == "decorrelated":
            m = columns[self.columns[0]]
            d = torch.zeros_like(s)
            last = len(self.scales) - 1
            for k, scale in enumerate(self.scales):
                # a hat around each node, flat beyond the outermost
                weight = torch.ones_like(s)
                if k > 0:
                    rising = (m - self.nodes[k - 1]) / (self.nodes[k] - self.nodes[k - 1])
                    weight = torch.minimum(weight, rising)
                if k < last:
                    falling = (self.nodes[k + 1] - m) / (self.nodes[k + 1] - self.nodes[k])
                    weight = torch.minimum(weight, falling)
                d = d + torch.clamp(weight, min=0.0) * scale(s)
            d = d.float()
            return self.cells[0](d.double()), d
        return self.cells[0](s), None


class _Scored(nn.Module):
    """Members, their combination and the calibration."""

    def __init__(self, detector: TrainedDetector) -> None:
        super().__init__()
        self.models = nn.ModuleList(member.model for member in detector.members)
        several = len(detector.members) > 1
        self.scales = nn.ModuleList(
            SurpriseGraph(member.surprise) for member in detector.members if several and member.surprise
        )
        self.calibration = (
            None
            if detector.background_efficiency is None
            else CalibrationGraph(detector.background_efficiency)
        )

    def forward(self, rows: list[Tensor], valid: Tensor, columns: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Rows of each member to ``score``, ``background_efficiency`` and, if any, ``score_decorrelated``."""
        energies = []
        for model, x in zip(self.models, rows, strict=True):
            # what cannot be scored becomes NaN at the end, not in the network
            keep = valid.view(-1, *[1] * (x.dim() - 1))
            x = torch.where(keep, x, torch.zeros_like(x))
            assert isinstance(model, EnergyModel)
            energies.append(model.energy(model.prepare(x)).double())
        if len(self.scales):
            energies = [scale(e) for scale, e in zip(self.scales, energies, strict=True)]
        score = energies[0]
        for other in energies[1:]:
            score = torch.maximum(score, other)
        score = score.float()
        nothing = torch.full_like(score, math.nan)
        outputs = [torch.where(valid, score, nothing)]
        if self.calibration is None:
            return (*outputs, nothing)
        p, d = self.calibration(score.double(), columns)
        outputs.append(torch.where(valid, p.float(), nothing))
        if d is not None:
            outputs.append(torch.where(valid, d, nothing))
        return tuple(outputs)


class ConstituentGraph(nn.Module):
    """Padded constituents to scores; a jet that cannot be scored gets NaN.

    Inputs float32 ``(n, k)``: pT and mass [GeV], eta, phi [rad], and a mask that is 1 for a constituent
    and 0 for padding; n and k are free. Without mass inputs, constituents are massless.
    """

    def __init__(self, detector: TrainedDetector) -> None:
        super().__init__()
        self.representations = nn.ModuleList(_representation(member) for member in detector.members)
        self.scored = _Scored(detector)
        calibration = detector.background_efficiency
        self.columns = () if calibration is None else tuple(calibration.columns)
        names = [n for r in self.representations for n in getattr(r, "names", ())]
        self.needs_mass = bool(self.columns) or any(n in ("mass", "mass_over_pt") for n in names)

    def forward(
        self, pt: Tensor, eta: Tensor, phi: Tensor, mask: Tensor, mass: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        there = mask > 0
        zero = torch.zeros_like(pt)
        mass = zero if mass is None else mass
        bad = there & ~(_finite(pt + eta + phi + mass) & (pt >= 0))
        fine = ~bad.any(1)
        keep = there & fine[:, None]
        pt, eta, phi, mass = (torch.where(keep, v, zero).double() for v in (pt, eta, phi, mass))
        valid = fine & (pt.sum(1) > 0)
        # padding in front of the first constituent would move the reference of phi
        m = keep.double()
        rows = []
        for representation in self.representations:
            x, usable = representation(pt, eta, phi, mass, m)
            rows.append(x)
            valid = valid & usable
        columns: dict[str, Tensor] = {}
        if self.columns:
            jet_pt, jet_mass, _ = _four_momentum(pt, eta, phi, mass, m)
            columns = {"jet_pt": jet_pt.float().double(), "jet_mass": jet_mass.float().double()}
        outputs: tuple[Tensor, ...] = self.scored(rows, valid, columns)
        return outputs


class ImageGraph(nn.Module):
    """Images as ``JetImages.transform`` makes them, ``(n, 1, n_eta, n_phi)`` float32, to scores."""

    def __init__(self, detector: TrainedDetector) -> None:
        super().__init__()
        for member in detector.members:
            if not isinstance(member.preprocessor, JetImages):
                raise ConfigError(
                    f"member '{member.name}' of this run does not see images; export from constituents, or "
                    "train with --representation image"
                )
        if detector.background_efficiency is not None and detector.background_efficiency.columns:
            raise ConfigError(
                "the calibration of this run depends on jet quantities, which an image does not tell; export "
                "from constituents"
            )
        self.scored = _Scored(detector)
        self.n_members = len(detector.members)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        valid = _finite(image).all(3).all(2).all(1)
        outputs: tuple[Tensor, ...] = self.scored([image] * self.n_members, valid, {})
        return outputs
