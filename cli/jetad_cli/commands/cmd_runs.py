"""jetad runs: which trainings there are, in what they differ, and away with what is unfinished."""

from __future__ import annotations

import json
import shlex
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jetad.errors import ConfigError, InputError, JetadError

from ..options import json_option
from ..tables import aligned, columns
from ..terminal import echo, one_line

if TYPE_CHECKING:
    from jetad.runs import Run, RunSummary

__all__ = ["command"]

_MAX_NAME = 24  # of a run beside its facts; longer ones stand above them
_MAX_VALUE = 30  # of a setting in a comparison
_MISSING = "-"


class _ListFirst(click.Group):
    """A group of which ``list`` is meant where no command of it is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = args[0] if args else "--"
        if not ctx.resilient_parsing and first not in {*self.commands, "-h", "--help"}:
            if not first.startswith("-") and not Path(first).exists():
                from jetad.registry import closest_first

                nearest = closest_first(first, self.commands)[0]
                ctx.fail(f"'{first}' is neither a folder nor a command; did you mean '{nearest}'?")
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group("runs", cls=_ListFirst)
def command() -> None:
    """List, compare, show and remove runs.

    Without a command, it lists the runs in the folder 'runs'.

    \b
    jetad runs
    jetad runs jetad-demo --json
    jetad runs show runs/latest
    jetad runs compare jetad-demo/gmm jetad-demo/nae
    jetad runs remove
    """


@command.command("list", short_help="List the runs in folders.")
@click.argument("places", metavar="[RUN|FOLDER]...", nargs=-1)
@json_option()
def list_runs(places: tuple[str, ...], as_json: bool) -> None:
    """List the runs in folders ('runs' by default), newest first."""
    from jetad.runs import find_runs, summarize

    summaries = [summarize(run) for run in find_runs(*places)]
    if as_json:
        _print_json([summary.to_dict() for summary in summaries])
        return
    if not summaries:
        echo(f"no runs in {', '.join(places or ['runs'])}; 'jetad train' makes one")
        return
    folders = dict.fromkeys(summary.path.parent for summary in summaries)
    echo("\n\n".join(_folder(path, [s for s in summaries if s.path.parent == path]) for path in folders))


@command.command(short_help="Show what one run is.")
@click.argument("run_dir", metavar="RUN")
@json_option()
def show(run_dir: str, as_json: bool) -> None:
    """Show what a run was trained on, with what settings, and what it has come to."""
    from jetad.runs import Run, summarize
    from jetad.runs.summary import settings_of

    run = Run.open(run_dir)
    summary = summarize(run)
    if as_json:
        settings = {} if summary.state == "damaged" else settings_of(run)
        provenance = {} if summary.state == "damaged" else run.provenance
        _print_json({**summary.to_dict(), "settings": settings, "provenance": provenance})
        return
    echo("\n".join(_page(run, summary)))


@command.command(short_help="Show in what runs differ.")
@click.argument("run_dirs", metavar="RUN RUN...", nargs=-1, required=True)
@json_option()
def compare(run_dirs: tuple[str, ...], as_json: bool) -> None:
    """Show in what runs differ: settings, jets, files, and what the training recorded."""
    from jetad.runs import Run, summarize
    from jetad.runs.listing import compare as compare_runs

    if len(run_dirs) < 2:
        raise click.UsageError("give two runs or more to compare")
    runs = [Run.open(word) for word in run_dirs]
    names = [run.path.resolve().name for run in runs]
    names = list(run_dirs) if len(set(names)) < len(names) else names
    if len(set(names)) < len(names):
        raise ConfigError(f"{next(n for n in names if names.count(n) > 1)}: is given twice; give other runs")
    summaries = [summarize(run) for run in runs]
    found = compare_runs(runs)
    if as_json:
        _print_json(
            {
                "runs": {name: s.to_dict() for name, s in zip(names, summaries, strict=True)},
                "settings": {
                    name: dict(zip(names, values, strict=True)) for name, values in found.settings.items()
                },
                "n_same": found.n_same,
            }
        )
        return
    rows = [["", *names], *_facts_of(summaries)]
    echo("\n".join(aligned([[one_line(cell) for cell in row] for row in rows])))
    for section, rows in _sections(found.settings).items():
        echo()
        echo("\n".join(aligned([[one_line(cell) for cell in row] for row in [[section, *names], *rows]])))
    echo()
    for line in [*_only_some(found.settings, names), f"{found.n_same} settings are the same in all"]:
        echo(_wrapped(line))
    if any(s.energy for s in summaries):
        echo("energies of different methods have different scales; 'jetad roc' compares runs")


@command.command(short_help="Remove unfinished runs.")
@click.argument("places", metavar="[RUN|FOLDER]...", nargs=-1)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option("Print what was removed and what was kept as JSON.")
def remove(places: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Remove unfinished runs: those named, or all in folders ('runs' by default).

    A finished run is never removed, nor one that a process is training, nor one that holds other files.
    """
    from jetad.runs import Run, find_runs, summarize

    summaries = [summarize(run) for run in find_runs(*(_real(place) for place in places))]
    named = {_real(place) for place in places}
    kept = {s.path: s.state for s in summaries if s.state != "unfinished"}
    for path, state in kept.items():
        if path in named:
            raise InputError(f"{path}: {_KEPT[state]}; nothing was removed: only unfinished runs are")
    chosen = [s for s in summaries if s.state == "unfinished"]
    tell = [f"{s.path}: step {s.step}, begun {_when(s.started)}, {_bytes(s.n_bytes)}" for s in chosen]
    for line in [
        *tell,
        *(f"{p}: {_KEPT[state]}, is kept" for p, state in kept.items() if state != "finished"),
    ]:
        echo(line, err=True)
    if chosen and not yes:
        if not sys.stdin.isatty():
            raise ConfigError(
                "there is nobody to ask before these runs are removed; pass --yes if that is right"
            )
        what = "this run" if len(chosen) == 1 else f"these {len(chosen)} runs"
        if not click.confirm(f"remove {what}?", err=True):
            chosen = []
    removed, failed = [], []
    for summary in chosen:
        try:
            Run(summary.path).remove_unfinished()
        except JetadError as error:
            failed.append(str(error))
            continue
        removed.append(str(summary.path))
    if as_json:
        _print_json({"removed": removed, "kept": [str(path) for path in kept], "failed": failed})
    else:
        echo("\n".join(f"removed {path}" for path in removed) or "nothing was removed")
    if failed:
        raise InputError("; ".join(failed))


