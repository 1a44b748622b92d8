"""`archaudit claims draft` and `archaudit claims check`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archaudit.cli import EXIT_FAILED, EXIT_UNJUDGED
from archaudit.cli.options import asked_options, latency_option, measuring_options
from archaudit.cli.output import print_text, write_files

if TYPE_CHECKING:
    from archaudit.pipeline.claims import Correction, DocumentJudgement

_DOCUMENT = click.Path(path_type=Path, dir_okay=False)


@click.group(name="claims", short_help="Judge the numbers that a document states.")
def command() -> None:
    """Is what a document says about a model true?

    `draft` proposes what each number of a document is about; `check` judges the claims that were confirmed.
    """


@command.command(short_help="Propose what each number of a document is about.")
@click.argument("document", type=_DOCUMENT)
@click.argument("before")
@click.argument("after")
@click.option("-o", "--output", "file", type=_DOCUMENT, metavar="FILE", help="Write the TOML there (default: print it).")
@measuring_options
def draft(document: Path, before: str, after: str, file: Path | None, **asked: Any) -> int:
    """Find the numbers of DOCUMENT and propose what of the models BEFORE and AFTER each is about, with what is measured.

    The TOML is for a person to confirm: keep it as DOCUMENT.claims.toml beside the document, or in the config with `document = "..."`.
    """
    from archaudit.pipeline.claims import draft_document

    with asked_options(**asked) as options:
        toml = draft_document(document, before, after, options)
    if not toml:
        print_text(f"{document}: no numbers were found")
        return EXIT_UNJUDGED
    if file is None:
        print_text(toml)
    else:
        write_files(file.parent, {file.name: toml})
        print_text(f"wrote {file}")
    return 0


@command.command(short_help="Judge the claims about a document.")
@click.argument("document", type=_DOCUMENT)
@click.argument("models", nargs=-1, metavar="[BEFORE AFTER]")
@click.option("--strict", is_flag=True, help="A number that no claim covers is a failure.")
@click.option("--fix", is_flag=True, help="Write the right numbers in place, after showing the change and asking.")
@click.option("--yes", is_flag=True, help="With --fix: write without asking.")
@click.option("--format", "format_name", type=click.Choice(["text", "json"]), default="text", help="What to print (default: text).")
@latency_option
@measuring_options
def check(document: Path, models: tuple[str, ...], format_name: str, **asked: Any) -> int:
    """Judge the claims about DOCUMENT: those of the config that name it, of DOCUMENT.claims.toml beside it, and written into it.

    BEFORE and AFTER are what the claims' `before` and `after` stand for. Exits with 1 when a claim is false, with 2 when one could not be
    judged or none was found.
    """
    from archaudit.pipeline.claims import check_document

    if len(models) not in (0, 2):
        raise click.UsageError("Name both models, BEFORE and AFTER, or neither.")
    strict, fix, yes = (asked.pop(name) for name in ("strict", "fix", "yes"))
    pair = (models[0], models[1]) if models else None
    with asked_options(**asked) as options:
        judgement = check_document(document, options, pair, strict=strict, fix=fix)
    _print_judgement(judgement, format_name)
    if fix and _correct(judgement.corrections, yes=yes):
        with asked_options(**asked) as options:
            judgement = check_document(document, options, pair, strict=strict)
        print_text(f"\nafter the correction: {judgement.outcome}")
    if judgement.outcome == "failed":
        return EXIT_FAILED
    return EXIT_UNJUDGED if judgement.outcome == "inconclusive" else 0


def _print_judgement(judgement: DocumentJudgement, format_name: str) -> None:
    from archaudit.render.claims_text import tell
    from archaudit.schema import encode

    if format_name == "json":
        print_text(encode(judgement).decode())
        return
    print_text("\n".join(tell(judgement.verdicts, judgement.numbers, judgement.coverage)))
    print_text(f"{judgement.document}: {judgement.outcome}")


def _correct(corrections: Iterable[Correction], *, yes: bool) -> bool:
    """Shows what would change; whether it was written. Without a terminal to ask on, and without --yes, nothing is."""
    from archaudit.claims.fixing import show_changes
    from archaudit.render.claims_text import printable

    wanted = list(corrections)
    if not wanted:
        print_text("\nnothing to correct: no false figure has a certain binding")
        return False
    for correction in wanted:
        changes = show_changes(Path(correction.path).name, correction.before, correction.after)
        print_text("\n" + "\n".join(printable(line) for line in changes.split("\n")))
    if not yes and not (sys.stdin.isatty() and click.confirm("Write these changes?", err=True)):
        print_text("nothing was written" + ("" if sys.stdin.isatty() else "; --yes writes it"))
        return False
    for correction in wanted:
        path = Path(correction.path).resolve()  # a link stays one
        write_files(path.parent, {path.name: correction.after})
    return True
