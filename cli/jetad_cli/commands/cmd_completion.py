"""jetad completion: the script that lets a shell complete commands, options and files."""

from __future__ import annotations

import click

from ..completion import SHELLS, VARIABLE
from ..terminal import echo

__all__ = ["command"]


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that completes jetad's commands, options and files in SHELL.

    \b
    eval "$(jetad completion bash)"        # in ~/.bashrc
    eval "$(jetad completion zsh)"         # in ~/.zshrc, after compinit
    jetad completion fish > jetad.fish     # in ~/.config/fish/completions
    """
    script = SHELLS[shell](context.find_root().command, {}, "jetad", VARIABLE).source()
    echo(script, nl=False)
