"""Numbers that stand on more than one page come from one generated file and cannot disagree."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def numbers():
    spec = importlib.util.spec_from_file_location("numbers_of_readme", DOCS / "readme_numbers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def known():
    return yaml.safe_load((DOCS / "numbers.yaml").read_text(encoding="utf-8"))["demo"]


def test_the_readme_says_what_the_file_says(numbers, known):
    assert set(known) == set(numbers.ROWS)
    assert all(set(row) == set(numbers.COLUMNS) for row in known.values())
    assert numbers.differences(numbers.README.read_text(encoding="utf-8"), known) == []


def test_a_number_that_differs_is_noticed(numbers, known):
    readme = numbers.README.read_text(encoding="utf-8")
    value = known["svj"]["knn"]
    problems = numbers.differences(readme.replace(value, "0.999 ± 0.001"), known)
    assert [p for p in problems if p.startswith("svj, knn: 0.999")]
    assert [p for p in problems if p.startswith("0.999 ± 0.001: is in README.md")]
    assert numbers.differences(readme + "\nand 0.123 ± 0.004\n", known)


def test_the_file_is_made_from_results(numbers, known):
    def result(auc: float) -> dict:
        values = {"auc": auc, "auc_error": 0.00312, "mass_only_auc": 0.9}
        return {"signals": dict.fromkeys(numbers.ROWS, values)}

    results = {name: result(0.5 + k / 10) for k, name in enumerate(numbers.COLUMNS[:4])}
    made = numbers.numbers_of(results, {"top": "0.980"})
    assert made["top"] == {
        "gmm": "0.500 ± 0.003", "knn": "0.600 ± 0.003", "nae": "0.700 ± 0.003", "ae": "0.800 ± 0.003",
        "mass": "0.900", "ceiling": "0.980",
    }  # fmt: skip
    printed = "top.h5   3000   592.1   0.501   0.924  0.731  0.980 +- 0.003\n"
    assert numbers.ceiling_of(printed) == {"top": "0.980"}


@pytest.fixture
def texts(numbers):
    return numbers.pages()


@pytest.fixture
def cited():
    return yaml.safe_load((DOCS / "numbers.yaml").read_text(encoding="utf-8"))["cited"]


def test_the_page_on_physics_says_what_the_file_says(numbers, known, texts):
    page = texts["physics.md"]
    assert numbers.physics_differences(page, known) == []
    assert numbers.physics_differences(page.replace("| 0.848 ± 0.005 |", "| 0.849 ± 0.005 |", 1), known)


def test_what_pages_cite_is_what_the_tables_say(numbers, texts, cited):
    assert numbers.citation_problems(texts, cited) == []
    assert cited == numbers.cited(texts)
    assert len(cited) > 50
    assert {"README.md", "methods.md", "scaling.md", "tables.md"} <= {
        page for page, _, _ in numbers.marks(texts)
    }


@pytest.mark.parametrize(
    ("page", "old", "new", "problem"),
    [
        (
            "methods.md",
            "0.948<!--",
            "0.949<!--",
            "methods.md: 0.949 for ranking/mpdr-s/QCD → top, which is 0.948",
        ),
        (
            "tables.md",
            "| 0.722 ± 0.008 |",
            "| 0.732 ± 0.008 |",
            "tables.md: 0.722 for ranking/mpdr-s/QCD → w",
        ),
        (
            "methods.md",
            "ranking/mpdr-s/QCD → top",
            "ranking/mpdr-x/QCD → top",
            "methods.md: no number 'ranking/mpdr-x",
        ),
        ("methods.md", "0.953<!--", "many<!--", "a mark stands behind something that is no number"),
        ("README.md", "0.17<!--", "0.16<!--", "README.md: 0.16 for digits/1/ae, which is 0.168"),
    ],
)
def test_a_page_that_disagrees_is_noticed(numbers, texts, cited, page, old, new, problem):
    assert old in texts[page]
    changed = {**texts, page: texts[page].replace(old, new, 1)}
    assert any(found.startswith(problem) for found in numbers.citation_problems(changed, cited))


def test_rounding(numbers):
    assert numbers.agrees("0.92", "0.919")
    assert numbers.agrees("24,307", "24,307")
    assert numbers.agrees("0.9", "0.949")
    assert not numbers.agrees("0.92", "0.926")
    assert not numbers.agrees("0.920", "0.919")
    assert not numbers.agrees("0.92", "")


def test_auc_of_methods_come_from_the_tables(numbers, texts):
    """On the page of the methods a value of three digits is cited, or it may say something else one day."""
    prose = "\n".join(line for line in texts["methods.md"].splitlines() if not line.startswith("|"))
    assert numbers.re.findall(r"(?<![\d.])0\.\d{3}(?![\d<])", prose) == []
