"""Simulated jets: detector, clustering and mixing on tiny arrays, and a few real jets of each process."""

from __future__ import annotations

import itertools
import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from jetad.errors import ConfigError, JetadError, MissingPackageError, OutputError
from jetad.jets import Jets
from jetad.simulation.chunks import _decay_quarks
from jetad.simulation.detector import Detector, Particles, is_invisible, measure
from jetad.simulation.matching import allocate, match_pt
from jetad.simulation.mixing import Progress, _slices, simulate
from jetad.simulation.processes import PROCESSES, find_process, with_dark_options
from jetad_cli.commands.cmd_simulate import command


def make_particles(pid, *, pt=50.0, eta=0.3, phi=0.5, charge=0, event=None, n=1) -> Particles:
    size = n if np.ndim(pid) == 0 else len(pid)
    full = lambda value, dtype=float: np.broadcast_to(np.asarray(value, dtype=dtype), (size,)).copy()  # noqa: E731
    return Particles(
        event=full(0 if event is None else event, np.int64),
        pt=full(pt),
        eta=full(eta),
        phi=full(phi),
        mass=full(0.0),
        pid=full(pid, np.int64),
        charge=full(charge),
    )


# --- detector ----------------------------------------------------------------------------------------------


def test_neutrinos_dark_matter_and_dark_hadrons_are_invisible():
    pid = np.array([12, -14, 16, 51, -53, 4900211, -4900111, 4900023, 22, 211, 130, 13])
    assert is_invisible(pid).tolist() == [True] * 8 + [False] * 4
    assert len(measure(make_particles(pid[:8], pt=100.0), np.random.default_rng(1))) == 0


def test_track_efficiency_and_resolution():
    n = 20_000
    pions = make_particles(211, charge=1, event=np.arange(n), n=n)
    found = measure(pions, np.random.default_rng(1))
    tracks = found[found.pid == 211]
    assert len(tracks) / n == pytest.approx(0.95, abs=0.01)
    expected = np.hypot(0.01, 2e-4 * 50)
    assert np.std(tracks.pt / 50) == pytest.approx(expected, rel=0.05)
    assert np.mean(tracks.pt) == pytest.approx(50, rel=1e-3)
    # what has no track is seen by the hadronic calorimeter
    assert len(found) == n
    assert set(np.unique(found.pid)) == {130, 211}


def test_tower_sampling_terms_and_thresholds():
    n = 20_000
    energy = 50 * np.cosh(0.3)
    for pid, sampling, constant in ((22, 0.10, 0.007), (130, 0.50, 0.03)):
        found = measure(make_particles(pid, event=np.arange(n), n=n), np.random.default_rng(1))
        measured = found.pt * np.cosh(found.eta)
        assert np.std(measured / energy) == pytest.approx(
            np.hypot(sampling / np.sqrt(energy), constant), rel=0.05
        )
        assert np.mean(measured) == pytest.approx(energy, rel=3e-3)
    soft = measure(make_particles(130, pt=0.3, event=np.arange(100), n=100), np.random.default_rng(1))
    assert len(soft) < 15
    assert np.all(soft.pt * np.cosh(soft.eta) > Detector().hadronic_threshold)


def test_photons_of_one_tower_and_event_are_one_object_near_it():
    photons = make_particles(22, eta=[0.301, 0.302, 0.401, 0.301], phi=0.501, event=[0, 0, 0, 1], n=4)
    photons = make_particles([22] * 4, eta=[0.301, 0.302, 0.401, 0.301], phi=0.501, event=[0, 0, 0, 1])
    found = measure(photons, np.random.default_rng(1))
    assert found.event.tolist() == [0, 0, 1]
    assert np.sort(found.pt)[-1] == pytest.approx(100, rel=0.1)
    assert np.all(np.abs(found.phi - 0.501) < 0.03)
    assert np.all(np.min(np.abs(found.eta[:, None] - photons.eta), axis=1) < 0.03)


def test_towers_at_both_ends_of_phi_and_eta_stay_apart():
    found = measure(
        make_particles([22] * 4, eta=[4.8, -4.8, 0.0, 0.0], phi=[0, 0, np.pi - 1e-9, -np.pi + 1e-3]),
        np.random.default_rng(1),
    )
    assert len(found) == 4
    assert np.all(np.abs(found.phi) <= np.pi)


