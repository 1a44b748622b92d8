"""`archaudit completion bash|zsh|fish`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from archaudit.cli import main
from archaudit.cli.output import print_text


@click.command(short_help="Print a completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print the script that completes archaudit's commands and options in a shell.

    \b
    bash: eval "$(archaudit completion bash)" in ~/.bashrc
    zsh:  eval "$(archaudit completion zsh)" in ~/.zshrc
    fish: archaudit completion fish > ~/.config/fish/completions/archaudit.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    print_text(_write(kind, shell))
    return 0


def _write(kind: type, shell: str) -> str:
    source: str
    if shell == "bash":  # without click's check of the bash version: bash may not be installed here
        completion = kind(main, {}, "archaudit", "_ARCHAUDIT_COMPLETE")
        source = completion.source_template % completion.source_vars()
    else:
        source = kind(main, {}, "archaudit", "_ARCHAUDIT_COMPLETE").source()
    return source
