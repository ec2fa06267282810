"""Commands in README.md and docs/*.md, and a working folder in which they can run."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_LAUNCHED = re.compile(r"(?:\$ )?(?:(?:torchrun|srun|apptainer)\s.*?\s)?(jetad\s.*)", re.DOTALL)
PLACEHOLDER = re.compile(r"[^a-z]*[A-Z]{2,}[^a-z]*|[A-Z]{2,}\.\w+|K/N|.*\.\.\..*")

_LONG = {"-b": "--background", "-s": "--signal", "-x": "--fraction", "-d": "--detector", "-t": "--train"}
_PLAIN = {"-n", "-o", "--output", "--seed", "--n-seeds", "--jobs", "--run"}


class Documented(NamedTuple):
    """A command as it stands on a page, without the launcher before it."""

    line: int
    text: str
    inline: bool  # in the text, not in a block

    @property
    def name(self) -> str:
        """The command of jetad."""
        return self.text.split()[1]

    @property
    def kind(self) -> tuple[str, ...]:
        """Command and names of the options that matter; also what is plotted."""
        words = [_LONG.get(word, word) for word in self.text.split()]
        options = {word for word in words if word.startswith("-")} - _PLAIN
        return (*words[1 : 3 if self.name == "plot" else 2], *sorted(options))

    @property
    def complete(self) -> bool:
        """Whether it can be typed like that: no bare name, no placeholder such as FILE or ``...``."""
        words = self.text.split()
        return not self.inline or (len(words) > 2 and not any(map(PLACEHOLDER.fullmatch, words)))


def documented(text: str) -> list[Documented]:
    """The commands of a page: in blocks (``sh``, or lines ``$ jetad``, or indented), and code in the text."""
    found, prose = [], []
    language: str | None = None  # of the fenced block we are in
    lines = enumerate(text.splitlines(), 1)
    for number, line in lines:
        if line.startswith("```"):
            language = line[3:].strip() if language is None else None
        elif language is None and not line.startswith("    "):
            prose.append((number, line))
            continue
        elif language in (None, "sh") or line.startswith("$ "):
            while line.endswith("\\"):
                line = line[:-1] + next(lines)[1].strip()
            if match := _LAUNCHED.fullmatch(line.strip()):
                found.append(Documented(number, match[1], False))
        prose.append((number, ""))
    joined = "\n".join(line for _, line in prose)
    for match in re.finditer(r"`(jetad\s[^`]+)`", joined):
        number = prose[joined.count("\n", 0, match.start())][0]
        found.append(Documented(number, " ".join(match[1].split()), True))
    return sorted(found)


def words_of(text: str, folder: Path) -> list[str]:
    """What the shell makes of a command line in ``folder``: quotes, patterns, comments; without 'jetad'.

    Raises:
        ValueError: if it is not one command of jetad alone.
    """
    with tempfile.TemporaryDirectory() as there:
        record = Path(there) / "words"
        script = f"jetad() {{ printf '%s\\0' \"$@\" >> '{record}'; }}\n{text}\n"
        result = subprocess.run(["bash", "-euc", script], cwd=folder, capture_output=True, text=True)
        if result.returncode or result.stderr or not record.exists():
            raise ValueError(f"the shell does not take it: {result.stderr.strip()}")
        return record.read_text().split("\0")[:-1]
