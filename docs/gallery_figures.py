"""The figures of docs/gallery.md: types the commands of the page and keeps the pictures, smaller.

    python docs/gallery_figures.py [--keep FOLDER]

Every picture of the page is the ``.png`` that the command above it wrote.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
PAGE, FIGURES = DOCS / "gallery.md", DOCS / "figures" / "gallery"
WIDTH, N_COLORS = 760, 128  # of a picture, so that all of them stay below 1 MB


def commands_and_pictures(page: str) -> list[tuple[str, str]]:
    """Commands of the page in order, each with the name of the picture below it, or ``""``."""
    found: list[tuple[str, str]] = []
    for block, picture in re.findall(
        r"^```sh\n(.*?)^```|^!\[[^\]]*\]\(figures/gallery/(\S+)\)$", page, flags=re.MULTILINE | re.DOTALL
    ):
        if picture:
            found[-1] = (found[-1][0], picture)
        else:
            found += [(line, "") for line in block.splitlines()]
    return found


def reduced(source: Path, target: Path) -> None:
    """A copy with fewer pixels and colours."""
    with Image.open(source) as picture:
        small = picture.convert("RGB")
        if small.width > WIDTH:
            small = small.resize((WIDTH, round(small.height * WIDTH / small.width)), Image.Resampling.LANCZOS)
        small.quantize(N_COLORS).save(target, optimize=True)


def written(folder: Path, name: str) -> Path:
    """The picture that a command wrote: ``NAME.png``, or one in the folder NAME."""
    if (folder / name).exists():
        return folder / name
    return next((folder / Path(name).stem).glob("*.png"))


def main() -> None:
    """Type all commands, in a folder with the samples."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", type=Path, help="Work in this folder and leave everything there.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        if not (folder / "data_samples").exists():
            (folder / "data_samples").symlink_to(DOCS.parent / "data_samples")
        FIGURES.mkdir(exist_ok=True)
        for command, picture in commands_and_pictures(PAGE.read_text(encoding="utf-8")):
            print(command, flush=True)
            words = f"jetad() {{ '{sys.executable}' -m jetad \"$@\"; }}\n{command}\n"
            subprocess.run(["bash", "-euc", words], cwd=folder, check=True)
            if picture:
                reduced(written(folder, picture), FIGURES / picture)


if __name__ == "__main__":
    main()
