"""Jet images against a plain loop, the definition by hand, and their symmetries."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter

from jetad.jets import Jets
from jetad.preprocessing import preprocessor_from_dict
from jetad.preprocessing.images import ImageConfig, JetImages, align, aligned


def image_by_loop(jets: Jets, config: ImageConfig) -> np.ndarray:
    """The contract's definition, one jet and one constituent at a time."""
    out = np.full((len(jets), 1, config.n_eta, config.n_phi), np.nan)
    for j in range(len(jets)):
        rows = range(jets.offsets[j], jets.offsets[j + 1])
        pt = [float(jets.pt[i]) for i in rows]
        if not pt or not math.isfinite(sum(pt)) or sum(pt) <= 0:
            continue
        total = sum(pt)
        eta = [float(jets.eta[i]) for i in rows]
        phi = [math.remainder(float(jets.phi[i]) - float(jets.phi[rows[0]]), 2 * math.pi) for i in rows]
        c_eta = sum(p * e for p, e in zip(pt, eta, strict=True)) / total
        c_phi = sum(p * f for p, f in zip(pt, phi, strict=True)) / total
        eta, phi = [e - c_eta for e in eta], [f - c_phi for f in phi]
        moment = np.zeros((2, 2))
        for p, e, f in zip(pt, eta, phi, strict=True):
            moment += p * np.outer([e, f], [e, f])
        _, vectors = np.linalg.eigh(moment)
        major = vectors[:, 1]  # of the larger eigenvalue
        # turn so that the major axis points along phi'
        angle = math.pi / 2 - math.atan2(major[1], major[0])
        c, s = math.cos(angle), math.sin(angle)
        turned = [(e * c - f * s, e * s + f * c) for e, f in zip(eta, phi, strict=True)]
        for axis in (0, 1):
            right = sum(p for p, x in zip(pt, turned, strict=True) if x[axis] > 0)
            left = sum(p for p, x in zip(pt, turned, strict=True) if x[axis] < 0)
            if left > right:
                turned = [tuple(-v if k == axis else v for k, v in enumerate(x)) for x in turned]
        image = np.zeros((config.n_eta, config.n_phi))
        for p, (e, f) in zip(pt, turned, strict=True):
            a = math.floor(e / config.pixel_eta + config.n_eta / 2)
            b = math.floor(f / config.pixel_phi + config.n_phi / 2)
            if 0 <= a < config.n_eta and 0 <= b < config.n_phi:
                image[a, b] += p
        if config.intensity == "log":
            image = np.log(1 + image)
        image = image**config.pixel_power
        image /= image.sum()
        out[j, 0] = (
            gaussian_filter(image, config.sigma, mode="reflect", truncate=4) if config.sigma else image
        )
    return out


@pytest.mark.parametrize(
    "config",
    [
        ImageConfig(),
        ImageConfig(sigma=0),
        ImageConfig(sigma=2, pixel_power=0.5),
        ImageConfig(n_eta=20, n_phi=30),
        ImageConfig(intensity="log"),
        ImageConfig(intensity="log", pixel_power=0.5),
    ],
)
def test_images_equal_the_plain_loop(make_jets, config):
    jets = make_jets(60, seed=1)
    fast, slow = JetImages(config).transform(jets), image_by_loop(jets, config)
    if config.sigma:
        # one constituent on a pixel border may fall to either side by rounding: compare jet by jet
        same = [np.allclose(a, b, atol=2e-7) for a, b in zip(fast, slow, strict=True)]
        assert np.mean(same) > 0.95
    else:
        assert np.mean(np.abs(fast - slow).reshape(60, -1).max(axis=1) < 1e-6) > 0.95
    assert fast.dtype == np.float32
    assert fast.shape == (60, 1, config.n_eta, config.n_phi)


