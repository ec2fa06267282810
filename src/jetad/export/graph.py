"""The whole scoring as one torch module: padded constituents or images in, score and efficiency out.

Everything here is a twin of NumPy code elsewhere and is compared with it before an export is kept. Only
operations are used that ONNX runtimes have in float64, where float64 matters: a constituent must fall
into the same pixel as in the engine.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from ..detector import Member, TrainedDetector
from ..errors import ConfigError
from ..models.base import EnergyModel
from ..preprocessing.constituents import JetConstituents
from ..preprocessing.features import COLUMN, JetFeatures
from ..preprocessing.images import JetImages
from .calibration import CalibrationGraph, SurpriseGraph
from .features import MASSIVE, OF_THE_JET, Observables, Scaling, of_the_jet
from .frame import Frame, buffer, directions_make_sense, finite, four_momentum, fractions

__all__ = ["ConstituentGraph", "ImageGraph", "JetGraph"]


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
        if c.needs_charge:
            raise ConfigError(
                f"images with channels {', '.join(c.channels)} cannot be exported from constituents, as the "
                "graph takes no charges; export from images (--input images)"
            )
        self.config = c
        self.frame = Frame(rotate=c.rotate, flip=c.flip)
        filters = images._filters or (np.eye(c.n_eta), np.eye(c.n_phi))
        self.register_buffer("g_eta", buffer(filters[0], torch.float32))
        self.register_buffer("g_phi", buffer(np.ascontiguousarray(filters[1].T), torch.float32))
        self.register_buffer("bin_eta", buffer(np.arange(c.n_eta)))
        self.register_buffer("bin_phi", buffer(np.arange(c.n_phi)))

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
        w = fractions(pt) ** c.pt_power
        rows = torch.stack([w, w * eta / c.angular_scale, w * phi / c.angular_scale], 2)
        # of equal float32 pT the first one leads: less than the last digit of the others moves
        key = pt * (1 - torch.cumsum(torch.ones_like(pt), 1) * 2.0**-45)
        # padding, so that there are always enough to choose from
        key = nn.functional.pad(key, (0, c.n_constituents))
        rows = nn.functional.pad(rows, (0, 0, 0, c.n_constituents))
        order = torch.topk(key, c.n_constituents, dim=1).indices[:, :, None]
        return torch.gather(rows, 1, order.expand(-1, -1, 3)).float(), pt.sum(1) > 0


def _representation(member: Member) -> nn.Module:
    if isinstance(member.preprocessor, JetImages):
        return Pixels(member.preprocessor)
    if isinstance(member.preprocessor, JetConstituents):
        return Leading(member.preprocessor)
    if isinstance(member.preprocessor, JetFeatures):
        return Observables(member.preprocessor)
    raise ConfigError(f"member '{member.name}': {type(member.preprocessor).__name__} cannot be exported")


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
            energies.append(model.scored_energy(model.prepare(x)).double())
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
        for name in self.calibration.columns:
            valid = valid & finite(columns[name])
        outputs.append(torch.where(valid, p.float(), nothing))
        if d is not None:
            outputs.append(torch.where(valid, d, nothing))
        return tuple(outputs)


def _columns_of_files(detector: TrainedDetector) -> tuple[str, ...]:
    """Columns of the file that members see, ``file:NAME``, each once."""
    names = [
        name
        for member in detector.members
        if isinstance(member.preprocessor, JetFeatures)
        for name in member.preprocessor.config.observables
    ]
    return tuple(dict.fromkeys(name for name in names if name.startswith(COLUMN)))


def _calibration_columns(detector: TrainedDetector) -> tuple[str, ...]:
    return () if detector.background_efficiency is None else tuple(detector.background_efficiency.columns)


class ConstituentGraph(nn.Module):
    """Padded constituents to scores; a jet that cannot be scored gets NaN, as in the engine.

    Inputs float32 ``(n, k)``: pT, eta, phi [GeV, rad], a mask that is 1 for a constituent and 0 for
    padding, and where ``needs_mass`` the mass [GeV]; n and k are free. Then the ``columns`` of the file
    that features are, float32 ``(n,)`` each.
    """

    def __init__(self, detector: TrainedDetector) -> None:
        super().__init__()
        self.representations = nn.ModuleList(_representation(member) for member in detector.members)
        self.scored = _Scored(detector)
        self.columns = _columns_of_files(detector)
        quantities = _calibration_columns(detector)
        names = [n for r in self.representations for n in getattr(r, "names", ())]
        if len(self.columns) == len(set(names)) and not quantities and _only_features(detector):
            raise ConfigError(
                "this run sees columns of the file alone, no constituents; export it with --input jets"
            )
        self.needs_mass = bool(quantities) or any(name in MASSIVE for name in names)
        self.needs_momentum = bool(quantities) or any(name in OF_THE_JET for name in names)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs in their order."""
        return "pt", "eta", "phi", "mask", *(["mass"] if self.needs_mass else []), *self.columns

    def forward(
        self, pt: Tensor, eta: Tensor, phi: Tensor, mask: Tensor, *more: Tensor
    ) -> tuple[Tensor, ...]:
        there = mask > 0
        zero = torch.zeros_like(pt)
        mass = more[0] if self.needs_mass else zero
        columns = dict(zip(self.columns, more[1:] if self.needs_mass else more, strict=True))
        good = finite(pt + eta + phi + mass) & (pt >= 0) & ((pt == 0) | directions_make_sense(eta, phi))
        fine = (good | ~there).all(1)
        pt, eta, phi, mass = (torch.where(there, v, zero).double() for v in (pt, eta, phi, mass))
        # padding in front of the first constituent would move the reference of phi
        m = there.double()
        if self.needs_momentum:
            momentum = four_momentum(pt, eta, phi, mass, m)
            # float32 in the engine: bins, and quantiles that many jets share, begin at such numbers
            for name, value in zip(("jet_pt", "jet_mass", "jet_eta"), momentum, strict=True):
                value = torch.where(there.any(1), value, torch.full_like(value, math.nan))
                columns[name] = value.float().double()
        # without pT no representation is valid
        pt = torch.where(fine[:, None], pt, torch.zeros_like(pt))
        rows = []
        valid = torch.ones_like(fine)
        for representation in self.representations:
            known = (columns,) if isinstance(representation, Observables) else ()
            x, usable = representation(pt, eta, phi, mass, m, *known)
            rows.append(x)
            valid = valid & usable
        outputs: tuple[Tensor, ...] = self.scored(rows, valid, columns)
        return outputs


