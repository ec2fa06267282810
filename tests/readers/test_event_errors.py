"""Event files that are not as they should be: one sentence that names the branch and the entry."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pandas as pd
import pytest
from reader_examples import write_root, write_table

from jetad import readers
from jetad.errors import ConfigError, InputError
from jetad.readers.inspection import inspect_file


def nano_arrays(**changes):
    """Two events, one jet each, two particles each."""
    arrays = {
        **{f"FatJet_{k}": [[300.0], [400.0]] for k in ("pt", "eta", "phi", "mass")},
        **{f"PFCands_{k}": [[9.0, 8.0], [7.0, 6.0]] for k in ("pt", "eta", "phi", "mass")},
        "FatJetPFCands_jetIdx": [[0, 0], [0, -1]],
        "FatJetPFCands_pFCandsIdx": [[0, 1], [1, 0]],
    } | changes
    return {name: ak.Array(values) for name, values in arrays.items() if values is not None}


def write(path, **changes):
    return write_root(path / "x.root", nano_arrays(**changes), tree="Events")


def test_links(tmp_path):
    jets = readers.read(write(tmp_path))
    assert jets.pt.tolist() == [9, 8, 6]
    assert jets.offsets.tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"FatJetPFCands_jetIdx": [[0, 0], [0, 3]]},
            r"entry 1: .*jetIdx' points to number 3, but 'FatJet_pt' has 1",
        ),
        ({"FatJetPFCands_pFCandsIdx": [[0, 2], [1, 0]]}, r"entry 0: .*to number 2, but 'PFCands_pt' has 2"),
        ({"FatJetPFCands_jetIdx": [[0.0, 0.0], [0.0, -1.0]]}, r"jetIdx' holds float64, expected positions"),
        (
            {"FatJetPFCands_jetIdx": [[0], [0, -1]]},
            r"entry 0 has 1 values in 'FatJetPFCands_jetIdx', but 2 in",
        ),
        ({"FatJet_eta": [[300.0], []]}, r"entry 1 has 1 values in 'FatJet_pt', but 0 in 'FatJet_eta'"),
        ({"FatJet_tau1": [[300.0], []]}, r"entry 1 has 1 values in 'FatJet_pt', but 0 in 'FatJet_tau1'"),
        ({"PFCands_eta": None}, r"has no branch 'PFCands_eta'; closest: PFCands_"),
        ({"PFCands_eta": [[9.0, 8.0], [7.0]]}, r"'PFCands_eta' and 'PFCands_pt' differ in length"),
    ],
)
def test_links_that_lead_nowhere(changes, message, tmp_path):
    with pytest.raises(InputError, match=message):
        readers.read(write(tmp_path, **changes))


def test_options(tmp_path):
    path = write(tmp_path)
    with pytest.raises(InputError, match="has no branch 'PFCands_puppiWeight' to weight constituents with"):
        readers.read(path, options={"use_puppi": True})
    with pytest.raises(InputError, match="no tree has Jet_pt, Jet_eta, Jet_phi"):
        readers.read(path, reader="nanoaod", options={"collection": "Jet"})
    with pytest.raises(ConfigError, match="reader 'jetclass' has no option 'collection'; it has: none"):
        readers.read(path, reader="jetclass", options={"collection": "Jet"})
    with pytest.raises(ConfigError, match="units are GeV or MeV, found 'TeV'"):
        readers.iterate(path, units="TeV")


def test_weights_of_zero_leave_the_jet_and_nan_stays_in_it(tmp_path):
    jets = readers.read(write(tmp_path, PFCands_puppiWeight=[[0.0, 0.5], [1.0, float("nan")]]))
    assert jets.pt[0] == 4
    assert jets.n_constituents.tolist() == [1, 1]
    assert np.isnan(jets.pt[1])


def test_what_the_jet_says_of_itself_is_compared_with_its_constituents(tmp_path):
    found = inspect_file(write(tmp_path))
    assert any("times the pT of the summed constituents" in text for text in found.warnings)


@pytest.mark.parametrize("value", [np.nan, np.inf, -5.0, 1e20])
def test_events_that_cannot_be_clustered_are_not_scored(value, tmp_path):
    rows = np.zeros((3, 2101))
    rows[:, :6] = [50, 0.1, 0.2, 60, 0.0, 0.1]
    rows[1, 3] = value
    path = write_table(
        tmp_path / "x.h5", pd.DataFrame(rows), key="df", format="fixed", complib=None, complevel=0
    )
    jets = readers.read(path)
    assert jets.entry.tolist() == [0, 0, 1, 1, 2, 2]
    assert jets.n_constituents.tolist() == [2, 0, 2, 0, 2, 0]
    assert np.isfinite(jets.jet_pt).tolist() == [True, False, False, False, True, False]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("0;a;1;5;6;j,1,2,3,4\n1;a;1;5\n", "event 1: has 4 fields, expected 'event; process"),
        (
            "0;a;1;5;6;j,1,2,3,4\n1;a;1;5;6;q,1,2,3,4\n",
            "event 1: object 'q,1,2,3,4' is not 'obj,E,pt,eta,phi'",
        ),
        ("0;a;1;5;6;j,1,2,3,4\n1;a;1;5;6;j,1,x,3,4\n", "event 1: 'x' is not a number"),
        ("0;a;1;5;6;j,1,2,3\n", "unknown format; .*no lines 'event; process"),
    ],
)
def test_lines_of_text(lines, message, tmp_path):
    (tmp_path / "x.csv").write_text(lines)
    with pytest.raises(InputError, match=message):
        readers.read(tmp_path / "x.csv")
