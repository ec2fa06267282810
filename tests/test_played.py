"""The README and the tutorial do, on a terminal of 80 columns, what is written down."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import pytest
import yaml
from played import (
    COLUMNS,
    PAGES,
    ROOT,
    TRANSCRIPTS,
    cells_of_tutorial,
    commands_of_readme,
    differences,
    on_terminal,
    play,
    screen,
    transcript,
)

README = PAGES["readme"].read_text(encoding="utf-8")
STORED = {page: (TRANSCRIPTS / f"{page}.txt").read_text(encoding="utf-8") for page in PAGES}


def typed(stored: str) -> list[str]:
    """The lines of a transcript that were typed."""
    return [line[1:].removeprefix(" ") for line in stored.splitlines() if line.startswith("$")]


def shown_in(readme: str) -> list[str]:
    """Blocks of output that stand below commands of the README."""
    return re.findall(r"^```sh\n(?:[^`]*)^```\n+```text\n(.*?)^```", readme, flags=re.M | re.S)


def problems_of(readme: str, stored: str) -> list[str]:
    """Where the README and its transcript do not say the same."""
    commands = commands_of_readme(readme)
    found = [f"not played: {c}" for c in commands if c not in typed(stored)]
    found += [f"not in the README: {c}" for c in typed(stored) if c not in commands]
    return found + [f"not shown: {block}" for block in shown_in(readme) if block.strip() not in stored]


def test_the_commands_and_the_output_of_the_readme_are_those_that_were_played():
    assert len(commands_of_readme(README)) >= 4
    assert len(shown_in(README)) >= 1
    assert problems_of(README, STORED["readme"]) == []


def test_a_page_that_says_something_else_is_noticed():
    for old, new in (
        (
            "jetad roc --background qcd_test.scores.h5",
            "jetad roc -b qcd_test.scores.h5",
        ),
        ("0.9466 ± 0.0030", "0.9766 ± 0.0030"),
        ("pT alone", "pT only"),
    ):
        assert old in README
        assert problems_of(README.replace(old, new), STORED["readme"])


def test_the_numbers_shown_are_those_of_the_table():
    value, error = re.search(r"^top +3000 +([\d.]+) ± ([\d.]+)", "\n".join(shown_in(README)), re.M).groups()
    known = yaml.safe_load((ROOT / "docs" / "numbers.yaml").read_text(encoding="utf-8"))
    assert f"{float(value):.3f} ± {float(error):.3f}" == known["demo"]["top"]["gmm"]


@pytest.mark.parametrize("page", ["tutorial", "limit"])
def test_the_cells_of_a_tutorial_are_those_that_were_played(page):
    cells = cells_of_tutorial(PAGES[page].read_text(encoding="utf-8"))
    assert typed(STORED[page]) == [line for cell in cells for line in cell.split("\n")]


@pytest.mark.parametrize("page", PAGES)
def test_nothing_stored_is_wider_than_a_terminal(page):
    shown = [line for line in STORED[page].splitlines() if not line.startswith("$")]
    assert len(shown) > 20
    assert [line for line in shown if len(line) > COLUMNS] == []


def test_what_is_compared():
    stored = "trained in N s on 9600 jets\nAUC 0.9466 ± 0.0030, 1/eff_B 52.6"
    assert differences(stored, "trained in N s on  9600 jets\nAUC 0.9451 ± 0.0031, 1/eff_B 55.0") == []
    for other in ("trained in N s on 9601 jets", "trained for N s on 9600 jets"):
        assert differences(stored, stored.replace("trained in N s on 9600 jets", other))
    for other in ("AUC 0.9266", "AUC -", "area 0.9466"):
        assert differences(stored, stored.replace("AUC 0.9466", other))
    assert differences(stored, f"{stored}\nand more")
    assert differences(stored, stored.replace("52.6", "25.6"))


def test_what_a_terminal_shows():
    bar = "\r\x1b[2Kphase 1 \x1b[32m━━\x1b[0m 3/9"
    assert screen(f"{bar}{bar}\r\x1b[2Kdone\r\n\x1b[?25hnext\r\n") == ["done", "next", ""]
    assert screen("one\r\ntwo\r\x1b[1A\x1b[2Kthree") == ["three", "two"]
    with pytest.raises(ValueError, match="81 columns"):
        screen("x" * 81 + "\r\x1b[2K")  # a bar that is too wide, erased later
    with pytest.raises(ValueError, match="not known"):
        screen("\x1b[5P")


@pytest.mark.skipif(shutil.which("script") is None, reason="needs 'script' of util-linux")
def test_a_terminal_of_80_columns(tmp_path):
    assert on_terminal("stty size", tmp_path) == f"24 {COLUMNS}"
    lines = on_terminal("jetad methods", tmp_path).splitlines()
    assert 70 < max(map(len, lines)) <= COLUMNS
    with pytest.raises(ValueError, match="exit code 2"):
        on_terminal("jetad train --backgruond a.h5", tmp_path)


@pytest.mark.skipif(shutil.which("script") is None, reason="needs 'script' of util-linux")
@pytest.mark.parametrize(
    "page", ["limit", *(pytest.param(page, marks=pytest.mark.slow) for page in PAGES if page != "limit")]
)
def test_a_page_played_as_typed(page):
    if page == "limit":
        pytest.importorskip("cabinetry")
    with tempfile.TemporaryDirectory() as folder:  # of a short name: it stands in the output
        now = transcript(play(page, Path(folder)))
    assert differences(STORED[page], now) == []


def test_the_tutorial_finds_the_jets_that_it_hides():
    """From a file that jetad does not know to a limit that is far above the one expected."""
    shown = STORED["limit"]
    assert "unknown format" in shown
    expected, low, high = map(
        int, re.search(r"^expected: fewer than (\d+) .* 68 %: (\d+) to (\d+)", shown, re.M).groups()
    )
    observed, z = re.search(
        r"^observed: fewer than (\d+); significance of the excess ([\d.]+)", shown, re.M
    ).groups()
    assert 20 < low < expected < high < 150 < int(observed)
    assert float(z) > 3
    fitted, error = map(int, re.search(r"^(\d+) ± (\d+) top jets$", shown, re.M).groups())
    assert abs(fitted - 150) < 2 * error
