"""Numbers that stand on more than one page, in one file: `python docs/readme_numbers.py [jetad-demo]`.

docs/numbers.yaml has two parts. ``demo`` is what ``results.json`` of ``jetad demo`` says; it is replaced
where the folder of a demo is given. With ``--ceiling FILE`` its last column is taken from what
``docs/simulation_check.py`` printed about the same samples, else it stays as it is. ``cited`` are the
numbers of the large tables that other pages cite. Behind such a number stands where it comes from::

    Of all it finds tops best (0.949<!-- = ranking/knn/QCD → top -->).

``TABLES`` says which table ``ranking`` is; then come the row and the column, and ``#2`` for the second
number of a cell. Nobody sees the mark: it is a comment of HTML.

``--check`` writes nothing and compares all pages with the file and with the tables.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
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
#: Name of a table -> page, heading above it, which of the tables there.
TABLES = {
    "demo": ("physics.md", "The shipped samples: QCD against signal", 0),
    "energies": ("tables.md", "Energies in five directions, three seeds", 0),
    "images": ("tables.md", "Energies in five directions, three seeds", 1),
    "features": ("tables.md", "Energies in five directions, three seeds", 2),
    "ranking": ("tables.md", "All methods, ranked by their worst direction", 0),
    "classical": ("tables.md", "Classical methods and references", 0),
    "autoencoders": ("tables.md", "Autoencoders without negatives", 0),
    "digits": ("tables.md", "Digits, next to the published tables", 0),
    "test": ("physics.md", "Chosen without the signals of the tables", 2),
    "both": ("physics.md", "Both directions, three seeds", 0),
    "observables": ("features.md", "More observables, or other coordinates, are not better by themselves", 0),
    "speed": ("speed.md", "All ratios in one run", 0),
}
_HEADER = "# made by docs/readme_numbers.py; not to be edited\n"
_DIGITS = r"-?\d+(?:,\d{3})*(?:\.\d+)?"
_MARKED = re.compile(rf"({_DIGITS})<!-- = (.+?) -->")


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
    """Where the README does not say what the file says about the demo, a sentence each."""
    shown, problems = table_of(readme), []
    for signal, row in numbers.items():
        for column, value in row.items():
            if shown[signal].get(column) != value:
                problems.append(f"{signal}, {column}: {shown[signal].get(column)} instead of {value}")
    known = {value for row in numbers.values() for value in row.values()}
    prose = re.sub(
        r"^```.*?^```", "", readme, flags=re.MULTILINE | re.DOTALL
    )  # tests/test_played.py has those
    for value in re.findall(r"\d\.\d+ ± \d\.\d+", prose):
        if value not in known:
            problems.append(f"{value}: is in README.md, and not in {FILE.name}")
    return problems


def physics_differences(page: str, numbers: dict[str, dict[str, str]]) -> list[str]:
    """The same for the first table of docs/physics.md."""
    rows = rows_below(page, "The shipped samples: QCD against signal", 0)
    columns = {"gmm": "gmm", "knn": "knn", "nae": "nae", "ae": "ae, same networks", "mass": "mass alone"}
    columns["ceiling"] = "ceiling"
    return [
        f"physics.md: {signal}, {column}: {rows[signal][columns[column]]} instead of {value}"
        for signal, row in numbers.items()
        for column, value in row.items()
        if rows[signal][columns[column]] != value
    ]


# --- numbers cited from tables -------------------------------------------------------------------------


def pages() -> dict[str, str]:
    """All pages by name, README.md among them."""
    found = {path.name: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
    return {README.name: README.read_text(encoding="utf-8"), **found}


def rows_below(page: str, heading: str, which: int) -> dict[str, dict[str, str]]:
    """Cells of a table of Markdown by row and column, without stars, marks and quotes.

    Of rows with one name the first counts.

    Raises:
        KeyError: if there is no such heading or table.
    """
    part = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    tables = [] if part is None else re.findall(r"(?:^\|.*\n)+", part[1] + "\n", re.MULTILINE)
    if which >= len(tables):
        raise KeyError(f"no table {which + 1} below '{heading}'")
    head, _, *rows = [
        [_plain(cell) for cell in line.strip().strip("|").split("|")] for line in tables[which].splitlines()
    ]
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row[0], dict(zip(head, row, strict=False)))
    return found


def _plain(cell: str) -> str:
    return re.sub(r"<!--.*?-->|[*`]|\((?:default|supervised)\)", "", cell).strip()


def source(key: str, texts: dict[str, str]) -> str:
    """What the table says at ``table/row/column``, without its error.

    Raises:
        KeyError: if it has no such table, row, column or number.
    """
    name, _, place = key.partition("/")
    row, _, column = place.rpartition("/")
    column, _, number = column.partition("#")
    page, heading, which = TABLES[name]
    values = re.findall(rf"(?<!± )(?<![\d.]){_DIGITS}", rows_below(texts[page], heading, which)[row][column])
    return str(values[int(number or 1) - 1 : int(number or 1)][0] if values else "")


def marks(texts: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Page, number and key of everything that is cited."""
    for page, text in texts.items():
        for shown, key in _MARKED.findall(text):
            yield page, shown, key


