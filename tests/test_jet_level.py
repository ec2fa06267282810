"""Jets of files without constituents: stored momenta and ready-made images."""

from __future__ import annotations

import numpy as np
import pytest

from jetad.errors import ConfigError, InputError
from jetad.jets import Jets
from jetad.preprocessing.features import FeatureConfig, JetFeatures, observable
from jetad.preprocessing.images import ImageConfig, JetImages


@pytest.fixture
def stored() -> Jets:
    momenta = np.array([[500, 0.1, 3.0, 80], [600, -1.0, -2.0, 172]])
    return Jets.without_constituents(2, jet_momenta=momenta, observables={"D2": np.array([1.0, 2.0])})


def test_stored_momenta(stored):
    assert len(stored) == 2
    assert stored.jet_pt.tolist() == [500, 600]
    assert stored[1:].jet_mass.tolist() == [172]
    assert Jets.concatenate([stored, stored[:1]]).jet_pt.tolist() == [500, 600, 500]
    assert stored.in_gev().jet_pt.tolist() == pytest.approx([0.5, 0.6])
    assert stored.in_gev().jet_eta.tolist() == stored.jet_eta.tolist()


def test_shapes_are_checked(stored, make_jets):
    with pytest.raises(InputError, match=r"'jet_momenta' of 2 jets must be \(n_jets, 4\), found \(2, 3\)"):
        Jets.without_constituents(2, jet_momenta=np.zeros((2, 3)))
    with pytest.raises(InputError, match=r"'images' of 1 jets .* found \(1, 4, 4\)"):
        Jets.without_constituents(1, images=np.zeros((1, 4, 4)))
    with pytest.raises(InputError, match="either constituents or 'jet_momenta'"):
        Jets(*np.ones((4, 1)), offsets=[0, 1], jet_momenta=np.zeros((1, 4)))
    with pytest.raises(InputError, match="cannot be one data set"):
        Jets.concatenate([stored, make_jets(2)])


def test_features_of_stored_jets(stored):
    values = observable(stored, ("mass", "file:D2", "mass_over_pt"))
    np.testing.assert_allclose(values, [[80, 1, 80 / 500], [172, 2, 172 / 600]])
    with pytest.raises(InputError, match=r"no constituents to compute 'girth' from; take columns"):
        observable(stored, ("girth",))
    with pytest.raises(
        InputError, match="the file has no column 'D3' for the feature 'file:D3'; closest: D2"
    ):
        JetFeatures(FeatureConfig(observables=("file:D3",))).transform(stored)
    with pytest.raises(ConfigError, match="unknown observable 'girht'"):
        FeatureConfig(observables=("girht",))


def test_columns_stand_beside_computed_observables(make_jets):
    jets = make_jets(5)
    jets = Jets(jets.pt, jets.eta, jets.phi, jets.mass, jets.offsets, observables={"x": np.arange(5)})
    both = observable(jets, ("girth", "file:x", "pt"))
    np.testing.assert_array_equal(both[:, 1], np.arange(5))
    np.testing.assert_array_equal(both[:, 0], observable(jets, ("girth",))[:, 0])
    np.testing.assert_array_equal(both[:, 2], jets.jet_pt)


def test_ready_made_images_skip_the_binning_only(make_jets):
    jets = make_jets(20)
    plain = JetImages(ImageConfig(sigma=0, normalize="none")).transform(jets)
    ready = Jets.without_constituents(20, images=plain)
    for config in (ImageConfig(), ImageConfig(sigma=2, pixel_power=0.5), ImageConfig(normalize="max")):
        np.testing.assert_allclose(
            JetImages(config).transform(ready), JetImages(config).transform(jets), rtol=1e-5, atol=1e-9
        )


def test_images_that_cannot_be_used(stored):
    images = np.ones((3, 1, 40, 40), dtype=np.float32)
    images[0, 0, 3, 3], images[1] = np.nan, 0
    bad = Jets.without_constituents(3, images=images)
    assert np.isnan(JetImages().transform(bad)).all(axis=(1, 2, 3)).tolist() == [True, True, False]
    with pytest.raises(InputError, match=r"images of the file are 1 x 30 x 30 .* takes 1 x 40 x 40"):
        JetImages().transform(Jets.without_constituents(1, images=np.ones((1, 1, 30, 30))))
    with pytest.raises(InputError, match="no constituents, so no images can be made"):
        JetImages().transform(stored)
