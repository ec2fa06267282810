"""Bootstrap bands, paired comparisons and spreads, checked by simulation and by plain loops."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure
from scipy.stats import kstest, norm

from jetad.errors import ConfigError, InputError, OutputError
from jetad.evaluation import (
    BAND_GRID,
    Evaluation,
    compare_paired,
    evaluate,
    gather_runs,
    rejection_by_bootstrap,
    roc_curve,
    same_jets,
    spread_of,
    with_bootstrap_bands,
)
from jetad.evaluation.hepdata import write_hepdata
from jetad.plots import FigureLabel, add_label, plot_roc
from jetad.scores import Scores


def normal(n: int, mean: float = 0.0, seed: int = 0, **columns) -> Scores:
    return Scores(score=np.random.default_rng(seed).normal(mean, 1, n), **columns)


def seeds(n_runs: int, shift: float = 1.5, n: int = 1000) -> list[Evaluation]:
    return [
        evaluate(normal(n, 0, 10 + i), {"top": normal(n, shift, 50 + i)}, name=f"seed{i}")
        for i in range(n_runs)
    ]


# --- bootstrap -----------------------------------------------------------------------------------


def test_bootstrap_interval_covers() -> None:
    shift, n_trials = 1.5, 150
    truth = 1 / norm.sf(norm.isf([0.3, 0.5]) + shift)
    hits = np.zeros(2)
    for i in range(n_trials):
        low, high = rejection_by_bootstrap(
            normal(1500, 0, 2 * i),
            normal(700, shift, 2 * i + 1),
            np.array([0.3, 0.5]),
            n_replicas=100,
            seed=i,
        )
        hits += (low <= truth) & (truth <= high)
    # 68 % within three standard deviations of 150 trials
    assert np.all(np.abs(hits / n_trials - 0.6827) < 3 * math.sqrt(0.68 * 0.32 / n_trials))


def test_bootstrap_band_agrees_with_the_binomial_one_and_keeps_it_where_few_pass() -> None:
    background, signal = normal(4000), normal(4000, 1.5, 1)
    plain = evaluate(background, {"top": signal})
    banded = with_bootstrap_bands(plain, background, {"top": signal})
    band, curve = banded.signals["top"].band, plain.signals["top"].curve
    assert band is not None
    value, low, high = curve.rejection_band(BAND_GRID)
    np.testing.assert_array_equal(band.value, value)
    middle = (BAND_GRID > 0.3) & (BAND_GRID < 0.9)
    width, expected = np.log(band.high / band.low)[middle], np.log(high / low)[middle]
    assert np.mean(width / expected) == pytest.approx(1, abs=0.15)
    few = curve.n_background_tagged[curve.index_at(BAND_GRID)] < 10
    np.testing.assert_array_equal(band.low[few], low[few])
    assert np.any(few)


def test_bootstrap_leaves_out_nan_and_knows_constant_weights() -> None:
    background, signal = normal(300), normal(200, 1, 1)
    at = np.array([0.5])
    expected = rejection_by_bootstrap(background, signal, at)
    failed = Scores.concatenate([background, Scores(score=[np.nan])])
    np.testing.assert_array_equal(rejection_by_bootstrap(failed, signal, at), expected)
    heavy = Scores(score=background.score, extra={"weight": np.full(300, 4.0)})
    np.testing.assert_allclose(rejection_by_bootstrap(heavy, signal, at), expected)


def test_bootstrap_with_weights_covers() -> None:
    """Weights of a wide spread: the effective, not the whole number of jets sets the width."""
    shift, n_trials, hits = 1.5, 120, 0
    truth = 1 / norm.sf(norm.isf(0.5) + shift)
    for i in range(n_trials):
        rng = np.random.default_rng(1000 + i)
        background, signal = (
            Scores(score=rng.normal(mean, 1, n), extra={"weight": rng.exponential(size=n) ** 2})
            for mean, n in ((0, 2000), (shift, 1000))
        )
        low, high = rejection_by_bootstrap(background, signal, np.array([0.5]), n_replicas=80, seed=i)
        hits += low[0] <= truth <= high[0]
    assert hits / n_trials == pytest.approx(0.6827, abs=3 * math.sqrt(0.68 * 0.32 / n_trials))


# --- paired --------------------------------------------------------------------------------------


def detectors(
    n: int, seed: int, better: float = 0.0, rho: float = 0.9
) -> tuple[tuple[Scores, Scores], tuple[Scores, Scores]]:
    """Two detectors that share most of their noise; the first is better by ``better``."""
    rng = np.random.default_rng(seed)
    pairs = []
    for mean in (0.0, 1.5):
        common = rng.normal(size=n)
        own = rng.normal(size=(2, n))
        noise = math.sqrt(rho) * common + math.sqrt(1 - rho) * own
        pairs.append([Scores(score=noise[0] + (mean and mean + better)), Scores(score=noise[1] + mean)])
    (b1, b2), (s1, s2) = pairs
    return (b1, s1), (b2, s2)


def test_p_values_are_uniform_without_a_difference_and_intervals_cover() -> None:
    found = [compare_paired(*detectors(400, i), n_replicas=60) for i in range(150)]
    assert kstest([c.p_value for c in found], "uniform").pvalue > 0.01
    pulls = np.array([c.auc_difference / c.auc_error for c in found])
    assert np.std(pulls) == pytest.approx(1, abs=0.2)
    covered = np.mean([c.rejection_ratio[0.5].low <= 1 <= c.rejection_ratio[0.5].high for c in found])
    assert covered == pytest.approx(0.6827, abs=3 * math.sqrt(0.68 * 0.32 / 150))


def test_pairing_sees_what_separate_errors_hide() -> None:
    first, second = detectors(2000, 1, better=0.12)
    found = compare_paired(first, second, names=("new", "old"), signal="top")
    a, b = (roc_curve(*pair_scores) for pair_scores in ([s.score for s in p] for p in (first, second)))
    assert found.auc_difference == pytest.approx(a.auc - b.auc, abs=1e-12)
    assert found.auc_error < 0.5 * math.hypot(a.auc_error, b.auc_error)
    assert found.p_value < 1e-3
    ratio = a.background_rejection(0.5).value / b.background_rejection(0.5).value
    assert found.rejection_ratio[0.5].value == pytest.approx(ratio)
    assert found.to_dict()["rejection_ratio"]["0.5"]["value"] == pytest.approx(ratio)


def test_paired_error_by_loops_with_ties() -> None:
    (b1, s1), (b2, s2) = detectors(30, 3)
    scores = [np.round(x.score, 1) for x in (b1, s1, b2, s2)]
    v = []
    for b, s in (scores[:2], scores[2:]):
        v_s = np.array([np.mean((b < x) + 0.5 * (b == x)) for x in s])
        v_b = np.array([np.mean((s > x) + 0.5 * (s == x)) for x in b])
        v.append((v_s, v_b))
    variance = sum(np.var(v[0][k] - v[1][k], ddof=1) / 30 for k in (0, 1))
    pairs = [tuple(Scores(score=x) for x in scores[k : k + 2]) for k in (0, 2)]
    found = compare_paired(*pairs, n_replicas=5)  # type: ignore[arg-type]
    assert found.auc_error == pytest.approx(math.sqrt(variance), rel=1e-9)


def test_paired_weights_are_replicated_jets() -> None:
    first, second = detectors(100, 4)
    w = np.random.default_rng(0).integers(1, 4, 100)

    def with_weights(pair):
        return tuple(Scores(score=s.score, extra={"weight": w}) for s in pair)

    def replicated(pair):
        return tuple(Scores(score=np.repeat(s.score, w)) for s in pair)

    weighted = compare_paired(with_weights(first), with_weights(second), n_replicas=20)
    whole = compare_paired(replicated(first), replicated(second), n_replicas=20)
    assert weighted.auc_difference == pytest.approx(whole.auc_difference, abs=1e-12)
    assert weighted.rejection_ratio[0.5].value == pytest.approx(whole.rejection_ratio[0.5].value)
    assert weighted.auc_error > whole.auc_error  # fewer jets than it looks


def test_the_same_detector_does_not_differ_from_itself() -> None:
    first, _ = detectors(300, 5)
    found = compare_paired(first, first)
    assert (found.auc_difference, found.auc_error, found.p_value) == (0, 0, 1)
    assert found.rejection_ratio[0.3] == (1, 1, 1)


def test_other_jets_cannot_be_paired() -> None:
    first, second = detectors(50, 6)
    with pytest.raises(InputError, match="'a' and 'b' scored different background jets"):
        compare_paired(first, (second[0][:-1], second[1]), names=("a", "b"))
    moved = Scores(score=second[1].score, entry=np.arange(50) + 1)
    with pytest.raises(InputError, match="different signal 'top' jets"):
        compare_paired(first, (second[0], moved), signal="top")
    hard, soft = (Scores(score=[1.0, 2.0], jet_pt=[pt, 500.0]) for pt in (600.0, 601.0))
    assert not same_jets(hard, soft)
    assert same_jets(hard, Scores(score=[3.0, 4.0]))


# --- spread --------------------------------------------------------------------------------------


def test_spread_is_the_standard_deviation_over_runs() -> None:
    runs = seeds(5)
    spread = spread_of(runs, name="nae")
    aucs = [r.signals["top"].curve.auc for r in runs]
    found = spread.signals["top"]
    assert found.auc == pytest.approx(np.mean(aucs))
    assert found.auc_spread == pytest.approx(np.std(aucs, ddof=1))
    logs = np.log([r.signals["top"].background_rejection[0.5].value for r in runs])
    point = found.background_rejection[0.5]
    assert point.value == pytest.approx(np.exp(np.mean(logs)))
    assert np.log(point.high / point.value) == pytest.approx(np.std(logs, ddof=1))
    assert spread.to_dict()["signals"]["top"]["auc_spread"] == found.auc_spread
    figure = plot_roc([spread, spread_of(seeds(2, 2.0), name="ae")], ratio=True)
    texts = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]  # type: ignore[union-attr]
    assert texts[0] == f"top, nae  (AUC = {found.auc:.3f} ± {found.auc_spread:.3f}, 5 runs)"
    assert figure.axes[1].get_ylabel() == "Ratio to nae"


def test_one_run_has_no_spread() -> None:
    with pytest.raises(InputError, match="1 run is not enough for a spread"):
        spread_of(seeds(1))
    other = evaluate(normal(10), {"svj": normal(10, 1, 1)})
    with pytest.raises(InputError, match="no signal in common"):
        spread_of([*seeds(1), other])


# --- several detectors on the command line -------------------------------------------------------


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Score files of three runs, two of one method, in a folder each."""
    monkeypatch.chdir(tmp_path)
    for i, (run, method) in enumerate([("a1", "nae"), ("a2", "nae"), ("b", "ae")]):
        (tmp_path / f"out{i}").mkdir()
        metadata = {"run": run, "model_hash": f"{i}" * 16, "method": method}
        normal(400, 0, i, metadata=metadata).save(f"out{i}/qcd.scores.h5")
        normal(300, 2, i + 5, metadata=metadata).save(f"out{i}/top.scores.h5")
    return tmp_path


