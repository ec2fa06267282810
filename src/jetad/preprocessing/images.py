"""Jet images: centre, rotate, flip, pixelate, normalise, blur; no Python loop over jets.

Long, because the same pixels are made in four ways that must agree (sums, shares of linear images,
projections without images, and as the published program makes them).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from ..errors import InputError
from ..jets import Jets
from ..jets.kinematics import delta_phi
from ..settings import Strict

__all__ = ["ImageConfig", "JetImages", "PixelatedJets", "align", "aligned"]

# a narrower filter leaves every pixel as it is, to the last bit, and far narrower ones divide by zero
_NO_BLUR = 0.01
# jets imaged at once: 512 x 1600 float64 pixels are 6 MB, which stays in the allocator's pool
_CHUNK = 512

# distance from an axis of the jet that is taken for zero; float32 angles are known to 1e-7
_ON_AXIS = 1e-9


#: What an image can show: pT of all constituents, of those with charge, of those without.
Channel = Literal["pt", "charged", "neutral"]

# slots of a jet and points of a side of the grid in the program behind the published images
_REFERENCE_SLOTS, _REFERENCE_POINTS = 200, 180


#: Beyond these a direction is none: a particle of 7 TeV with a pT of 1 eV has eta = 30, and float32 knows
#: no angle of phi = 1e6. Files may count phi over several turns.
MAX_ETA, MAX_PHI = 50.0, 100.0


class ImageConfig(Strict):
    """Settings of the jet image; the defaults are the published ones of 1808.08979 and 2206.14225."""

    representation: Literal["image"] = "image"
    channels: tuple[Channel, ...] = Field(
        ("pt",), min_length=1, description="of the image: pt of all constituents, of charged or neutral ones"
    )
    n_eta: int = Field(40, ge=4, description="pixels along eta'")
    n_phi: int = Field(40, ge=4, description="pixels along phi'")
    pixel_eta: float = Field(0.029, gt=0, description="pixel size in eta'")
    pixel_phi: float = Field(0.035, gt=0, description="pixel size in phi' [rad]")
    rotate: bool = Field(True, description="principal axis vertical")
    flip: bool = Field(True, description="more pT at eta' > 0 and at phi' > 0")
    intensity: Literal["linear", "log"] = Field(
        "linear", description="pixel, or log(1 + pixel / GeV), in the place of the pixel"
    )
    pixel_power: float = Field(
        1.0, gt=0, le=4, description="pixel -> pixel^n before the normalisation; 0.5 for the square root"
    )
    normalize: Literal["sum", "max", "none"] = Field("sum", description="what of each image is set to one")
    sigma: float = Field(1.0, ge=0, le=10, description="width of the Gaussian filter [pixels]; 0 for none")
    reference: bool = Field(
        False, description="pixels as the program behind the published images fills them, its faults included"
    )

    @model_validator(mode="after")
    def _one_grid(self) -> Self:
        if self.reference and (
            self.n_eta != self.n_phi or (self.pixel_eta, self.pixel_phi) != (0.029, 0.035) or self.n_eta > 178
        ):
            raise ValueError(
                "reference images have square grids of up to 178 x 178 pixels of 0.029 x 0.035; "
                "leave n_eta, n_phi, pixel_eta and pixel_phi as they are, or leave out 'reference'"
            )
        if self.reference and self.needs_charge:
            raise ValueError("reference images have the one channel pt; leave out 'channels' or 'reference'")
        return self

    @field_validator("channels")
    @classmethod
    def _each_once(cls, channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
        if len(set(channels)) < len(channels):
            raise ValueError("a channel is named twice")
        return channels

    @property
    def needs_charge(self) -> bool:
        """Whether charged and neutral constituents are told apart."""
        return self.channels != ("pt",)


class PixelatedJets(NamedTuple):
    """Images with what was lost on the way."""

    images: NDArray[np.float32]  # (n_jets, n_channels, n_eta, n_phi); NaN where a jet cannot be imaged
    outside_fraction: NDArray[np.float32]  # (n_jets,) pT fraction of constituents outside the window
    valid: NDArray[np.bool_]  # (n_jets,)


class _Contents(NamedTuple):
    """Constituents in pixels."""

    pt: NDArray[np.float64]  # (n_total,) 0 outside the window and in jets that are not valid
    i_eta: NDArray[np.int32]  # (n_total,) of the nearest pixel, where it lies outside
    i_phi: NDArray[np.int32]
    inside: NDArray[np.bool_]  # (n_total,)
    kept: NDArray[np.float64]  # (n_jets,) pT inside
    outside: NDArray[np.float64]  # (n_jets,) fraction of pT outside, NaN if not valid
    valid: NDArray[np.bool_]  # (n_jets,)
    charged: NDArray[np.bool_]  # (n_total,); empty where all channels are of all constituents

    def of(self, channel: Channel) -> NDArray[np.bool_] | slice:
        """Which constituents a channel shows."""
        if channel == "pt":
            return slice(None)
        return self.charged if channel == "charged" else ~self.charged


def directions_make_sense(eta: NDArray[np.floating], phi: NDArray[np.floating]) -> bool:
    """Whether all constituents, ``(n_total,)``, have directions that a particle of a collider can have."""
    ends = (eta, -MAX_ETA, MAX_ETA), (phi, -MAX_PHI, MAX_PHI)
    return not len(eta) or all(bool(low <= x.min()) and bool(x.max() <= high) for x, low, high in ends)


class Aligned(NamedTuple):
    """Jets in their own frames. Several representations share it: not to be changed."""

    eta: NDArray[np.float64]  # (n_total,) positions, 0 in jets that are not valid
    phi: NDArray[np.float64]
    valid: NDArray[np.bool_]  # (n_jets,)
    pt: NDArray[np.float64]  # (n_total,) 0 in jets that are not valid
    total: NDArray[np.float64]  # (n_jets,) its sum


# what several representations of some jets ask for one after the other: that of the last jets alone
_known: dict[tuple[bool, bool], tuple[weakref.ref[Jets], Aligned]] = {}


def aligned(jets: Jets, *, rotate: bool = True, flip: bool = True) -> Aligned:
    """As ``align``, with the pT that belongs to it; known for a few jets until others are asked for."""
    known = _known.get((rotate, flip))
    if known is not None and known[0]() is jets:
        return known[1]
    found = _aligned(jets, rotate=rotate, flip=flip)
    for values in found:
        values.flags.writeable = False
    if len(jets) <= _CHUNK:
        _known[rotate, flip] = weakref.ref(jets), found
    return found


def align(
    jets: Jets, *, rotate: bool = True, flip: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Constituent positions in the frame of their jet.

    Centre on the pT-weighted centroid, turn the major axis of the pT-weighted second moment to
    vertical (along phi'), and flip so that more pT lies at eta' > 0 and at phi' > 0.

    Returns:
        ``(eta', phi', valid)``: the first two flat ``(n_total,)``, the last ``(n_jets,)``, false for jets
        without constituents, with non-finite or negative values, with directions that are none (|eta| above
        50, |phi| above 100), or without pT. Positions of
        constituents in such jets are 0.

    References:
        Heimel, Kasieczka, Plehn, Thompson, "QCD or What?", 2018, arXiv:1808.08979
    """
    return _aligned(jets, rotate=rotate, flip=flip)[:3]


