"""Play the README and the tutorials as typed, at 80 columns: ``python tests/played.py [PAGE...] [--write]``.

Each command runs under ``script`` (util-linux) in one folder with the shipped samples, the Python of the
tutorial in one session. What the terminal shows is compared with tests/transcripts/, or written there
with ``--write``. Numbers may differ by a few per cent: another processor rounds differently. Times,
names with dates, and rates are masked.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TRANSCRIPTS = Path(__file__).parent / "transcripts"
PAGES = {
    "readme": ROOT / "README.md",
    "tutorial": ROOT / "docs" / "tutorial.ipynb",
    "limit": ROOT / "docs" / "limit.ipynb",
}
COLUMNS = 80
#: Beginnings of lines of the README that are not played, with the reason.
NOT_PLAYED = {
    "python3 -m venv": "installs jetad: .ci/run does it",
    "jetad train --background qcd.h5": "the same on files of the reader, on top of the page",
    "jetad score qcd_unseen.h5 signal.root": "the same on files of the reader, on top of the page",
    "jetad roc --background qcd_unseen.scores.h5 --signal top=signal": "the same, on top of the page",
}
_PROMPT = "$ "
_MASKS = [
    (r"\b20\d{6}-(?=[a-z])", "DATE-"),  # runs/20261128-gmm
    (r"\b\d+:\d\d(:\d\d)?\b", "TIME"),
    (r"\b[\d.]+(e[+-]\d+)? (s|ms|min|jets/s|steps/s)\b", r"N \2"),
    (r"\b[0-9a-f]{8,64}\b", "HASH"),
]
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")


class Played(NamedTuple):
    """A command and what the terminal showed."""

    command: str
    shown: str


def commands_of_readme(text: str) -> list[str]:
    """Lines of its blocks of commands, without comments, but for those in `NOT_PLAYED`."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.M | re.S)
    lines = [re.sub(r"\s+#.*", "", line).strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(tuple(NOT_PLAYED))]


def cells_of_tutorial(text: str) -> list[str]:
    """The code of the notebook, a cell each."""
    cells = json.loads(text)["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def screen(raw: str) -> list[str]:
    """The lines that a terminal is left with: what was overwritten and erased is gone.

    Raises:
        ValueError: for a line of more than 80 columns, erased later or not, or a sequence not known here.
    """
    lines: list[str] = [""]
    row = column = 0
    for token in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", raw):
        if token == "\r":
            column = 0
        elif token == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif not token.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + len(token) :]
            column += len(token)
            if column > COLUMNS:
                raise ValueError(f"{column} columns: {lines[row]}")
        elif token.endswith("A"):
            row = max(0, row - int(token[2:-1] or 1))
        elif token == "\x1b[2K":
            lines[row] = ""
        elif token.endswith("K"):
            lines[row] = lines[row][:column]
        elif not token.endswith(("m", "h", "l")):  # colours, the cursor
            raise ValueError(f"the sequence {token!r} is not known here")
    return [line.rstrip() for line in lines]