def test_three_constituents_by_hand():
    # along eta: the major axis is turned to phi', the harder side to phi' > 0
    jets = Jets.from_lists([[(60.0, 0.0, 1.0, 0.0), (30.0, 0.36, 1.0, 0.0), (10.0, 0.72, 1.0, 0.0)]])
    image = JetImages(ImageConfig(sigma=0)).transform(jets)[0, 0]
    centroid = 0.3 * 0.36 + 0.1 * 0.72
    # 60 GeV at distance 0.18 on one side: flipped to phi' > 0; the others at -0.18 and -0.54
    expected = {centroid: 0.6, -(0.36 - centroid): 0.3, -(0.72 - centroid): 0.1}
    for phi, fraction in expected.items():
        column = math.floor(phi / 0.035 + 20)
        assert image[:, column].sum() == pytest.approx(fraction, abs=1e-6)
    assert image.sum() == pytest.approx(1)


def test_more_pt_at_positive_eta_and_phi(make_jets):
    jets = make_jets(200, seed=3)
    eta, phi, valid = align(jets)
    assert valid.all()
    for x in (eta, phi):
        assert (jets.sum_over_constituents(jets.pt * np.sign(x)) >= -1e-3).all()
    # the principal axis is vertical: no correlation, and the larger moment along phi'
    ee, ep, pp = (jets.sum_over_constituents(jets.pt * a) for a in (eta * eta, eta * phi, phi * phi))
    assert np.abs(ep).max() < 1e-3 * pp.max()
    assert (pp >= ee - 1e-6 * pp.max()).all()


def test_representations_of_the_same_jets_share_a_frame(make_jets):
    jets, others = make_jets(40, seed=5), make_jets(40, seed=6)
    first = aligned(jets)
    assert aligned(jets).eta is first.eta  # not computed again
    for some, settings_ in ((jets, {"rotate": False}), (jets, {"flip": False}), (others, {}), (jets, {})):
        for found, wanted in zip(aligned(some, **settings_), align(some, **settings_), strict=False):
            np.testing.assert_array_equal(found, wanted)
    with pytest.raises(ValueError, match="read-only"):
        first.phi[0] = 1.0


def test_neighbouring_jets_are_views_and_others_copies(make_jets):
    jets = make_jets(60, seed=7)
    for rows in (slice(20, 30), slice(None, 7), slice(-5, None), slice(30, 20), slice(3, 50, 4), slice(None)):
        some, wanted = jets[rows], jets[np.arange(60)[rows]]
        assert np.shares_memory(some.pt, jets.pt) == (rows.step is None and len(some) > 0)
        for name in ("pt", "eta", "phi", "mass", "offsets", "entry", "position", "jet_mass"):
            np.testing.assert_array_equal(getattr(some, name), getattr(wanted, name))


@pytest.mark.parametrize("phi", [0.0, 3.1, -100.0, 1e9])
def test_what_has_no_pt_moves_nothing_wherever_it_stands(make_jets, phi):
    """A particle at rest, or padding in front: phi is relative to the first constituent that has pT."""
    jets = make_jets(60, seed=4)
    lists = [list(zip(*(v[a:b].tolist() for v in (jets.pt, jets.eta, jets.phi, jets.mass)), strict=True))
             for a, b in zip(jets.offsets, jets.offsets[1:], strict=False)]  # fmt: skip
    nothing = [(0.0, 1e6, phi, 0.14)]
    front = Jets.from_lists([[], nothing, *(nothing + one for one in lists), nothing])
    expected = JetImages().transform(jets)
    found = JetImages().transform(front)
    np.testing.assert_allclose(found[2:-1], expected, atol=1e-6)
    assert np.isnan(found[[0, 1, -1]]).all()


@settings(max_examples=25, deadline=None)
@given(shift=st.floats(-math.pi, math.pi), seed=st.integers(0, 1000))
def test_turning_about_the_beam_changes_nothing(shift, seed):
    from conftest import toy_jets

    jets = toy_jets(20, seed)
    phi = (jets.phi.astype(np.float64) + shift + np.pi) % (2 * np.pi) - np.pi
    turned = Jets(pt=jets.pt, eta=jets.eta, phi=phi, mass=jets.mass, offsets=jets.offsets)
    a, b = (JetImages().transform(j) for j in (jets, turned))
    # float32 angles move constituents by 1e-7: a few may cross a pixel border
    assert np.mean(np.abs(a - b).reshape(20, -1).max(axis=1) < 1e-4) >= 0.9


