"""The command line. A command is imported only when it runs, so that help and usage errors appear at once.

Exit status: 0 if everything passed; 1 if a check failed; 2 if a check could not be judged.
"""

from __future__ import annotations

import difflib
import gc
import os
import re
import sys
from importlib import import_module

import click

import archaudit
from archaudit.errors import ArchauditError

# The module of each command in this package, with the function's name if it is not `command`; and its line in the help, which is shown
# without importing the module.
COMMANDS = {
    "compare": ("compare_command", "Compare two models: what changed, what it costs, and whether budgets and claims hold."),
    "profile": ("profile_command", "Measure one model layer by layer: parameters, FLOPs, memory."),
    "latency": ("latency_command", "Time one model, or two models against each other, with confidence intervals."),
    "report": ("report_command", "Render a saved report in another format."),
    "check": ("check_command", "Check all budgets of the config, for CI."),
    "claims": ("claims_command", "Check the numbers in a document against the models; draft claims; correct wrong numbers."),
    "baseline": ("baseline_command", "Write or update the saved profiles that budgets compare with."),
    "history": ("study_commands:history", "Metrics of one model over the commits of a repository."),
    "bisect": ("study_commands:bisect", "Find the first commit at which a condition on a model holds."),
    "sweep": ("study_commands:sweep", "Measure several models, inputs and arguments in one table."),
    "init": ("init_command", "Write a first config and baseline for a model."),
    "schema": ("schema_command", "Print the JSON Schema of the config or of the JSON output."),
    "completion": ("completion_command", "Print the completion script for a shell."),
    "conformance": ("conformance_command", "Check archaudit's counts on small models with known answers."),
}

EXIT_FAILED, EXIT_UNJUDGED = 1, 2
# A command keeps its records until it ends, and they hold almost no reference cycles: frequent collections would find nothing.
RECORDS_BETWEEN_COLLECTIONS = 100_000


class _Commands(click.Group):
    """A group that imports a command when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"archaudit.cli.{module}"), name or "command")
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

    What changed, what each change costs, whether the documented numbers are true, and whether the change may be merged.
    """


def run() -> None:
    """The `archaudit` script: runs a command, prints an ArchauditError as a message without a traceback, and exits."""
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
    except BrokenPipeError:  # the reader of the pipe was closed, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status if isinstance(status, int) else 0)


def printable(text: str) -> str:
    """Returns the text with its control characters written out: names from models and files are untrusted."""
    shown = "".join(character if character.isprintable() or character == "\n" else repr(character)[1:-1] for character in text)
    return defuse_commands(shown)


# How a line begins that GitHub's log reads as a command; spaces may stand before it.
_COMMAND = re.compile(r"^([^\S\n]*)(::|##\[)", re.MULTILINE)


def defuse_commands(text: str) -> str:
    """The text with every line escaped that GitHub would read as a command, such as `::error::`: names of models are untrusted."""
    return _COMMAND.sub(lambda found: f"{found[1]}\\x{ord(found[2][0]):02x}{found[2][1:]}", text)