def on_terminal(command: str, folder: Path) -> str:
    """What a command of the shell shows on a terminal of 80 columns.

    Raises:
        ValueError: if a line is wider, or the command fails.
    """
    environment = {**os.environ, "TERM": "xterm", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    for name in ("COLUMNS", "LINES", "JETAD_RUN", "NO_COLOR"):
        environment.pop(name, None)
    tools = folder / ".tools"
    if not tools.exists():
        tools.mkdir()
        (tools / "jetad").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jetad "$@"\n')
        (tools / "jetad").chmod(0o755)
    environment["PATH"] = f"{tools}:{environment['PATH']}"
    record = folder / ".typescript"
    process = subprocess.run(
        ["script", "-qefc", f"stty cols {COLUMNS} rows 24 -echo; {command}", str(record)],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
    )  # fmt: skip
    raw = record.read_bytes().decode(errors="replace")  # with its carriage returns
    raw = re.sub(r"\AScript started[^\n]*\n|\n+Script done[^\n]*\n?\Z", "", raw)
    if process.returncode:
        raise ValueError(f"{command}: exit code {process.returncode}\n{raw}")
    return "\n".join(screen(raw)).strip("\n").replace(f"{folder.resolve()}/", "")


def play(page: str, folder: Path) -> list[Played]:
    """Type all commands of a page, in a folder with the samples."""
    (folder / "data_samples").symlink_to(ROOT / "data_samples")
    text = PAGES[page].read_text(encoding="utf-8")
    if page == "readme":
        return [Played(command, on_terminal(command, folder)) for command in commands_of_readme(text)]
    cells = cells_of_tutorial(text)
    (folder / "cells.json").write_text(json.dumps(cells))
    (folder / "session.py").write_text(_SESSION)
    shown = on_terminal(f"{sys.executable} session.py", folder)
    parts = re.split(r"^=== cell \d+ ===$\n?", shown, flags=re.M)[1:]
    return [Played(cell, part.strip("\n")) for cell, part in zip(cells, parts, strict=True)]


#: A notebook without one: cells in order, ``!`` lines to the shell, the others to Python.
_SESSION = r"""
import json, os, re, subprocess, sys
space = {"__name__": "__main__"}
def shell(line):
    sys.stdout.flush()
    subprocess.run(line, shell=True, check=True)
space["shell"] = shell
for number, cell in enumerate(json.load(open("cells.json"))):
    print(f"=== cell {number} ===", flush=True)
    cell = re.sub(r"^%.*$", "", cell.replace("\\\n", " "), flags=re.M)
    cell = re.sub(r"^!(.*)$", lambda match: f"shell({match[1]!r})", cell, flags=re.M)
    exec(cell, space)
"""


def transcript(played: list[Played]) -> str:
    """Text for tests/transcripts/: commands after ``$``, then what they showed."""
    blocks = [
        "\n".join([*(f"{_PROMPT}{line}".rstrip() for line in command.split("\n")), *shown.split("\n")])
        for command, shown in played
    ]
    return "\n\n".join(masked(block).rstrip() for block in blocks) + "\n"


def masked(text: str) -> str:
    """With times, rates, dates and hashes replaced."""
    for pattern, replacement in _MASKS:
        text = re.sub(pattern, replacement, text)
    return text


def differences(stored: str, now: str) -> list[str]:
    """Lines that do not say the same: other words, or numbers that differ by more than a few per cent."""
    before, after = ([" ".join(line.split()) for line in text.splitlines()] for text in (stored, now))
    for i in range(min(len(before), len(after))):
        if _close(before[i], after[i]):
            after[i] = before[i]
    return [line for line in difflib.ndiff(before, after) if line[0] in "+-"]


def _close(first: str, second: str) -> bool:
    if _NUMBER.sub("N", first) != _NUMBER.sub("N", second):
        return False
    pairs = list(zip(_NUMBER.findall(first), _NUMBER.findall(second), strict=True)) or [("0", "0")]
    return all(map(_near, *zip(*pairs, strict=True)))


def _near(first: str, second: str) -> bool:
    """Whether rounding of another processor may explain the difference."""
    a, b = float(first), float(second)
    if first.isdecimal() and second.isdecimal() and max(a, b) >= 200:
        return a == b  # numbers of jets
    return math.isclose(a, b, rel_tol=0.15 if max(abs(a), abs(b)) > 1 else 0, abs_tol=0.012)


def main() -> None:
    """Play, and compare or write."""
    if shutil.which("script") is None:
        sys.exit("'script' of util-linux is needed")
    problems = 0
    for page in [word for word in sys.argv[1:] if word in PAGES] or PAGES:
        with tempfile.TemporaryDirectory() as folder:
            now = transcript(play(page, Path(folder)))
        path = TRANSCRIPTS / f"{page}.txt"
        if "--write" in sys.argv:
            path.parent.mkdir(exist_ok=True)
            path.write_text(now, encoding="utf-8")
            continue
        found = differences(path.read_text(encoding="utf-8"), now)
        problems += len(found)
        print("\n".join([f"{page}: {len(found)} lines differ", *found]))
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
