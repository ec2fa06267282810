"""What ``import jetad`` offers: to look at, to type checkers, and without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import jetad

ROOT = Path(__file__).parents[1]


def test_public_names_are_listed_and_there():
    assert set(jetad.__all__) == set(dir(jetad))
    assert all(getattr(jetad, name) is not None for name in jetad.__all__)
    with pytest.raises(AttributeError, match="'jetad' has no attribute 'raed'"):
        _ = jetad.raed


def test_looking_at_the_names_imports_no_torch():
    code = "import sys, jetad; dir(jetad); assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_type_checker_knows_the_public_names(tmp_path):
    names = [name for name in jetad.__all__ if not name.startswith("__")]
    (tmp_path / "user.py").write_text(
        "import jetad\n" + "".join(f"reveal_type(jetad.{name})\n" for name in names)
    )
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "cli")])
    mypy = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    found = subprocess.run(
        [*mypy, str(tmp_path / "user.py")],
        env={**os.environ, "MYPYPATH": path}, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    types = [line for line in found.stdout.splitlines() if "Revealed type is" in line]
    assert len(types) == len(names), found.stdout
    assert not any('"Any"' in line for line in types), found.stdout


def test_commands_are_known_with_click_alone():
    """The manual pages of a wheel are made where nothing but click is installed."""
    script = (
        "import importlib, sys\n"
        "for name in ('numpy', 'pydantic', 'torch', 'yaml', 'h5py', 'awkward', 'uproot', 'scipy'):\n"
        "    sys.modules[name] = None\n"
        "from jetad_cli.main import COMMANDS\n"
        "for module in COMMANDS.values():\n"
        "    importlib.import_module(f'jetad_cli.commands.{module}')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
