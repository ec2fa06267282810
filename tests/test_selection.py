"""Selections: what they let through, what they refuse, and their cut flow."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetad.errors import ConfigError, InputError
from jetad.jets import Jets, Selection


@pytest.fixture
def jets() -> Jets:
    momenta = np.array([[100, 0.5, 0, 10], [600, -1.5, 1, 80], [700, 2.5, -3, 172], [np.nan, 0, 0, 0]])
    return Jets.without_constituents(
        4,
        jet_momenta=momenta,
        labels=np.array([0, 1, 1, 0]),
        weights=np.array([1.0, 2.0, -0.5, 3.0]),
        observables={"tau21": np.array([0.1, 0.2, 0.3, 0.4]), "n": np.array([0, 250, 3, 4], dtype=np.uint8)},
    )


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("jet_pt > 500", [1, 2]),
        ("jet_pt > 500 & abs(jet_eta) < 2", [1]),
        ("jet_pt > 500 && abs(jet_eta) < 2", [1]),
        ("jet_pt>500 and not abs(jet_eta)<2", [2]),
        ("jet_pt < 200 | jet_mass >= 172", [0, 2]),
        ("jet_pt < 200 || jet_mass >= 172 & label == 1", [0, 2]),
        ("(jet_pt < 200 | jet_mass > 100) & tau21 < 0.2", [0]),
        ("!(tau21 < 0.25)", [2, 3]),
        ("label != 1", [0, 3]),
        ("0.15 < tau21 <= 0.3", [1, 2]),
        ("n + 10 > 255", [1]),  # 8-bit numbers must not wrap
        ("-n < -3.5", [1, 3]),
        ("jet_mass / jet_pt > 0.12 & jet_mass**2 < 1e5", [1, 2]),
        ("min(tau21, 0.15) > 0.12", [1, 2, 3]),
        ("weight > 0 & entry >= 1", [1, 3]),
        ("n", [1, 2, 3]),
        ("n % 4 >= 2 & n", [1, 2]),
        ("jet_pt == jet_pt", [0, 1, 2]),  # not a number fails
    ],
)
def test_cuts(text, passed, jets):
    assert Selection(text)(jets).entry.tolist() == passed


def test_cut_flow_adds_up_over_pieces(jets):
    selection = Selection("jet_pt > 50 & jet_pt > 500 & abs(jet_eta) < 2")
    for start in (0, 2):
        selection(jets[start : start + 2])
    assert [step.cut for step in selection.flow.steps] == [
        "all jets",
        "jet_pt > 50",
        "jet_pt > 500",
        "abs(jet_eta) < 2",
    ]
    assert selection.flow.counts == [4, 3, 2, 1]
    assert selection.flow.weights == [5.5, 2.5, 1.5, 2.0]
    assert selection.flow.n_selected_out == 3
    assert str(selection.flow).splitlines()[-1].split() == ["abs(jet_eta)", "<", "2", "1", "25.00%", "2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no selection"),
        ("jet_pt >", "is no selection near"),
        ("jet_pt > 500 &", "is no selection"),
        ("__import__('os').system('true')", "is not known; functions are abs"),
        ("jet_pt.real > 1", "'jet_pt.real' is not allowed"),
        ("[1, 2]", "is not allowed"),
        ("lambda: 1", "is not allowed"),
        ("jet_pt if 1 else 2", "is not allowed"),
        ("jet_pt > 'a'", "is not allowed"),
        ("abs(jet_pt, 2) > 1", "is not known"),
        ("(x := 5) > 1", "is not allowed"),
        ("jet_pt in label", "is not allowed"),
        ("jetId & 2", "cannot test bits; write 'jetId % 4 >= 2'"),
        ("(jetId & 2) == 2", "cannot test bits"),
        ("1 + " * 400 + "1", "more than 500 parts"),
        ("(" * 300 + "1" + ")" * 300, "is no selection"),
        ("jet_pt > 1" + " " * 10 + "& jet_pt > 1" * 600, "longer than 5000"),
    ],
)
def test_refused(text, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(").replace("%", "%")):
        Selection(text)


def test_unknown_column_names_the_closest(jets):
    with pytest.raises(InputError, match=r"x\.root: no column 'tau12' to select on; closest: tau21"):
        Selection("tau12 > 1")(jets, where="x.root")


def test_without_weights_and_labels(jets):
    plain = dataclasses.replace(jets, weights=None, labels=None)
    selection = Selection("label == -1 & weight == 1")
    assert len(selection(plain)) == 4
    assert selection.flow.weights == [4.0, 4.0, 4.0]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="jet_ptl0129.+-*/%()&|!<>= abs'[]{}:,;@#~^\\\n\0", max_size=40))
def test_any_text_is_a_selection_or_a_clean_error(text):
    jets = Jets.without_constituents(2, jet_momenta=np.ones((2, 4)))
    with contextlib.suppress(ConfigError, InputError):
        assert Selection(text).mask(jets).shape == (2,)
