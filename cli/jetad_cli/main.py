"""The command group: lazy subcommands, verbosity, and the one place an error becomes an exit code."""

from __future__ import annotations

import importlib
import io
import logging
import os
import re
import sys
from types import TracebackType
from typing import Any

import click

from jetad import __version__
from jetad.errors import JetadError, memory_message, without_secrets

from . import completion  # noqa: F401 (click finds it by the name of the shell)
from .terminal import (
    TOLD,
    AboveBars,
    be_quiet,
    echo,
    fitted,
    one_line,
    open_streams,
    printable,
    quiet_libraries,
    shortened,
    silence,
)

__all__ = ["cli", "main"]

#: Commands by what they are for, each with a line for the help of all.
SECTIONS: dict[str, dict[str, str]] = {
    "First steps": {
        "demo": "The whole job on the shipped samples.",
        "inspect": "What is in a file of jets, and what is wrong with it.",
        "fetch": "Download published sets of jets, checked.",
        "simulate": "Make QCD, top, W, Higgs and dark-shower jets.",
        "methods": "List the methods and presets.",
        "readers": "List the file formats.",
    },
    "Train and score": {
        "train": "Train a detector on background jets alone.",
        "score": "Score every jet of every file.",
        "calibrate": "Measure background efficiencies on other jets.",
        "verify": "Prove that scores belong to a file, row by row.",
        "merge": "Join the parts of 'score --part K/N'.",
        "export": "Write a run as an ONNX graph or a torch package.",
    },
    "Look at the results": {
        "runs": "List, compare, show and remove runs.",
        "roc": "ROC curves: table, figure, JSON, HEPData.",
        "select": "Cut, estimate the background, histograms, limits.",
        "plot": "Draw one kind of figure.",
        "report": "Write one HTML page about a detector.",
        "explore": "Write an interactive page to look at single jets.",
        "cite": "Print the papers to cite for a run.",
    },
    "Study a method": {
        "search": "Search for better settings without labels.",
        "two-way": "Find B among A, and A among B.",
        "robustness": "Score distorted jets.",
        "contamination": "Train with signal in the data.",
        "bench": "Rank methods by their worst direction.",
    },
    "Clusters and machines": {
        "submit": "Run 'train' or 'score' as a batch job.",
        "status": "What became of the tasks of a job.",
        "resubmit": "Submit the failed tasks again.",
        "plan": "Predict time, memory and number of jobs.",
        "doctor": "What on this machine would stand in the way.",
        "completion": "Print the script that completes words in a shell.",
    },
}

# name -> module under jetad_cli.commands; the module's `command` is imported only when it is used
COMMANDS = {name: f"cmd_{name.replace('-', '_')}" for section in SECTIONS.values() for name in section}


