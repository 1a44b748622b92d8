"""The command line. A command is imported only when it runs, so that help and usage errors appear at once.

Exit status: 0 if everything passed; 1 if a check failed, and for nothing else; 2 if a check could not be judged, or for any error. A
command that is stopped by a signal removes its temporary files first, and exits with 128 plus the number of the signal.
"""

from __future__ import annotations

import difflib
import gc
import os
import re
import signal
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import FrameType

import click

import archaudit
from archaudit.errors import ArchauditError, OutputError, describe_error

# The module of each command in this package, with the function's name if it is not `command`; and its line in the help, which is shown
# without importing the module.
COMMANDS = {
    "compare": ("compare_command", "Compare two models: what changed, what it costs, and whether budgets and claims hold."),
    "profile": ("profile_command", "Measure one model layer by layer: parameters, FLOPs, memory."),
    "audit": ("audit_command", "Find what is wasted or wrong in a model, with its price and its line."),
    "formula": ("formula_command", "Show how the costs of a model grow with the sizes of its input, as exact formulas."),
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
    try:
        Path.cwd().stat()
    except OSError as error:
        raise ArchauditError("the current folder no longer exists", "Change to another folder first.") from error


def run() -> None:
    """The `archaudit` script: runs a command, prints every error as a message without a traceback, and exits."""
    gc.set_threshold(RECORDS_BETWEEN_COLLECTIONS)
    _reserve_descriptors()
    received = _end_on_signals()
    try:
        status = _run_command()
        finish_output()
    except KeyboardInterrupt:
        _print_error("interrupted")
        status = 128 + (received[0] if received else signal.SIGINT)
    except ArchauditError as error:
        _print_error(error.message, error.hint)
        status = EXIT_UNJUDGED
    except Exception as error:  # noqa: BLE001 - status 1 means that a check failed; Python would use it for a traceback as well
        _print_defect(error)
        status = EXIT_UNJUDGED
    sys.exit(status)


def _run_command() -> int:
    """The exit status of the command. Raises KeyboardInterrupt, and what the command raises."""
    try:
        status = main.main(standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        return EXIT_UNJUDGED
    except SystemExit as error:
        if type(sys.stdout).__name__.endswith("PacifyFlushWrapper"):  # click lost the reader of a pipe while it printed help
            raise OutputError(READER_GONE) from error
        raise ArchauditError(f"the command was ended by SystemExit ({error.code})") from error
    except OSError as error:
        if error.filename is None:  # not an error of a file: help could not be printed
            finish_output()
        raise
    return status if isinstance(status, int) else 0


# Sent by `kill` and by CI when it cancels a job, and by a terminal that is closed. Python's default is to die at once.
_ENDING_SIGNALS = ("SIGTERM", "SIGHUP")


def _end_on_signals() -> list[int]:
    """From now on, the first signal that ends this process raises KeyboardInterrupt, so that checkouts, locks and workers are removed;
    further ones are ignored during that. Returns a list that will contain the number of the signal.

    A signal that is ignored (`nohup`) stays ignored.
    """
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not received:
            received.append(number)
            raise KeyboardInterrupt

    for number in (getattr(signal, name) for name in _ENDING_SIGNALS if hasattr(signal, name)):
        with suppress(ValueError):  # only the main thread can set a handler
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, interrupt)
    return received


READER_GONE = "the program that reads the output ended before the output was complete"


def _reserve_descriptors() -> None:
    """Opens the null device for each standard stream that is closed. Otherwise the next file or socket would become standard output."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest free number


def finish_output(text: str = "") -> None:
    """Writes `text` to standard output, and what is still buffered. Raises OutputError if that is not possible, which Python itself reports
    at exit, with a status of its own."""
    if sys.stdout is None:
        if text:
            raise OutputError("standard output is closed", "Redirect it to a file, or to /dev/null.")
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):  # discard the rest, so that Python does not try again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(READER_GONE if isinstance(error, BrokenPipeError) else f"standard output cannot be written: {reason}") from error


def _print_error(message: str, hint: str | None = None) -> None:
    with suppress(OSError, ValueError):  # a closed or full standard error does not change the status
        click.echo(f"archaudit: {printable(message)}" if message != "interrupted" else message, err=True)
        if hint:
            click.echo(printable(hint), err=True)


def _print_defect(error: Exception) -> None:
    """An error that archaudit cannot explain, as a message; with ARCHAUDIT_TRACEBACK=1 with its traceback."""
    if os.environ.get("ARCHAUDIT_TRACEBACK"):
        with suppress(OSError, ValueError):
            traceback.print_exception(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    _print_error(
        f"internal error: {describe_error(error)}{place}",
        "This is a defect of archaudit. ARCHAUDIT_TRACEBACK=1 shows where it happened; please report it.",
    )


def printable(text: str) -> str:
    """Returns the text with its control characters written out: names from models and files are untrusted."""
    shown = "".join(character if character.isprintable() or character == "\n" else repr(character)[1:-1] for character in text)
    return defuse_commands(shown)


# How a line begins that GitHub's log reads as a command; spaces may stand before it.
_COMMAND = re.compile(r"^([^\S\n]*)(::|##\[)", re.MULTILINE)


def defuse_commands(text: str) -> str:
    """The text with every line escaped that GitHub would read as a command, such as `::error::`: names of models are untrusted."""
    return _COMMAND.sub(lambda found: f"{found[1]}\\x{ord(found[2][0]):02x}{found[2][1:]}", text)