def cited(texts: dict[str, str]) -> dict[str, str]:
    """What the tables say of all that is cited."""
    return {key: source(key, texts) for key in sorted({key for _, _, key in marks(texts)})}


def citation_problems(texts: dict[str, str], known: dict[str, str]) -> list[str]:
    """Where a page does not say what the file says, or the file what the table says."""
    problems = []
    for page, shown, key in marks(texts):
        try:
            now = source(key, texts)
        except (KeyError, IndexError, ValueError):
            problems.append(f"{page}: no number '{key}' in the tables")
            continue
        if known.get(key) != now:
            problems.append(f"{FILE.name}: {key}: {known.get(key)}, and the table says {now}: write it again")
        if not agrees(shown, now):
            problems.append(f"{page}: {shown} for {key}, which is {now}")
    count = sum(text.count("<!-- = ") for text in texts.values())
    if count != len(list(marks(texts))):
        problems.append("a mark stands behind something that is no number")
    return problems


def agrees(shown: str, value: str) -> bool:
    """Whether a number is another one, rounded to the digits that it shows."""
    if not value:
        return False
    a, b = (Decimal(text.replace(",", "")) for text in (shown, value))
    step = Decimal(1).scaleb(min(0, int(a.as_tuple().exponent)))
    return abs(a - b) <= step / 2


def main() -> None:
    """Write the file, or compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", nargs="?", type=Path, help="folder of 'jetad demo'")
    parser.add_argument("--ceiling", type=Path, help="what docs/simulation_check.py printed")
    parser.add_argument("--check", action="store_true", help="compare the pages with the file")
    options = parser.parse_args()
    old, texts = yaml.safe_load(FILE.read_text(encoding="utf-8")), pages()
    if options.check:
        problems = differences(texts["README.md"], old["demo"])
        problems += physics_differences(texts["physics.md"], old["demo"])
        problems += citation_problems(texts, old["cited"])
        print("\n".join(problems) or "all pages say what docs/numbers.yaml says")
        sys.exit(bool(problems))
    demo = old["demo"]
    ceiling = {signal: row["ceiling"] for signal, row in demo.items()}
    if options.ceiling is not None:
        ceiling = ceiling_of(options.ceiling.read_text())
    if options.demo is not None:
        demo = numbers_of(json.loads((options.demo / "results.json").read_text()), ceiling)
    elif options.ceiling is not None:
        demo = {signal: {**row, "ceiling": ceiling[signal]} for signal, row in demo.items()}
    unknown = [problem for problem in citation_problems(texts, {}) if "in the tables" in problem]
    if unknown:
        sys.exit("\n".join(unknown))
    text = yaml.safe_dump({"demo": demo, "cited": cited(texts)}, allow_unicode=True, sort_keys=False)
    FILE.write_text(_HEADER + text, encoding="utf-8")


if __name__ == "__main__":
    main()
