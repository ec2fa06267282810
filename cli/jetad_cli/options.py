"""Options and parameter types shared by several commands."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from jetad.errors import ConfigError

from .numbers import FiniteFloat
from .terminal import echo

if TYPE_CHECKING:
    from jetad.batch.tasks import Footprint
    from jetad.jets import Selection
    from jetad.readers import ReadOptions

__all__ = [
    "Inputs",
    "MAX_SEED",
    "ManyValues",
    "READING_OPTIONS",
    "Sections",
    "allow_option",
    "check_option",
    "device_option",
    "figure_label",
    "force_option",
    "input_options",
    "json_option",
    "label_options",
    "reading_options",
    "resource_options",
    "seed_option",
    "show_check",
]

# jetad.config has the same; it would import torch
MAX_SEED = (1 << 32) - 1

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def json_option(help: str = "Print JSON instead of a table.") -> Decorator:
    """``--json``, with its own words of help where the command prints something else."""
    return click.option("--json", "as_json", is_flag=True, help=help)


force_option: Decorator = click.option("--force", is_flag=True, help="Replace outputs that exist.")


def allow_option(*names: str) -> Decorator:
    """``--allow NAME`` for those of the refusals that the command knows."""
    from jetad.checks.allowed import ALLOWED

    meaning = "; ".join(f"{name}: {ALLOWED[name]}" for name in names)
    return click.option(
        "--allow", multiple=True, type=click.Choice(names), help=f"Do what is refused otherwise ({meaning})."
    )


check_option: Decorator = click.option(
    "--check", is_flag=True, help="Check the command and its files, say what it would write, and stop."
)
seed_option: Decorator = click.option(
    "--seed", type=click.IntRange(0, MAX_SEED), default=1, show_default=True, help="Random seed."
)
device_option: Decorator = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)


def label_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--experiment``, ``--label``, ``--com``, ``--lumi``; made into one by ``figure_label``."""
    for decorate in (
        click.option(
            "--lumi", type=FiniteFloat(), metavar="FB", help="Integrated luminosity to show [fb^-1]."
        ),
        click.option("--com", type=FiniteFloat(), metavar="TEV", help="Centre-of-mass energy to show [TeV]."),
        click.option("--label", metavar="TEXT", help="Text above the figure, after the experiment."),
        click.option(
            "--experiment",
            type=click.Choice(["none", "CMS", "ATLAS", "LHCb", "ALICE"], case_sensitive=False),
            default="none",
            show_default=True,
            help="Experiment named above the figure.",
        ),
    ):
        function = decorate(function)
    return function


def figure_label(options: dict[str, Any]) -> Any:
    """Take the values of ``label_options`` out of ``options``; a :class:`jetad.plots.FigureLabel`."""
    from jetad.plots import FigureLabel

    return FigureLabel(**{name: options.pop(name) for name in ("experiment", "label", "com", "lumi")})


def show_check(inputs: list[Path], outputs: list[Path], cpus: int) -> Footprint:
    """Print what a command with ``--check`` would write, and give it to 'jetad submit'."""
    from jetad.batch.tasks import Footprint

    for path in outputs:
        echo(f"would write {path}")
    return Footprint(inputs, outputs, cpus)


class Inputs(NamedTuple):
    """How files are read: what `input_options` collects."""

    options: ReadOptions  # for the functions of jetad.readers
    select: str | None
    max_jets: int | None

    @property
    def files(self) -> list[Path]:
        """Those that say how to read, besides the jets themselves."""
        return [Path(self.options["mapping"])] if "mapping" in self.options else []

    def selection(self) -> Selection | None:
        """A fresh selection, whose cut flow begins at zero."""
        from jetad.jets import Selection

        return None if self.select is None else Selection(self.select)


_READING: tuple[Decorator, ...] = (
    click.option("--reader", metavar="NAME", help="Format of the files; by content (see 'jetad readers')."),
    click.option(
        "--collection", metavar="NAME", help="Jets to read where events hold several kinds, such as Jet."
    ),
    click.option(
        "--reader-option",
        "reader_options",
        multiple=True,
        metavar="KEY=VALUE",
        help="Other option of the reader, such as use_puppi=no; repeatable.",
    ),
    click.option("--mapping", metavar="YAML", help="Which columns are what, for files of any layout."),
    click.option(
        "--units",
        type=click.Choice(["GeV", "MeV"]),
        help="Units of the file; MeV are converted.  [default: GeV, and what looks like MeV is refused]",
    ),
)
#: Names of the options that say what is read, for sections of a help text.
READING_OPTIONS = (
    "--reader", "--collection", "--reader-option", "--mapping", "--units", "--select", "--max-jets",
)  # fmt: skip