def _aligned(jets: Jets, *, rotate: bool, flip: bool) -> Aligned:
    per_jet, counts = jets.sum_over_constituents, jets.n_constituents

    def to_constituents(values: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(values, counts)

    # one NaN or infinity in any of the four makes their sum so
    good = np.isfinite(jets.pt + jets.eta + jets.phi + jets.mass) & (jets.pt >= 0)
    if not directions_make_sense(jets.eta, jets.phi):
        good &= (jets.pt == 0) | ((np.abs(jets.eta) <= MAX_ETA) & (np.abs(jets.phi) <= MAX_PHI))
    all_good = bool(good.all())
    pt = jets.pt.astype(np.float64) if all_good else np.where(good, jets.pt, 0).astype(np.float64)
    total = per_jet(pt)
    valid = total > 0
    if not all_good:
        valid &= per_jet(~good) == 0
    all_valid = bool(valid.all())  # as a rule: then nothing has to be masked
    ok = np.ones(0, dtype=bool) if all_valid else to_constituents(valid)

    def masked(values: NDArray[Any]) -> NDArray[np.float64]:
        return (values if all_valid else np.where(ok, values, 0)).astype(np.float64, copy=False)

    pt, eta, phi = masked(pt), masked(jets.eta), masked(jets.phi)
    total = np.where(valid, total, 0.0)
    norm = np.where(valid, total, 1.0)

    # phi relative to a constituent of the jet first, so that the mean never crosses the cut at +-pi
    if len(phi):
        phi -= to_constituents(phi[_first_with_pt(pt, jets.offsets)])
        across = np.flatnonzero(np.abs(phi) >= np.pi)  # few
        phi[across] = delta_phi(phi[across], 0.0)
    eta -= to_constituents(per_jet(pt * eta) / norm)
    phi -= to_constituents(per_jet(pt * phi) / norm)

    if rotate:
        ee, ep, pp = per_jet(pt * eta * eta), per_jet(pt * eta * phi), per_jet(pt * phi * phi)
        # major axis at angle alpha from the eta axis: tan(2 alpha) = 2 ep / (ee - pp)
        theta = np.pi / 2 - 0.5 * np.arctan2(2 * ep, ee - pp)
        c, s = to_constituents(np.cos(theta)), to_constituents(np.sin(theta))
        eta, phi = eta * c - phi * s, eta * s + phi * c
        # two constituents lie on the axis, which is an edge of pixels: rounding must not choose the side
        eta[np.abs(eta) < _ON_AXIS] = 0.0
        phi[np.abs(phi) < _ON_AXIS] = 0.0
    if flip:
        eta *= to_constituents(np.where(per_jet(pt * np.sign(eta)) < 0, -1.0, 1.0))
        phi *= to_constituents(np.where(per_jet(pt * np.sign(phi)) < 0, -1.0, 1.0))
    return Aligned(masked(eta), masked(phi), valid, pt, total)


def _first_with_pt(pt: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of the first constituent of each jet that has pT, ``(n_jets,)``; any for a jet without.

    The phi of a particle without pT means nothing.
    """
    first = np.minimum(offsets[:-1], len(pt) - 1)
    if not pt[first].all():  # few files
        places = np.append(np.flatnonzero(pt > 0), len(pt) - 1)
        first = places[np.searchsorted(places[:-1], offsets[:-1])]
    return first


def _pixel(
    position: NDArray[np.float64], width: float, n: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """The nearest of ``n`` pixels of half-open ranges around 0, and whether the position lies inside it."""
    at = position / width
    at += n / 2
    inside = at >= 0
    inside &= at < n
    # far from the window no integer may overflow; what is not negative is rounded down
    return np.clip(at, 0, n - 1, out=at).astype(np.int32), inside


def _halves(band: NDArray[np.float32]) -> list[tuple[slice, slice]]:
    """The two halves of the rows of a square matrix, each with the columns in which it is not zero."""
    middle = len(band) // 2
    return [
        (rows, slice(int(columns[0]), int(columns[-1]) + 1))
        for rows in (slice(0, middle), slice(middle, len(band)))
        for columns in [np.flatnonzero(band[rows].any(axis=0))]
    ]


class JetImages:
    """The image representation, float32 ``(n_jets, n_channels, n_eta, n_phi)``.

    ``constituents -> align -> pixel sums of pT -> pixel^n -> unit sum -> Gaussian filter``. Pixels are
    half-open and accumulate; constituents outside the window are dropped and their pT fraction is
    recorded by ``pixelate``. The filter is separable with a reflecting border and cut at 4 sigma, as
    ``scipy.ndimage.gaussian_filter``; being linear, it is one fixed matrix on each side.

    Channels other than ``pt`` show the charged or the neutral constituents alone, in the frame of all of
    them, and every channel is divided by the one number that makes the unit sum of ``pt``: with
    pixel_power 1, charged + neutral = pt.

    Arguments:
        config: The settings; defaults when left out.

    Example:
        >>> jets = Jets.from_lists([[(50.0, 0.0, 0.0, 0.0), (30.0, 0.2, 0.0, 0.0)]])
        >>> images = JetImages(ImageConfig(sigma=0)).transform(jets)
        >>> images.shape, round(float(images.max()), 3)
        ((1, 1, 40, 40), 0.625)
    """

    def __init__(self, config: ImageConfig | None = None) -> None:
        self.config = config or ImageConfig()

    def __repr__(self) -> str:
        c = self.config
        channels = f"{', '.join(c.channels)}: " if c.needs_charge else ""
        return f"JetImages({channels}{c.n_eta} x {c.n_phi}, pixel_power={c.pixel_power}, sigma={c.sigma})"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image, ``(n_channels, n_eta, n_phi)``."""
        return len(self.config.channels), self.config.n_eta, self.config.n_phi

    def fit(self, jets: Jets) -> Self:
        return self

    def to_dict(self) -> dict[str, Any]:
        return self.config.model_dump()

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        return cls(ImageConfig(**state))

    @cached_property
    def _filters(self) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        c = self.config
        if c.sigma < _NO_BLUR:
            return None
        from scipy.ndimage import gaussian_filter1d  # not loaded by runs that use no filter

        eta, phi = (
            gaussian_filter1d(np.eye(n), c.sigma, axis=0, mode="reflect", truncate=4.0).astype(np.float32)
            for n in (c.n_eta, c.n_phi)
        )
        return eta, phi

    def transform(self, jets: Jets) -> NDArray[np.float32]:
        """Images of all jets; a jet that cannot be imaged is a row of NaN."""
        return self.pixelate(jets).images

    def pixelate(self, jets: Jets) -> PixelatedJets:
        """Images with the pT fraction outside the window and the mask of jets that could be imaged.

        Ready-made images are taken as they are: only the pixel power, the normalisation and the filter
        are applied, and nothing is known to lie outside.

        Raises:
            InputError: as ``check``.
        """
        self.check(jets)
        n_jets = len(jets)
        images = np.empty((n_jets, *self.shape), dtype=np.float32)
        outside = np.zeros(n_jets, dtype=np.float32)
        valid = np.zeros(n_jets, dtype=bool)
        for start in range(0, n_jets, _CHUNK):
            rows = slice(start, min(start + _CHUNK, n_jets))
            outside[rows], valid[rows] = self._pixelate_chunk(jets[rows], images[rows])
        return PixelatedJets(images, outside, valid)

    def check(self, jets: Jets) -> None:
        """Whether images can be made of such jets.

        Raises:
            InputError: if they have neither constituents, with charges where a channel needs them, nor
                images of this shape.
        """
        if jets.has_constituents:
            if self.config.needs_charge and jets.charge is None and len(jets.pt):
                raise InputError(
                    "the constituents have no charges, which the image channels "
                    f"{', '.join(self.config.channels)} need; give a file that has them ('jetad inspect' "
                    "says), name their column in a mapping, or train with preprocessing.channels=[pt]"
                )
            return
        if jets.images is None:
            raise InputError(
                "the jets have no constituents, so no images can be made of them; "
                "use a detector of features that are columns of the file (--representation features)"
            )
        if jets.images.shape[1:] != self.shape:
            found, wanted = (" x ".join(map(str, shape)) for shape in (jets.images.shape[1:], self.shape))
            raise InputError(
                f"the images of the file are {found} (channels, eta, phi), but this detector takes {wanted}; "
                f"train on them with --set preprocessing.n_eta={jets.images.shape[2]} "
                f"--set preprocessing.n_phi={jets.images.shape[3]}"
            )

    def _pixelate_chunk(
        self, jets: Jets, images: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Write ``images``, ``(n_jets, ...)``; returns ``outside_fraction`` and ``valid``."""
        n_jets, channels = len(jets), self.config.channels
        if jets.images is not None:
            pixels: NDArray[Any] = jets.images.reshape(n_jets, len(channels), -1).astype(np.float64)
            valid = np.isfinite(pixels).all(axis=(1, 2)) & (pixels >= 0).all(axis=(1, 2))
            pixels[~valid] = 0.0
            whole = pixels[:, channels.index("pt")] if "pt" in channels else pixels.sum(axis=1)
            valid &= whole.sum(axis=1) > 0
            self._finish(pixels, whole, valid, images)
            return np.zeros(n_jets), valid
        if self.config.reference:
            pixels, outside, valid = self._reference_pixels(jets)
            valid &= pixels.sum(axis=1) > 0
            self._finish(pixels[:, None], None, valid, images)
            return outside, valid
        found = self._contents(jets)
        if self._is_linear and len(jets.pt):
            share = self._shares(jets, found)
            first_rows = np.arange(n_jets, dtype=np.int32) * self.config.n_eta
            rows = np.repeat(first_rows, jets.n_constituents) + found.i_eta
            for k, channel in enumerate(channels):
                some = found.of(channel)
                self._blur_constituents(share[some], rows[some], found.i_phi[some], images[:, k])
            images[~found.valid] = np.nan
            return found.outside, found.valid
        pixels = np.stack([self._sums(jets, found, channel) for channel in channels], axis=1)
        whole = None if "pt" in channels else self._sums(jets, found, "pt")
        self._finish(pixels, whole, found.valid, images)
        return found.outside, found.valid

    def _sums(self, jets: Jets, found: _Contents, channel: Channel) -> NDArray[np.float64]:
        """Sums of pT in pixels, ``(n_jets, n_pixels)``."""
        n_eta, n_phi = self.config.n_eta, self.config.n_phi
        rows, some = np.zeros_like(found.inside), found.of(channel)
        rows[some] = found.inside[some]
        flat = ((jets.jet_index * n_eta + found.i_eta) * n_phi + found.i_phi)[rows]
        sums = np.bincount(flat, weights=found.pt[rows], minlength=len(jets) * n_eta * n_phi)
        # without any constituent bincount forgets the type of the weights
        return sums.astype(np.float64, copy=False).reshape(len(jets), n_eta * n_phi)

    def _contents(self, jets: Jets) -> _Contents:
        """The pixel of every constituent, and what of a jet lies outside."""
        c, counts = self.config, jets.n_constituents
        frame = aligned(jets, rotate=c.rotate, flip=c.flip)
        valid, pt, total = frame.valid, frame.pt, frame.total
        charge = jets.charge if c.needs_charge and jets.charge is not None else np.zeros(0, dtype=np.float32)
        if len(charge):
            valid = valid & (jets.sum_over_constituents(~np.isfinite(charge)) == 0)
            pt, total = np.where(np.repeat(valid, counts), pt, 0.0), np.where(valid, total, 0.0)
        i_eta, inside_eta = _pixel(frame.eta, c.pixel_eta, c.n_eta)
        i_phi, inside_phi = _pixel(frame.phi, c.pixel_phi, c.n_phi)
        inside = inside_eta & inside_phi
        pt_inside = pt * inside
        kept = jets.sum_over_constituents(pt_inside)
        outside = np.where(valid, 1.0 - kept / np.where(total > 0, total, 1.0), np.nan)
        return _Contents(pt_inside, i_eta, i_phi, inside, kept, outside, valid & (kept > 0), charge != 0)

    def _shares(self, jets: Jets, found: _Contents) -> NDArray[np.float64]:
        """What constituents add to their pixels, 0 outside the window."""
        scale = np.where(found.valid & (self.config.normalize == "sum"), found.kept, 1.0)
        result: NDArray[np.float64] = found.pt / np.repeat(scale, jets.n_constituents)
        return result

    def projector(self, basis: NDArray[np.float64]) -> Callable[[Jets], NDArray[np.float64]] | None:
        """A function that gives ``images.reshape(n_jets, -1) @ basis`` without making the images.

        A blurred image is the sum of the blurred images of its constituents, so its projection is the sum
        of theirs, which are rows of the blurred basis: for 60 components a twentieth of the work.

        Arguments:
            basis: One column a component, ``(n_channels n_eta n_phi, k)``.

        Returns:
            ``jets -> (n_jets, k)`` float64 with rows of NaN for jets that cannot be imaged, or ``None`` where
            images are not sums over constituents.
        """
        if not self._is_linear or self.config.reference:
            return None
        from scipy.sparse import csr_matrix

        assert self._filters is not None
        g_eta, g_phi = (g.astype(np.float64) for g in self._filters)
        c = self.config
        n_pixels = c.n_eta * c.n_phi
        blurred: dict[str, NDArray[np.float64]] = {
            channel: np.einsum(
                "ei,fj,efk->ijk", g_eta, g_phi, part.reshape(c.n_eta, c.n_phi, -1), optimize=True
            ).reshape(part.shape)
            for channel, part in zip(c.channels, basis.reshape(-1, n_pixels, basis.shape[1]), strict=True)
        }
        if c.needs_charge:  # what a charged constituent adds to all channels, then what a neutral one does
            nothing = np.zeros((n_pixels, basis.shape[1]))
            table = np.concatenate(
                [blurred.get("pt", nothing) + blurred.get(kind, nothing) for kind in ("charged", "neutral")]
            )
        else:
            table = blurred["pt"]

        def project(jets: Jets) -> NDArray[np.float64]:
            self.check(jets)
            if jets.images is not None:
                return self.transform(jets).reshape(len(jets), len(basis)).astype(np.float64) @ basis
            found = self._contents(jets)
            starts = (jets.offsets - jets.offsets[0]).astype(np.int32)
            pixel = found.i_eta * c.n_phi + found.i_phi
            if len(found.charged):
                pixel += np.where(found.charged, 0, n_pixels)
            per_jet = csr_matrix((self._shares(jets, found), pixel, starts), shape=(len(jets), len(table)))
            result: NDArray[np.float64] = per_jet @ table
            result[~found.valid] = np.nan
            return result

        return project

    @property
    def _is_linear(self) -> bool:
        """Whether a blurred image is the sum of the blurred images of its constituents."""
        c = self.config
        return (
            c.sigma >= _NO_BLUR and c.intensity == "linear" and c.pixel_power == 1.0 and c.normalize != "max"
        )

    def _blur_constituents(
        self,
        share: NDArray[np.float64],
        rows: NDArray[np.int32],
        i_phi: NDArray[np.int32],
        images: NDArray[np.float32],
    ) -> None:
        """Write blurred ``images (n_jets, n_eta, n_phi)`` of constituents with pixel content ``share``.

        What ``_finish`` makes of their pixels, up to 4e-7 of the largest pixel: each constituent adds its row
        of the filter along phi' at its eta', then the filter along eta' acts on all of them. ``rows`` count
        eta' pixels through all jets; constituents outside the window have share 0.
        """
        from scipy.sparse import csc_matrix

        assert self._filters is not None
        g_eta, g_phi = self._filters
        n_jets, n_eta, _ = images.shape
        # one entry a column: each constituent goes to one row of one jet; scipy would narrow wider indices
        to_rows = csc_matrix(
            (share.astype(np.float32), rows, np.arange(len(share) + 1, dtype=np.int32)),
            shape=(n_jets * n_eta, len(share)),
        )
        along_phi = np.ascontiguousarray(g_phi.T).take(i_phi, axis=0)
        along_phi_only = (to_rows @ along_phi).reshape(images.shape)
        # the filter is a band: each half of the rows needs little more than its own half
        for rows_out, rows_in in _halves(g_eta):
            np.matmul(g_eta[rows_out, rows_in], along_phi_only[:, rows_in], out=images[:, rows_out])

    def _reference_pixels(
        self, jets: Jets
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Pixels ``(n_jets, n_pixels)``, fraction outside and validity as the published program has them.

        It differs from ours in that (1) pixels are assigned, not summed: the last constituent in a pixel, as
        a rule the softest, overwrites the others; (2) the slots up to 200 that are filled with zeros lie at
        eta = phi = 0 and take part, and blank a pixel of jets near there; (3) eta has the opposite sign, rows
        are phi and columns eta; (4) a constituent goes to the nearest point of a grid of 0.029 from -2.6 and
        of 0.035 from -pi, whose middle is not at zero.
        """
        c = self.config
        n, jet, padded = c.n_eta, jets.jet_index, np.flatnonzero(jets.n_constituents < _REFERENCE_SLOTS)
        # one padded slot does what all of them do; without pT it moves nothing else
        order = np.argsort(np.concatenate([jet, padded]), kind="stable")
        pt, eta, phi, mass = (
            np.concatenate([v, np.zeros(len(padded))])[order]
            for v in (jets.pt, jets.eta, jets.phi, jets.mass)
        )
        jet = np.concatenate([jet, padded])[order]
        offsets = np.searchsorted(jet, np.arange(len(jets) + 1))
        eta, phi, valid = align(Jets(pt, eta, phi, mass, offsets), rotate=c.rotate, flip=c.flip)
        # nearest points of the grids, counted from the first of the middle 40 x 40 (or n x n) of 180 x 180
        first = int(_REFERENCE_POINTS / 2 - n / 2)
        column = np.ceil((-eta + 2.6) / c.pixel_eta - 0.5).astype(np.int64) - first
        row = np.ceil((phi + np.pi) / c.pixel_phi - 0.5).astype(np.int64) - first
        inside = valid[jet] & (column >= 0) & (column < n) & (row >= 0) & (row < n)
        flat = jet * n * n + row * n + column
        pixels = np.zeros(len(jets) * n * n)
        # the last of equal indices wins
        last = np.full(len(pixels), -1)
        np.maximum.at(last, flat[inside], np.flatnonzero(inside))
        filled = last >= 0
        pixels[filled] = pt[last[filled]]

        def summed(values: NDArray[Any]) -> NDArray[np.float64]:
            return np.bincount(jet, weights=values, minlength=len(jets)).astype(np.float64)

        total = summed(np.where(valid[jet], pt, 0))
        outside = 1.0 - summed(np.where(inside, pt, 0)) / np.where(total > 0, total, 1.0)
        return pixels.reshape(len(jets), n * n), np.where(valid, outside, np.nan), valid

    def _finish(
        self,
        pixels: NDArray[np.float64],
        whole: NDArray[np.float64] | None,
        valid: NDArray[np.bool_],
        images: NDArray[np.float32],
    ) -> None:
        """Intensity, normalisation and filter of pT in pixels, ``(n_jets, n_channels, n_pixels)``.

        The normalisation is that of the channel ``pt``, or of ``whole (n_jets, n_pixels)`` without one.
        """
        c = self.config
        pixels = self._intensity(pixels)
        if "pt" in c.channels:
            whole = pixels[:, c.channels.index("pt")]
        else:
            assert whole is not None
            whole = self._intensity(whole)
        scale = whole.max(axis=1) if c.normalize == "max" else whole.sum(axis=1)
        unit = np.where(valid & (c.normalize != "none"), scale, 1.0)[:, None, None]
        filters = self._filters
        blurred = images if filters is None else np.empty_like(images)
        np.divide(pixels, unit, out=blurred.reshape(pixels.shape), casting="same_kind")
        if filters is not None:
            g_eta, g_phi = filters
            np.matmul(np.matmul(g_eta, blurred), g_phi.T, out=images)
        images[~valid] = np.nan

    def _intensity(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.config.intensity == "log":
            pixels = np.log1p(pixels)
        return pixels if self.config.pixel_power == 1.0 else pixels**self.config.pixel_power
