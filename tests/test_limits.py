"""The workspace and its limit in real pyhf, and the histograms in cabinetry; from the shipped jets, too."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from test_cli import jetad
from test_select import CUT, EDGES, WINDOW, jets, signal_jets, spectrum_of
from test_select import calibration as calibration  # a fixture

from jetad.demo import sample
from jetad.errors import InputError, MissingPackageError
from jetad.readers import read
from jetad.scores import Scores, load_scores
from jetad.spectra import Cut, Spectrum, select, upper_limit, workspace, write_histograms
from jetad.writers import write_jets

pyhf = pytest.importorskip("pyhf")
pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # pyhf uses it


@pytest.fixture(scope="module")
def found(calibration) -> Spectrum:
    signal = signal_jets(calibration, 5, 5000)
    return spectrum_of(jets(calibration, 22), signals={"bump": signal}, expected={"bump": 100.0})


def one_count(n: int, anti: int) -> Spectrum:
    """One bin in the window: ``n`` jets where ``anti`` / 10 are expected. Half of the signal passes."""
    outside = np.repeat([10.0, 10.0, 50.0, 50.0], [1000, 10_000, 1000, 10_000])
    passed = np.repeat([1, 0, 1, 0], [1000, 10_000, 1000, 10_000])
    data = Scores(
        score=np.concatenate([passed, np.ones(n), np.zeros(anti)]),
        jet_mass=np.concatenate([outside, np.full(n + anti, 30.0)]),
    )
    bump = Scores(score=np.arange(100_000) % 2, jet_mass=np.full(100_000, 30.0))
    return select(
        data,
        {"bump": bump},
        cut=Cut("score", 1),
        bins=[0, 20, 40, 60],
        window=(20, 40),
        expected={"bump": 100},
    )


def test_pyhf_takes_the_workspace(found):
    work = pyhf.Workspace(workspace(found, "bump"))  # checks it against the schema
    model = work.model()
    assert model.config.poi_name == "mu"
    assert {"mu", "anti_selected", "transfer", "staterror_window"} <= set(model.config.parameters)
    nominal = model.config.suggested_init()
    nominal[model.config.poi_index] = 0.0
    np.testing.assert_allclose(
        model.expected_actualdata(nominal), found.background.values()[found.inside], rtol=1e-12
    )
    nominal[model.config.poi_index] = 1.0
    added = model.expected_actualdata(nominal) - found.background.values()[found.inside]
    np.testing.assert_allclose(added, found.net("bump").values()[found.inside], rtol=1e-9)
    # as many jets as there are, not more: the constraint of each bin is the number of anti-selected jets
    aux = model.config.auxdata[: len(added)]
    assert any(np.allclose(model.config.auxdata[i : i + len(added)], found.data.anti.values()[found.inside])
               for i in range(len(model.config.auxdata) - len(added) + 1)), aux  # fmt: skip


def test_the_limit_is_that_of_a_count(found):
    """Many jets in one bin: the expected limit is 1.96 errors, and the observed one follows the excess."""
    spectrum = one_count(1000, 10_000)
    counts = spectrum.counts
    error = math.sqrt(counts.background + counts.error**2)
    limit = upper_limit(spectrum, "bump")
    net = spectrum.net("bump").values()[1] / 100  # of a jet before the cut
    assert net == pytest.approx(0.5 - 0.1 * 0.5)
    assert limit.expected[2] * net == pytest.approx(1.96 * error, rel=0.03)
    assert limit.observed == pytest.approx(limit.expected[2], rel=0.01)
    assert list(limit.expected) == sorted(limit.expected)
    assert limit.mu == pytest.approx(limit.observed / 100)
    assert limit.significance == pytest.approx(0, abs=0.02)
    more = upper_limit(one_count(1100, 10_000), "bump")
    assert more.observed > 1.5 * limit.observed
    assert more.expected[2] == pytest.approx(limit.expected[2], rel=0.1)  # the fit of the data moves it
    assert more.significance == pytest.approx(one_count(1100, 10_000).counts.significance, rel=0.05)
    # the search of pyhf itself gives the same
    work = pyhf.Workspace(workspace(spectrum, "bump"))
    model = work.model()
    own, band = pyhf.infer.intervals.upper_limits.upper_limit(work.data(model), model, rtol=1e-3)
    assert limit.mu == pytest.approx(float(own), rel=0.01)
    np.testing.assert_allclose(np.array(limit.expected) / 100, np.array(band, dtype=float), rtol=0.02)


def test_a_signal_is_found_by_pyhf_as_well(calibration, found):
    clean, template = jets(calibration, 41), signal_jets(calibration, 42, 5000)
    data = Scores.concatenate([clean, signal_jets(calibration, 43, 400)])
    spectrum = spectrum_of(data, signals={"bump": template}, expected={"bump": 400.0})
    limit = upper_limit(spectrum, "bump")
    assert limit.significance > 3
    assert limit.mu > 1  # what is there is not excluded
    assert limit.observed > 2 * limit.expected[2]


def test_what_has_no_limit_is_said(found, monkeypatch):
    with pytest.raises(InputError, match="'top' is no signal; there are: bump"):
        workspace(found, "top")
    whole = select(jets_of_window(), {"bump": jets_of_window()}, cut=CUT, bins=EDGES)
    with pytest.raises(InputError, match="a limit needs a window"):
        upper_limit(whole, "bump")
    one = Scores(score=[1.0], jet_mass=[30.0], background_efficiency=[0.001])
    far = select(jets_of_window(), {"far": one},
                 cut=CUT, bins=EDGES, window=(80, 100))  # fmt: skip
    with pytest.raises(InputError, match="signal 'far' adds nothing to the window"):
        workspace(far, "far")
    monkeypatch.setitem(__import__("sys").modules, "pyhf", None)
    with pytest.raises(MissingPackageError, match=r"limits need pyhf .*pip install 'jetad\[stats\]'"):
        upper_limit(found, "bump")


def jets_of_window() -> Scores:
    rng = np.random.default_rng(0)
    p = rng.uniform(size=5000)
    return Scores(score=1 - p, jet_mass=rng.uniform(20, 200, 5000), background_efficiency=p)


def test_limits_that_are_far_off_or_nowhere(found):
    """Where the background is hardly known; and a signal of one simulated jet, which may be none."""
    before = pyhf.get_backend()
    vague = dataclasses.replace(found, transfer=found.transfer._replace(closure=1.0))
    far = upper_limit(vague, "bump")
    near = upper_limit(found, "bump")
    assert far.expected[2] > 1.3 * near.expected[2]
    assert list(far.expected) == sorted(far.expected)
    assert far.significance < near.significance + 0.5
    assert [type(x) for x in pyhf.get_backend()] == [type(x) for x in before]
    one = Scores(score=[0.99], jet_mass=[90.0], background_efficiency=[0.001])
    alone = select(jets_of_window(), {"one": one}, cut=CUT, bins=EDGES, window=WINDOW, expected={"one": 10.0})
    with pytest.raises(InputError, match=r"pyhf finds no limit \(CLs does not fall.*simulated jets"):
        upper_limit(alone, "one")


def test_cabinetry_reads_the_histograms_and_fits(found, tmp_path, monkeypatch):
    """A workspace that cabinetry builds from the ROOT file has the limit of ours, but for Gaussian errors."""
    cabinetry = pytest.importorskip("cabinetry")
    monkeypatch.chdir(tmp_path)
    write_histograms(found.histograms(), "spectra.root")
    config = {
        "General": {"Measurement": "m", "POI": "mu", "HistogramFolder": "histograms/",
                    "InputPath": "spectra.root:window/{SamplePath}"},
        "Regions": [{"Name": "window"}],
        "Samples": [
            {"Name": "data", "SamplePath": "data_obs", "Data": True},
            {"Name": "background", "SamplePath": "background"},
            {"Name": "bump", "SamplePath": "bump"},
        ],
        "NormFactors": [{"Name": "mu", "Samples": "bump", "Nominal": 1, "Bounds": [0, 20]}],
        "Systematics": [
            {"Name": name, "Type": "Normalization", "Samples": "background",
             "Up": {"Normalization": math.expm1(s)}, "Down": {"Normalization": math.expm1(-s)}}
            for name, s in found.shared_errors().items()
        ],
    }  # fmt: skip
    cabinetry.configuration.validate(config)
    cabinetry.templates.collect(config, method="uproot")
    cabinetry.templates.postprocess(config)
    theirs = cabinetry.workspace.build(config)
    samples = {s["name"]: s["data"] for s in theirs["channels"][0]["samples"]}
    np.testing.assert_allclose(samples["background"], found.background.values()[found.inside])
    np.testing.assert_allclose(samples["bump"], found.net("bump").values()[found.inside])
    model, data = cabinetry.model_utils.model_and_data(theirs)
    scan = np.linspace(0.2, 6, 20)
    observed, expected = pyhf.infer.intervals.upper_limits.upper_limit(data, model, scan=scan)
    ours = upper_limit(found, "bump")
    assert float(observed) == pytest.approx(ours.mu, rel=0.1)
    assert float(expected[2]) * 100 == pytest.approx(ours.expected[2], rel=0.1)
    own = cabinetry.fit.fit(*cabinetry.model_utils.model_and_data(workspace(found, "bump")))
    assert "mu" in own.labels


def test_limit_of_the_shipped_jets(tmp_path, monkeypatch, capsys):
    """QCD and top jets that come with jetad: train, decorrelate, score, select, limit."""
    monkeypatch.chdir(tmp_path)
    qcd = read(sample("qcd_train.h5"))
    write_jets(qcd[:4000], "train.h5")
    write_jets(qcd[4000:], "held_out.h5")
    words = ["--method", "gmm", "--representation", "features", "--seed", "1", "-o", "run"]
    assert jetad("train", "--background", "train.h5", *words) == 0
    assert jetad("calibrate", "--run", "run", "-b", "held_out.h5", "--decorrelate", "jet_mass") == 0
    assert jetad("score", sample("qcd_test.h5"), sample("top.h5"), "--run", "run", "-o", ".") == 0
    assert load_scores("top.scores.h5").metadata["independent_of"] == "jet_mass"
    capsys.readouterr()
    words = [
        "--working-point",
        "0.1",
        "--window",
        "150,195",
        "-s",
        "top=top.scores.h5",
        "--expect",
        "top=100",
    ]
    assert jetad("select", "qcd_test.scores.h5", *words, "--limit", "--json", "found.json") == 0
    captured = capsys.readouterr()
    assert "not made independent" not in captured.err
    assert "top: at most" in captured.out
    found = json.loads(Path("found.json").read_text())
    limit = found["limits"]["top"]
    assert limit["expected"] == sorted(limit["expected"])
    # some tens of the hundred top jets among 3000 QCD jets would be seen
    assert 20 < limit["expected"][2] < 200
    assert limit["observed"] == pytest.approx(100 * limit["mu"])
    assert found["transfer_factor"]["p_value"] > 1e-3
    assert abs(found["window_counts"]["significance"]) < 3
