"""Which arrays are taken for jet images, and which are not."""

from __future__ import annotations

import contextlib

import h5py
import numpy as np
import pytest

from jetad import readers
from jetad.errors import InputError


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def constituents(rng, n=40, features=11, particles=30):
    values = rng.normal(0, 30, (n, particles, features)).astype("f4")
    values *= (np.arange(particles) < rng.integers(5, particles, n)[:, None])[..., None]
    return values


ARRAYS = {
    "particles": constituents,
    "particles without negative numbers": lambda rng: np.abs(constituents(rng)),
    "features first": lambda rng: np.abs(constituents(rng)).swapaxes(1, 2),
    "weights of a network": lambda rng: rng.normal(0, 0.1, (16, 3, 64, 128)).astype("f4"),
    "nothing": lambda rng: np.zeros((20, 10, 10), "f4"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_what_is_no_image(name, tmp_path, rng):
    values = ARRAYS[name](rng)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = values
    np.savez(tmp_path / "x.npz", x=values)
    for path in (tmp_path / "x.h5", tmp_path / "x.npz"):
        with contextlib.suppress(InputError):
            assert readers.detect(path) not in ("images", "npz")
    # who says that they are images is believed
    assert readers.count(tmp_path / "x.h5", reader="images") == len(values)


def test_the_images_of_a_file_that_holds_particles_too(tmp_path, rng):
    images = np.where(rng.random((40, 20, 20)) < 0.1, 5.0, 0.0)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"], file["pictures"] = constituents(rng), images
    jets = readers.read(tmp_path / "x.h5", reader="images")
    np.testing.assert_array_equal(jets.images[:, 0], images.astype("f4"))
