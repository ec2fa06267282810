"""The jets that ship with jetad."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError

__all__ = ["sample"]


def sample(name: str) -> Path:
    """Path of a shipped file, ``sample("qcd_test.h5")``.

    Raises:
        InputError: if it is not there, listing those that are.
    """
    here = Path(__file__).resolve()
    # in the installed package, or beside src/ in a checkout
    for folder in (here.parents[1] / "data_samples", here.parents[3] / "data_samples"):
        if (folder / name).is_file():
            return folder / name
        if folder.is_dir():
            found = sorted(p.name for p in folder.iterdir() if p.suffix in (".h5", ".root"))
            raise InputError(f"no sample '{name}' in {folder}; there are: {', '.join(found) or 'none'}")
    raise InputError("the shipped samples are missing from this installation; install jetad again with pip")
