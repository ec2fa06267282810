"""From scores to a spectrum: the background closes, a signal is found, and nothing odd passes in silence."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import uproot
from scipy.stats import chi2 as chi_square
from test_cli import jetad

from jetad.calibration import DecorrelatedEfficiency
from jetad.errors import InputError
from jetad.evaluation import poisson_interval
from jetad.plots import plot_spectrum
from jetad.scores import Scores, load_scores
from jetad.spectra import Cut, Histogram, Spectrum, select, write_histograms
from jetad.spectra.histogram import bin_edges
from jetad.spectra.spectrum import significance

CUT = Cut("background_efficiency", 0.05)
WINDOW = (80.0, 100.0)
EDGES = [*range(20, 80, 10), *range(80, 100, 5), *range(100, 201, 20)]


def background(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Masses, and scores that grow and spread with the mass."""
    mass = rng.gamma(3, 25, n)
    return mass, 0.03 * mass + rng.normal(size=n) * (1 + mass / 80)


@pytest.fixture(scope="module")
def calibration() -> DecorrelatedEfficiency:
    mass, score = background(np.random.default_rng(1), 100_000)
    return DecorrelatedEfficiency.fit(score, {"jet_mass": mass}, "jet_mass")


def scored(calibration, mass, score, label=-1, **extra) -> Scores:
    columns = {"jet_mass": mass}
    return Scores(
        score=score, jet_mass=mass, background_efficiency=calibration(score, columns),
        label=np.full(len(mass), label), jet_pt=np.full(len(mass), 600.0),
        extra={"score_decorrelated": calibration.transform(score, columns), **extra},
        metadata={"independent_of": "jet_mass", "run": "toy", "calibration_hash": "1"},
    )  # fmt: skip


def jets(calibration, seed: int, n: int = 20_000, **more) -> Scores:
    return scored(calibration, *background(np.random.default_rng(seed), n), **more)


def signal_jets(calibration, seed: int, n: int, **more) -> Scores:
    """A bump at 90 GeV with scores 2.5 units above those of background."""
    rng = np.random.default_rng(seed)
    mass = rng.normal(90, 4, n)
    return scored(calibration, mass, 2.5 + 0.03 * mass + rng.normal(size=n) * (1 + mass / 80), **more)


def spectrum_of(data: Scores, **more) -> Spectrum:
    return select(data, cut=CUT, bins=EDGES, window=WINDOW, **more)


# --- does it close -----------------------------------------------------------------------------------------


def test_the_background_closes_on_twenty_toys_without_signal(calibration):
    toys = [spectrum_of(jets(calibration, seed)) for seed in range(100, 120)]
    found = np.array([toy.counts.pull for toy in toys])
    assert abs(found.mean()) < 3 / math.sqrt(20)
    assert 0.45 < found.std(ddof=1) < 1.4  # the spread in one bin is taken for the whole window
    bins = np.concatenate([toy.pulls for toy in toys])
    assert abs(np.nanmean(bins)) < 0.25
    assert 0.85 < np.nanstd(bins) < 1.25
    # the errors are worth something: the estimate is known to some per cent
    assert all(toy.counts.error < 0.2 * toy.counts.background for toy in toys)
    # a factor that is wrong by a fifth would be seen
    wrong = [(t.counts.observed - 1.2 * t.counts.background) / t.counts.error for t in toys]
    assert abs(np.mean(wrong)) > 3 / math.sqrt(20)


def test_chi2_of_a_flat_share_is_distributed_as_it_should_be():
    """Jets whose score has nothing to do with the mass: p-values are uniform, and no spread is found."""
    p_values, spreads = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        data = Scores(score=rng.uniform(size=4000), jet_mass=rng.uniform(0, 100, 4000))
        found = select(data, cut=Cut("score", 0.9), bins=20)
        p_values.append(found.transfer.p_value)
        spreads.append(found.transfer.closure)
    assert 0.4 < np.mean(p_values) < 0.6
    assert 0.23 < np.std(p_values) < 0.35  # uniform: 0.289
    assert np.median(spreads) < 0.05
    assert np.mean(np.array(spreads) > 0.2) < 0.05


