"""The pages of the documentation agree with the program they describe."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path

import click
import pytest

import jetad
from jetad.models import METHODS
from jetad_cli.main import COMMANDS, cli

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


@pytest.fixture(scope="module")
def hooks():
    """What is run while the site is built, without mkdocs."""
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_mark_in_the_pages_is_filled(hooks):
    marks = 0
    for page in DOCS.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        filled = hooks.on_page_markdown(text)
        marks += text.count("<!-- ")
        assert "<!-- " not in filled, page.name
        assert "](docs/" not in filled, page.name
    assert marks > 30
    with pytest.raises(KeyError):
        hooks.section("No such heading")


def test_every_section_of_the_readme_is_on_the_site_but_those_with_a_page_of_their_own(hooks):
    headings = re.findall(r"^## (.*)$", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.M)
    pages = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    used = set(re.findall(r"<!-- readme: (.+?) -->", pages))
    assert used == {"top", *headings} - {"Documentation", "Commands"}


def test_the_command_page_has_every_option(hooks):
    page = hooks.table("commands")
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        part = re.search(rf"^## jetad {name}\n(.*?)(?=^## |\Z)", page, flags=re.M | re.S)[1]
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert f"{option.opts[-1]}" in part, (name, option.opts)


def test_formulas_are_drawn(hooks):
    pages = text_of("methods.md") + text_of("selection.md")
    tex = re.findall(r"\$\$(.*?)\$\$|\$([^$\n]+)\$", pages, flags=re.S)
    assert len(tex) > 40
    for display, inline in tex:
        tag, opening, closing = ("div", r"\[", r"\]") if display else ("span", r"\(", r"\)")
        source = f'<{tag} class="arithmatex">{opening}{display or inline}{closing}</{tag}>'
        drawn = hooks._FORMULA.sub(hooks._drawn, source)
        assert '<path d="M' in drawn
        assert "\\" not in drawn.partition("<path")[2]


def test_the_gallery_has_every_kind_of_figure():
    spec = importlib.util.spec_from_file_location("gallery_figures", DOCS / "gallery_figures.py")
    gallery = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gallery)
    found = gallery.commands_and_pictures(text_of("gallery.md"))
    assert all(command.startswith("jetad ") for command, _ in found)
    pictures = [picture for _, picture in found if picture]
    assert len(pictures) == text_of("gallery.md").count("![")
    assert {path.name for path in gallery.FIGURES.iterdir()} == set(pictures)
    assert sum(path.stat().st_size for path in gallery.FIGURES.iterdir()) < 1_000_000
    drawn = {tuple(command.split()[1:3]) for command, picture in found if picture}
    plot = cli.get_command(click.Context(cli), "plot")
    assert {kind for command, kind in drawn if command == "plot"} == set(plot.commands) - {
        "roc"
    }  # as jetad roc
    assert {"inspect", "roc", "robustness", "contamination", "two-way"} <= {command for command, _ in drawn}


def test_the_python_page_has_what_the_package_offers():
    named = {line.rpartition(".")[2] for line in text_of("api.md").splitlines() if line.startswith("::: ")}
    assert set(jetad.__all__) - {"__version__"} <= named


@pytest.mark.parametrize("notebook", sorted(DOCS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert sum(cell["cell_type"] == "code" for cell in cells) > 8
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
