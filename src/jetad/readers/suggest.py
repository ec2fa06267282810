"""A first mapping for a file: guessed from names, shapes and numbers, tried on some rows, and judged."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError
from .columnmap import plain_name_of
from .containers.arrays import Source, is_number, open_source, tree_names
from .guessing import guesses
from .guessing.names import Guess, depth_of, is_counter
from .guessing.trial import Verdict, first_good
from .guessing.truth import WEIGHTS, label_for, last_part
from .paths import container_of, reading, split_path

__all__ = ["suggest_mapping"]

_MAX_OBSERVABLES = 50
_MAX_SHOWN = 8


def suggest_mapping(path: str | Path) -> str:
    """A mapping for a file as YAML, to be checked by eye: the first guess whose jets are plausible.

    Raises:
        InputError: if the file cannot be read, or no columns give plausible jets; the candidates are listed.
    """
    container = container_of(path)
    refused: list[str] = []
    seen: dict[str, str] = {}
    for tree in tree_names(path, container):
        with reading(path), open_source(path, container, tree) as source:
            seen = seen or source.columns()
            guess, verdict, why = first_good(source, path, guesses(source))
            refused += why
            if guess is not None:
                return _text(source, guess, verdict, path, refused)
    shown = "; ".join(refused[:_MAX_SHOWN]) or "no names or numbers look like momenta"
    more = f"; and {len(refused) - _MAX_SHOWN} more" if len(refused) > _MAX_SHOWN else ""
    held = ", ".join(f"{n} ({k})" for n, k in list(seen.items())[:12]) or "nothing"
    raise InputError(
        f"{path}: no columns were found that are jets: {shown}{more}. The file holds {held}"
        f"{', ...' if len(seen) > 12 else ''}. If it has jets, name them in a mapping: "
        "constituents: {pt: a, eta: b, phi: c}, or of an array (n, particles, 4) {E: 'x[0]', px: 'x[1]', "
        "py: 'x[2]', pz: 'x[3]'}, of (n, 4, particles) {E: 'x[0, :]', ...}"
    )


def _text(source: Source, guess: Guess, verdict: Verdict, path: str | Path, refused: list[str]) -> str:
    columns = source.columns()
    keys: dict[str, Any] = {"tree": source.name} if source.kind.startswith("ROOT") else {}
    if verdict.is_mev:
        keys["units"] = "MeV"
    keys |= {k: dict(v) for k, v in guess.keys.items()}
    used = {v for part in keys.values() if isinstance(part, dict) for v in part.values()}
    bases = {re.sub(r"\[.*", "", name) for name in used}
    numbers = {n: k for n, k in columns.items() if is_number(k) and n not in used and n not in bases}
    depth = 1 if _rows_are_events(guess, columns) else 0
    scalars = [n for n, kind in numbers.items() if depth_of(kind) == 0 and not is_counter(n, columns)]
    label, hint = label_for(source, path, scalars)
    if label is not None:
        keys["label"] = label
    named = {label} if isinstance(label, str) else set()
    weight = next((n for w in WEIGHTS for n in scalars if last_part(n) == w and n not in named), None)
    if weight:
        keys["weight"] = weight
    scalars = [n for n in scalars if n not in named and n != weight]
    of_jets = []
    if guess.jet_prefix and depth:
        of_jets = [
            n for n, k in numbers.items() if n.lower().startswith(guess.jet_prefix) and depth_of(k) == 1
        ]
        if any("#" in name for name in used):
            of_jets = _numbered_features(scalars, used)
            scalars = [n for n in scalars if not _in_pattern(n, of_jets)]
    observables = [*of_jets, *(n for n in scalars if "#" not in n and not _in_pattern(n, used))]
    if observables:
        keys["observables"] = {plain_name_of(n): n for n in observables[:_MAX_OBSERVABLES]}
    shown = "" if len(refused) < 1 else "".join(f"# not taken: {text}\n" for text in refused[:_MAX_SHOWN])
    others = [
        f"#   {n}: {k}"
        for n, k in numbers.items()
        if n not in observables and n not in named and not _in_pattern(n, used)
    ]
    tail = "# other columns:\n" + "\n".join(others[:200]) + "\n" if others else ""
    name = Path(split_path(path)[0]).name
    head = f"# guessed from {name} and tried on its first rows: check every line, remove what is not wanted\n"
    units = "" if verdict.is_mev else "# units: MeV\n"
    return head + hint + shown + units + yaml.safe_dump(keys, sort_keys=False) + tail


def _numbered_features(scalars: list[str], used: set[str]) -> list[str]:
    """Features of numbered jets, tau1j1 and tau1j2 as tau1j#, where there is one for each jet."""
    pattern = next(u for u in used if "#" in u)
    last = re.search(r"((?:j|jet)_?)#", pattern, flags=re.I)
    if last is None:
        return []
    found: dict[str, set[int]] = {}
    for name in scalars:
        if match := re.search(rf"{last[1]}(\d{{1,2}})(?!\d)", name):
            key = f"{name[: match.start(1)]}#{name[match.end(1) :]}"
            found.setdefault(key, set()).add(int(match[1]))
    size = max((len(numbers) for numbers in found.values()), default=0)
    return [k for k, numbers in found.items() if len(numbers) == size > 1 and k not in used]


def _in_pattern(name: str, used: Iterable[str]) -> bool:
    """Whether a column is one of a numbered family that is used."""
    patterns = (re.escape(u).replace(r"\#", r"\d+") for u in used if "#" in u)
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def _rows_are_events(guess: Guess, columns: dict[str, str]) -> bool:
    four = guess.keys.get("jets")
    if not four:
        return False
    name = next(iter(four.values()))
    return "#" in name or (depth_of(columns.get(name, "")) == 1)
