"""Scores of several jets per event in lists, one row per event: `jetad score --layout events`."""

from __future__ import annotations

import json
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from test_cli import jetad
from test_cli_inputs import write_nano

from jetad.errors import InputError, Interrupted
from jetad.production import Request, merge_scores, score_files, verify_scores
from jetad.production.event_lists import write_events
from jetad.runs import Run
from jetad.scores import Scores, load_scores

WORDS = ["--keep", "FatJet_tau1", "--working-point", "0.5", "--chunk", 40]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on columns of NanoAOD, and a file of 100 events, some without jets."""
    folder = tmp_path_factory.mktemp("events")
    write_nano(str(folder / "qcd.root"), 200, 1)
    write_nano(str(folder / "data.root"), 100, 2)
    columns = "preprocessing.observables=[mass,'file:FatJet_tau1']"
    quick = ["training.epochs=1", "network.hidden=[8]", "training.batch_size=32", columns]
    words = [word for setting in quick for word in ("--set", setting)]
    train = ["train", "-b", folder / "qcd.root", "-o", folder / "run", "--representation", "features"]
    assert jetad(*train, "--method", "ae", *words) == 0
    assert (
        jetad("score", folder / "data.root", "--run", folder / "run", *WORDS, "-o", folder / "flat.root") == 0
    )
    return folder


@pytest.fixture
def folder(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return trained


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_lists_are_a_friend_of_the_tree_of_events(folder, kind):
    words = [*WORDS, "--layout", "events", "--output-format", kind]
    assert jetad("score", folder / "data.root", "--run", folder / "run", *words, "-o", "e.root") == 0
    flat = load_scores(folder / "flat.root")
    with uproot.open(f"{folder}/data.root:Events") as tree:
        pt = tree["FatJet_pt"].array()
    with uproot.open("e.root") as file:
        tree = file["jetad"]
        assert (tree.classname == "ROOT::RNTuple") == (kind == "rntuple")
        events = tree.arrays(library="ak")
        assert json.loads(str(file["jetad_provenance"]))["n_scored"] == len(flat)
    assert len(events) == len(pt) == 100
    assert events.entry.tolist() == list(range(100))
    assert ak.num(events.jetad_score).tolist() == ak.num(pt).tolist()
    assert ak.any(ak.num(pt) == 0)
    assert events.jetad_jet_pt.tolist() == pt.tolist()
    assert ak.flatten(events.jetad_score).tolist() == flat.score.tolist()
    assert events.jetad_jet.tolist() == ak.local_index(pt).tolist()
    assert ak.all(events.jetad_pass_0p5 == (events.jetad_background_efficiency <= 0.5))
    assert ak.any(events.jetad_pass_0p5)
    assert ("njetad" in tree.keys()) == (kind == "ttree")  # noqa: SIM118

    # what reads score files reads these
    scores = load_scores("e.root")
    assert list(scores.columns()) == list(flat.columns())
    for name, values in flat.columns().items():
        np.testing.assert_array_equal(scores.columns()[name], values, err_msg=name)
    assert jetad("verify", "e.root", folder / "data.root", "--run", folder / "run") == 0
    merge_scores(["e.root"], "m.h5")
    np.testing.assert_array_equal(load_scores("m.h5").score, flat.score)


def test_a_changed_list_is_noticed(folder):
    words = ["--run", folder / "run", "--layout", "events", "-o", "e.root"]
    assert jetad("score", folder / "data.root", *words) == 0
    with uproot.open("e.root") as file:
        events, provenance = file["jetad"].arrays(library="ak"), str(file["jetad_provenance"])
    scores = load_scores("e.root")
    order = np.argsort(scores.entry, kind="stable")
    order[[3, 4]] = order[[4, 3]]
    swapped = Scores(**{**scores.columns(), "score": scores.score[order]})
    write_events(
        Path("data.root"), Path("f.root"), iter([swapped]), n_entries=len(events), rntuple=False,
        provenance=provenance,
    )  # fmt: skip
    checks = verify_scores("f.root", folder / "data.root")
    assert [check.name for check in checks if check.passed is False] == ["score file as written"]


def test_an_interrupted_command_goes_on(folder):
    class StopAfter:
        signal = 15

        def __init__(self, n: int) -> None:
            self.n = n

        def __bool__(self) -> bool:
            self.n -= 1
            return self.n < 0

    runs, source = [Run.open(folder / "run")], folder / "data.root"
    request = Request(layout="events", chunk=20)
    score_files(runs, {source: Path("whole.root")}, request)
    for n in (1, 3):
        with pytest.raises(Interrupted):
            score_files(runs, {source: Path("parts.root")}, request, stop=StopAfter(n))
        assert not Path("parts.root").exists()
    (account,) = score_files(runs, {source: Path("parts.root")}, request)
    assert account.read == account.scored
    with uproot.open("whole.root:jetad") as whole, uproot.open("parts.root:jetad") as parts:
        assert whole.arrays(library="ak").tolist() == parts.arrays(library="ak").tolist()


def test_events_without_jets_at_the_ends_and_between_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("jetad.production.event_lists._STEP", 10)
    entry = np.array([25, 25, 26, 48])
    flags = {"pass_0p5": np.array([True, False, True, True])}
    scores = Scores(score=[1, 2, 3, 4], entry=entry, jet=[0, 1, 0, 0], extra=flags)
    path = tmp_path / "e.root"
    write_events(
        Path("x"), path, iter([scores[:1], scores[1:]]), n_entries=80, rntuple=False, provenance="{}"
    )
    with uproot.open(path) as file:
        events = file["jetad"].arrays(library="ak")
    assert np.flatnonzero(ak.num(events.jetad_score)).tolist() == [25, 26, 48]
    assert events.jetad_score[25].tolist() == [1, 2]
    np.testing.assert_array_equal(load_scores(path).extra["pass_0p5"], flags["pass_0p5"])
    with pytest.raises(InputError, match="fewer events than there are scores"):
        write_events(Path("x"), path, iter([scores]), n_entries=30, rntuple=False, provenance="{}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--part", "1/2"], "--layout events takes whole files: leave out --part"),
        (["--select", "jet_pt > 300"], "leave out --select, --max-jets and --copy"),
        (["--max-jets", "5"], "leave out --select"),
        (["--copy"], "leave out --select"),
        (["-o", "e.h5"], r"e.h5: --layout events needs a ROOT file as output"),
    ],
)
def test_what_lists_cannot_hold_is_refused(folder, capsys, words, message):
    command = ["score", folder / "data.root", "--run", folder / "run", "--layout", "events", *words]
    assert jetad(*command) == 2
    assert message in capsys.readouterr().err
    assert list(Path().iterdir()) == []
