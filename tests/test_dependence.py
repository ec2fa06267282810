"""Sculpting, efficiency profiles and the gallery: closed forms, coverage, alignment, and every edge case."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import toy_jets
from scipy.spatial.distance import jensenshannon
from scipy.stats import spearmanr

from jetad.errors import InputError
from jetad.evaluation import efficiency_profiles, jensen_shannon, rank_correlation, sculpting, variables_of
from jetad.evaluation.anomalies import captions, most_anomalous, paired_with_scores
from jetad.evaluation.measures import threshold_at
from jetad.plots import FigureLabel, add_label, plot_efficiency, plot_gallery, plot_images, plot_sculpting
from jetad.scores import Scores
from jetad.writers import write_jets
from jetad_cli.main import cli


def qcd(n: int, correlation: float = 0.0, seed: int = 0, **extra) -> Scores:
    rng = np.random.default_rng(seed)
    mass = rng.gamma(4, 20, n)
    score = correlation * mass / 40 + rng.normal(size=n)
    return Scores(score=score, jet_mass=mass, jet_pt=rng.uniform(500, 600, n), extra=extra)


def test_threshold_lets_no_more_pass_than_asked() -> None:
    scores = Scores(score=[1, 2, 2, 3, np.nan])
    assert threshold_at(scores, 0.25) == 3
    assert threshold_at(scores, 0.5) == 3  # the two at 2 pass together
    assert threshold_at(scores, 0.75) == 2
    assert threshold_at(scores, 1.0) == 1
    assert threshold_at(scores, 0.1) == math.inf
    heavy = Scores(score=[1, 2], extra={"weight": [1.0, 9.0]})
    assert threshold_at(heavy, 0.5) == math.inf
    assert threshold_at(heavy, 0.9) == 2


def test_divergence_agrees_with_scipy_and_its_limits() -> None:
    p, q = np.random.default_rng(1).uniform(size=(2, 20))
    assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2) ** 2, rel=1e-9)
    assert jensen_shannon(p, 3 * p) == pytest.approx(0, abs=1e-12)
    assert jensen_shannon([1, 0], [0, 1]) == 1
    assert math.isnan(jensen_shannon([0, 0], [1, 1]))


def test_rank_correlation_agrees_with_scipy() -> None:
    a, b = np.random.default_rng(2).normal(size=(2, 60)).round(1)
    assert rank_correlation(a, a + b) == pytest.approx(spearmanr(a, a + b).statistic)
    assert math.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))
    assert math.isnan(rank_correlation([1, np.nan, 2], [1, 2, 3]))


def test_independent_scores_do_not_sculpt() -> None:
    """The divergence of a score without relation to the mass is what its statistics predict."""
    ratios = []
    for seed in range(20):
        background = qcd(4000, seed=seed)
        found = sculpting(background, variables_of(background), bins=15)["mass"]
        inside = (found.efficiencies > 0.02) & (found.efficiencies < 0.7)
        ratios.append(np.mean(found.divergence[inside] / found.divergence_floor[inside]))
    assert np.mean(ratios) == pytest.approx(1, abs=0.12)


def test_correlated_scores_do() -> None:
    background = qcd(4000, correlation=1.0)
    found = sculpting(background, variables_of(background))
    mass, pt = found["mass"], found["pt"]
    assert mass.correlation == pytest.approx(
        spearmanr(background.score, background.jet_mass).statistic, abs=1e-6
    )
    assert mass.n_passing == (4000, 2000, 400, 40)
    np.testing.assert_allclose(np.sum(mass.fractions, axis=1), 1)
    assert mass.divergence[0] > 5 * mass.divergence_floor[0]
    assert pt.divergence[0] < 2.5 * pt.divergence_floor[0]
    assert mass.divergence[-1] == pytest.approx(0, abs=1e-12)  # no cut
    assert np.all(np.diff(mass.profile[1]) > 0)
    assert abs(pt.correlation) < 0.05
    json.dumps(mass.to_dict(), allow_nan=False)


def test_weighted_spectra_are_replicated_jets() -> None:
    w = np.random.default_rng(3).integers(1, 4, 300)
    plain = qcd(300, 1.0)
    weighted = qcd(300, 1.0, weight=w.astype(float))
    rows = np.repeat(np.arange(300), w)
    a = sculpting(weighted, variables_of(weighted), bins=10, cuts=(1.0, 0.3))["pt"]
    b = sculpting(plain[rows], variables_of(plain[rows]), bins=10, cuts=(1.0, 0.3))["pt"]
    edges = np.histogram_bin_edges([a.edges[0], a.edges[-1]], 10)
    np.testing.assert_allclose(a.edges, edges)
    if np.allclose(a.edges, b.edges):
        np.testing.assert_allclose(a.fractions, b.fractions)
    on = plain.score[rows] >= threshold_at(weighted, 0.3)
    expected = np.histogram(np.clip(plain.jet_pt[rows][on], a.edges[0], a.edges[-1]), a.edges)[0]
    np.testing.assert_allclose(a.fractions[1], expected / expected.sum())


def test_efficiencies_cover_the_truth() -> None:
    """A score of known efficiency in every bin: the Clopper-Pearson intervals hold it 68 % of the time."""
    hits, total = 0, 0
    for seed in range(40):
        background = qcd(1500, seed=seed)
        signal = qcd(1500, seed=seed + 100)
        classes = {"qcd": background, "same": signal}
        profiles = efficiency_profiles(
            classes, {k: variables_of(v) for k, v in classes.items()}, background_efficiency=0.2, bins=6
        )
        for p in profiles:
            if p.class_name == "same" and p.variable == "pt":
                hits += int(np.sum((p.low <= 0.2) & (p.high >= 0.2)))
                total += len(p.low)
    assert 0.6 < hits / total < 0.82


def test_efficiency_in_bins_by_hand() -> None:
    background = Scores(score=np.arange(10.0), jet_pt=np.full(10, 500.0))
    signal = Scores(score=[9, 9, 1, 1, np.nan], jet_pt=[400, 410, 590, 600, 500])
    classes = {"qcd": background, "top": signal}
    found = efficiency_profiles(
        classes, {k: variables_of(v) for k, v in classes.items()}, background_efficiency=0.1, bins=2
    )
    top = next(p for p in found if p.class_name == "top")
    # the outermost jets of the axis are beyond its 0.5 % tails
    assert top.efficiency.tolist() == [1, 0]
    assert top.n_jets.sum() >= 2
    with pytest.raises(InputError, match="10 background jets are too few for a cut at background efficiency"):
        efficiency_profiles(classes, {k: variables_of(v) for k, v in classes.items()})


def test_three_jets_can_be_drawn() -> None:
    n = 3
    few = Scores.concatenate([qcd(n), Scores(score=[np.nan], jet_mass=[80], jet_pt=[500])])
    plot_sculpting(sculpting(few, variables_of(few, np.full(n + 1, 12))))
    classes = {"a": few, "b": few}
    profiles = efficiency_profiles(
        classes, {k: variables_of(v) for k, v in classes.items()}, background_efficiency=1.0
    )
    plot_efficiency(profiles, background_efficiency=1.0)


def test_nothing_to_look_at_is_said() -> None:
    bare = Scores(score=[1.0, 2.0])
    with pytest.raises(InputError, match="neither jet_mass nor jet_pt"):
        sculpting(bare, variables_of(bare))
    with pytest.raises(InputError, match="no background jet has a score"):
        sculpting(Scores(score=[np.nan], jet_pt=[1.0]), {})
    with pytest.raises(InputError, match="3 multiplicities for 2 jets"):
        variables_of(bare, [1, 2, 3])


def test_sculpting_figure_has_a_column_for_each_variable() -> None:
    background = qcd(500, 1.0)
    figure = plot_sculpting(sculpting(background, variables_of(background, np.arange(500) % 40)))
    labels = [axes.get_xlabel() for axes in figure.axes]
    for label in ("Jet mass [GeV]", "Jet $p_T$ [GeV]", "Number of constituents", "Background efficiency"):
        assert label in labels
    texts = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]  # type: ignore[union-attr]
    assert texts == [
        "no cut  (500 jets)", r"$\varepsilon_B$ = 0.5  (250 jets)", r"$\varepsilon_B$ = 0.1  (50 jets)",
        r"$\varepsilon_B$ = 0.01  (5 jets)",
    ]  # fmt: skip


# --- gallery and difference maps -----------------------------------------------------------------


def test_gallery_finds_the_most_anomalous_of_all_chunks() -> None:
    jets = toy_jets(50, labels=1)
    jets = type(jets)(
        **{k: getattr(jets, k) for k in ("pt", "eta", "phi", "mass", "offsets", "labels")},
        observables={"event": np.arange(50) + 1000, "run": np.full(50, 7)},
    )
    score = np.random.default_rng(0).normal(size=50).astype(np.float32)
    score[[3, 17]] = np.nan
    scores = Scores(score=score, jet_pt=jets.jet_pt, jet_mass=jets.jet_mass, label=jets.labels)
    chunks = paired_with_scores((jets[i : i + 8] for i in range(0, 50, 8)), scores)
    found = most_anomalous(chunks, 5)
    expected = np.argsort(-np.nan_to_num(score, nan=-9))[:5]
    assert found.scores.entry.tolist() == expected.tolist()
    assert found.jets.entry.tolist() == expected.tolist()
    chunks = paired_with_scores((jets[i : i + 8] for i in range(0, 50, 8)), scores)
    both = most_anomalous(chunks, 5, n_ordinary=3)
    lowest = np.argsort(-np.nan_to_num(score, nan=9), kind="stable")[-3:]
    assert both.jets.entry.tolist() == [*expected, *lowest]
    few = most_anomalous([(jets[:4], scores[:4])], 2, n_ordinary=9)
    assert sorted(few.jets.entry.tolist()) == [0, 1, 2]  # each once, and none without a score
    text = captions(found)[0]
    assert f"score {np.nanmax(score):.3g}" in text
    assert f"p_T$ = {jets.jet_pt[expected[0]]:.0f} GeV" in text
    assert f"{jets.n_constituents[expected[0]]} constituents" in text
    assert f"run 7, event {1000 + expected[0]}" in text


def test_scores_of_other_jets_are_refused() -> None:
    jets = toy_jets(10)
    with pytest.raises(InputError, match=r"s\.h5: is not the score file of a\.h5"):
        list(paired_with_scores([jets], Scores(score=np.zeros(9)), names=("a.h5", "s.h5")))
    with pytest.raises(InputError, match="11 scores for 10 jets"):
        list(paired_with_scores([jets], Scores(score=np.zeros(11))))
    with pytest.raises(InputError, match="no jet has a score"):
        most_anomalous([(jets, Scores(score=np.full(10, np.nan)))], 3)


def test_difference_maps_are_class_minus_first() -> None:
    first, second = np.zeros((2, 1, 8, 8)), np.zeros((2, 1, 8, 8))
    first[:, 0, 2, 3], second[:, 0, 5, 6] = 0.5, 0.25
    figure = plot_images({"QCD": first, "top": second}, difference=True)
    panels = {axes.get_title(): axes for axes in figure.axes if axes.images}
    drawn = panels["top − QCD"].images[0].get_array()
    assert drawn[3, 2] == -1  # row: phi', column: eta'; in units of the peak of the first
    assert drawn[6, 5] == 0.5
    add_label(figure, FigureLabel("CMS", com=14))
    assert "Private work (CMS simulation)   14 TeV" in figure.get_suptitle()
    assert len(plot_gallery(first, ["one\ntwo", "three"]).axes) >= 3


# --- command line --------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(("qcd", "top")):
        jets = toy_jets(150, i, labels=i)
        write_jets(jets, f"{name}.h5")
        rng = np.random.default_rng(i)
        Scores(
            score=rng.normal(i, 1, 150), label=np.full(150, i), jet_pt=jets.jet_pt, jet_mass=jets.jet_mass
        ).save(f"{name}.scores.h5")
    return tmp_path


def run(*words: str) -> str:
    result = CliRunner().invoke(cli, list(words))
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stderr


def test_plot_commands(files: Path) -> None:
    run("plot", "sculpting", "qcd.scores.h5", "--jets", "qcd.h5", "--json", "s.json", "--cut", "0.2")
    found = json.loads((files / "s.json").read_text())
    assert set(found) == {"mass", "pt", "multiplicity"}
    assert found["mass"]["n_passing"] == [150, 30]
    run("plot", "efficiency", "qcd.scores.h5", "top.scores.h5", "--eff-b", "0.1", "--json", "e.json")
    assert set(json.loads((files / "e.json").read_text())["pt"]) == {"qcd", "top"}
    run("plot", "anomalous", "top.h5", "--scores", "top.scores.h5", "--count", "3", "--json", "a.json")
    best = json.loads((files / "a.json").read_text())
    assert best["score"] == sorted(best["score"], reverse=True)
    assert len(best["n_constituents"]) == 3
    assert {"sculpting.png", "efficiency.pdf", "anomalous.png"} <= {p.name for p in files.iterdir()}


def test_wrong_jets_for_the_scores(files: Path) -> None:
    result = CliRunner().invoke(cli, ["plot", "sculpting", "qcd.scores.h5", "--jets", "qcd.h5", "top.h5"])
    assert result.exit_code == 2
    assert "2 files for 1 classes" in result.stderr
    write_jets(toy_jets(9, 3), "few.h5")
    result = CliRunner().invoke(cli, ["plot", "anomalous", "few.h5", "--scores", "qcd.scores.h5"])
    assert "is not the score file of few.h5" in str(result.exception)
