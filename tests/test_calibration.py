"""Background efficiencies hold on fresh background; surprises keep the order and extend the tail."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jetad.calibration import BackgroundEfficiency, Surprise
from jetad.errors import InputError


def test_efficiency_by_hand():
    efficiency = BackgroundEfficiency([1.0, 2.0, 3.0, math.nan])
    assert efficiency.n == 3
    np.testing.assert_allclose(efficiency([0, 1, 2.5, 3, 4]), [1, 1, 0.5, 0.5, 0.25])
    assert np.isnan(efficiency([math.nan])[0])


@pytest.mark.parametrize("alpha", [0.5, 0.1, 0.01, 0.001])
def test_fresh_background_is_covered(alpha):
    rng = np.random.default_rng(1)
    efficiency = BackgroundEfficiency(rng.exponential(size=20_000))
    n = 50_000
    found = (efficiency(rng.exponential(size=n)) <= alpha).mean()
    # error of the fresh sample and of the calibration
    assert abs(found - alpha) < 4 * math.sqrt(alpha * (1 - alpha) * (1 / n + 1 / 20_000)) + 1 / 20_000


def test_thinned_calibration_stays_the_same():
    rng = np.random.default_rng(2)
    full = BackgroundEfficiency(rng.normal(size=100_000))
    thin = BackgroundEfficiency.from_dict(full.to_dict())
    assert thin.n == full.n
    s = rng.normal(size=2_000)
    assert np.abs(thin(s) - full(s)).max() < 2e-4


def test_surprise_is_minus_log_p_and_monotone():
    rng = np.random.default_rng(3)
    surprise = Surprise(rng.exponential(size=50_000))
    s = np.linspace(0, 12, 500)
    values = surprise(s)
    assert (np.diff(values) >= 0).all()
    # -ln p(S > s) = s for an exponential, beyond the sample as well
    assert np.abs(values - s).max() < 0.5
    assert np.isnan(surprise([math.nan])[0])
    again = Surprise.from_dict(surprise.to_dict())
    np.testing.assert_array_equal(again(s), values)


def test_too_few_or_equal_scores_are_refused():
    with pytest.raises(InputError, match="at least two"):
        BackgroundEfficiency([1.0])
    with pytest.raises(InputError, match="same score"):
        Surprise([2.0] * 50)