def test_files_are_told_apart_by_run_or_folder(runs: Path) -> None:
    files = {"background": ["out*/qcd.scores.h5"], "signal": ["t=out*/top.scores.h5"]}
    by_run = gather_runs(**files)
    assert {k: (len(s.background), list(s.signals), s.method) for k, s in by_run.items()} == {
        "a1": (400, ["t"], "nae"), "a2": (400, ["t"], "nae"), "b": (400, ["t"], "ae"),
    }  # fmt: skip
    assert list(gather_runs(**files, by="folder")) == ["out0", "out1", "out2"]
    with pytest.raises(InputError, match="run 'a2': has no signal scores"):
        gather_runs(background=["out1/qcd.scores.h5"], signal=["out0/top.scores.h5"])
    normal(5).save("plain.csv")
    with pytest.raises(InputError, match="run 'b': has no signal scores"):
        gather_runs(background=["out*/qcd.scores.h5"], signal=["out[01]/top.scores.h5"])
    with pytest.raises(InputError, match=r"plain.csv: does not say which run.*by folder"):
        gather_runs(background=["plain.csv"], signal=["plain.csv"])


def test_runs_of_one_name_are_told_apart_by_their_model(runs: Path) -> None:
    metadata = {"run": "a1", "model_hash": "f" * 16}
    (runs / "out3").mkdir()
    normal(10, metadata=metadata).save("out3/qcd.scores.h5")
    normal(10, 1, 1, metadata=metadata).save("out3/top.scores.h5")
    names = list(gather_runs(background=["out*/qcd.scores.h5"], signal=["out*/top.scores.h5"]))
    assert names == ["a1 (00000000)", "a2", "b", "a1 (ffffffff)"]