_KEPT = {
    "finished": "is finished",
    "training": "is being trained by another process",
    "damaged": "is damaged, and it cannot be told whether it was finished",
}


def _real(place: str) -> Path:
    """Where a word leads: what is removed is named by its own name, not by that of a link to it."""
    from jetad.files import real

    path = Path(place)
    return real(path) if path.is_symlink() else path


def _print_json(value: Any) -> None:
    echo(json.dumps(value, indent=1, allow_nan=False))


# --- lists -----------------------------------------------------------------------------------------


def _folder(folder: Path, summaries: Sequence[RunSummary]) -> str:
    """The table of one folder, with what to do about runs that are not finished."""
    latest = (folder / "latest").resolve()
    names = [one_line(s.path.name) + (" *" if s.path.resolve() == latest else "") for s in summaries]
    rows = [[_method(s), str(s.n_jets.get("train", _MISSING)), _when(s.started), s.state] for s in summaries]
    header = ["method", "jets", "started", "state"]
    if max(map(len, names)) <= _MAX_NAME:
        lines = aligned([["run", *header], *([n, *row] for n, row in zip(names, rows, strict=True))])
    else:  # names that fill the line stand above the rest
        cells = aligned([["", *header], *(["", *row] for row in rows)])
        lines = [cells[0], *(f"{n}\n{cell}" for n, cell in zip(names, cells[1:], strict=True))]
    total = _bytes(sum(s.n_bytes for s in summaries))
    lines = [
        f"{one_line(str(folder))}: {len(summaries)} run{'s' * (len(summaries) != 1)}, {total}",
        "",
        *lines,
    ]
    notes = ["* is where 'latest' leads"] if (folder / "latest").is_symlink() else []
    if any(s.state == "unfinished" for s in summaries):
        notes.append(
            "unfinished: the same 'jetad train' again goes on, 'jetad runs remove' removes (it asks before)"
        )
    notes += [f"damaged: {one_line(s.problem)}" for s in summaries if s.problem]
    return "\n".join([*lines, *([""] if notes else []), *(_wrapped(note) for note in notes)])


def _method(summary: RunSummary) -> str:
    return one_line(summary.method)[:20]


def _when(time: str) -> str:
    """``2026-11-28 14:03`` of a time in ISO 8601 (UTC)."""
    return one_line(time)[:16].replace("T", " ") or _MISSING


def _bytes(n: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n} bytes"


