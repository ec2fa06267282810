"""Tables and sentences fit the terminal, and stay as they are where there is none."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from test_cli import jetad

from jetad.demo import sample
from jetad_cli.commands.cmd_contamination import table as contamination
from jetad_cli.commands.cmd_robustness import table as robustness
from jetad_cli.commands.cmd_two_way import table as two_way
from jetad_cli.tables import aligned, columns, hanging, terminal_width
from jetad_cli.terminal import fitted

ROWS = [
    ["trained on", "looking for", *(f"a long column {i}" for i in range(6))],
    ["qcd", "top", *("0.1234 ± 0.0012",) * 6],
]


@pytest.mark.parametrize(("width", "n_blocks"), [("60", 3), ("80", 2), ("200", 1), ("5", 6)])
def test_a_table_fits(monkeypatch, width, n_blocks):
    monkeypatch.setenv("COLUMNS", width)
    lines = aligned(ROWS, keys=2)
    assert max(map(len, lines)) <= max(40, int(width))
    assert lines.count("") == n_blocks - 1
    assert sum(line.startswith("qcd         top") for line in lines) == n_blocks
    assert " ".join(lines).count("0.1234 ± 0.0012") == 6


def test_sentences_break_between_words(monkeypatch):
    text = "what is wrong is " + "said " * 30 + "and/a/very-long/name-that-is/not-broken" + "x" * 60
    monkeypatch.setenv("COLUMNS", "60")
    lines = hanging("  note: ", text, 4).split("\n")
    assert lines[0].startswith("  note: what is")
    assert all(line.startswith("    said") for line in lines[1:-1])
    assert max(map(len, lines[:-1])) <= 60
    assert lines[-1].endswith("and/a/very-long/name-that-is/not-broken" + "x" * 60)
    assert hanging("a ", "short") == "a short"
    command = "next: jetad score FILE --run " + "x" * 80
    assert fitted(f"{command}\n{text}") == f"{command}\n{text}"  # for a file, whatever COLUMNS says
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    first, *lines = fitted(f"{command}\n{text}").split("\n")
    assert first == command
    assert max(map(len, lines[:-1])) <= 60
    monkeypatch.delenv("COLUMNS")
    assert terminal_width() is None
    assert columns() == 80
    assert hanging("  note: ", text, 4) == f"  note: {text}"


@pytest.mark.parametrize(
    "words", [["methods"], ["readers"], ["inspect", sample("top.root"), sample("qcd_test.h5")]]
)
def test_pages_fit_80_columns(monkeypatch, capsys, words):
    monkeypatch.setenv("COLUMNS", "80")
    assert jetad(*words) == 0
    wide = [line for line in capsys.readouterr().out.splitlines() if len(line) > 80]
    assert [line for line in wide if "data_samples" not in line] == []  # a path of another folder is one word


def test_tables_of_studies_fit_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    names = ["top", "semi-visible jets", "heidelberg", "aachen"]
    alone = {name: SimpleNamespace(auc=0.5) for name in ("multiplicity", "pixels")}
    direction = SimpleNamespace(
        background="semi-visible jets", signal="heidelberg", auc=0.9, auc_error=0.01, complexity=alone
    )
    both = SimpleNamespace(directions=[direction] * 2, worst=direction, complexity_bias=lambda name: 0.1)
    change = SimpleNamespace(relative=-0.7123, relative_error=0.0321)
    distorted = SimpleNamespace(
        efficiencies={0.1: dict.fromkeys(names, change)}, auc=dict.fromkeys(names, 0.91234)
    )
    robust = SimpleNamespace(
        cuts=[0.1], n_jets=dict.fromkeys(names, 1000), auc=dict.fromkeys(names, 0.91234),
        distortions={"energy scale +1 %": distorted, "no soft": distorted},
    )  # fmt: skip
    point = SimpleNamespace(
        fraction=0.013, n_signal=130, auc=SimpleNamespace(value=0.9, high=0.92), max_sic=(12.34, 10.12, 19.99)
    )
    shares = SimpleNamespace(n_train=12000, signal="semi-visible jets", background="q" * 40, points=[point])
    for page in (two_way(both), robustness(robust), contamination(shares)):
        lines = page.splitlines()
        assert max(map(len, lines)) <= 80
        assert "..." not in page
    assert robustness(robust).count("-71.2 ± 3.2") == 8
    assert robustness(robust).count("no soft") == 2  # names stand before each part


def test_a_refusal_fits_80_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert jetad("train", "--method", "nea", "--background", sample("qcd_test.h5")) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) <= 80