_CHOOSING: tuple[Decorator, ...] = (
    click.option(
        "--select", metavar="CUTS", help="Only jets that pass, such as 'jet_pt > 500 & abs(jet_eta) < 2'."
    ),
    click.option("--max-jets", type=click.IntRange(min=1), help="Stop after so many jets."),
)


def input_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that reads jets; the command gets them as ``inputs``."""
    return _collecting(command, _READING + _CHOOSING)


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Those of them that say how a file is read, not which of its jets; as ``inputs``, too."""
    return _collecting(command, _READING)


def _collecting(command: Callable[..., Any], decorators: tuple[Decorator, ...]) -> Callable[..., Any]:
    @functools.wraps(command)
    def collected(
        *args: Any,
        reader: str | None,
        collection: str | None,
        reader_options: tuple[str, ...],
        mapping: str | None,
        units: str | None,
        select: str | None = None,
        max_jets: int | None = None,
        **others: Any,
    ) -> Any:
        settings: dict[str, Any] = {} if collection is None else {"collection": collection}
        for text in reader_options:
            key, equals, value = text.partition("=")
            if not equals or not key:
                raise ConfigError(f"--reader-option {text}: is not KEY=VALUE")
            settings[key] = value
        options: ReadOptions = {}
        if reader is not None:
            options["reader"] = reader
        if settings:
            options["options"] = settings
        if mapping is not None:
            from jetad.readers.columnmap import load_mapping

            load_mapping(mapping)
            options["mapping"] = mapping
        if units is not None:
            options["units"] = units
        inputs = Inputs(options, select, max_jets)
        inputs.selection()  # a mistake is found before any file is opened
        return command(*args, inputs=inputs, **others)

    decorated: Callable[..., Any] = collected
    for option in reversed(decorators):
        decorated = option(decorated)
    return decorated


_RESOURCES: tuple[Decorator, ...] = (
    click.option("--partition", help="SLURM partition."),
    click.option("--account", help="SLURM account or HTCondor accounting group."),
    click.option("--cpus", type=click.IntRange(min=1), help="CPU cores of a task."),
    click.option("--gpus", type=click.IntRange(min=0), help="GPUs of a task."),
    click.option("--memory", metavar="4G", help="Memory of a task."),
    click.option("--time", metavar="8h", help="Time limit of a task: 90m, 8h, 2d, 8:00:00."),
    click.option("--container", metavar="IMAGE", help="Run in this image with apptainer."),
    click.option(
        "--option",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="Any other of the site settings (docs/batch.md); repeatable.",
    ),
)


def resource_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a batch job asks for; the command gets what was given as ``resources``."""

    @functools.wraps(command)
    def collected(*args: Any, **values: Any) -> Any:
        names = ("partition", "account", "cpus", "gpus", "memory", "time", "container")
        resources = {name: values.pop(name) for name in names}
        given = {name: value for name, value in resources.items() if value is not None}
        return command(*args, resources={**given, "settings": values.pop("settings")}, **values)

    decorated: Callable[..., Any] = collected
    for option in reversed(_RESOURCES):
        decorated = option(decorated)
    return decorated


class Sections(click.Command):
    """A command whose help has its options in sections: title -> names; the rest comes last.

    Arguments:
        sections: Names of options, such as ``--seed``, by title.
    """

    def __init__(self, *args: Any, sections: dict[str, tuple[str, ...]] | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self.sections = sections or {}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found: dict[str, list[tuple[str, str]]] = {title: [] for title in (*self.sections, "Options")}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                titles = [t for t, names in self.sections.items() if set(names) & set(parameter.opts)]
                found[titles[0] if titles else "Options"].append(record)
        for title, records in found.items():
            if records:
                with formatter.section(title if title != "Options" or not self.sections else "Other options"):
                    formatter.write_dl(records)


class ManyValues(Sections):
    """A command whose repeatable options take all words up to the next option, as shells expand patterns.

    ``--background a.h5 b.h5 -o roc`` is read as ``--background a.h5 --background b.h5 -o roc``.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        many = {name for p in self.params if isinstance(p, click.Option) and p.multiple for name in p.opts}
        spelled_out: list[str] = []
        option, first = "", False
        for i, word in enumerate(args):
            if word == "--":
                spelled_out += args[i:]
                break
            if word.startswith("-") and word != "-":
                name, _, value = word.partition("=")
                option = name if name in many else ""
                first = bool(option) and not value
            elif option and not first:
                spelled_out.append(option)
            else:
                first = False
            spelled_out.append(word)
        return super().parse_args(ctx, spelled_out)