class LazyGroup(click.Group):
    """A group whose commands are imported when first asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"jetad_cli.commands.{COMMANDS[cmd_name]}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        from jetad.registry import closest_first

        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            nearest = closest_first(args[0], COMMANDS)[0]
            ctx.fail(f"no command '{args[0]}'; did you mean '{nearest}'? ('jetad --help' lists all)")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="jetad")
@click.option("-v", "--verbose", count=True, help="More messages; twice: tracebacks of errors.")
@click.option("-q", "--quiet", is_flag=True, help="Warnings and errors only.")
@click.option("--log", metavar="FILE", help="Add all messages to a file, with the time.")
@click.pass_context
def cli(ctx: click.Context, verbose: int, quiet: bool, log: str | None) -> None:
    """Tag anomalous jets: train a detector on background alone, score unseen jets, draw ROC curves."""
    ctx.obj = {"verbose": verbose}
    quiet_libraries(verbose > 0)
    be_quiet(quiet)
    level = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
    logger = logging.getLogger("jetad")
    logger.setLevel(level if log is None else logging.DEBUG)
    logger.propagate = False
    logger.handlers = [AboveBars(sys.stderr)]
    logger.handlers[0].setFormatter(_OnTerminal("%(message)s"))
    logger.handlers[0].setLevel(level)
    logger.handlers[0].addFilter(lambda record: record.name != TOLD)  # is on the terminal already
    if log is not None:
        file = logging.FileHandler(log, encoding="utf-8", errors="backslashreplace")
        file.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(file)
        ctx.call_on_close(file.close)
        logger.debug("jetad %s: %s", __version__, " ".join(sys.argv[1:]))


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(without_secrets(super().format(record)))


class _OnTerminal(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return fitted(super().format(record))


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 usage, 85 stopped after a checkpoint."""
    open_streams()
    argv = _verbosity_first(sys.argv[1:] if args is None else args)
    show_traceback = sum({"-vv": 2, "-v": 1, "--verbose": 1}.get(word, 0) for word in argv) >= 2
    if show_traceback:
        sys.excepthook = _excepthook
    try:
        cli.main(args=argv, prog_name="jetad", standalone_mode=False)
    except click.exceptions.Exit as request:
        sys.exit(request.exit_code)
    except click.Abort:
        echo("jetad: interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        message = io.StringIO()
        _with_nearest(error).show(message)
        echo("\n".join(map(shortened, message.getvalue().split("\n"))), err=True, nl=False)
        sys.exit(error.exit_code)
    except JetadError as error:
        if show_traceback:
            raise
        echo(f"jetad: error: {shortened(one_line(str(error)))}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        silence()
        sys.exit(1)
    except OSError as error:  # of names that are too long, circles of links, folders that are files, ...
        if show_traceback:
            raise
        echo(f"jetad: error: {shortened(one_line(_of_system(error)))}", err=True)
        sys.exit(1)
    except Exception as error:
        if show_traceback:
            raise
        if (told := memory_message(error)) is not None:
            echo(f"jetad: error: {told}; take fewer or smaller things at once, or a larger machine", err=True)
            sys.exit(1)
        what = str(error).splitlines()[0] if str(error) else "no message"
        echo(
            f"jetad: unexpected {type(error).__name__}: {what} (this is a bug; 'jetad -vv ...' shows where)",
            err=True,
        )
        sys.exit(1)


def _with_nearest(error: click.ClickException) -> click.ClickException:
    """The same error, with the nearest word for one that is unknown or in the wrong place."""
    from jetad.registry import closest_first

    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        known = [name for p in error.ctx.command.params for name in p.opts if name.startswith("--")]
        if known and error.option_name.startswith("--"):
            nearest = closest_first(error.option_name, known)[0]
            message = f"No such option '{error.option_name}'; did you mean '{nearest}'?"
            return click.NoSuchOption(error.option_name, message, ctx=error.ctx)
    elif isinstance(error, click.UsageError) and error.ctx is not None:
        extra = re.fullmatch(r"Got unexpected extra arguments? \((.*)\)\.?", error.message)
        names = {name for p in error.ctx.command.params for name in p.opts}
        if extra and "--background" in names:
            return click.UsageError(f"{error.message}; did you mean --background {extra[1]}?", error.ctx)
    return error


def _of_system(error: OSError) -> str:
    """What the system refuses, of which file, in one sentence."""
    reason = "no permission for this file" if isinstance(error, PermissionError) else error.strerror
    if error.filename is None or not reason:
        return memory_message(error) or str(error)
    return f"{os.fsdecode(error.filename)}: {reason}"


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    import traceback

    echo("".join(traceback.format_exception(kind, error, trace)), err=True, nl=False)


def _verbosity_first(argv: list[str]) -> list[str]:
    """Accept -v and -q after the command, too: where people type them when something has gone wrong."""
    words, end = argv, argv.index("--") if "--" in argv else len(argv)
    flags = [word for word in words[:end] if word in ("-v", "-vv", "--verbose", "-q", "--quiet")]
    return flags + [word for word in words[:end] if word not in flags] + words[end:]


if __name__ == "__main__":
    main()