# --- HEPData and labels --------------------------------------------------------------------------


def test_hepdata_folder_is_valid(tmp_path: Path) -> None:
    far = evaluate(normal(300), {"far": normal(300, 9, 2)}, name="nae")
    written = write_hepdata([*seeds(1), spread_of(seeds(3), name="all"), far], tmp_path / "out")
    assert [p.name for p in written] == [
        "submission.yaml", "roc_top_seed0.yaml", "roc_top_all.yaml", "roc_far_nae.yaml",
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecations
        from hepdata_validator.full_submission_validator import FullSubmissionValidator

        validator = FullSubmissionValidator()
        assert validator.validate(directory=str(tmp_path / "out")), validator.get_messages()
    table = yaml.safe_load(written[1].read_text())
    x = [row["value"] for row in table["independent_variables"][0]["values"]]
    row = table["dependent_variables"][0]["values"][x.index(0.5)]
    point = seeds(1)[0].signals["top"].background_rejection[0.5]
    assert row["value"] == pytest.approx(point.value, rel=1e-4)
    (error,) = row["errors"]
    assert error["asymerror"]["plus"] == pytest.approx(point.high - point.value, rel=1e-3)
    assert error["asymerror"]["minus"] == pytest.approx(point.low - point.value, rel=1e-3)
    # where nothing of the background is left there is no number to tabulate
    assert len(yaml.safe_load(written[3].read_text())["dependent_variables"][0]["values"]) < len(x)
    with pytest.raises(OutputError, match="exists already"):
        write_hepdata(seeds(1), tmp_path / "out")


def test_labels_are_written_only_when_asked_for() -> None:
    def texts(label: FigureLabel) -> list[str]:
        figure = Figure(layout="constrained")
        figure.add_subplot()
        add_label(figure, label)
        return [t.get_text() for t in figure.axes[0].texts if t.get_text()]

    assert texts(FigureLabel()) == []
    assert texts(FigureLabel(com=13.6, lumi=62)) == ["62 fb$^{-1}$ (13.6 TeV)"]
    assert texts(FigureLabel("CMS")) == ["Private work (CMS simulation)"]
    assert texts(FigureLabel("ATLAS", com=13)) == ["13 TeV", "ATLAS", "Work in Progress"]
    assert texts(FigureLabel("CMS", "Preliminary")) == ["CMS", "Preliminary"]
    assert texts(FigureLabel(label="toy jets")) == ["toy jets"]
    with pytest.raises(ConfigError, match="unknown experiment 'D0'; choose one of none, CMS"):
        FigureLabel("D0")
    with pytest.raises(ConfigError, match="--lumi -3: must be positive"):
        FigureLabel(lumi=-3)


def test_commands_offer_the_experiments_that_figures_know() -> None:
    from jetad.plots import EXPERIMENTS
    from jetad_cli.commands.cmd_roc import command

    option = next(p for p in command.params if p.name == "experiment")
    assert tuple(option.type.choices) == EXPERIMENTS  # type: ignore[attr-defined]
    assert option.default == "none"


def test_label_does_not_leave_the_figure() -> None:
    figure = add_label(plot_roc(seeds(1), ratio=True), FigureLabel("ATLAS", com=13, lumi=140))
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert box.y1 <= figure.bbox.y1
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
