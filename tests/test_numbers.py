"""The numbers of the README come from one generated file."""

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
    return yaml.safe_load((DOCS / "numbers.yaml").read_text(encoding="utf-8"))


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
