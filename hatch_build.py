"""Manual pages (man jetad-train), made from the commands by click-man while the wheel is built."""

from __future__ import annotations

import inspect
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click_man.core import write_man_pages
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualPages(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        self.folder = tempfile.TemporaryDirectory()
        write_pages(Path(self.root), self.metadata.version, Path(self.folder.name))
        for page in Path(self.folder.name).iterdir():
            build_data["shared_data"][str(page)] = f"share/man/man1/{page.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self.folder.cleanup()


def write_pages(root: Path, version: str, folder: Path) -> None:
    """Write a page for every command of the source tree ``root``."""
    sys.path[:0] = [str(root / "src"), str(root / "cli")]
    from jetad_cli.main import cli

    context = click.Context(cli)
    for name in cli.list_commands(context):  # click-man sees what has been imported
        cli.add_command(cli.get_command(context, name), name)
    for command in every(cli):
        command.help = troff(inspect.cleandoc(command.help or ""))
        command.short_help = command.help.partition("\n\n")[0].replace("\n", " ")
        for option in command.params:
            if isinstance(option, click.Option) and option.help:
                option.help = troff(option.help)
    write_man_pages("jetad", cli, version=version, target_dir=str(folder))


def every(command: click.Command) -> Iterator[click.Command]:
    yield command
    for child in getattr(command, "commands", {}).values():
        yield from every(child)


def troff(text: str) -> str:
    """Help as it stands in a page: no line taken for a macro, paragraphs after ``\\b`` kept line by line."""
    text = re.sub(r"^(?=[.'])", r"\\&", text.replace("\\", r"\e"), flags=re.M)
    return re.sub(r"^\x08\n(.*?)(?=\n\n|\Z)", r".nf\n\1\n.fi", text, flags=re.M | re.S)
