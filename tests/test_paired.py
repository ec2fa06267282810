"""Differences between detectors on the same jets: against closed forms, and against many repeated samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_cli import jetad as run_jetad

from jetad.studies.paired import Placements, difference, read_scores, write_scores
from jetad.studies.standings import Ranking, Row

DIRECTION = ("qcd", "top")


def sample(rng: np.random.Generator, shift: float, noise: float, shared: dict[str, np.ndarray]):
    return {
        name: (x + noise * rng.normal(size=len(x)) + (shift if name != "qcd" else 0)).astype(np.float32)
        for name, x in shared.items()
    }


def jets(rng: np.random.Generator, n: int = 150) -> dict[str, np.ndarray]:
    return {name: rng.normal(size=n) for name in ("qcd", "top", "svj")}


def test_the_same_detector_differs_by_nothing():
    rng = np.random.default_rng(1)
    shared = sample(rng, 1.0, 0.5, jets(rng))
    one = Placements.of(DIRECTION, [shared])
    assert difference(one, one) == (0.0, 0.0)
    monotone = {name: np.exp(x) for name, x in shared.items()}  # only the order matters
    assert difference(one, Placements.of(DIRECTION, [monotone])) == (0.0, 0.0)


def test_a_detector_turned_round_differs_by_nothing():
    rng = np.random.default_rng(1)
    shared = sample(rng, 1.0, 0.5, jets(rng))
    turned = {name: -x for name, x in shared.items()}
    found = difference(Placements.of(DIRECTION, [shared]), Placements.of(DIRECTION[::-1], [turned]))
    assert found == pytest.approx((0.0, 0.0), abs=1e-12)


@pytest.mark.parametrize("other", ["top", "svj"])
def test_the_error_is_the_scatter_over_samples(other):
    rng = np.random.default_rng(2)
    found = []
    for _ in range(300):
        shared = jets(rng)
        first = Placements.of(("qcd", "top"), [sample(rng, 1.0, 0.3, shared)])
        second = Placements.of(("qcd", other), [sample(rng, 0.8, 0.3, shared)])
        found.append(difference(first, second))
    values, errors = np.array(found).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.12)
    if other == "top":  # what both share is gone: two independent errors would be 1.7 times as large
        assert errors.mean() < 0.024
    else:  # the signals are others, only the background is shared
        assert errors.mean() > 0.024


def test_the_spread_of_trainings_is_in_the_error():
    rng = np.random.default_rng(3)
    shared = jets(rng, 4000)
    base = sample(rng, 1.0, 0.0, shared)
    trainings = [sample(rng, shift, 0.0, shared) for shift in (0.9, 1.0, 1.1)]
    many = Placements.of(DIRECTION, trainings)
    auc = [np.mean(t["top"][:, None] > t["qcd"]) for t in trainings]
    expected = np.var(auc, ddof=1) / 3
    assert many.spread == pytest.approx(expected, rel=1e-3)
    value, error = difference(many, Placements.of(DIRECTION, [base]))
    assert value == pytest.approx(np.mean(auc) - auc[1], abs=1e-6)
    assert error >= np.sqrt(expected)


def test_other_numbers_of_jets_and_missing_scores_give_no_difference():
    rng = np.random.default_rng(4)
    one = Placements.of(DIRECTION, [sample(rng, 1, 1, jets(rng))])
    assert difference(one, Placements.of(DIRECTION, [sample(rng, 1, 1, jets(rng, 149))])) is None
    hole = sample(rng, 1, 1, jets(rng))
    hole["top"][3] = np.nan
    assert Placements.of(DIRECTION, [hole]) is None
    assert Placements.of(DIRECTION, []) is None


def test_scores_come_back_as_they_were(tmp_path: Path):
    rng = np.random.default_rng(5)
    scores = sample(rng, 1, 1, jets(rng))
    write_scores(tmp_path / "x.safetensors", scores)
    back = read_scores(tmp_path / "x.safetensors")
    assert all(np.array_equal(back[name], x) for name, x in scores.items())
    (tmp_path / "x.safetensors").write_bytes(b"torn")
    assert read_scores(tmp_path / "x.safetensors") is None
    assert read_scores(tmp_path / "none.safetensors") is None


def test_the_ranking_says_how_far_each_is_behind_the_first():
    rng = np.random.default_rng(6)
    shared = jets(rng, 2000)
    kept = {
        (name, "qcd", 1): sample(rng, shift, 0.2, shared)
        for name, shift in (("a", 1.0), ("b", 0.9), ("c", 0.5))
    }
    rows = []
    for name, _, _ in kept:
        scores = kept[name, "qcd", 1]
        auc = {s: float(np.mean(scores[s][:, None] > scores["qcd"])) for s in ("top", "svj")}
        rows.append(Row(name, name, "qcd", 1, 10, {}, {"score": auc}, {}, 1.0))
    found = Ranking(tuple(rows), (), kept)
    first, second, third = found.standings()
    assert (first.detector, first.behind) == ("a", None)
    worst = min(rows[0].auc["score"], key=rows[0].auc["score"].get)
    assert second.behind == found.difference("b", "a", ("qcd", worst))
    assert second.behind.value == pytest.approx(second.worst - first.worst, abs=1e-6)
    assert -40 < third.behind.value / third.behind.error < -10
    table = found.to_markdown().splitlines()
    assert "| behind the first |" in table[0]
    assert f"{third.behind.value:.3f} ± {third.behind.error:.3f}" in table[4]
    assert found.to_dict()["standings"][2]["behind"]["error"] == third.behind.error
    assert Ranking(tuple(rows)).standings()[1].behind is None  # rows of an older bench


def test_the_command_keeps_the_scores(tmp_path: Path, monkeypatch, capsys, make_jets):
    from jetad.writers import write_jets

    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("few", "many")):
        write_jets(make_jets(300, seed, mean=20 + 10 * seed), f"{name}.h5")
    words = ["bench", "--sample", "few=few.h5", "many=many.h5", "--train", "few", "--n-train", "200", "-d"]
    assert run_jetad(*words, "mass", "multiplicity") == 0
    first = capsys.readouterr().out
    assert "behind the first" in first
    assert run_jetad(*words, "mass", "multiplicity") == 0  # from what was kept
    assert capsys.readouterr().out == first
    kept = read_scores(Path("bench/rows/mass-few-1.safetensors"))
    assert {name: len(x) for name, x in kept.items()} == {"few": 100, "many": 300}
