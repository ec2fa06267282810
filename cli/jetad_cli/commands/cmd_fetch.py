"""jetad fetch: published sets of jets, checked."""

from __future__ import annotations

import json
import textwrap

import click

from ..options import json_option
from ..tables import columns
from ..terminal import echo, tell

__all__ = ["command"]


@click.command("fetch")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--list", "listing", is_flag=True, help="List the sets and their files, and stop.")
@click.option("--file", "files", multiple=True, metavar="PATTERN", help="Which files of the set; repeatable.")
@click.option("--all", "everything", is_flag=True, help="All files of the set.")
@click.option("--output", "-o", metavar="FOLDER", help="Where to put them.  [default: a folder NAME here]")
@json_option("Print the list, or the paths of the files, as JSON.")
def command(
    name: str | None,
    listing: bool,
    files: tuple[str, ...],
    everything: bool,
    output: str | None,
    as_json: bool,
) -> None:
    """Download a published set of jets: top-landscape, jetclass, lhco, jetnet or darkmachines.

    Files are compared with published checksums. A download that was interrupted goes on with the same
    command, and files that are there are checked and kept.

    \b
    jetad fetch --list
    jetad fetch top-landscape --file test.h5
    jetad fetch jetclass --file '*val*' -o /data/jetclass
    """
    from jetad.reference import SETS
    from jetad.reference.download import chosen_files, fetch
    from jetad.registry import resolve

    if listing or name is None:
        if name is None and not listing:
            raise click.UsageError(f"give the name of a set: {', '.join(SETS)}; --list describes them")
        chosen = SETS if name is None else {name: resolve(SETS, name, "reference set")}
        if as_json:
            echo(
                json.dumps(
                    {n: {**s._asdict(), "files": [f._asdict() for f in s.files]} for n, s in chosen.items()}
                )
            )
            return
        for set_name in chosen:
            _describe(set_name)
        echo("* is fetched if nothing else is asked for")
        echo("not checked: no published checksum is known here")
        return
    wanted = chosen_files(name, files, everything=everything)
    for file in wanted:
        checked = "" if file.checksum else ", not checked: no published checksum is known here"
        tell(f"{file.name} ({_size(file.size, file.about)}{checked})")

    from ..progress import DownloadProgress

    with DownloadProgress() as progress:
        paths = fetch(name, output, files=files, everything=everything, progress=progress)
    found = SETS[name]
    if any(path.suffix == ".tar" for path in paths):
        tell("these are archives of files for jetad: unpack them with 'tar -xf'")
    tell(f"please cite {found.paper} and doi:{found.doi}; next: jetad inspect FILE")
    echo(json.dumps([str(path) for path in paths]) if as_json else "\n".join(map(str, paths)))


def _describe(name: str) -> None:
    from jetad.reference import SETS

    found = SETS[name]
    echo(textwrap.fill(f"{name}: {found.summary}", columns(), subsequent_indent="  "))
    echo(f"  read by {found.reader}; {found.paper}, doi:{found.doi}")
    for file in found.files:
        usual = "*" if file.name in found.usual else " "
        checked = file.checksum.partition(":")[0] if file.checksum else "not checked"
        echo(f"  {usual} {file.name:<46} {_size(file.size, file.about):>8}  {checked}")


def _size(size: int | None, about: str) -> str:
    if size is None:
        return about or "? MB"
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