def test_lost_muons_leave_nothing_and_forward_charged_particles_are_towers():
    muons = measure(make_particles(13, charge=-1, event=np.arange(2000), n=2000), np.random.default_rng(1))
    assert set(muons.pid) == {211}
    assert len(muons) / 2000 == pytest.approx(0.95, abs=0.02)
    forward = measure(make_particles([211], charge=1, eta=3.0), np.random.default_rng(1))
    assert forward.pid.tolist() == [130]
    assert len(measure(make_particles([211], charge=1, eta=5.5), np.random.default_rng(1))) == 0


def test_detector_on_nothing():
    assert len(measure(make_particles([]), np.random.default_rng(1))) == 0


# --- clustering, matching, mixing --------------------------------------------------------------------------


def test_hardest_jet_of_each_event():
    pytest.importorskip("fastjet")
    from jetad.simulation.clustering import hardest_jets

    objects = make_particles(
        [22] * 9,
        event=[0, 0, 0, 1, 2, 2, 4, 5, 5],
        pt=[100.0, 400.0, 300.0, 600.0, 700.0, 580.0, 40.0, 300.0, 290.0],
        eta=[0.0, 1.0, 1.1, 2.5, 0.0, 1.0, 0.0, 0.0, 0.1],
        phi=[0.0, 1.0, 1.1, 0.0, 0.0, 2.0, 0.0, 3.1, -3.1],
    )
    jets = hardest_jets(objects, 6, radius=0.8, pt_range=(550.0, 750.0), eta_max=2.0)
    # event 1 is too far forward, 3 has no objects, 4 is too soft; 2 gives its hardest only
    assert jets.event.tolist() == [0, 2, 5]
    assert jets.counts.tolist() == [2, 1, 2]
    assert jets.rows.tolist() == [1, 2, 4, 7, 8]
    np.testing.assert_allclose(jets.pt, [698.7, 700.0, 588.7], atol=1.5)
    assert len(hardest_jets(objects, 6, radius=0.8, pt_range=(550, 650), eta_max=2).event) == 1


def test_decay_quarks_follow_copies_and_refuse_leptons():
    def record(w_daughters):
        # 0 system, 1 top, 2 its copy, 3 W, 4 b, 5 copy of the W, 6 and 7 its daughters
        return {
            "pid": np.array([90, 6, 6, 24, 5, 24, *w_daughters]),
            "daughter1": np.array([0, 2, 3, 5, 0, 6, 0, 0]),
            "daughter2": np.array([0, 2, 4, 5, 0, 7, 0, 0]),
        }

    assert _decay_quarks(record([2, -1]), 1) == []  # not the last copy
    assert sorted(_decay_quarks(record([2, -1]), 2)) == [4, 6, 7]
    assert _decay_quarks(record([-13, 14]), 2) == []
    assert sorted(_decay_quarks(record([2, -1]), 5)) == [6, 7]


def test_allocation_keeps_the_sum_and_the_proportions():
    counts = allocate(1000, np.array([0.1, 3.0, 0.0, 6.9]))
    assert counts.tolist() == [10, 300, 0, 690]
    assert allocate(7, np.ones(3)).sum() == 7


def test_matched_pt_fills_every_bin_or_says_that_it_cannot():
    rng = np.random.default_rng(1)
    pt = rng.uniform(550, 650, 5000)
    edges = np.linspace(550, 650, 6)
    quotas = np.array([500, 300, 100, 50, 10])
    rows = match_pt(pt, edges, quotas, rng)
    assert np.histogram(pt[rows], edges)[0].tolist() == quotas.tolist()
    assert len(set(rows.tolist())) == quotas.sum()
    assert match_pt(pt, edges, quotas * 3, rng) is None


def test_slices_cover_everything_above_the_lowest():
    from jetad.simulation.chunks import JetSelection

    slices = _slices(PROCESSES["qcd"], JetSelection(), None)
    assert slices[0][0] == pytest.approx(0.45 * 550)
    assert slices[-1][1] is None
    assert all(a[1] == b[0] for a, b in itertools.pairwise(slices))
    assert _slices(PROCESSES["qcd"], JetSelection(), 540.0)[0] == (540.0, 650.0)
    assert _slices(PROCESSES["svj"], JetSelection(), None) == [None]


