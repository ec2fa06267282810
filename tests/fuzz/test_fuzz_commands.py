"""Some hundred random commands and damaged files: none ends with an error that nobody foresaw, none hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("fuzz_commands.py")


def fuzz(*words: str | int, limit_s: int) -> dict:
    """The figures of a run; all that it printed is shown where it finds something."""
    command = [sys.executable, str(SCRIPT), *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=limit_s, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_random_commands():
    found = fuzz("--n", 120, "--seed", 11, limit_s=600)
    assert found["problems"] == {}
    assert found["codes"]["0"] > 15  # commands that work are among them
    assert found["codes"]["1"] > 15


def test_damaged_files():
    found = fuzz("--kind", "files", "--n", 150, "--seed", 11, limit_s=600)
    assert found["refused"] > 50
    assert found["read"] > 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["commands", "files"])
def test_ten_thousand(kind):
    fuzz("--kind", kind, "--n", 10_000, "--seed", 1, limit_s=7200)


def test_the_script_notices_what_it_looks_for(tmp_path):
    """Faults put in on purpose: each kind is found, and makes the script end with 1."""
    code = f"""
import sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
import fuzz_commands as fuzz
from jetad_cli import main
from jetad.errors import InputError

def failing(group, args, **more):
    number = int(args[0])
    if number == 0:
        raise KeyError("n")
    if number == 1:
        import warnings
        warnings.showwarning = warnings._showwarning_orig
        warnings.warn("overflow", RuntimeWarning)
    if number == 2:
        print("http://user:" + fuzz.SECRET + "@host")
    if number == 3:
        open(".new.0123.tmp.h5", "w").close()
        raise SystemExit(3)
    if number == 4:
        raise SystemExit(1)
    if number == 5:
        import time
        time.sleep(60)
    if number == 6:
        sys.stderr.write("Error: \\x1b[31m" + "x" * 3000)
        raise SystemExit(2)

main.cli.main = lambda args, **more: failing(main.cli, args)
fuzz.LIMIT_S = 1
from pathlib import Path
Path("originals").mkdir(); Path("scratch").mkdir()
runner = fuzz.Runner(Path("originals").resolve(), Path("scratch").resolve())
runner.copy(runner.scratch / "case")
(runner.scratch / "case" / "folder").mkdir()
(runner.scratch / "case" / "folder" / "precious").write_text("x")
for number in range(7):
    case = runner.execute([str(number)], runner.scratch / "case", "", "", {{}}, {{}})
    print(number, ",".join(case.problems), file=sys.__stdout__)
    for path in (runner.scratch / "case").glob(".*"):
        path.unlink()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=300
    )
    assert done.stdout.splitlines() == [
        "0 unexpected",
        "1 warning",
        "2 secret",
        "3 code,leftover",
        "4 silent",
        "5 hang",
        "6 control,long",
    ], done.stderr[-3000:]
