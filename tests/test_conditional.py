"""Weighted, binned and decorrelated background efficiencies: coverage on fresh background, everywhere."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import toy_jets
from test_cli import jetad

from jetad.calibration import (
    BackgroundEfficiency,
    BinnedEfficiency,
    DecorrelatedEfficiency,
    calibration_from_dict,
    quantile_edges,
)
from jetad.errors import ConfigError, InputError
from jetad.scores import load_scores
from jetad.writers import write_jets

N = 40_000


def background(seed: int, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """Scores that grow and spread with the mass."""
    rng = np.random.default_rng(seed)
    mass = rng.gamma(3, 25, n)
    return (0.03 * mass + rng.normal(size=n) * (1 + mass / 80)).astype(np.float32), mass


def tolerance(alpha: float, n: float, n_calibration: float) -> float:
    """Four standard deviations of the fraction of a fresh sample, and of the calibration."""
    return 4 * math.sqrt(alpha * (1 - alpha) * (1 / n + 1 / n_calibration)) + 1 / n_calibration


@pytest.mark.parametrize("alpha", [0.5, 0.1, 1e-2, 1e-3])
def test_each_kind_covers_fresh_background_in_each_range(alpha):
    score, mass = background(1)
    fresh, fresh_mass = background(2)
    edges = quantile_edges(mass, 4)
    which = np.searchsorted(edges, fresh_mass)
    columns = {"jet_mass": mass}
    plain = BackgroundEfficiency(score)
    binned = BinnedEfficiency.fit(score, columns, {"jet_mass": edges})
    smooth = DecorrelatedEfficiency.fit(score, columns, "jet_mass")
    overall = [c(fresh, {"jet_mass": fresh_mass}) <= alpha for c in (plain, binned, smooth)]
    for passed, n in zip(overall, (N, N, N / 2), strict=True):
        assert abs(passed.mean() - alpha) < tolerance(alpha, N, n)
    for i in range(4):
        inside = which == i
        assert abs(overall[1][inside].mean() - alpha) < tolerance(alpha, inside.sum(), N / 4)
        # the smooth one follows the distribution between its nodes, not exactly
        assert abs(overall[2][inside].mean() / alpha - 1) < 0.2 + tolerance(alpha, N / 4, N / 8) / alpha
    # the cut on the raw score sculpts
    assert overall[0][which == 3].mean() > 1.3 * alpha > overall[0][which == 0].mean()


def test_cut_on_the_decorrelated_score_keeps_the_mass_spectrum():
    score, mass = background(3)
    fresh, fresh_mass = background(4)
    smooth = DecorrelatedEfficiency.fit(score, {"jet_mass": mass}, "jet_mass")

    def distance(passed: np.ndarray) -> float:
        """Largest distance of the cumulative mass distributions before and after."""
        order = np.argsort(fresh_mass)
        return float(np.abs(np.cumsum(passed[order]) / passed.sum() - np.arange(1, N + 1) / N).max())

    raw = distance(fresh >= np.quantile(fresh, 0.99))
    decorrelated = distance(smooth(fresh, {"jet_mass": fresh_mass}) <= 0.01)
    assert raw > 0.3
    assert decorrelated < 0.08  # 400 jets: 0.068 at 95 % by chance
    # for one mass the order of jets stays
    s = np.linspace(-5, 30, 300)
    assert (np.diff(smooth.transform(s, {"jet_mass": np.full(300, 77.0)})) >= 0).all()


def test_weights_count_by_their_effective_number():
    rng = np.random.default_rng(5)
    score = rng.normal(size=5000).astype(np.float32)
    np.testing.assert_allclose(
        BackgroundEfficiency(score, np.full(5000, 0.3))(score), BackgroundEfficiency(score)(score), rtol=1e-5
    )
    # background of two parts, the second simulated ten times too often
    twice = np.concatenate([rng.normal(size=20_000), rng.normal(2, 1, 20_000)])
    weights = np.repeat([1.0, 0.1], 20_000)
    weighted = BackgroundEfficiency(twice, weights)
    assert weighted.n_eff == pytest.approx(22_000**2 / 20_200)
    fresh = np.concatenate([rng.normal(size=20_000), rng.normal(2, 1, 2_000)])
    for alpha in (0.5, 0.1, 0.01):
        assert abs((weighted(fresh) <= alpha).mean() - alpha) < tolerance(alpha, 22_000, weighted.n_eff)
    assert weighted([99.0])[0] == pytest.approx(1 / (weighted.n_eff + 1))
    again = calibration_from_dict(json.loads(json.dumps(weighted.to_dict())))
    np.testing.assert_allclose(again(fresh), weighted(fresh), atol=3e-4)
    np.testing.assert_array_equal(again([4.5, 99.0]), weighted([4.5, 99.0]))
    # negative weights do not make the efficiency rise with the score
    signs = np.where(rng.uniform(size=5000) < 0.2, -1.0, 1.0)
    p = BackgroundEfficiency(score, signs)(np.sort(score))
    assert (np.diff(p) <= 0).all()
    assert p.min() > 0
    with pytest.raises(InputError, match="no positive, finite sum"):
        BackgroundEfficiency(score, -np.ones(5000))
    with pytest.raises(InputError, match="have 3 weights"):
        BackgroundEfficiency(score, np.ones(3))


def test_working_points_are_cuts_on_the_score():
    rng = np.random.default_rng(6)
    score = rng.exponential(size=9_999).astype(np.float32)
    efficiency = BackgroundEfficiency(score)
    for alpha in (0.3, 0.01, 1e-4):
        point = efficiency.working_point(alpha)
        fresh = rng.exponential(size=50_000).astype(np.float32)
        np.testing.assert_array_equal(fresh >= point.threshold, efficiency(fresh) <= np.float32(alpha))
        assert point.low <= point.measured <= point.high
        assert point.measured <= alpha
        assert point.rate(2e5)[0] == pytest.approx(2e5 * point.measured)
    assert efficiency.working_point(1e-4).measured == 0  # beyond the largest
    with pytest.raises(InputError, match=r"9e-05 cannot be stated: .* value is 0.0001; .*11111 jets"):
        efficiency.working_point(9e-5)


def test_round_trips_and_unusable_values():
    score, mass = background(7, 8000)
    pt = np.random.default_rng(8).uniform(400, 600, 8000)
    columns = {"jet_mass": mass, "jet_pt": pt}
    binned = BinnedEfficiency.fit(score, columns, {"jet_pt": [500.0], "jet_mass": quantile_edges(mass, 3)})
    smooth = DecorrelatedEfficiency.fit(score, columns, "jet_mass")
    assert binned.describe(0).startswith("jet_pt < 500, jet_mass <")
    assert repr(binned) == "BinnedEfficiency(2 jet_pt x 3 jet_mass, n=8000)"
    assert binned.smallest > smooth.smallest
    for calibration in (binned, smooth):
        again = calibration_from_dict(json.loads(json.dumps(calibration.to_dict())))
        np.testing.assert_array_equal(again(score, columns), calibration(score, columns))
        assert again.columns == calibration.columns
        odd = calibration([1.0, math.nan, 1.0], {"jet_mass": [80.0, 80, math.nan], "jet_pt": [450.0] * 3})
        assert np.isnan(odd).tolist() == [False, True, True]
        with pytest.raises(InputError, match="depends on 'jet_"):
            calibration(score)
    with pytest.raises(InputError, match="holds 0 background jets"):
        BinnedEfficiency.fit(score, columns, {"jet_pt": [700.0]})
    with pytest.raises(ConfigError, match="do not rise"):
        BinnedEfficiency.fit(score, columns, {"jet_pt": [500.0, 450.0]})
    with pytest.raises(InputError, match="too few to decorrelate"):
        DecorrelatedEfficiency.fit(score[:500], {"jet_mass": mass[:500]}, "jet_mass")
    with pytest.raises(InputError, match="unknown kind 'magic'"):
        calibration_from_dict({"kind": "magic"})


def test_calibrate_command(tmp_path, monkeypatch, capsys, quick_runs):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(quick_runs / "run", "run")
    write_jets(toy_jets(900, 2, labels=0), "fresh.h5")
    base = ["calibrate", "--run", "run", "--background", "fresh.h5"]
    capsys.readouterr()
    assert jetad(*base, "--rate", "1000", "--json", "--working-point", "0.1") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["n"] == 900
    assert result["smallest"] == pytest.approx(1 / 901)
    (point,) = result["working_points"]
    assert point["rate"] == pytest.approx(1000 * point["measured"])
    assert jetad("score", "fresh.h5", "--run", "run", "--working-point", "0.1") == 0
    scores = load_scores("fresh.scores.h5")
    np.testing.assert_array_equal(scores.extra["pass_0p1"], scores.score >= np.float32(point["threshold"]))
    assert jetad("score", "fresh.h5", "--run", "run", "--working-point", "0.001", "--force") == 2
    assert "no jet can pass" in capsys.readouterr().err

    assert jetad(*base, "--select", "jet_pt > 300", "--max-jets", "100", "--json") == 0
    assert json.loads(capsys.readouterr().out)["n"] == 100

    assert jetad(*base, "--in-bins-of", "jet_pt=300,400") == 0
    assert "300 <= jet_pt < 400" in capsys.readouterr().out
    assert jetad("score", "fresh.h5", "--run", "run", "--force") == 0
    scores = load_scores("fresh.scores.h5")
    for inside in (scores.jet_pt < 300, scores.jet_pt >= 400):
        assert scores.background_efficiency[inside].min() == pytest.approx(2 / (inside.sum() + 1))

    assert jetad(*base, "--decorrelate", "jet_mass") == 0
    assert jetad("score", "fresh.h5", "--run", "run", "--force", "-o", "d.root") == 0
    assert np.isfinite(load_scores("d.root").extra["score_decorrelated"]).all()
    capsys.readouterr()
    for words, code, message in (
        (["--decorrelate", "mass"], 2, "unknown jet quantity 'mass'; choose one of: jet_mass"),
        (["--in-bins-of", "jet_pt=a"], 2, "expected COLUMN=EDGE"),
        (["--select", "jet_pt < 0"], 1, "zero jets that pass 'jet_pt < 0'"),
        (["--weight", "w"], 1, "no column 'w' of event weights"),
        (["--weight", "ttv"], 1, "no positive, finite sum"),
        (["--working-point", "1e-5"], 1, "cannot be stated"),
        (["--decorrelate", "jet_mass", "--in-bins-of", "jet_pt"], 2, "cannot be combined"),
    ):
        assert jetad(*base, *words) == code
        assert message in capsys.readouterr().err
    assert Path("run/calibration.json").exists()
