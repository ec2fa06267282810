"""ROC, AUC, rejection and SIC against closed forms, scikit-learn and simulated coverage."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.stats import beta, multivariate_normal, norm
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from jetad.errors import InputError
from jetad.evaluation import (
    binomial_interval,
    evaluate,
    roc_curve,
    split_by_label,
)
from jetad.scores import Scores

Floats = NDArray[np.float64]


def normals(n_background: int, n_signal: int, shift: float, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=n_background), rng.normal(shift, 1, n_signal)


def auc_by_loops(background: Floats, signal: Floats, w_b: Floats, w_s: Floats) -> float:
    total = 0.0
    for b, u in zip(background, w_b, strict=True):
        for s, v in zip(signal, w_s, strict=True):
            total += u * v * (1.0 if s > b else 0.5 if s == b else 0.0)
    return total / (w_b.sum() * w_s.sum())


# --- the curve and its area ----------------------------------------------------------------------


@pytest.mark.parametrize("decimals", [15, 1, 0])
@pytest.mark.parametrize("weighted", [False, True])
def test_auc_and_curve_agree_with_sklearn(decimals: int, weighted: bool) -> None:
    background, signal = (np.round(x, decimals) for x in normals(700, 300, 1.0))
    rng = np.random.default_rng(5)
    w_b, w_s = (rng.uniform(0.1, 3, len(x)) if weighted else np.ones(len(x)) for x in (background, signal))
    curve = roc_curve(background, signal, background_weights=w_b, signal_weights=w_s)
    truth, score = np.repeat([0, 1], [700, 300]), np.concatenate([background, signal])
    weight = np.concatenate([w_b, w_s])
    assert curve.auc == pytest.approx(roc_auc_score(truth, score, sample_weight=weight), abs=1e-12)
    assert curve.auc == pytest.approx(auc_by_loops(background, signal, w_b, w_s), abs=1e-12)
    eff_b, eff_s, thresholds = sklearn_roc_curve(truth, score, sample_weight=weight, drop_intermediate=False)
    np.testing.assert_allclose(curve.background_efficiency, eff_b, atol=1e-12)
    np.testing.assert_allclose(curve.signal_efficiency, eff_s, atol=1e-12)
    np.testing.assert_array_equal(curve.thresholds, thresholds)


def test_two_normals() -> None:
    """AUC = Φ(Δ/√2); ε_B at ε_S is 1 - Φ(Δ + Φ⁻¹(1 - ε_S)); SIC follows."""
    shift = 1.5
    curve = roc_curve(*normals(400_000, 400_000, shift))
    assert curve.auc == pytest.approx(norm.cdf(shift / math.sqrt(2)), abs=4 * curve.auc_error)
    # two jets of one class share one of the other: E[V²] is a bivariate normal with correlation 1/2
    both = multivariate_normal.cdf([shift / math.sqrt(2)] * 2, cov=[[1, 0.5], [0.5, 1]])
    variance = (both - norm.cdf(shift / math.sqrt(2)) ** 2) * (2 / 400_000)
    assert curve.auc_error == pytest.approx(math.sqrt(variance), rel=0.01)
    for eff_s in (0.3, 0.5):
        point = curve.background_rejection(eff_s)
        assert point.low < point.value < point.high
        assert point.value == pytest.approx(1 / norm.sf(norm.isf(eff_s) + shift), rel=0.05)
    grid = np.linspace(-4, 4, 2001)
    expected = np.max(norm.sf(grid, shift) / np.sqrt(norm.sf(grid)))
    best = curve.max_sic(min_background=400)
    assert best.value == pytest.approx(expected, rel=0.05)
    assert best.value == pytest.approx(best.signal_efficiency / math.sqrt(best.background_efficiency))
    assert best.low < best.value < best.high
    for eff_b in (1e-2, 1e-3):
        point = curve.signal_efficiency_at(eff_b)
        assert point.value == pytest.approx(norm.sf(norm.isf(eff_b) - shift), rel=0.05)
        assert point.low < point.value < point.high


@settings(max_examples=40, deadline=None)
@given(
    background=st.lists(st.integers(-5, 5), min_size=1, max_size=30),
    signal=st.lists(st.integers(-5, 5), min_size=1, max_size=30),
)
def test_auc_properties(background: list[int], signal: list[int]) -> None:
    b, s = np.array(background, float), np.array(signal, float)
    curve = roc_curve(b, s)
    assert curve.auc == pytest.approx(auc_by_loops(b, s, np.ones(len(b)), np.ones(len(s))), abs=1e-12)
    assert roc_curve(np.exp(b), np.exp(s)).auc == curve.auc  # a rising map changes nothing
    assert roc_curve(s, b).auc == pytest.approx(1 - curve.auc, abs=1e-12)
    assert (curve.signal_efficiency[0], curve.background_efficiency[0]) == (0, 0)
    assert (curve.signal_efficiency[-1], curve.background_efficiency[-1]) == (1, 1)
    assert np.all(np.diff(curve.thresholds) < 0)


def test_whole_weights_are_replicated_jets() -> None:
    background, signal = (np.round(x, 1) for x in normals(200, 100, 1.0))
    rng = np.random.default_rng(1)
    w_b, w_s = rng.integers(1, 5, 200), rng.integers(1, 5, 100)
    weighted = roc_curve(background, signal, background_weights=w_b, signal_weights=w_s)
    replicated = roc_curve(np.repeat(background, w_b), np.repeat(signal, w_s))
    assert weighted.auc == pytest.approx(replicated.auc, abs=1e-12)
    np.testing.assert_allclose(weighted.signal_efficiency, replicated.signal_efficiency, atol=1e-12)
    np.testing.assert_allclose(weighted.background_efficiency, replicated.background_efficiency, atol=1e-12)
    # but the errors know that there are fewer jets
    assert weighted.n_eff_background == pytest.approx(w_b.sum() ** 2 / (w_b**2).sum())
    assert weighted.auc_error > replicated.auc_error


def test_constant_weights_change_nothing() -> None:
    background, signal = normals(200, 100, 1.0)
    one = roc_curve(background, signal)
    two = roc_curve(
        background, signal, background_weights=np.full(200, 0.3), signal_weights=np.full(100, 7.0)
    )
    assert two.auc == pytest.approx(one.auc, abs=1e-12)
    assert two.auc_error == pytest.approx(one.auc_error, rel=1e-9)
    np.testing.assert_allclose(two.background_rejection(0.5), one.background_rejection(0.5), rtol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_auc_error_agrees_with_bootstrap(weighted: bool) -> None:
    background, signal = normals(400, 250, 1.0)
    rng = np.random.default_rng(2)
    w_b, w_s = (rng.exponential(size=n) if weighted else np.ones(n) for n in (400, 250))
    # every jet enters a replica k times, k from a Poisson distribution of mean 1, which suits weighted jets
    areas = [
        roc_curve(
            background, signal,
            background_weights=w_b * rng.poisson(1.0, 400), signal_weights=w_s * rng.poisson(1.0, 250),
        ).auc
        for _ in range(400)
    ]  # fmt: skip
    curve = roc_curve(background, signal, background_weights=w_b, signal_weights=w_s)
    assert np.mean(areas) == pytest.approx(curve.auc, abs=0.005)
    assert np.std(areas) == pytest.approx(curve.auc_error, rel=0.12)


def test_delong_by_loops() -> None:
    background, signal = (np.round(x, 1) for x in normals(40, 30, 1.0))
    v_s = [np.mean((background < s) + 0.5 * (background == s)) for s in signal]
    v_b = [np.mean((signal > b) + 0.5 * (signal == b)) for b in background]
    variance = np.var(v_s, ddof=1) / len(v_s) + np.var(v_b, ddof=1) / len(v_b)
    assert roc_curve(background, signal).auc_error == pytest.approx(math.sqrt(variance), rel=1e-12)


def test_separated_classes_still_have_an_error() -> None:
    curve = roc_curve([1.0, 2.0, 3.0], [4.0, 5.0])
    assert curve.auc == 1.0
    assert curve.auc_error == pytest.approx(1 - 0.3173105 ** (1 / 2), rel=1e-6)
    assert roc_curve([4.0, 5.0], [1.0, 2.0, 3.0]).auc == 0.0
    assert math.isnan(roc_curve([1.0, 2.0, 3.0], [2.5]).auc_error)


def test_nan_scores_are_left_out_and_counted() -> None:
    background, signal = normals(50, 40, 1.0)
    with_nan = roc_curve(np.append(background, [np.nan, np.nan]), np.insert(signal, 3, np.nan))
    assert with_nan.auc == roc_curve(background, signal).auc
    assert (with_nan.n_excluded_background, with_nan.n_excluded_signal) == (2, 1)
    assert (with_nan.n_background, with_nan.n_signal) == (50, 40)


def test_infinite_scores_are_the_most_anomalous() -> None:
    curve = roc_curve([0.0, 1.0], [np.inf, 0.5])
    assert curve.auc == 0.75


@pytest.mark.parametrize(
    ("background", "signal", "weights", "message"),
    [
        ([], [1.0], None, "no background jet has a score$"),
        ([1.0], [np.nan, np.nan], None, r"no signal jet has a score \(2 are NaN\)"),
        ([[1.0]], [1.0], None, r"background scores must be one number per jet, found shape \(1, 1\)"),
        ([1.0, 2.0], [1.0], [1.0], "background: 1 weights for 2 scores"),
        ([1.0, 2.0], [1.0], [1.0, -1.0], "weights of the background must be finite with a positive sum"),
    ],
)
def test_bad_scores_are_refused(background: list, signal: list, weights: list | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        roc_curve(background, signal, background_weights=weights)


# --- intervals -----------------------------------------------------------------------------------


def test_binomial_interval_is_clopper_pearson() -> None:
    n, k = 12, np.arange(13)
    low, high = binomial_interval(k / n, n, level=0.9)
    np.testing.assert_allclose(low[1:], beta.ppf(0.05, k[1:], n - k[1:] + 1), rtol=1e-8)
    np.testing.assert_allclose(high[:-1], beta.ppf(0.95, k[:-1] + 1, n - k[:-1]), rtol=1e-8)
    assert low[0] == 0
    assert high[-1] == 1
    # no passing jet of n: the upper end u solves (1 - u)^n = α/2
    assert high[0] == pytest.approx(1 - 0.05 ** (1 / n))


@pytest.mark.parametrize(("n_signal", "n_background"), [(300, 3000), (2000, 2000), (3000, 300)])
def test_coverage(n_signal: int, n_background: int) -> None:
    """Truth lies in the 68 % intervals at least that often, whichever class limits the precision."""
    shift, n_trials = 1.5, 250
    true_auc, true_rejection = norm.cdf(shift / math.sqrt(2)), 1 / norm.sf(norm.isf(0.5) + shift)
    true_eff_s = norm.sf(norm.isf(0.01) - shift)
    hits = np.zeros(3)
    rng = np.random.default_rng(11)
    for _ in range(n_trials):
        curve = roc_curve(rng.normal(size=n_background), rng.normal(shift, 1, n_signal))
        rejection, eff_s = curve.background_rejection(0.5), curve.signal_efficiency_at(0.01)
        hits += [
            abs(curve.auc - true_auc) < curve.auc_error,
            rejection.low <= true_rejection <= rejection.high,
            eff_s.low <= true_eff_s <= eff_s.high,
        ]
    spread = math.sqrt(0.68 * 0.32 / n_trials)
    assert np.all(hits / n_trials > 0.6827 - 3 * spread)
    assert hits[0] / n_trials < 0.6827 + 3 * spread
    assert np.all(hits / n_trials < 0.9)


def test_coverage_with_weights() -> None:
    shift, n_trials = 1.0, 250
    true_auc, true_rejection = norm.cdf(shift / math.sqrt(2)), 1 / norm.sf(norm.isf(0.5) + shift)
    hits = np.zeros(2)
    rng = np.random.default_rng(12)
    for _ in range(n_trials):
        curve = roc_curve(
            rng.normal(size=1500),
            rng.normal(shift, 1, 1500),
            background_weights=rng.exponential(size=1500),
            signal_weights=rng.exponential(size=1500),
        )
        rejection = curve.background_rejection(0.5)
        hits += [
            abs(curve.auc - true_auc) < curve.auc_error,
            rejection.low <= true_rejection <= rejection.high,
        ]
    assert np.all(np.abs(hits / n_trials - 0.6827) < 0.1)


def test_infinite_rejection_is_a_lower_bound() -> None:
    point = roc_curve(np.zeros(1000), np.ones(10000)).background_rejection(0.5)
    assert point.value == math.inf
    # (1 - u)^1000 = 0.159 gives ε_B < 1.84e-3
    assert point.low == pytest.approx(1 / 1.839e-3, rel=0.01)
    assert point.to_dict() == {"value": None, "low": point.low, "high": None}


def test_rejection_is_that_of_a_real_cut() -> None:
    """Ties move both efficiencies: at a constant score nothing is rejected, whatever ε_S is asked."""
    curve = roc_curve(np.zeros(100), np.zeros(100))
    assert curve.auc == 0.5
    assert curve.background_rejection(0.3).value == 1.0
    curve = roc_curve([0.0, 0.1, 0.2, 0.3], [0.15, 0.25])
    assert curve.background_rejection(0.5).value == 4.0
    assert curve.background_rejection(0.51).value == 2.0


# --- SIC -----------------------------------------------------------------------------------------


def test_max_sic_needs_background() -> None:
    background, signal = normals(2000, 2000, 3.0)
    curve = roc_curve(background, signal)
    best = curve.max_sic()
    assert round(best.background_efficiency * 2000) >= 10
    assert curve.max_sic(min_background=1).value > best.value
    sic = curve.significance_improvement()
    assert np.isnan(sic[curve.n_background_tagged < 10]).all()
    assert not np.isnan(sic[curve.n_background_tagged >= 10]).any()
    few = roc_curve(background[:9], signal)
    assert all(value is None for value in few.max_sic().to_dict().values())


@pytest.mark.parametrize(
    ("shift", "n_signal", "n_background"), [(0.7, 3000, 300), (1.5, 2000, 2000), (1.5, 300, 3000)]
)
def test_max_sic_covers(shift: float, n_signal: int, n_background: int) -> None:
    """The largest of many fluctuates up; the interval still holds the true largest at least 68 % of times."""
    cut = np.linspace(-3, 6, 2001)
    enough = norm.sf(cut) * n_background >= 10
    truth = np.max((norm.sf(cut - shift) / np.sqrt(norm.sf(cut)))[enough])
    rng, n_trials, hits = np.random.default_rng(13), 120, 0
    for _ in range(n_trials):
        best = roc_curve(rng.normal(size=n_background), rng.normal(shift, 1, n_signal)).max_sic()
        assert best.low <= best.value <= best.high
        hits += best.low <= truth <= best.high
    assert hits / n_trials > 0.6827 - 3 * math.sqrt(0.68 * 0.32 / n_trials)
    assert hits / n_trials < 0.9


def test_fixed_background_needs_enough_jets() -> None:
    curve = roc_curve(*normals(500, 500, 1.0))
    assert not math.isnan(curve.signal_efficiency_at(1e-2).value)
    assert curve.signal_efficiency_at(1e-3).to_dict() == {"value": None, "low": None, "high": None}


# --- whole evaluations ---------------------------------------------------------------------------


def make_scores(n: int, shift: float, label: int, seed: int, weighted: bool = False) -> Scores:
    rng = np.random.default_rng(seed)
    return Scores(
        score=rng.normal(shift, 1, n),
        label=np.full(n, label),
        jet_pt=rng.uniform(500, 600, n),
        jet_mass=rng.normal(100 - 60 * label, 30, n),
        extra={"weight": rng.uniform(0.5, 1.5, n)} if weighted else {},
    )


def test_json_layout() -> None:
    background = make_scores(5000, 0, 0, 1)
    signals = {"top": make_scores(4000, 1, 1, 2), "svj": make_scores(3, 9, 1, 3)}
    evaluation = evaluate(background, signals)
    found = json.loads(evaluation.to_json())
    assert found["background"]["n"] == 5000
    assert list(found["signals"]) == ["top", "svj"]
    top, svj = found["signals"]["top"], found["signals"]["svj"]
    for result in (top, svj):
        assert {"n", "auc", "auc_error", "background_rejection", "max_sic", "curve"} <= set(result)
        assert list(result["background_rejection"]) == ["0.3", "0.5"]
        for point in result["background_rejection"].values():
            assert list(point) == ["value", "low", "high"]
        assert {"value", "signal_efficiency", "background_efficiency"} <= set(result["max_sic"])
        curve = result["curve"]
        assert len(curve["signal_efficiency"]) == len(curve["background_efficiency"]) <= 2000
        for axis in curve.values():
            assert (axis[0], axis[-1]) == (0, 1)
            assert np.all(np.diff(axis) >= 0)
    area = trapezoid(top["curve"]["signal_efficiency"], top["curve"]["background_efficiency"])
    assert area == pytest.approx(top["auc"], abs=2e-4)
    assert svj["background_rejection"]["0.5"]["value"] is None
    assert svj["background_rejection"]["0.5"]["low"] > 1
    assert list(top["signal_efficiency"]) == ["0.01", "0.001", "0.0001"]
    assert 0.45 < top["pt_only_auc_signed"] < 0.55
    # lighter signal: below 0.5 as it stands, as good as 1 - AUC for a cut from the other side
    assert top["mass_only_auc_signed"] == pytest.approx(norm.cdf(-60 / 30 / math.sqrt(2)), abs=0.02)
    assert top["mass_only_auc"] == pytest.approx(1 - top["mass_only_auc_signed"])


def test_thinned_curve_keeps_small_background_efficiencies() -> None:
    curve = roc_curve(*normals(100_000, 100_000, 1.0))
    kept = curve.thin(2000)
    assert len(kept) <= 2000
    assert (kept[0], kept[-1]) == (0, len(curve) - 1)
    eff_b = curve.background_efficiency[kept]
    assert (eff_b[(eff_b > 0) & (eff_b < 1e-3)]).size > 50
    np.testing.assert_allclose(
        np.interp(np.linspace(0, 1, 101), eff_b, curve.signal_efficiency[kept]),
        np.interp(np.linspace(0, 1, 101), curve.background_efficiency, curve.signal_efficiency),
        atol=2e-3,
    )
    short = roc_curve([0.0, 1.0, 2.0], [0.5, 1.5])
    assert len(short.thin()) == len(short)


def test_evaluation_uses_weights_and_counts_failures() -> None:
    background, signal = make_scores(300, 0, 0, 1, weighted=True), make_scores(200, 1, 1, 2)
    failed = np.where(np.arange(300) < 5, np.nan, background.score)
    background = Scores(score=failed, extra=background.extra)
    result = evaluate(background, {"top": signal}).signals["top"]
    expected = roc_curve(background.score, signal.score, background_weights=background.weight)
    assert result.curve.auc == expected.auc
    assert result.curve.n_eff_background < 295
    found = json.loads(evaluate(background, {"top": signal}).to_json())
    assert found["background"] == {"n": 295, "n_effective": expected.n_eff_background, "n_excluded": 5}
    assert found["signals"]["top"]["pt_only_auc"] is None  # the background has no jet_pt


def test_evaluation_names_the_signal_without_scores() -> None:
    background = make_scores(10, 0, 0, 1)
    with pytest.raises(InputError, match="signal 'w': no signal jet has a score"):
        evaluate(background, {"w": Scores(score=[np.nan])})
    with pytest.raises(InputError, match="no signal scores"):
        evaluate(background, {})


def test_split_by_label() -> None:
    scores = Scores(score=[1, 2, 3, 4], label=[0, 1, -1, 0])
    background, signal = split_by_label(scores)
    assert (background.score.tolist(), signal.score.tolist()) == ([1, 4], [2])
    with pytest.raises(
        InputError, match=r"a.h5: no signal jets among the labels \(found 2 background, 1 of unknown"
    ):
        split_by_label(scores[np.array([0, 2, 3])], where="a.h5")