def _wrapped(text: str, indent: int = 2, first: str = "") -> str:
    return textwrap.fill(
        text, columns(), initial_indent=first, subsequent_indent=" " * indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


# --- one run ---------------------------------------------------------------------------------------


def _page(run: Run, summary: RunSummary) -> Iterable[str]:
    yield f"{one_line(str(run.path))}: {summary.state}"
    facts = {
        "method": f"{summary.method} ({', '.join(summary.members)})" if summary.members else summary.method,
        "jets": ", ".join(f"{n} {use}" for use, n in summary.n_jets.items()),
        "background": ", ".join(f"{path} ({digest or 'no hash'})" for path, digest in summary.inputs.items()),
        "seed": "" if summary.seed is None else str(summary.seed),
        "started": _when(summary.started),
        "ended": _when(summary.ended),
        "steps": str(summary.step),
        "energy": _named(summary.energy, ".4g") and f"{_named(summary.energy, '.4g')} (held-out background)",
        "AUC": _named(summary.auc, ".3f") and f"{_named(summary.auc, '.3f')} (watched, never used)",
        "size": _bytes(summary.n_bytes),
    }
    if summary.state != "damaged":
        provenance = run.provenance
        git = provenance.get("git")
        facts["made with"] = ", ".join(
            f"{name} {version}"
            for name, version in {
                "jetad": provenance.get("jetad"), "Python": provenance.get("python"),
                "torch": (provenance.get("packages") or {}).get("torch"), "on": provenance.get("device"),
            }.items() if version
        )  # fmt: skip
        if isinstance(git, dict):
            facts["code"] = f"{git.get('commit')}{', with changes' if git.get('dirty') else ''}"
        facts["command"] = shlex.join(provenance.get("command", []))
    facts["damaged"] = summary.problem
    for name, text in facts.items():
        if text:
            yield _wrapped(one_line(text), 15, f"  {name:<11}  ")
    if summary.state == "finished":
        yield f"next: jetad score FILE --run {shlex.quote(str(run.path))}"
    elif summary.state == "unfinished":
        yield "next: the same command again goes on"


def _named(values: Any, form: str) -> str:
    return ", ".join(f"{name} {value:{form}}" for name, value in values.items())


# --- several runs ------------------------------------------------------------------------------------


def _facts_of(summaries: Sequence[RunSummary]) -> list[list[str]]:
    rows = {
        "state": [s.state for s in summaries],
        "method": [_method(s) for s in summaries],
        "seed": [_MISSING if s.seed is None else str(s.seed) for s in summaries],
        "training jets": [str(s.n_jets.get("train", _MISSING)) for s in summaries],
        "background": [" ".join(s.inputs.values()) or _MISSING for s in summaries],
        "started": [_when(s.started) for s in summaries],
        "steps": [str(s.step) for s in summaries],
    }
    for member in dict.fromkeys(m for s in summaries for m in s.energy):
        rows[f"energy ({member})"] = [
            f"{s.energy[member]:.4g}" if member in s.energy else _MISSING for s in summaries
        ]
    for signal in dict.fromkeys(name for s in summaries for name in s.auc):
        rows[f"AUC ({signal})"] = [_number(s.auc, signal, ".3f") for s in summaries]
    rows["size"] = [_bytes(s.n_bytes) for s in summaries]
    return [[name, *values] for name, values in rows.items()]


def _number(values: Mapping[str, float], name: str, form: str) -> str:
    return format(values[name], form) if name in values else _MISSING


def _sections(settings: Mapping[str, tuple[Any, ...]]) -> dict[str, list[list[str]]]:
    """Settings that all runs have, by their first words: ``members.image``, ``data`` and so on."""
    found: dict[str, list[list[str]]] = {}
    for name, values in settings.items():
        if all(value is not None for value in values):
            words = name.split(".")
            n = 2 if words[0] == "members" else 1
            section, rest = (
                (".".join(words[:n]), ".".join(words[n:])) if len(words) > n else ("settings", name)
            )
            found.setdefault(section, []).append([f"  {rest}", *map(_value, values)])
    return found


def _only_some(settings: Mapping[str, tuple[Any, ...]], names: Sequence[str]) -> list[str]:
    """How many settings there are that not all runs have."""
    counts = Counter(
        ", ".join(name for name, value in zip(names, values, strict=True) if value is not None)
        for values in settings.values()
        if any(value is None for value in values)
    )
    return [f"{n} settings are in {who} alone (--json lists them)" for who, n in counts.items()]


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else _MISSING if value is None else json.dumps(value)
    return text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 3]}..."