def _only_features(detector: TrainedDetector) -> bool:
    return all(isinstance(member.preprocessor, JetFeatures) for member in detector.members)


class JetGraph(nn.Module):
    """Momenta of jets and columns of the file to scores, for detectors that need no constituents.

    Inputs float32 ``(n,)``: those of ``jet_pt``, ``jet_eta``, ``jet_mass`` [GeV] that are needed, then the
    columns.
    """

    def __init__(self, detector: TrainedDetector) -> None:
        super().__init__()
        needed = list(_calibration_columns(detector))
        self.names: list[tuple[str, ...]] = []
        self.scalings = nn.ModuleList()
        for member in detector.members:
            features = member.preprocessor
            names = features.config.observables if isinstance(features, JetFeatures) else ()
            unknown = [name for name in names if name not in OF_THE_JET and not name.startswith(COLUMN)]
            if unknown or not isinstance(features, JetFeatures):
                what = f"'{unknown[0]}'" if unknown else "more than features"
                raise ConfigError(
                    f"member '{member.name}' of this run sees {what}, which needs constituents; leave out "
                    "--input jets"
                )
            self.names.append(names)
            self.scalings.append(Scaling(features))
            needed += [part for name in names for part in OF_THE_JET.get(name, ())]
        momenta = [name for name in ("jet_pt", "jet_eta", "jet_mass") if name in needed]
        self.inputs = (*momenta, *_columns_of_files(detector))
        self.scored = _Scored(detector)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        columns = {name: x.double() for name, x in zip(self.inputs, inputs, strict=True)}
        valid = torch.ones_like(inputs[0]) > 0
        rows = []
        for names, scaling in zip(self.names, self.scalings, strict=True):
            x, usable = scaling([of_the_jet(name, columns) for name in names])
            rows.append(x)
            valid = valid & usable
        outputs: tuple[Tensor, ...] = self.scored(rows, valid, columns)
        return outputs


class ImageGraph(nn.Module):
    """Images as ``JetImages.transform`` makes them, ``(n, 1, n_eta, n_phi)`` float32, to scores."""

    inputs = ("image",)

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
        valid = finite(image).all(3).all(2).all(1)
        outputs: tuple[Tensor, ...] = self.scored([image] * self.n_members, valid, {})
        return outputs
