"""Rows of jets on the device that computes: a GPU gets constituents and makes the images itself."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..jets import Jets
from ..preprocessing import Preprocessor
from ..preprocessing.images import _ON_AXIS, MAX_ETA, MAX_PHI, JetImages

__all__ = ["device_images", "device_rows"]

# devices that make images; a CPU does it faster with NumPy, constituent by constituent
_IMAGING = {"cuda"}
# images in float64 before they are blurred: 52 MB of 40 x 40 pixels
_CHUNK = 4096


def device_rows(preprocessor: Preprocessor, jets: Jets, device: torch.device) -> Tensor:
    """The representation ``(n_jets, ...)`` float32 on a device, rows of NaN as ``preprocessor.transform``.

    Raises:
        InputError: as the preprocessor.
    """
    if device.type in _IMAGING and isinstance(preprocessor, JetImages):
        return device_images(preprocessor, jets, device)
    return torch.from_numpy(preprocessor.transform(jets)).to(device)


def device_images(imager: JetImages, jets: Jets, device: torch.device) -> Tensor:
    """Images ``(n_jets, n_channels, n_eta, n_phi)`` float32 as ``imager.transform`` makes them, in torch.

    Constituents travel as float32, some 100 in the place of 1600 pixels a jet. Frame and pixels are
    computed in float64, so that a constituent falls into the same pixel; the images agree within rounding
    of float32.
    Ready-made images and those with the faults of the published program are made on the CPU.

    Raises:
        InputError: as ``JetImages.check``.
    """
    imager.check(jets)
    if imager.config.reference or not jets.has_constituents or not len(jets.pt):
        return torch.from_numpy(imager.transform(jets)).to(device)
    images = torch.empty((len(jets), *imager.shape), dtype=torch.float32, device=device)
    for start in range(0, len(jets), _CHUNK):
        rows = slice(start, min(start + _CHUNK, len(jets)))
        images[rows] = _chunk(imager, jets[rows], device)
    return images


def _chunk(imager: JetImages, jets: Jets, device: torch.device) -> Tensor:
    c, n = imager.config, len(jets)
    pt, eta, phi, mass = (torch.from_numpy(v).to(device) for v in (jets.pt, jets.eta, jets.phi, jets.mass))
    offsets = torch.from_numpy(jets.offsets).to(device)
    counts = offsets.diff()
    jet = torch.arange(n, device=device).repeat_interleave(counts, output_size=len(pt))

    def per_jet(values: Tensor) -> Tensor:
        # sums along the list of constituents, one jet after the other: the order is always the same
        return torch.segment_reduce(values.double(), "sum", offsets=offsets, initial=0.0)

    good = torch.isfinite(pt + eta + phi + mass) & (pt >= 0)
    good &= (pt == 0) | ((eta.abs() <= MAX_ETA) & (phi.abs() <= MAX_PHI))
    charge = None
    if c.needs_charge and jets.charge is not None:
        charge = torch.from_numpy(jets.charge).to(device)
        good &= torch.isfinite(charge)
    total = per_jet(torch.where(good, pt, 0.0))
    valid = (total > 0) & (per_jet(~good) == 0)
    pt, eta, phi = (torch.where(valid[jet], v, 0.0).double() for v in (pt, eta, phi))
    norm = torch.where(valid, total, 1.0)

    # the frame of the jet, as jetad.preprocessing.images.align
    place = torch.arange(len(phi), device=device, dtype=torch.float64)
    place = torch.where(pt > 0, place, float(len(phi) - 1))
    first = torch.segment_reduce(place, "min", offsets=offsets, initial=float(len(phi) - 1)).long()
    phi = phi - phi[first][jet]
    across = phi.abs() >= math.pi
    phi = torch.where(across, torch.remainder(phi + math.pi, 2 * math.pi) - math.pi, phi)
    eta = eta - (per_jet(pt * eta) / norm)[jet]
    phi = phi - (per_jet(pt * phi) / norm)[jet]
    if c.rotate:
        ee, ep, pp = per_jet(pt * eta * eta), per_jet(pt * eta * phi), per_jet(pt * phi * phi)
        theta = math.pi / 2 - 0.5 * torch.atan2(2 * ep, ee - pp)
        cos, sin = theta.cos()[jet], theta.sin()[jet]
        eta, phi = eta * cos - phi * sin, eta * sin + phi * cos
        eta, phi = (torch.where(v.abs() < _ON_AXIS, 0.0, v) for v in (eta, phi))
    if c.flip:
        eta, phi = (v * torch.where(per_jet(pt * v.sign()) < 0, -1.0, 1.0)[jet] for v in (eta, phi))

    i_eta = torch.floor(eta / c.pixel_eta + c.n_eta / 2)
    i_phi = torch.floor(phi / c.pixel_phi + c.n_phi / 2)
    inside = (i_eta >= 0) & (i_eta < c.n_eta) & (i_phi >= 0) & (i_phi < c.n_phi)
    pt = pt * inside
    valid &= per_jet(pt) > 0
    flat = (jet * c.n_eta + i_eta.clamp(0, c.n_eta - 1).long()) * c.n_phi + i_phi.clamp(0, c.n_phi - 1).long()

    def pixels(share: Tensor) -> Tensor:
        empty = torch.zeros(n * c.n_eta * c.n_phi, dtype=torch.float64, device=device)
        sums = empty.index_add_(0, flat, share).view(n, c.n_eta, c.n_phi)
        if c.intensity == "log":
            sums = torch.log1p(sums)
        return sums if c.pixel_power == 1.0 else sums**c.pixel_power

    whole = pixels(pt)
    scale = whole.amax(dim=(1, 2)) if c.normalize == "max" else whole.sum(dim=(1, 2))
    unit = torch.where(valid & (c.normalize != "none"), scale, 1.0)[:, None, None]
    channels = []
    for channel in c.channels:
        if channel == "pt" or charge is None:
            content = whole
        else:
            content = pixels(pt * ((charge != 0) if channel == "charged" else (charge == 0)))
        channels.append((content / unit).float())
    images = torch.stack(channels, dim=1)
    if imager._filters is not None:
        g_eta, g_phi = (torch.from_numpy(np.ascontiguousarray(g)).to(device) for g in imager._filters)
        images = g_eta @ images @ g_phi.T
    return torch.where(valid[:, None, None, None], images, math.nan)
