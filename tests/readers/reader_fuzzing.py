"""Damage files at random and read them; run as a program it does thousands of cases under a memory limit."""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from jetad.errors import JetadError
from jetad.readers import count, iterate
from jetad.readers.inspection import inspect_file

__all__ = ["damage", "outcome", "run_cases"]


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """One random accident: a cut, flipped bytes or bits, zeros, a piece lost or doubled, junk at the end."""
    raw = bytearray(data)
    kind = rng.integers(8)
    where = int(rng.integers(len(raw)))
    if rng.random() < 0.5:  # the headers stand at the ends, and break more than the data between
        where = int(min(rng.exponential(1000), len(raw) - 1))
        where = where if rng.random() < 0.5 else len(raw) - 1 - where
    if kind == 0:
        return bytes(raw[:where])
    if kind in (1, 2):
        for i in rng.integers(len(raw), size=rng.integers(1, 9)):
            raw[i] = rng.integers(256)
    elif kind == 3:
        raw[where] ^= 1 << int(rng.integers(8))
    elif kind == 4:
        raw[where : where + int(rng.integers(1, 200))] = b""
    elif kind == 5:
        stop = min(where + int(rng.integers(1, 200)), len(raw))
        raw[where:stop] = bytes(stop - where)
    elif kind == 6:
        raw[where:where] = raw[where : where + int(rng.integers(1, 50))]
    else:  # extremes are what counts and sizes break on
        width = int(rng.choice([1, 2, 4, 8]))
        raw[where : where + width] = rng.choice([b"\xff", b"\x7f", b"\x80"]) * width
    return bytes(raw)


def outcome(path: Path, **options: Any) -> str:
    """``"refused"`` for a JetadError, else ``"read"``; anything else escapes."""
    try:
        n_jets = count(path, **options)
        lengths, places = [], []
        for jets in iterate(path, step=7, **options):
            lengths.append(len(jets))
            places.extend(zip(jets.entry.tolist(), jets.position.tolist(), strict=True))
            if len(lengths) > 100_000:
                raise AssertionError(f"{path}: more jets than such a small file can hold ({n_jets})")
    except JetadError as error:
        if "\n" in str(error) or len(str(error)) > 1500:
            raise AssertionError(f"not one sentence: {error}") from error
        return "refused"
    # rows or events in order, none left out; in an event, jets 0, 1, ...
    first = [entry for entry, position in places if position == 0]
    running = all(b == (a[0], a[1] + 1) or (b[1] == 0 and b[0] > a[0]) for a, b in itertools.pairwise(places))
    one_each = len(first) < n_jets or first == list(range(n_jets))
    if len(places) != n_jets or not running or not one_each or any(n != 7 for n in lengths[:-1]):
        raise AssertionError(f"{path}: {n_jets} promised, pieces {lengths}")
    return "read"


def run_cases(
    originals: list[bytes], suffixes: list[str], seeds: range, folder: Path, **options: Any
) -> Counter[str]:
    """Damage and read one file per seed, and keep the file that breaks a reader.

    Raises:
        AssertionError: naming the seed and the error.
    """
    results: Counter[str] = Counter()
    for seed in seeds:
        rng = np.random.default_rng(seed)
        which = int(rng.integers(len(originals)))
        path = folder / f"case_{seed}{suffixes[which]}"
        path.write_bytes(damage(originals[which], rng))
        began = time.monotonic()
        try:
            results[outcome(path, **options)] += 1
            if seed % 10 == 0:
                with contextlib.suppress(JetadError):
                    inspect_file(path, **options)
        except Exception as error:
            raise AssertionError(f"seed {seed}, {path}: {type(error).__name__}: {error}") from error
        if time.monotonic() - began > 20:
            raise AssertionError(f"seed {seed}, {path}: took {time.monotonic() - began:.0f} s")
        path.unlink()
    return results


def main(folder: str, first: str, last: str) -> None:
    """Damage the files of ``folder``; any crash or memory beyond 4 GB fails the process.

    ``options.json`` there, if any, says how files are read: name -> options.
    """
    import faulthandler
    import json
    import resource
    import warnings

    faulthandler.enable()
    faulthandler.dump_traceback_later(3600, exit=True)
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    warnings.simplefilter("error")
    listed = Path(folder) / "options.json"
    options = json.loads(listed.read_text()) if listed.exists() else {}
    results: Counter[str] = Counter()
    groups: dict[str, list[Path]] = {}
    for path in sorted(p for p in Path(folder).iterdir() if p.is_file() and p != listed):
        groups.setdefault(json.dumps(options.get(path.name, {}), sort_keys=True), []).append(path)
    with tempfile.TemporaryDirectory() as scratch:
        for number, (how, files) in enumerate(groups.items()):
            seeds = range(int(first) + number, int(last), len(groups))
            originals, suffixes = [p.read_bytes() for p in files], [p.suffix for p in files]
            results += run_cases(originals, suffixes, seeds, Path(scratch), **json.loads(how))
    print(dict(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