def test_order_of_constituents_changes_nothing(make_jets):
    jets = make_jets(50, seed=5)
    order = np.lexsort((np.random.default_rng(0).random(len(jets.pt)), jets.jet_index))
    mixed = Jets(
        pt=jets.pt[order],
        eta=jets.eta[order],
        phi=jets.phi[order],
        mass=jets.mass[order],
        offsets=jets.offsets,
    )
    a, b = (JetImages().transform(j) for j in (jets, mixed))
    assert np.mean(np.abs(a - b).reshape(50, -1).max(axis=1) < 1e-5) >= 0.95


def test_pixels_accumulate():
    jets = Jets.from_lists([[(50.0, 0.0, 0.0, 0.0), (30.0, 0.0, 0.0, 0.0)]])
    image = JetImages(ImageConfig(sigma=0, normalize="none")).transform(jets)
    assert image.max() == pytest.approx(80)


def test_outside_fraction_counts_what_is_cut_off():
    # 10 % of the pT sits 1.8 from the core along the axis, beyond the window of 0.7
    jets = Jets.from_lists([[(90.0, 0.0, 0.0, 0.0), (10.0, 0.0, 2.0, 0.0)]])
    assert JetImages().pixelate(jets).outside_fraction[0] == pytest.approx(0.1, abs=1e-6)


def test_bad_jets_are_nan_and_leave_their_neighbours(make_jets):
    good = make_jets(5, seed=7)
    bad = Jets.from_lists(
        [
            [],
            [(float("nan"), 0, 0, 0), (5.0, 0, 0, 0)],
            [(0.0, 0, 0, 0)],
            [(5.0, float("inf"), 0, 0)],
            [(-3.0, 0, 0, 0)],
        ]
    )
    mixed = Jets.concatenate([good[:2], bad, good[2:]])
    images = JetImages().transform(mixed)
    assert np.isnan(images[2:7]).all()
    np.testing.assert_array_equal(np.delete(images, range(2, 7), axis=0), JetImages().transform(good))


def test_no_jets_and_only_empty_jets():
    assert JetImages().transform(Jets.from_lists([])).shape == (0, 1, 40, 40)
    assert np.isnan(JetImages().transform(Jets.from_lists([[], []]))).all()


def test_argument_is_left_as_it_is(make_jets):
    jets = make_jets(10)
    before = [a.copy() for a in (jets.pt, jets.eta, jets.phi)]
    JetImages().transform(jets)
    for a, b in zip(before, (jets.pt, jets.eta, jets.phi), strict=True):
        np.testing.assert_array_equal(a, b)


def test_settings_survive_a_round_trip():
    imager = JetImages(ImageConfig(sigma=0.5, n_eta=24))
    again = preprocessor_from_dict(imager.to_dict())
    assert again.config == imager.config
    assert "24 x 40" in repr(again)


def test_unknown_setting_is_refused():
    with pytest.raises(ValidationError, match="sigmas"):
        ImageConfig(sigmas=2)


def test_two_constituents_lie_in_the_same_pixels_from_everywhere():
    """They lie on the principal axis, an edge between pixels, where rounding used to choose the side."""
    rng = np.random.default_rng(3)
    n = 400
    eta, phi = rng.uniform(-2, 2, n), rng.uniform(-3, 3, n)
    angle = rng.uniform(-np.pi, np.pi, n)
    pair = np.stack([np.zeros(n), np.full(n, 0.31)], axis=1)
    pt = np.tile([60.0, 40.0], (n, 1))
    array = np.stack(
        [pt, eta[:, None] + pair * np.cos(angle)[:, None], phi[:, None] + pair * np.sin(angle)[:, None]],
        axis=2,
    )
    images = JetImages(ImageConfig(sigma=0)).transform(Jets.from_padded(array))
    columns = images.sum(axis=(1, 3)) > 0
    assert (columns == columns[0]).all()


