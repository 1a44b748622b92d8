"""The command line. Commands are imported only when they are run, so that help and usage errors answer at once.

Exit status: 0 everything that was asked holds; 1 a check failed; 2 it could not be judged.
"""

from __future__ import annotations

import difflib
import gc
import os
import sys
from importlib import import_module

import click

import archaudit
from archaudit.errors import ArchauditError

# Command to the file here that holds it, and its line in the help (read without importing the file).
COMMANDS = {
    "compare": ("compare_command", "What changed between two models, what it cost, and whether budgets and claims hold."),
    "profile": ("profile_command", "One model, layer by layer: parameters, FLOPs, memory."),
    "latency": ("latency_command", "Measured time of one model, or of two against each other, with an honest verdict."),
    "report": ("report_command", "A saved report, rendered again."),
    "check": ("check_command", "Judge every budget of the config, against baselines where they ask for it."),
    "claims": ("claims_command", "Is what a document says true? Judge its numbers, draft what they are about, put them right."),
    "baseline": ("baseline_command", "Write or update the saved profiles that budgets compare with."),
    "history": ("history_command", "One model over the commits of the repository: metrics, jumps, and who made them."),
    "bisect": ("bisect_command", "The first commit at which a condition on a model holds."),
    "sweep": ("sweep_command", "Several models, inputs and arguments in one table, on one machine or many."),
    "init": ("init_command", "A first config and baseline for a model, with budgets from what it measures."),
    "schema": ("schema_command", "The JSON Schema of the config, or of a record that is printed as JSON."),
    "completion": ("completion_command", "The script that completes commands and options in a shell."),
    "conformance": ("conformance_command", "Prove the counts on small models with hand-worked answers, against other counters."),
}

EXIT_FAILED, EXIT_UNJUDGED = 1, 2
# A command makes records, keeps them to its end and has hardly a cycle among them, so walking them over and over finds nothing.
RECORDS_BETWEEN_COLLECTIONS = 100_000


class _Commands(click.Group):
    """A group that imports a command when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"archaudit.cli.{COMMANDS[cmd_name][0]}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]}?" if near else f" Commands: {', '.join(COMMANDS)}."
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(archaudit.__version__, "-V", "--version", prog_name="archaudit")
def main() -> None:
    """The diff and audit tool for PyTorch architectures.

    What changed, what each change cost, whether what was written about it is true, and whether it may be merged.
    """


def run() -> None:
    """The `archaudit` script: runs a command, shows what archaudit can explain as a message, and exits."""
    gc.set_threshold(RECORDS_BETWEEN_COLLECTIONS)
    try:
        status = main.main(standalone_mode=False)
    except click.exceptions.Exit as error:
        status = error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        status = 130
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        status = 130
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except ArchauditError as error:
        click.echo(f"archaudit: {printable(error.message)}", err=True)
        if error.hint:
            click.echo(printable(error.hint), err=True)
        status = EXIT_UNJUDGED
    except BrokenPipeError:  # the reader of a pipe went away, which is its right
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status if isinstance(status, int) else 0)


def printable(text: str) -> str:
    """Names from models and files may hold control characters; a terminal must not obey them."""
    return "".join(character if character.isprintable() or character == "\n" else repr(character)[1:-1] for character in text)
