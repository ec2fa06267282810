"""The numbers of README.md in one file: `python docs/readme_numbers.py jetad-demo` makes docs/numbers.yaml.

They come from ``results.json`` of ``jetad demo``. With ``--ceiling FILE`` the last column is taken from
what ``docs/simulation_check.py`` printed about the same samples, else it stays as it is. ``--check`` compares
the README with the file instead of writing it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).parent
FILE, README = DOCS / "numbers.yaml", DOCS.parent / "README.md"
#: Signals of the demo -> how the row of the README begins; columns of the table after it.
ROWS = {
    "top": "top quarks",
    "svj": "semi-visible jets",
    "heidelberg": "Heidelberg-like",
    "aachen": "Aachen-like",
}
COLUMNS = ("gmm", "knn", "nae", "ae", "mass", "ceiling")
_HEADER = "# made by docs/readme_numbers.py from the results of 'jetad demo'; not to be edited\n"


def numbers_of(results: dict[str, Any], ceiling: dict[str, str]) -> dict[str, dict[str, str]]:
    """AUC by signal and column, as text: what ``results.json`` of the demo says."""
    found = {}
    for signal in ROWS:
        row = {}
        for method in COLUMNS[:4]:
            values = results[method]["signals"][signal]
            row[method] = f"{values['auc']:.3f} ± {values['auc_error']:.3f}"
        row["mass"] = f"{results[COLUMNS[0]]['signals'][signal]['mass_only_auc']:.3f}"
        row["ceiling"] = ceiling.get(signal, "")
        found[signal] = row
    return found


def ceiling_of(printed: str) -> dict[str, str]:
    """AUC of the classifier by signal, from the lines that ``docs/simulation_check.py`` prints."""
    rows = re.findall(r"^\s*(?:\S*/)?(\w+)(?:\.h5)?\b.* (\d\.\d+) \+- \d\.\d+$", printed, re.MULTILINE)
    return {signal: value for signal, value in rows if signal in ROWS}


def table_of(readme: str) -> dict[str, dict[str, str]]:
    """The same from the table of the README."""
    found = {}
    for signal, begin in ROWS.items():
        line = re.search(rf"^\| {re.escape(begin)}[^|]*\|(.*)\|$", readme, re.MULTILINE)
        cells = [] if line is None else [cell.strip() for cell in line[1].split("|")]
        found[signal] = dict(zip(COLUMNS, cells, strict=False))
    return found


def differences(readme: str, numbers: dict[str, dict[str, str]]) -> list[str]:
    """Where the README does not say what the file says, a sentence each."""
    shown, problems = table_of(readme), []
    for signal, row in numbers.items():
        for column, value in row.items():
            if shown[signal].get(column) != value:
                problems.append(f"{signal}, {column}: {shown[signal].get(column)} instead of {value}")
    known = {value for row in numbers.values() for value in row.values()}
    prose = re.sub(r"^```.*?^```", "", readme, flags=re.MULTILINE | re.DOTALL)  # tests/test_played.py has those
    for value in re.findall(r"\d\.\d+ ± \d\.\d+", prose):
        if value not in known:
            problems.append(f"{value}: is in README.md, and not in {FILE.name}")
    return problems


def main() -> None:
    """Write the file, or compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", nargs="?", type=Path, help="folder of 'jetad demo'")
    parser.add_argument("--ceiling", type=Path, help="what docs/simulation_check.py printed")
    parser.add_argument("--check", action="store_true", help="compare README.md with the file")
    options = parser.parse_args()
    old = yaml.safe_load(FILE.read_text()) if FILE.exists() else {}
    if options.check:
        problems = differences(README.read_text(), old)
        print("\n".join(problems) or "README.md says what docs/numbers.yaml says")
        sys.exit(bool(problems))
    if options.demo is None:
        parser.error("give the folder of 'jetad demo'")
    ceiling = {signal: row["ceiling"] for signal, row in old.items()}
    if options.ceiling is not None:
        ceiling = ceiling_of(options.ceiling.read_text())
    results = json.loads((options.demo / "results.json").read_text())
    FILE.write_text(
        _HEADER + yaml.safe_dump(numbers_of(results, ceiling), allow_unicode=True, sort_keys=False)
    )


if __name__ == "__main__":
    main()