def test_images_of_ready_made_ones_take_the_same_intensity(make_jets):
    jets = make_jets(20)
    plain = JetImages(ImageConfig(sigma=0, normalize="none")).transform(jets)
    ready = Jets.without_constituents(20, images=plain)
    logarithmic = JetImages(ImageConfig(intensity="log"))
    np.testing.assert_allclose(
        logarithmic.transform(ready), logarithmic.transform(jets), rtol=1e-5, atol=1e-9
    )


def test_unblurred_images_have_not_moved_by_a_bit():
    from conftest import toy_jets

    images = JetImages(ImageConfig(sigma=0)).transform(toy_jets(500, 1))
    assert (
        hashlib.sha256(images.tobytes()).hexdigest()
        == "1e7afe3c18872b847de1d12884a800a9bd94d3b2fee68878e89305f87839690d"
    )


def reference_by_loop(jets: Jets, n: int = 40) -> np.ndarray:
    """The published filling: 200 slots, the last one in a pixel wins, rows phi, columns minus eta."""
    out = np.zeros((len(jets), n, n))
    for j in range(len(jets)):
        rows = range(jets.offsets[j], jets.offsets[j + 1])
        slots = np.zeros((200, 3))
        for k, i in enumerate(rows):
            slots[k] = jets.pt[i], -float(jets.eta[i]), math.remainder(jets.phi[i], 2 * math.pi)
        pt, x, y = slots.T
        y = np.array([math.remainder(v - y[0], 2 * math.pi) for v in y])
        x, y = x - np.average(x, weights=pt), y - np.average(y, weights=pt)
        _, vectors = np.linalg.eigh(np.cov(x, y, aweights=pt))
        minor, major = vectors.T
        x, y = minor[0] * x + minor[1] * y, major[0] * x + major[1] * y
        x = -x if pt[x < 0].sum() < pt[x > 0].sum() else x
        y = -y if pt[y < 0].sum() > pt[y > 0].sum() else y
        grid_x, grid_y = -2.6 + 0.029 * np.arange(180), -np.pi + 0.035 * np.arange(180)
        canvas = np.zeros((180, 180))
        for k in range(200):
            canvas[np.abs(grid_y - y[k]).argmin(), np.abs(grid_x - x[k]).argmin()] = pt[k]
        out[j] = canvas[90 - n // 2 : 90 + n // 2, 90 - n // 2 : 90 + n // 2]
        out[j] /= out[j].sum()
    return out


def test_reference_images_are_filled_as_published(make_jets):
    jets = make_jets(60, 5)
    # half of them around eta = phi = 0, where empty slots blank a pixel
    central = np.arange(len(jets)) % 2 == 0
    eta = np.where(central[jets.jet_index], jets.eta - jets.jet_eta[jets.jet_index], jets.eta)
    phi = np.where(central[jets.jet_index], jets.phi - jets.jet_phi[jets.jet_index], jets.phi)
    order = np.lexsort((-jets.pt, jets.jet_index))
    jets = Jets(jets.pt[order], eta[order], phi[order], jets.mass, jets.offsets)
    jets = jets[jets.n_constituents > 2]
    images = JetImages(ImageConfig(sigma=0, reference=True)).transform(jets)
    same = np.abs(images[:, 0] - reference_by_loop(jets)).max(axis=(1, 2)) < 1e-6
    assert same.mean() > 0.95  # the border of a pixel
    ours = JetImages(ImageConfig(sigma=0)).transform(jets)
    assert np.abs(images - ours).max() > 0.1


def test_an_empty_slot_blanks_a_pixel_of_reference_images():
    hard, soft = [(60.0, 0.0, 0.0, 0.0)], [(30.0, 0.2, 0.1, 0.0), (20.0, -0.1, -0.3, 0.0)]
    config = ImageConfig(sigma=0, reference=True, rotate=False, flip=False, normalize="none")
    blanked, kept = (
        JetImages(config).pixelate(Jets.from_lists([[*hard, *soft, *[(1e-30, 3.0, 3.0, 0.0)] * extra]]))
        for extra in (0, 197)
    )
    assert sorted(blanked.images[blanked.images > 0]) == [20, 30]
    assert sorted(kept.images[kept.images > 0]) == [20, 30, 60]
    assert blanked.outside_fraction[0] == pytest.approx(0, abs=1e-6)


def test_reference_images_of_bad_jets_and_of_none():
    imager = JetImages(ImageConfig(reference=True))
    jets = Jets.from_lists([[], [(math.nan, 0, 0, 0)], [(5.0, 0, 0, 0), (3.0, 0.1, 0, 0)], [(0.0, 0, 0, 0)]])
    images = imager.transform(jets)
    assert np.isnan(images).all(axis=(1, 2, 3)).tolist() == [True, True, False, True]
    assert imager.transform(Jets.from_lists([])).shape == (0, 1, 40, 40)
    with pytest.raises(ValidationError, match="reference images have square grids"):
        ImageConfig(reference=True, n_eta=20)


@pytest.mark.parametrize("sigma", [1e-320, 1e-160, 1e-9, 0.005])
def test_a_filter_narrower_than_any_pixel_is_none(make_jets, sigma):
    jets = make_jets(20, 2)
    sharp = JetImages(ImageConfig(sigma=0)).transform(jets)
    np.testing.assert_array_equal(JetImages(ImageConfig(sigma=sigma)).transform(jets), sharp)


def test_blurred_images_are_blurred_pixels_to_rounding(make_jets):
    """Constituents are blurred one by one where that is the same: within 4e-7 of the largest pixel."""
    jets = make_jets(500, 2, mean=50)
    for options in ({}, {"sigma": 2.0}, {"normalize": "none"}, {"n_eta": 24}):
        c = ImageConfig(**options)
        images = JetImages(c).transform(jets)
        sharp = JetImages(c.model_copy(update={"sigma": 0})).transform(jets)
        blurred = gaussian_filter(sharp.astype(float), (0, 0, c.sigma, c.sigma), mode="reflect", truncate=4.0)
        difference = np.abs(images - blurred).max(axis=(1, 2, 3)) / blurred.max(axis=(1, 2, 3))
        assert difference.max() < 4e-7


@pytest.mark.parametrize("changes", [{}, {"normalize": "none"}, {"sigma": 1.0, "n_eta": 20, "rotate": False}])
def test_projections_are_those_of_the_images(make_jets, changes):
    jets = make_jets(60, seed=3)
    pt = jets.pt.copy()
    pt[jets.offsets[4]] = np.nan
    jets = Jets(pt, jets.eta, jets.phi, jets.mass, jets.offsets)
    empty = Jets.from_lists([[], [(3.0, 5.0, 0.0, 0.0)]])
    jets = Jets.concatenate([jets, empty])
    images = JetImages(ImageConfig(**changes))
    basis = np.random.default_rng(1).normal(size=(int(np.prod(images.shape)), 7))
    expected = images.transform(jets).reshape(len(jets), -1).astype(np.float64) @ basis
    project = images.projector(basis)
    found = project(jets)
    assert np.isnan(found[[4, 60]]).all()
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, atol=2e-6 * np.nanmax(np.abs(expected)), rtol=0)
    np.testing.assert_array_equal(project(jets[7:20]), found[7:20])
    ready = Jets.without_constituents(5, images=np.random.default_rng(2).random((5, *images.shape)))
    np.testing.assert_allclose(
        project(ready), images.transform(ready).reshape(5, -1).astype(np.float64) @ basis, rtol=1e-12
    )


def test_images_that_are_no_sums_over_constituents_cannot_be_projected():
    for changes in ({"pixel_power": 0.5}, {"intensity": "log"}, {"normalize": "max"}, {"sigma": 0.0}):
        images = JetImages(ImageConfig(**changes))
        assert images.projector(np.ones((1600, 2))) is None
