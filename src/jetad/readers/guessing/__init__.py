"""What of a file may be jets: guessed from names, shapes and numbers, tried on some rows, and judged."""

from __future__ import annotations

from collections.abc import Iterator

from ..containers.arrays import ArraySource, Source, is_number
from .names import Family, Guess, depth_of, families_of, is_counter
from .numbers import array_guesses

__all__ = ["guesses"]


def guesses(source: Source) -> Iterator[Guess]:
    """What of a file could be jets, the most likely first, and what looks like them but is not."""
    every = source.columns()
    columns = {n: kind for n, kind in every.items() if is_number(kind) and not is_counter(n, every)}
    families = sorted((f for f in families_of(columns) if f.momenta), key=lambda f: f.order)
    by_kind: dict[str, list[Family]] = {}
    for family in families:
        by_kind.setdefault(family.kind, []).append(family)
    jets, generated = by_kind.get("jets", []), by_kind.get("generated jets", [])
    particles = [f for f in (*by_kind.get("particles", []), *by_kind.get("unknown", [])) if f.depth]
    lists = [f for f in jets if f.depth == 1]
    # jets with their constituents
    for jet in (f for f in jets if f.depth < 2):
        # lists j1_px beside one j_pt a row are its constituents
        inside_rows = lists if jet.depth == 0 else []
        for family in (*particles, *inside_rows):
            index = _index(family, columns) if jet.depth == 1 and family.depth == 1 else None
            if family.depth == jet.depth + 1 or index:
                inside = {**(family.momenta or {}), **({"jet": index} if index else {})}
                keys = {"jets": jet.momenta, "constituents": inside}
                yield Guess(f"{_star(family)} in {_star(jet)}", keys, jet.prefix)
    for family in particles:
        if "deta" in (family.momenta or {}):
            continue
        guess = Guess(_star(family), {"constituents": family.momenta})
        if lists and family.depth == 1:
            guess = guess._replace(
                why_not=f"are all particles of an event, which has jets: {_star(lists[0])}"
            )
        yield guess
    for jet in (*lists, *(f for f in jets if f.depth == 0)):
        yield Guess(_star(jet), {"jets": jet.momenta}, jet.prefix)
    if isinstance(source, ArraySource):
        yield from array_guesses(source)
    for jet in (f for f in generated if f.depth < 2):
        yield Guess(_star(jet), {"jets": jet.momenta}, jet.prefix)
    for family in by_kind.get("unknown", []):
        if family.depth == 0:
            yield Guess(_star(family), {"jets": family.momenta}, family.prefix)
    for kind in ("generator records", "leptons or other objects"):
        for family in by_kind.get(kind, []):
            yield Guess(_star(family), {}, why_not=f"are {kind}")


def _star(family: Family) -> str:
    names = list((family.momenta or family.roles).values())
    return f"'{names[0]}'" if len(names) == 1 else f"'{names[0]}', '{names[1]}', ..."


def _index(family: Family, columns: dict[str, str]) -> str | None:
    """The column that says to which jet of its event a particle belongs."""
    wanted = {family.prefix + word for word in ("jet", "jetidx", "jet_idx", "jetindex", "jet_index")}
    return next((n for n, kind in columns.items() if n.lower() in wanted and depth_of(kind) == 1), None)
