"""What mkdocs adds while it builds: sections of the README, tables of the registries, drawn formulas."""

from __future__ import annotations

import html
import inspect
import re
from pathlib import Path
from typing import Any

import click
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from jetad.models import METHODS
from jetad.presets import preset, presets
from jetad.readers import READERS, get_reader
from jetad_cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[1]

_MARK = re.compile(r"<!-- (readme|table|method): ([^>]+?) -->")
_SOURCE = re.compile(r"<!-- = .*? -->")  # where a number comes from: docs/readme_numbers.py
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
_LINK = re.compile(r'href="([\w/]+\.md)')
_ROLE = re.compile(r":(?:class|func|meth|mod):<code>(~?)([\w.]+)</code>")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what the marks name in their place."""
    filled = _MARK.sub(lambda mark: _PARTS[mark[1]](mark[2]), markdown)
    return _SOURCE.sub("", filled)


def on_page_content(content: str, page: Any, files: Any, **_: Any) -> str:
    """Formulas as drawings, links between pages in the notebook, roles of docstrings as plain names."""
    if page.file.src_uri.endswith(".ipynb"):
        content = _LINK.sub(lambda m: f'href="{files.src_uris[m[1]].url_relative_to(page.file)}', content)
    content = _FORMULA.sub(_drawn, content)
    return _ROLE.sub(lambda m: f"<code>{m[2].rpartition('.')[2] if m[1] else m[2]}</code>", content)


def section(title: str) -> str:
    """The text below a heading of the README, with links as seen from docs/; ``top`` is what comes first.

    Raises:
        KeyError: if the README has no such heading.
    """
    top, *rest = re.split(r"^## (.*)\n", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.M)
    sections = {"top": top.partition("\n")[2], **dict(zip(rest[::2], rest[1::2], strict=True))}
    return sections[title].replace("](docs/", "](").replace("[docs/", "[").strip()


def table(name: str) -> str:
    """A Markdown table of a registry: methods, presets, readers or commands."""
    return {"methods": _methods, "presets": _presets, "readers": _readers, "commands": _commands}[name]()


def facts(method: str) -> str:
    """One line about a method, from the registry."""
    info = METHODS[method]
    return f"*{info.summary}* ({', '.join(info.inputs)}; {_linked(info.reference)})"


def _methods() -> str:
    rows = ["| method | kind | inputs | reference |", "|---|---|---|---|"]
    for name, info in METHODS.items():
        cells = (f"[`{name}`](#{name})", info.kind, ", ".join(info.inputs), _linked(info.reference))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _presets() -> str:
    rows = ["| preset | method | |", "|---|---|---|"]
    others = {name: summary for name, summary in presets().items() if name not in METHODS}
    rows += [f"| `{name}` | `{preset(name)['method']}` | {_linked(text)} |" for name, text in others.items()]
    return "\n".join(rows)


def _readers() -> str:
    rows = ["| reader | files | `--reader-option` (default) |", "|---|---|---|"]
    for name in READERS:
        reader = get_reader(name)
        options = [f"`{key}`" + (f" ({value})" if value else "") for key, value in reader.options.items()]
        rows.append(f"| [`{name}`](#{name}) | {reader.summary} | {', '.join(options)} |")
    return "\n".join(rows)


def _commands() -> str:
    commands = {name: cli.get_command(click.Context(cli), name) for name in COMMANDS}
    return "\n\n".join(_command(command, f"jetad {name}", 2) for name, command in commands.items())


def _command(command: click.Command, name: str, level: int) -> str:
    """What ``--help`` prints of a command, and of those below it."""
    context = click.Context(command, info_name=name, parent=click.Context(cli))
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    parts = [f"{'#' * level} {name}", *map(_paragraph, inspect.cleandoc(command.help or "").split("\n\n"))]
    parts.append(f"```text\n{usage}\n```")
    options = [p for p in command.params if isinstance(p, click.Option)]
    records = [record for option in options if (record := option.get_help_record(context))]
    rows = [f"| `{names}` | {_plain(text)} |" for names, text in records]
    parts.append("\n".join(["| option | |", "|---|---|", *rows]) if rows else "")
    if isinstance(command, click.Group):
        parts += [_command(c, f"{name} {n}", level + 1) for n, c in command.commands.items()]
    return "\n\n".join(parts)


def _paragraph(text: str) -> str:
    lines = text.split("\n")
    return "\n".join(["```sh", *lines[1:], "```"]) if lines[0] == "\b" else _plain(text)


def _plain(text: str) -> str:
    """Text of the command line that means nothing in Markdown."""
    return re.sub(r"([|*_<\[\]`])", r"\\\1", text)


def _linked(text: str) -> str:
    text = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[\1](https://arxiv.org/abs/\1)", text)
    text = re.sub(r"doi:(10\.\S+)", r"[doi:\1](https://doi.org/\1)", text)
    return re.sub(r"openreview:(\S+)", r"[openreview](https://openreview.net/forum?id=\1)", text)


def _drawn(formula: re.Match[str]) -> str:
    """A formula as SVG in the colour of the text: no script, and the same with any font."""
    tex = " ".join(html.unescape(formula[2]).split())
    large = tex.replace(r"\frac", r"\dfrac") if formula[1] == "div" else tex
    path = TextPath((0, 0), f"${large}$", size=1, prop=FontProperties(math_fontfamily="cm"))
    words = []
    for points, code in path.iter_segments(simplify=False):
        pairs = zip(points[::2], -points[1::2], strict=True)
        words.append("MLQCZ"[min(code, 5) - 1] + " ".join(f"{x:.3f},{y:.3f}" for x, y in pairs if code < 79))
    box = path.get_extents().padded(0.02)
    style = f"height: {box.height:.3f}em; width: {box.width:.3f}em; vertical-align: {box.y0:.3f}em"
    view = f"{box.x0:.3f} {-box.y1:.3f} {box.width:.3f} {box.height:.3f}"
    drawing = (
        f'<svg class="formula" role="img" style="{style}" viewBox="{view}" aria-label="{html.escape(tex)}">'
        f'<path d="{"".join(words)}"/></svg>'
    )
    return f'<p class="formula">{drawing}</p>' if formula[1] == "div" else drawing


_PARTS = {"readme": section, "table": table, "method": facts}
