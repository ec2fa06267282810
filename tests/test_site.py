"""The pages of the documentation agree with the program they describe."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from jetad.models import METHODS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GAP = "\0"  # in place of what a message fills in


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def strings_of_the_program() -> str:
    """Every text of the source, one a line."""
    found = []
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(v.value) if isinstance(v, ast.Constant) else GAP for v in node.values]
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%[sdg]", GAP, node.value))
    return "\n".join(text.replace("\n", " ") for text in found)


SOURCE = strings_of_the_program()
MESSAGES = [m.strip() for m in re.findall(r"^```text\n(.*?)^```", text_of("faq.md"), flags=re.M | re.S)]


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_of_the_faq_are_those_of_the_program(message):
    fixed = [re.escape(part) for part in message.split("...")]
    assert max(map(len, fixed)) > 12
    assert re.search(f"[^\n]*{GAP}[^\n]*".join(fixed), SOURCE), message


def test_every_method_has_its_section():
    page = text_of("methods.md")
    sections = dict(re.findall(r"^### (\S+)\n(.*?)(?=^#|\Z)", page, flags=re.M | re.S))
    assert set(sections) == set(METHODS)
    for name, text in sections.items():
        assert f"<!-- method: {name} -->" in text
        assert "$" in text or "energy of `nae`" in text
        assert "*Fails*" in text