def test_progress_estimates_the_time_left():
    assert Progress(50, 100, 10.0).seconds_left == pytest.approx(10.0)
    assert np.isinf(Progress(0, 100, 10.0).seconds_left)


# --- settings ----------------------------------------------------------------------------------------------


def test_dark_options_change_the_sector_and_are_checked():
    changed = with_dark_options(find_process("svj"), r_inv=0.5, mass_dark=30, mass_mediator=3000)
    lines = changed.settings()
    assert "4900023:m0 = 3000" in lines
    assert "4900211:m0 = 30" in lines
    assert "4900113:addChannel = 1 0.500000 0 51 -51" in lines
    assert with_dark_options(find_process("qcd")) is find_process("qcd")
    with pytest.raises(ConfigError, match=r"--r-inv is for 'svj'"):
        with_dark_options(find_process("top"), r_inv=0.5)
    for bad in ({"r_inv": 1.0}, {"r_inv": -0.1}, {"mass_dark": 5.0}, {"mass_mediator": 10.0}):
        with pytest.raises(ConfigError, match="found"):
            with_dark_options(find_process("svj"), **bad)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_jets": 0}, "number of jets"),
        ({"pt_range": (650, 550)}, "pt range"),
        ({"pt_range": (-5, 550)}, "pt range"),
        ({"pt_range": (float("nan"), 550)}, "pt range"),
        ({"radius": 0.0}, "radius"),
        ({"eta_max": -1.0}, "eta"),
        ({"pt_hat_min": 700.0}, "pt-hat-min"),
        ({"process": "svj", "pt_hat_min": 300.0}, "no pT-hat slices"),
        ({"jobs": 0}, "jobs"),
        ({"seed": -1}, "seed"),
        ({"match_pt_to": np.full(500, 20.0)}, "jets to match"),
        ({"process": "quark"}, "unknown process 'quark'"),
    ],
)
def test_bad_values_are_refused_before_any_work(options, message):
    with pytest.raises(ConfigError, match=message):
        simulate(**{"process": "qcd", "n_jets": 5, **options})


@pytest.mark.parametrize("package", ["pythia8mc", "fastjet"])
def test_missing_packages_give_the_install_line(monkeypatch, package):
    for name in ("pythia8mc", "fastjet"):
        if name != package and name not in sys.modules:
            pytest.importorskip(name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=r"pip install 'jetad\[simulate\]'"):
        simulate("qcd", 5)


# --- real jets ---------------------------------------------------------------------------------------------


@pytest.fixture
def pythia():
    pytest.importorskip("fastjet")
    return pytest.importorskip("pythia8mc")


def few_jets(name: str, n_jets: int = 4, **options):
    # one high slice is enough to see that everything works
    if PROCESSES[name].lowest_pt_hat is not None:
        options.setdefault("pt_hat_min", 640.0)
        options.setdefault("pt_range", (600.0, 650.0))
    else:
        options.setdefault("pt_range", (300.0, 900.0))
    return simulate(name, n_jets, **options)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_few_jets_of_each_process(pythia, capfd, name):
    result = few_jets(name)
    jets = result.jets
    assert len(jets) == 4
    assert np.all(jets.labels == (0 if name == "qcd" else 1))
    low, high = (600, 650) if PROCESSES[name].lowest_pt_hat is not None else (300, 900)
    assert np.all((jets.jet_pt > low - 0.1) & (jets.jet_pt < high + 0.1))
    assert np.all(np.abs(jets.jet_eta) < 2)
    assert np.all(jets.n_constituents > 3)
    assert jets.charge is not None
    assert set(jets.charge) == {-1, 0, 1}
    np.testing.assert_array_equal(jets.charge != 0, jets.mass > 0)  # tracks are pions, towers have no mass
    assert all(np.all(np.diff(jets[i : i + 1].pt) <= 0) for i in range(4))
    assert result.n_events >= 100
    assert result.cross_section_pb > 0
    if name == "top":
        truth = [jets.observables[f"truth{c}"] for c in ("E", "PX", "PY", "PZ")]
        mass = np.sqrt(truth[0] ** 2 - truth[1] ** 2 - truth[2] ** 2 - truth[3] ** 2)
        assert np.all(np.abs(mass - 173) < 15)
    expected = {"svj": 0.3, "aachen": 0.75, "heidelberg": 0.0}.get(name)
    assert (result.r_inv is None) == (expected is None)
    if expected is not None:
        assert result.r_inv[0] == pytest.approx(expected, abs=0.05)
    # Pythia and FastJet greet on stdout; ours is for results
    assert capfd.readouterr().out == ""


