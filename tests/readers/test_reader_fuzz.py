"""Damaged files end in a clean error or in as many jets as promised; never in another exception."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import reader_fuzzing
from reader_examples import LAYOUTS, make_example


def test_damaged_files(tmp_path):
    files = [write(tmp_path, make_example(20, seed=3)) for write in LAYOUTS.values()]
    originals, suffixes = [p.read_bytes() for p in files], [p.suffix for p in files]
    results = reader_fuzzing.run_cases(originals, suffixes, range(200), tmp_path)
    assert results["refused"] > 30
    assert results["read"] > 30


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 11_000, 1000))
def test_thousands_of_damaged_files(first, tmp_path):
    """In a process of its own, with 4 GB of memory, so that a crash or a wild allocation is seen."""
    (tmp_path / "files").mkdir()
    for n_jets in (1, 20):
        for write in LAYOUTS.values():
            path = write(tmp_path / "files", make_example(n_jets, seed=n_jets))
            path.rename(path.with_name(f"{n_jets}_{path.name}"))
    script = Path(reader_fuzzing.__file__)
    command = [sys.executable, str(script), str(tmp_path / "files"), str(first), str(first + 1000)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert result.returncode == 0, result.stderr[-3000:]
