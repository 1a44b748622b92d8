"""`archaudit claims draft` and `archaudit claims check`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archaudit.cli import EXIT_FAILED, EXIT_UNJUDGED
from archaudit.cli.options import build_options, dtype_option, latency_option, measurement_options
from archaudit.cli.output import print_text, write_files

if TYPE_CHECKING:
    from archaudit.pipeline.claims import Correction, DocumentJudgement

_DOCUMENT = click.Path(path_type=Path, dir_okay=False)


@click.group(name="claims", short_help="Check the numbers in a document.")
def command() -> None:
    """Check the numbers that a document states about a model.

    `draft` proposes what each number means; `check` judges the confirmed claims and can correct wrong numbers.
    """


@command.command(short_help="Propose a claim for each number in a document.")
@click.argument("document", type=_DOCUMENT)
@click.argument("before")
@click.argument("after")
@click.option("-o", "--output", "file", type=_DOCUMENT, metavar="FILE", help="Write the TOML to this file (default: print it).")
@dtype_option
@measurement_options
def draft(document: Path, before: str, after: str, file: Path | None, **arguments: Any) -> int:
    """Find the numbers in DOCUMENT and propose which metric of BEFORE or AFTER each one states, with the measured value.

    Review the TOML, then save it as DOCUMENT.claims.toml next to the document, or in the config with `document = "..."`.
    """
    from archaudit.pipeline.claims import draft_document

    with build_options(**arguments) as options:
        toml = draft_document(document, before, after, options)
    if not toml:
        print_text(f"{document}: no numbers found")
        return EXIT_UNJUDGED
    if file is None:
        print_text(toml)
    else:
        write_files(file.parent, {file.name: toml})
        print_text(f"wrote {file}")
    return 0


@command.command(short_help="Check the claims of a document.")
@click.argument("document", type=_DOCUMENT)
@click.argument("models", nargs=-1, metavar="[BEFORE AFTER]")
@click.option("--strict", is_flag=True, help="Fail if a number has no claim.")
@click.option("--fix", is_flag=True, help="Correct wrong numbers in the document, after showing the diff and asking.")
@click.option("--yes", is_flag=True, help="With --fix, write without asking.")
@click.option("--format", "format_name", type=click.Choice(["text", "json"]), default="text", help="What to print (default: text).")
@latency_option
@dtype_option
@measurement_options
def check(document: Path, models: tuple[str, ...], format_name: str, **arguments: Any) -> int:
    """Check the claims about DOCUMENT: those in the config, in DOCUMENT.claims.toml next to it, and inline in the document.

    BEFORE and AFTER are the models that the claims call `before` and `after`. Exit status: 1 if a claim is false, 2 if one could not be
    judged or if there is none.
    """
    from archaudit.pipeline.claims import check_document

    if len(models) not in (0, 2):
        raise click.UsageError("Give both models, BEFORE and AFTER, or neither.")
    strict, fix, yes = (arguments.pop(name) for name in ("strict", "fix", "yes"))
    pair = (models[0], models[1]) if models else None
    with build_options(**arguments) as options:
        judgement = check_document(document, options, pair, strict=strict, fix=fix)
    _print_judgement(judgement, format_name)
    if fix and _correct(judgement.corrections, yes=yes):
        with build_options(**arguments) as options:
            judgement = check_document(document, options, pair, strict=strict)
        print_text(f"\nafter the correction: {judgement.outcome}")
    if judgement.outcome == "failed":
        return EXIT_FAILED
    return EXIT_UNJUDGED if judgement.outcome == "inconclusive" else 0


def _print_judgement(judgement: DocumentJudgement, format_name: str) -> None:
    from archaudit.render.command_texts import format_claims
    from archaudit.schema import encode

    if format_name == "json":
        print_text(encode(judgement).decode())
        return
    print_text("\n".join(format_claims(judgement.verdicts, judgement.numbers, judgement.coverage)))
    print_text(f"{judgement.document}: {judgement.outcome}")


def _correct(corrections: Iterable[Correction], *, yes: bool) -> bool:
    """Shows the changes and writes them if confirmed; returns whether they were written. Without a terminal, only --yes confirms."""
    from archaudit.claims.fixing import format_diff
    from archaudit.render.formatting import make_visible

    wanted = list(corrections)
    if not wanted:
        print_text("\nnothing to correct: no false number has an unambiguous binding")
        return False
    for correction in wanted:
        changes = format_diff(Path(correction.path).name, correction.before, correction.after)
        print_text("\n" + "\n".join(make_visible(line) for line in changes.split("\n")))
    if not yes and not (sys.stdin.isatty() and click.confirm("Write these changes?", err=True)):
        print_text("nothing was written" + ("" if sys.stdin.isatty() else "; use --yes to write"))
        return False
    for correction in wanted:
        path = Path(correction.path).resolve()  # keep a symbolic link
        write_files(path.parent, {path.name: correction.after})
    return True