def test_a_share_that_changes_with_the_mass_is_found_and_its_spread_measured():
    rng = np.random.default_rng(3)
    mass = rng.uniform(0, 100, 200_000)
    share = np.where(mass // 10 % 2 == 0, 0.08, 0.12)  # +- 20 %
    data = Scores(score=rng.uniform(size=len(mass)) < share, jet_mass=mass)
    transfer = select(data, cut=Cut("score", 0.5), bins=np.arange(0, 101, 10)).transfer
    assert transfer.p_value < 1e-10
    # f = e/(1 - e): 0.02/0.1/0.9, sample standard deviation of ten bins
    assert transfer.closure == pytest.approx(0.02 / 0.09 * math.sqrt(10 / 9), rel=0.05)


def test_the_raw_score_does_not_close(calibration):
    raw = select(jets(calibration, 7), cut=Cut("score", 6.5), bins=EDGES, window=WINDOW)
    assert raw.transfer.p_value < 1e-6
    assert raw.sculpting.divergence[0] > 10 * raw.sculpting.divergence_floor[0]
    decorrelated = spectrum_of(jets(calibration, 7))
    assert decorrelated.transfer.p_value > 1e-3
    assert decorrelated.sculpting.divergence[0] < 4 * decorrelated.sculpting.divergence_floor[0]


@pytest.mark.parametrize("strength", [1, 3, 5])
def test_an_injected_signal_is_found_as_such(calibration, strength):
    """So many jets that background alone would fluctuate to them by 1, 3, 5 standard deviations."""
    template = signal_jets(calibration, 5, 20_000)
    found = []
    for seed in range(20):
        clean = jets(calibration, 200 + seed)
        before = spectrum_of(clean, signals={"bump": template}, expected={"bump": 1000.0})
        counts = before.counts
        wanted = excess_for(strength, counts.background, counts.error)
        n = round(wanted / before.net("bump").total(before.inside)[0] * 1000)
        data = Scores.concatenate([clean, signal_jets(calibration, 300 + seed, n)])
        found.append(spectrum_of(data).counts.significance)
    assert np.mean(found) == pytest.approx(strength, abs=3 / math.sqrt(20))
    assert 0.5 < np.std(found, ddof=1) < 1.5


def excess_for(z: float, b: float, error: float) -> float:
    grid = np.linspace(0, 20 * math.sqrt(b + error**2), 4000)
    return float(grid[np.argmin([abs(significance(b + x, b, error) - z) for x in grid])])


def test_jets_at_the_cut_pass_in_float32_and_in_float64():
    at = Scores(
        score=[0.1, 0.3],
        background_efficiency=[0.05, 0.1],
        jet_mass=[1, 2],
        extra={"tau": np.array([0.1, 0.05])},
    )
    assert Cut("background_efficiency", 0.05).passed(at)[0].tolist() == [True, False]
    assert Cut("score", 0.3).passed(at)[0].tolist() == [False, True]
    assert Cut("tau", 0.1).passed(at)[0].tolist() == [True, False]


# --- numbers by hand ---------------------------------------------------------------------------------------


def test_transfer_factor_background_and_errors_by_hand():
    mass = np.repeat([10.0, 10.0, 30.0, 30.0, 50.0, 50.0], [8, 80, 12, 40, 12, 120])
    passed = np.repeat([1, 0, 1, 0, 1, 0], [8, 80, 12, 40, 12, 120])
    found = select(
        Scores(score=passed, jet_mass=mass), cut=Cut("score", 1), bins=[0, 20, 40, 60], window=(20, 40)
    )
    t = found.transfer
    assert t.value == 20 / 200
    assert t.statistical == pytest.approx(math.sqrt(1 / 20 + 1 / 200))
    assert (t.closure, t.ndf) == (0.0, 1)
    assert found.background.values().tolist() == [8.0, 4.0, 12.0]
    np.testing.assert_allclose(found.background.errors, 0.1 * np.sqrt([80, 40, 120]))
    counts = found.counts
    assert (counts.observed, counts.background) == (12.0, 4.0)
    assert counts.statistical == pytest.approx(0.1 * math.sqrt(40))
    assert counts.transfer == pytest.approx(4 * t.statistical)
    assert counts.pull == pytest.approx(8 / math.sqrt(4 + 0.4 + (4 * t.statistical) ** 2))
    assert found.data.share == pytest.approx((32 / 272, 0.0978, 0.1413), abs=0.002)


def test_weights_are_replicated_jets_but_for_their_errors():
    rng = np.random.default_rng(2)
    w = rng.integers(1, 4, 500)
    score, mass = rng.uniform(size=500), rng.uniform(0, 60, 500)
    how = {"cut": Cut("score", 0.8), "bins": [0, 20, 40, 60], "window": (20, 40)}
    weighted = select(Scores(score=score, jet_mass=mass, extra={"weight": w.astype(float)}), **how)
    rows = np.repeat(np.arange(500), w)
    copies = select(Scores(score=score[rows], jet_mass=mass[rows]), **how)
    for name, histogram in copies.histograms().items():
        if "Up" not in name and "Down" not in name:
            np.testing.assert_allclose(weighted.histograms()[name].contents, histogram.contents)
    assert weighted.transfer.value == pytest.approx(copies.transfer.value)
    on = (score >= 0.8) & (mass // 20 != 1)
    off = (score < 0.8) & (mass // 20 != 1)
    expected = math.sqrt(sum((w[x] ** 2).sum() / w[x].sum() ** 2 for x in (on, off)))
    assert weighted.transfer.statistical == pytest.approx(expected)
    np.testing.assert_allclose(weighted.data.selected.squares[1:-1],
                               [(w[(score >= 0.8) & (mass // 20 == k)] ** 2).sum() for k in range(3)])  # fmt: skip  # noqa: E501
    found = weighted.counts
    weight = found.observed_error**2 / found.observed
    assert found.significance == pytest.approx(
        significance(found.observed / weight, found.background / weight, found.error / weight)
    )
    twice = select(Scores(score=score, jet_mass=mass, extra={"weight": 2.0 * w}), **how).counts
    assert (twice.significance, twice.pull) == pytest.approx((found.significance, found.pull))
    negative = w * np.where(np.arange(500) % 10 == 0, -1.0, 1.0)
    found = select(Scores(score=score, jet_mass=mass, extra={"weight": negative}), **how)
    assert found.data.all.values().sum() == pytest.approx(negative.sum())


def test_net_is_what_a_signal_changes(calibration):
    """The signal in the data, less what it adds to the estimate from the same data."""
    clean, signal = jets(calibration, 11), signal_jets(calibration, 12, 60)
    before, after = (
        spectrum_of(clean, signals={"bump": signal}),
        spectrum_of(Scores.concatenate([clean, signal])),
    )
    inside = before.inside
    change = (after.data.selected.values() - after.background.values())[inside]
    change -= (before.data.selected.values() - before.background.values())[inside]
    np.testing.assert_allclose(before.net("bump").values()[inside], change, atol=0.02)
    assert before.net("bump").total(inside)[0] < before.signals["bump"].selected.total(inside)[0]


def test_significance_of_counts():
    assert significance(100, 100, 0) == 0
    assert significance(0, 4, 0) == pytest.approx(-math.sqrt(8))
    assert significance(125, 100, 1e-3) == pytest.approx(significance(125, 100, 0), rel=1e-4)
    # with many jets: the excess over both errors
    assert significance(1_005_000, 1_000_000, 2000) == pytest.approx(5000 / math.sqrt(1e6 + 4e6), rel=5e-3)
    assert math.isnan(significance(3, 0, 0))


def test_poisson_intervals():
    low, high = poisson_interval([0, 10, 10], [0, 10, 20])
    np.testing.assert_allclose(low[:2], [0, chi_square.ppf(0.158655, 20) / 2], rtol=1e-4)
    np.testing.assert_allclose(high[:2], [1.841, chi_square.ppf(0.841345, 22) / 2], rtol=1e-3)
    five = poisson_interval([5], [5])
    assert (low[2], high[2]) == pytest.approx((2 * five[0][0], 2 * five[1][0]))


def test_edges_are_round_and_keep_the_window():
    values = np.random.default_rng(0).gamma(3, 25, 10_000)
    edges = bin_edges(values, 20, (73, 97))
    assert {73.0, 97.0} <= set(edges.tolist())
    assert np.all(np.diff(edges) > 0)
    assert np.mean((values < edges[0]) | (values >= edges[-1])) < 0.03
    plain = bin_edges(values, 20, None)
    assert np.ptp(np.diff(plain)) < 1e-9
    assert 12 <= len(plain) <= 30
    assert len(bin_edges(np.full(10, 5.0), 5, None)) > 2
    far = bin_edges(values, 10, (400, 500))
    assert far[-2:].tolist() == [400.0, 500.0] or 500.0 in far


# --- files -------------------------------------------------------------------------------------------------


@pytest.fixture
def found(calibration) -> Spectrum:
    signal = signal_jets(calibration, 5, 2000)
    return spectrum_of(jets(calibration, 21), signals={"Z' bump": signal}, expected={"Z' bump": 100.0})


def test_histograms_keep_what_is_beyond():
    h = Histogram.of([-1, 0, 5, 10, 10, 99], [1, 2, 3, 4, 5, 6], [0, 10, 20], "x [GeV]")
    assert h.values(flow=True).tolist() == [1, 5, 9, 6]
    assert h.variances().tolist() == [13, 41]
    assert h.counts()[0] == pytest.approx(25 / 13)
    assert h.cropped(slice(1, 2)).contents.tolist() == [0, 9, 0]
    assert list(h.axes[0]) == [(0.0, 10.0), (10.0, 20.0)]


def test_root_histograms_read_back(found, tmp_path):
    write_histograms(found.histograms(), tmp_path / "h.root", metadata={"cut": "x"})
    with uproot.open(tmp_path / "h.root") as file:
        names = [key for key, kind in file.classnames(cycle=False).items() if kind == "TH1D"]
        assert {
            "all/data_obs",
            "selected/background",
            "anti_selected/Z_bump",
            "window/background_transferUp",
        } <= set(names)
        for name, histogram in found.histograms().items():
            read = file[name.replace("Z' bump", "Z_bump")]
            np.testing.assert_array_equal(read.values(flow=True), histogram.contents)
            np.testing.assert_allclose(read.variances(flow=True), histogram.squares)
            np.testing.assert_array_equal(read.axis().edges(), histogram.edges)
            assert read.member("fTitle") == name.replace("Z' bump", "Z_bump").rpartition("/")[2]
        assert file["all/data_obs"].member("fEntries") == 20_000
        assert file["all/data_obs"].axis().member("fTitle") == "Jet mass [GeV]"
        assert file["all/data_obs"].values(flow=True)[-1] > 0
        assert json.loads(str(file["jetad_provenance"])) == {"cut": "x"}
    with pytest.raises(InputError, match="would have the name of another histogram, 'a_b'"):
        write_histograms(dict.fromkeys(("a b", "a'b"), found.background), tmp_path / "two.root")
    assert not (tmp_path / "two.root").exists()


def test_histograms_of_hist_hold_the_same(found):
    hist = pytest.importorskip("hist")
    protocol = pytest.importorskip("uhi.typing.plottable").PlottableHistogram
    assert isinstance(found.background, protocol)
    for histogram in found.histograms().values():
        for made in (histogram.to_hist(), hist.Hist(histogram)):
            np.testing.assert_allclose(made.values(), histogram.values())
            np.testing.assert_allclose(made.variances(), histogram.variances())
            np.testing.assert_array_equal(made.axes[0].edges, histogram.edges)
        np.testing.assert_allclose(histogram.to_hist().values(flow=True), histogram.contents)


def test_the_figure_has_what_it_should(found):
    figure = plot_spectrum(found)
    upper, lower = figure.axes
    texts = [text.get_text() for text in upper.get_legend().get_texts()]
    assert texts[:3] == ["all 20000 jets", "background expected", "its error"]
    assert "Z' bump, selected" in texts
    assert lower.get_xlabel() == "Jet mass [GeV]"
    assert upper.get_ylabel() == "Jets / GeV"  # bins of several widths
    plain = plot_spectrum(select(Scores(score=[0, 0, 0, 1, 0, 1], jet_mass=[1, 2, 3, 4, 5, 6]), cut=Cut("score", 1),  # noqa: E501
                                 bins=[0, 2, 4, 6, 8]))  # fmt: skip
    assert plain.axes[0].get_ylabel() == "Jets / 2 GeV"


# --- command line ------------------------------------------------------------------------------------------


@pytest.fixture
def folder(calibration, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    jets(calibration, 31, label=0).save("data.scores.h5")
    signal_jets(calibration, 32, 2000, label=1).save("bump.scores.h5")
    return tmp_path


OUTPUTS = ["-o", "s", "--json", "s.json", "--histograms", "s.root", "--workspace", "w.json"]
WORDS = ["select", "data.scores.h5", "--working-point", "0.05", "--window", "80,100"]


def said(capsys, *words: str, code: int = 1) -> str:
    assert jetad(*words) == code
    text = capsys.readouterr().err.strip().splitlines()[-1]
    assert "this is a bug" not in text
    return text


def test_the_command_writes_everything(folder, capsys):
    words = [*WORDS, "--signal", "bump=bump.scores.h5", "--expect", "bump=100", *OUTPUTS]
    assert jetad(*words) == 0
    captured = capsys.readouterr()
    assert "warning" not in captured.err
    assert max(map(len, captured.out.splitlines())) <= 80
    assert "transfer factor" in captured.out
    made = {p.name for p in folder.iterdir()}
    assert made == {"data.scores.h5", "bump.scores.h5", "s.pdf", "s.png", "s.json", "s.root", "w.json"}
    found = json.loads(Path("s.json").read_text())
    window, signal = found["window_counts"], found["signals"]["bump"]
    assert found["cut"]["text"] == "background_efficiency <= 0.05"
    assert found["data"]["all"] == {"jets": 20000, "sum": 20000.0, "error": pytest.approx(math.sqrt(20000))}
    assert found["data"]["n_signal_by_label"] == 0
    assert signal["all"]["sum"] == pytest.approx(100)
    assert 0 < signal["window"]["net"] < signal["window"]["selected"]
    assert window["background_error"] == pytest.approx(
        math.sqrt(window["statistical"] ** 2 + window["transfer"] ** 2 + window["closure"] ** 2)
    )
    assert found["sculpting"]["jensen_shannon_bits"] > 0
    spec = json.loads(Path("w.json").read_text())
    assert sum(spec["observations"][0]["data"]) == window["observed"]
    assert sum(spec["channels"][0]["samples"][0]["data"]) == pytest.approx(window["background"])
    # nothing is written over, and nothing is lost where one output is in the way
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    assert "exists already" in said(capsys, *words)
    Path("s.root").unlink()
    assert "s.json: exists already" in said(capsys, *words)
    assert "s.root" not in {p.name for p in folder.iterdir()}
    assert all(p.stat().st_mtime_ns == before[p.name] for p in folder.iterdir())
    assert jetad(*words, "--force") == 0


def test_json_on_stdout_and_labels_of_data(folder, capsys, calibration):
    mixed = Scores.concatenate([load_scores("data.scores.h5"), signal_jets(calibration, 33, 200, label=1)])
    mixed.save("mixed.scores.h5")
    assert jetad("select", "mixed.scores.h5", "--window", "80,100", "--json") == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["data"]["n_signal_by_label"] == 200
    assert "200 jets of the data are signal by their labels; they stay in" in captured.err
    assert found["window_counts"]["significance"] > 3
    assert "limits" not in found


def test_a_raw_score_is_said(folder, capsys):
    assert jetad("select", "data.scores.h5", "--threshold", "6.5", "--on", "score") == 0
    warned = capsys.readouterr().err
    assert "the cut score >= 6.5 is not made independent of jet_mass" in warned
    assert "jetad calibrate --run RUN --background FILE --decorrelate jet_mass" in warned
    assert "the share of selected jets depends on jet_mass" in warned
    assert jetad("select", "data.scores.h5", "--threshold", "3") == 0  # on score_decorrelated
    assert "not made independent" not in capsys.readouterr().err
    assert jetad("select", "data.scores.h5", "--variable", "score_pt") == 1
    data = load_scores("data.scores.h5")
    Scores(**{n: getattr(data, n) for n in ("score", "jet_mass", "background_efficiency")},
           extra={"tau": data.jet_mass}).save("plain.h5")  # fmt: skip
    capsys.readouterr()
    assert jetad("select", "plain.h5", "--variable", "tau") == 0
    assert "not made independent of tau" in capsys.readouterr().err


def change(name: str, **columns) -> None:
    """The data with other columns, as ``name``."""
    data = load_scores("data.scores.h5")
    own = {n: getattr(data, n) for n in ("score", "jet_mass", "background_efficiency", "jet_pt", "label")}
    extra = dict(data.extra)
    for key, value in columns.items():
        (own if key in own else extra)[key] = value
    Scores(**own, extra=extra, metadata=data.metadata).save(name)


N = 20_000
BAD = {
    "nothing passes": (["--working-point", "1e-7"], "no jet passes background_efficiency <= 1e-07: the smallest of the 20000"),  # noqa: E501
    "nothing above": (["--threshold", "1e6"], "no jet passes score_decorrelated >= 1e+06: the largest of the 20000"),  # noqa: E501
    "all pass": (["--threshold", "-1e6"], "there are no anti-selected jets: all 20000 pass"),
    "one bin": (["--bins", "1"], "take more bins"),
    "one bin by its edges": (["--bins", "20,200"], "one bin of jet_mass"),
    "all in the window": (["--bins", "80,90,100", "--window", "80,100"], "no bin of jet_mass is outside of the window"),  # noqa: E501
    "window between edges": (["--bins", "20,50,90,200", "--window", "80,100"], "80 is none, the nearest is 90"),  # noqa: E501
    "edges that fall": (["--bins", "50,20,10"], "two or more rising numbers"),
    "no such column": (["--variable", "jet_mas"], "no column 'jet_mas' (nearest: jet_mass"),
    "spectrum of the score": (["--variable", "score"], "take the spectrum of another column"),
    "nothing outside": (["--bins", "20,900,1000", "--window", "20,900"], "outside of the window of jet_mass"),
    "signal with a taken name": (["-s", "background=bump.scores.h5"], "signal 'background' has a name that"),
    "expected of nobody": (["--expect", "bump=3"], "'bump' is no signal; there are: none"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(folder, capsys, name):
    words, message = BAD[name]
    text = said(
        capsys, "select", "data.scores.h5", *words, "--json", "x.json", "-o", "x", "--histograms", "x.root"
    )
    assert message in text
    assert not list(folder.glob("x*"))


def test_odd_columns_are_one_sentence(folder, capsys):
    nan = np.full(N, np.nan)
    data = load_scores("data.scores.h5")
    change("uncalibrated.h5", background_efficiency=nan)
    text = said(capsys, "select", "uncalibrated.h5")
    assert "the run (toy) has no calibration; type 'jetad calibrate --run RUN --background FILE" in text
    assert jetad("select", "uncalibrated.h5", "--threshold", "3") == 0
    change("massless.h5", jet_mass=nan)
    assert "the data: no jet has a jet_mass, all are NaN" in said(capsys, "select", "massless.h5")
    change("some.h5", jet_mass=np.where(np.arange(N) % 4 == 0, np.nan, data.jet_mass))
    assert jetad("select", "some.h5") == 0
    assert (
        "the data: 5000 of 20000 jets have no background_efficiency or no jet_mass" in capsys.readouterr().err
    )
    change("negative.h5", weight=np.where(data.jet_mass < 40, -1.0, 1.0))
    assert "the weights of the jets from" in said(capsys, "select", "negative.h5")
    change("few.h5", weight=np.where(np.arange(N) % 20 == 0, -1.0, 1.0))
    assert jetad("select", "few.h5") == 0
    assert "1000 of 20000 weights are below zero" in capsys.readouterr().err
    change("infinite.h5", weight=np.where(np.arange(N) == 3, np.inf, 1.0))
    assert "the data: 1 jets have a weight that is no number" in said(capsys, "select", "infinite.h5")
    change("large.h5", weight=np.full(N, 1e300))
    assert "20000 jets have a weight that is no number, or too large" in said(capsys, "select", "large.h5")
    change("zeros.h5", weight=np.zeros(N))
    assert "the data: all weights are zero" in said(capsys, "select", "zeros.h5")
    change("unscored.h5", score=nan, background_efficiency=nan)
    assert "the data: no jet has a background_efficiency, all are NaN" in said(
        capsys, "select", "unscored.h5"
    )
    Scores(score=np.zeros(0)).save("empty.h5")
    assert "the data: there are no jets" in said(capsys, "select", "empty.h5")
    assert "signal 'empty': there are no jets" in said(capsys, "select", "data.scores.h5", "-s", "empty.h5")
    change("tops.h5", label=np.ones(N))
    assert "is given as background, but its labels say signal" in said(capsys, "select", "tops.h5")
    assert jetad("select", "tops.h5", "--allow", "labels") == 0
    capsys.readouterr()
    assert "must be different samples" in said(
        capsys, "select", "data.scores.h5", "-s", "x=data.scores.h5", "--allow", "labels"
    )
    other = load_scores("bump.scores.h5")
    Scores(**{n: getattr(other, n) for n in ("score", "jet_mass", "background_efficiency", "label")},
           metadata={**other.metadata, "calibration_hash": "2"}).save("old.h5")  # fmt: skip
    assert "scored with different calibrations" in said(capsys, "select", "data.scores.h5", "-s", "old.h5")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threshold", "1", "--working-point", "0.1"], "give one"),
        (["--on", "score"], "give --threshold as well"),
        (["--threshold", "nan"], "is not a finite number"),
        (["--limit"], "--limit needs --window LOW,HIGH and --signal SCORES"),
        (["--workspace", "w.json", "--window", "80,100"], "--workspace needs --window"),
        (["--bins", "x"], "expected a number of bins"),
        (["--bins", "0"], "expected a number of bins"),
        (["--bins", "1,nan"], "with numbers"),
        (["--window", "100,80"], "LOW below HIGH"),
        (["--window", "1,2,3"], "expected LOW,HIGH"),
        (["--expect", "top"], "expected NAME=JETS"),
        (["--expect", "top=-1"], "expected NAME=JETS"),
        (["--histograms", "h.h5"], "end the name in .root"),
        (["--working-point", "0"], "0.0 is not in the range"),
        (
            ["-s", "a=bump.scores.h5", "b=bump2.h5", "--window", "80,100", "--workspace", "w.json"],
            "holds one signal",
        ),
    ],
)
def test_wrong_usage(folder, capsys, words, message):
    (folder / "bump2.h5").write_bytes((folder / "bump.scores.h5").read_bytes())
    assert jetad("select", "data.scores.h5", *words) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_outputs_are_not_inputs_nor_each_other(folder, capsys):
    assert "is read by this command" in said(capsys, *WORDS, "--json", "data.scores.h5", "--force")
    assert "x.json" in said(
        capsys, *WORDS, "-s", "bump.scores.h5", "--json", "x.json", "--workspace", "./x.json"
    )
    assert not Path("x.json").exists()


def test_a_window_without_anti_selected_jets(folder, capsys):
    """There is no limit without background, and nothing is written."""
    words = [*WORDS[:-1], "300,320", "--bins", "50,100,300,310,320", "-s", "bump=bump.scores.h5", *OUTPUTS]
    change("light.h5", jet_mass=np.minimum(load_scores("data.scores.h5").jet_mass, 290))
    text = said(capsys, "select", "light.h5", *words[2:])
    assert "from 300 to 310 has no anti-selected jets" in text
    assert {p.name for p in folder.iterdir()} == {"data.scores.h5", "bump.scores.h5", "light.h5"}
