"""The documentation holds: examples in docstrings run, commands in the README exist."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import jetad
from jetad_cli.main import COMMANDS

README = Path(__file__).parents[1] / "README.md"
MODULES = [m.name for m in pkgutil.walk_packages(jetad.__path__, "jetad.")]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_readme_names_every_command_and_no_other():
    named = set(re.findall(r"jetad ([a-z]+(?:-[a-z]+)*)", README.read_text()))
    prose = {"trains", "and", "without"}
    assert set(COMMANDS) <= named
    assert named - prose <= set(COMMANDS)


def test_readme_has_exactly_two_commands_for_a_fresh_machine():
    lines = [line for line in README.read_text().splitlines() if line.startswith("python3 -m venv")]
    assert len(lines) == 2
    assert lines[0].endswith("jetad demo")
    assert lines[1].endswith("pytest")
