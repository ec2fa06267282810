"""The command group: lazy subcommands, verbosity, and the one place an error becomes an exit code."""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys
from types import TracebackType
from typing import Any

import click

from jetad import __version__
from jetad.errors import JetadError, memory_message, without_secrets

from . import completion  # noqa: F401 (click finds it by the name of the shell)
from .terminal import echo, one_line, open_streams, printable, quiet_libraries, shortened, silence

__all__ = ["cli", "main"]

# name -> module under jetad_cli.commands; the module's `command` is imported only when it is used
COMMANDS = {
    "demo": "cmd_demo",
    "simulate": "cmd_simulate",
    "inspect": "cmd_inspect",
    "train": "cmd_train",
    "score": "cmd_score",
    "verify": "cmd_verify",
    "merge": "cmd_merge",
    "submit": "cmd_submit",
    "status": "cmd_status",
    "resubmit": "cmd_resubmit",
    "plan": "cmd_plan",
    "doctor": "cmd_doctor",
    "calibrate": "cmd_calibrate",
    "export": "cmd_export",
    "roc": "cmd_roc",
    "plot": "cmd_plot",
    "report": "cmd_report",
    "two-way": "cmd_two_way",
    "robustness": "cmd_robustness",
    "contamination": "cmd_contamination",
    "bench": "cmd_bench",
    "cite": "cmd_cite",
    "methods": "cmd_methods",
    "readers": "cmd_readers",
    "completion": "cmd_completion",
}


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


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="jetad")
@click.option("-v", "--verbose", count=True, help="More messages; twice: tracebacks of errors.")
@click.option("-q", "--quiet", is_flag=True, help="Warnings and errors only.")
@click.pass_context
def cli(ctx: click.Context, verbose: int, quiet: bool) -> None:
    """Tag anomalous jets: train a detector on background alone, score unseen jets, draw ROC curves."""
    ctx.obj = {"verbose": verbose}
    quiet_libraries(verbose > 0)
    level = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
    logger = logging.getLogger("jetad")
    logger.setLevel(level)
    logger.propagate = False
    logger.handlers = [logging.StreamHandler(sys.stderr)]
    logger.handlers[0].setFormatter(_Formatter("%(message)s"))


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(without_secrets(super().format(record)))


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
        error.show(message)
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