def test_the_same_seed_gives_the_same_jets_and_another_seed_others(pythia):
    first, second, other = (few_jets("qcd", seed=seed).jets for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.pt, second.pt)
    np.testing.assert_array_equal(first.offsets, second.offsets)
    assert not np.array_equal(first.jet_pt, other.jet_pt)


def test_the_number_of_jobs_does_not_change_the_jets(pythia):
    alone, shared = (few_jets("qcd", seed=5, jobs=jobs).jets for jobs in (1, 2))
    np.testing.assert_array_equal(alone.pt, shared.pt)
    np.testing.assert_array_equal(alone.phi, shared.phi)


def test_jet_pt_follows_the_jets_to_match(pythia):
    target = np.random.default_rng(1).uniform(400, 800, 1000)
    result = simulate("svj", 50, pt_range=(400.0, 800.0), match_pt_to=target)
    edges = np.quantile(target, np.linspace(0, 1, 26))
    edges[0], edges[-1] = 400, 800
    assert np.histogram(result.jets.jet_pt, edges)[0].tolist() == [2] * 25
    assert result.metadata["pt_matched"] == "true"


def test_a_range_without_jets_is_reported(pythia, monkeypatch):
    monkeypatch.setattr("jetad.simulation.mixing.MAX_EMPTY_CHUNKS", 0)
    with pytest.raises(JetadError, match="no wanted jet among 100 events"):
        simulate("svj", 1, pt_range=(3000.0, 3100.0))


def test_pythia_lines_that_do_not_exist_are_reported(pythia):
    from jetad.simulation.generator import Generator

    with pytest.raises(ConfigError, match="Nonsense:all = on"):
        Generator(["Nonsense:all = on"], seed=1)


# --- command line -------------------------------------------------------------------------------------------


def invoke(*args):
    return CliRunner().invoke(command, [str(a) for a in args])


def test_cli_writes_jets_and_a_summary(pythia, tmp_path):
    from jetad.readers import read

    out = tmp_path / "q.h5"
    done = invoke("aachen", "-n", 3, "--seed", 2, "-o", out, "--pt-min", 200, "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["n_jets"] == 3
    assert summary["mean_jet_pt"] > 200
    assert len(read(out)) == 3
    table = invoke("svj", "-n", 2, "-o", tmp_path / "s.root", "--pt-min", 300, "--pt-max", 900)
    assert table.exit_code == 0, table.output
    assert "r_inv in the jets" in table.stdout
    assert isinstance(read(tmp_path / "s.root"), Jets)


def test_cli_refuses_an_existing_output_before_it_generates(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"")
    result = invoke("qcd", "-n", 3, "-o", tmp_path / "a.h5")
    assert isinstance(result.exception, OutputError)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("qdc", "-n", 3, "-o", "a.h5"), "did you mean 'qcd'"),
        (("qcd", "-n", 3, "-o", "a.txt"), "written to .h5"),
        (("qcd", "-n", 3, "-o", "a.h5", "--pt-min", 700), "pt range"),
        (("qcd", "-n", 3, "-o", "a.h5", "--r-inv", 0.2), "is for 'svj'"),
    ],
)
def test_cli_usage_errors_exit_with_2(tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    result = invoke(*args)
    assert isinstance(result.exception, ConfigError)
    assert result.exception.exit_code == 2
    assert message in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_cli_number_of_jets_is_positive(tmp_path):
    assert invoke("qcd", "-n", 0, "-o", tmp_path / "a.h5").exit_code == 2
