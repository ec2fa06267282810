"""The options of every command that reads jets: formats, collections, selections, units."""

from __future__ import annotations

import json
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from conftest import toy_jets
from test_cli import QUICK, jetad

from jetad.writers import write_jets


def write_nano(path: str, n: int, seed: int) -> int:
    """A NanoAOD without constituents; the number of jets."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, n)
    total = int(counts.sum())
    columns = {"pt": rng.uniform(200, 900, total), "eta": rng.normal(0, 1, total), "phi": np.zeros(total)}
    columns |= {"mass": rng.uniform(10, 200, total), "tau1": rng.random(total), "tau2": rng.random(total)}
    with uproot.recreate(path) as file:
        arrays = {f"FatJet_{k}": ak.unflatten(v.astype("f4"), counts) for k, v in columns.items()}
        file.mktree("Events", {k: v.type.content for k, v in arrays.items()} | {"run": "u4"})
        file["Events"].extend(arrays | {"run": np.ones(n, dtype="u4")})
    return total


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JETAD_RUN", raising=False)
    return tmp_path


def test_jets_without_constituents_from_training_to_scores(folder, capsys):
    write_nano("qcd.root", 300, 1)
    n = write_nano("data.root", 100, 2)
    quick = ["--set", "training.epochs=1", "--set", "training.contrastive.steps=5", "--set"]
    quick += ["network.hidden=[16]", "--set", "training.batch_size=32", "--representation", "features"]
    columns = "members.features.preprocessing.observables=[mass,'file:FatJet_tau1','file:FatJet_tau2']"
    select = ["--select", "jet_pt > 300 & abs(jet_eta) < 2"]
    assert jetad("train", "--background", "qcd.root", *quick, "--set", columns, *select) == 0
    assert "jet_pt > 300" in capsys.readouterr().err
    assert jetad("score", "data.root", *select, "--keep", "FatJet_tau1", "--json") == 0
    account = json.loads(capsys.readouterr().out)["files"][0]
    assert account["read"] == n
    assert 0 < account["selected_out"] < n
    assert account["scored"] + account["selected_out"] + account["failed"] == n
    with uproot.open("data.scores.root") as file:
        table = file["jetad"].arrays(library="np")
    assert len(table["score"]) == account["scored"]
    assert np.isfinite(table["score"]).all()
    assert (table["jet_pt"] > 300).all()
    assert (table["jet"] > 0).any()
    assert jetad("train", "-b", "qcd.root", *QUICK, "--output", "x") == 1
    assert "the jets have no constituents, so no images can be made" in capsys.readouterr().err


def test_inspect_events(folder, capsys):
    n = write_nano("data.root", 50, 3)
    Path("files.txt").write_text("# my files\n\ndata.root:Events  # the only one\n")
    cuts = "jet_pt > 300 & FatJet_tau1 < 0.5"
    assert jetad("inspect", "@files.txt", "--select", cuts) == 0
    out = capsys.readouterr().out
    assert "nanoaod, ROOT TTree, 'Events'" in out
    assert "note: jets are the collection 'FatJet'" in out
    assert "FatJet_tau1 < 0.5" in out
    assert jetad("inspect", "data.root", "--select", cuts, "--json") == 0
    found = json.loads(capsys.readouterr().out)["files"][0]
    flow = found["cut_flow"]
    assert flow[0] == {"cut": "all jets", "n_jets": n, "sum_of_weights": n}
    assert flow[-1]["n_jets"] == found["n_jets"] < flow[1]["n_jets"]
    assert jetad("inspect", "data.root", "--max-jets", "7", "--json") == 0
    assert json.loads(capsys.readouterr().out)["files"][0]["n_jets"] == 7


def test_units(folder, capsys):
    jets = toy_jets(30, 1, labels=0)
    write_jets(jets, "gev.h5")
    with h5py.File("gev.h5") as source, h5py.File("mev.h5", "w") as target:
        for key in source:
            source.copy(key, target)
        table = target["table/table"]
        rows = table[:]
        for name in rows.dtype.names:
            if rows.dtype[name].base.kind == "f":
                rows[name] *= 1000
        table[:] = rows
    assert jetad("inspect", "mev.h5", "--json") == 0
    found = json.loads(capsys.readouterr().out)["files"][0]
    assert found["units"] == "MeV?"
    assert "--units MeV converts them" in found["warnings"][-1] or any("MeV" in w for w in found["warnings"])
    assert jetad("train", "-b", "mev.h5", *QUICK) == 1
    assert "look like MeV" in capsys.readouterr().err
    assert jetad("inspect", "mev.h5", "--units", "MeV", "--json") == 0
    found = json.loads(capsys.readouterr().out)["files"][0]
    assert found["units"] == "GeV (converted from MeV)"
    assert found["spreads"]["jet_pt"]["mean"] == pytest.approx(float(jets.jet_pt.mean()), rel=1e-4)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["inspect", "data.root", "--select", "jet_pt >"], 2, "is no selection"),
        (["inspect", "data.root", "--select", "jet_ptt > 1"], 1, "no column 'jet_ptt' to select on; closest"),
        (["inspect", "data.root", "--collection", "Jett"], 1, "no tree has Jett_pt"),
        (["inspect", "data.root", "--reader-option", "x"], 2, "--reader-option x: is not KEY=VALUE"),
        (["inspect", "data.root", "--reader-option", "puppi=1"], 2, "has no option 'puppi'; it has: use_pup"),
        (["inspect", "data.root", "--reader-option", "use_puppi=9"], 2, "is yes or no, found '9'"),
        (["inspect", "data.root", "--reader", "nano"], 2, "unknown reader 'nano'; choose one of: nanoaod"),
        (["inspect", "@none.txt"], 1, "the list of files cannot be read"),
        (["train", "-b", "data.root", "--select", "jet_pt > 1e6", "--output", "x"], 1, "none of"),
    ],
)
def test_mistakes(words, code, message, folder, capsys):
    write_nano("data.root", 20, 3)
    assert jetad(*words) == code
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_ready_made_images_from_training_to_scores(folder, capsys):
    """The pixels of a detector trained on a table of images are those it makes itself."""
    from jetad.preprocessing.images import ImageConfig, JetImages

    plain = JetImages(ImageConfig(sigma=0))
    for name, jets in (("qcd", toy_jets(200, 1)), ("data", toy_jets(40, 2))):
        np.savez(f"{name}.npz", images=plain.transform(jets)[:, 0])
        write_jets(jets, f"{name}.h5")
    assert jetad("train", "-b", "qcd.npz", *QUICK, "--output", "x") == 1
    assert "the jets have no constituents to compute" in capsys.readouterr().err
    assert jetad("train", "-b", "qcd.npz", *QUICK, "--representation", "image") == 0
    assert jetad("score", "data.npz", "-o", "a.h5") == 0
    assert jetad("score", "data.h5", "-o", "b.h5") == 0
    with h5py.File("a.h5") as a, h5py.File("b.h5") as b:
        np.testing.assert_allclose(a["score"][:], b["score"][:], rtol=1e-3)
        assert np.isnan(a["jet_pt"][:]).all()
    assert jetad("inspect", "data.npz", "data.h5", "--plot", "x.png") == 0
    out = capsys.readouterr().out
    assert "ready-made images, 1 x 40 x 40" in out


def test_no_mean_image_of_jets_without_constituents(folder, capsys):
    write_nano("data.root", 20, 3)
    assert jetad("inspect", "data.root", "--plot", "x.png") == 1
    assert "data.root: the jets have no constituents" in capsys.readouterr().err
    assert not Path("x.png").exists()


def test_mapping_on_the_command_line(folder, capsys):
    write_nano("data.root", 30, 3)
    assert jetad("inspect", "data.root", "--suggest-mapping") == 0
    text = capsys.readouterr().out
    Path("map.yaml").write_text(text.replace("constituents:", "jets:"))
    assert jetad("inspect", "data.root", "--mapping", "map.yaml", "--json") == 0
    found = json.loads(capsys.readouterr().out)["files"][0]
    assert (found["reader"], found["n_entries"]) == ("mapping", 30)
    Path("map.yaml").write_text("jets: {pt: x}")
    assert jetad("score", "data.root", "--mapping", "map.yaml") == 2
    assert "jets: give pt, eta, phi and perhaps mass" in capsys.readouterr().err
