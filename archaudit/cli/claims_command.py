"""`archaudit claims draft` and `archaudit claims check`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archaudit.cli import EXIT_FAILED, EXIT_UNJUDGED
from archaudit.cli.options import build_options, dtype_option, fresh_option, latency_option, measurement_options
from archaudit.cli.output import is_terminal, print_text, write_files
from archaudit.cli.table_options import TABLE_FORMATS, columns_option, split_names, take_table_options, write_table_text

if TYPE_CHECKING:
    from archaudit.pipeline.claims import DocumentJudgement
    from archaudit.pipeline.corrections import Correction

LEDGER_FORMATS = (".md", ".html", ".csv")
_DOCUMENT = click.Path(path_type=Path, dir_okay=False)


@click.group(name="claims", short_help="Check the numbers in a document.")
def command() -> None:
    """Check the numbers that a document states about a model.

    `draft` proposes what each number means; `check` judges the confirmed claims and can correct wrong numbers.
    """


@command.command(short_help="Propose a claim for each number in a document.")
@click.argument("document", type=_DOCUMENT)
@click.argument("models", nargs=-1, metavar="[BEFORE AFTER]")
@click.option(
    "--models",
    "catalogs",
    multiple=True,
    metavar="SOURCE",
    help="Bind figures to the models that the document names, looked up here: timm, torchvision, transformers, a TOML file with [models], "
    "or a folder of configurations (repeatable).",
)
@click.option("--dry-run", is_flag=True, help="With --models: only list which name became which reference. Nothing is measured.")
@click.option(
    "-o",
    "--output",
    "file",
    type=_DOCUMENT,
    metavar="FILE",
    help="Write the TOML to this file (default: print it). Claims that it has already stay as they are.",
)
@dtype_option
@fresh_option
@measurement_options
def draft(document: Path, models: tuple[str, ...], catalogs: tuple[str, ...], dry_run: bool, file: Path | None, **arguments: Any) -> int:
    """Find the numbers in DOCUMENT and propose what each one states, with the measured value.

    With BEFORE and AFTER: a metric of one of these two models. With --models: a metric of the model that the row or sentence names.

    Review the TOML, then save it as DOCUMENT.claims.toml next to the document, or in the config with `document = "..."`.
    """
    from archaudit.pipeline.drafts import draft_document, draft_zoo

    if len(models) not in (0, 2) or not (models or catalogs):
        raise click.UsageError("Give both models, BEFORE and AFTER, or where the document's models are: --models timm")
    with build_options(**arguments) as options:
        parts = [draft_zoo(document, catalogs, options, measure=not dry_run)] if catalogs else []
        if models and not dry_run:
            parts.append(draft_document(document, models[0], models[1], options))
    toml = "\n".join(filter(None, parts))
    if not toml:
        print_text(f"{document}: no numbers found")
        return EXIT_UNJUDGED
    if file is None:
        print_text(toml)
        return 0
    return _write_draft(file, toml)


def _write_draft(file: Path, toml: str) -> int:
    """Writes the draft, or adds what is new to the file that is there."""
    from archaudit.claims.drafting.merging import merge_draft
    from archaudit.errors import ConfigError

    if not file.exists():
        write_files(file.parent, {file.name: toml})
        print_text(f"wrote {file}")
        return 0
    try:
        merged = merge_draft(file.read_bytes().decode("utf-8"), toml)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}", "Correct it, or name another file with -o.") from error
    if merged.added:
        write_files(file.parent, {file.name: merged.text})
        print_text("\n".join(merged.added))
    print_text(f"{file}: {merged.kept:,} claims kept as they are, {len(merged.added):,} added")
    return 0


@command.command(short_help="Check the claims of a document.")
@click.argument("document", type=_DOCUMENT)
@click.argument("models", nargs=-1, metavar="[BEFORE AFTER]")
@click.option("--strict", is_flag=True, help="Fail if a number has no claim.")
@click.option("--fix", is_flag=True, help="Correct wrong numbers in the document, after showing the diff and asking.")
@click.option("--yes", is_flag=True, help="With --fix, write without asking.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["text", "json", *TABLE_FORMATS]),
    default="text",
    help="What to print (default: text); svg is the badge.",
)
@columns_option
@click.option("--ledger", type=_DOCUMENT, metavar="FILE", help="Write every claim with its measured value to a .md, .html or .csv file.")
@click.option("--badge", type=_DOCUMENT, metavar="FILE.svg", help="Write a badge with the number of claims that are true.")
@latency_option
@dtype_option
@fresh_option
@measurement_options
def check(document: Path, models: tuple[str, ...], format_name: str, **arguments: Any) -> int:
    """Check the claims about DOCUMENT: those in the config, in DOCUMENT.claims.toml next to it, and inline in the document.

    BEFORE and AFTER are the models that the claims call `before` and `after`. Exit status: 1 if a claim is false, 2 if one could not be
    judged or if there is none.
    """
    from archaudit.pipeline.claims import check_document

    if len(models) not in (0, 2):
        raise click.UsageError("Give both models, BEFORE and AFTER, or neither.")
    chosen = take_table_options(format_name, arguments)
    strict, fix, yes, ledger, badge = (arguments.pop(name) for name in ("strict", "fix", "yes", "ledger", "badge"))
    if ledger is not None and ledger.suffix not in LEDGER_FORMATS:
        raise click.UsageError(f"--ledger needs a file that ends in {', '.join(LEDGER_FORMATS)}, not {ledger.name}")
    pair = (models[0], models[1]) if models else None
    with build_options(**arguments) as options:
        judgement = check_document(document, options, pair, strict=strict, fix=fix)
    _print_judgement(judgement, format_name, split_names(chosen["columns"]))
    if fix and _correct(judgement.corrections, yes=yes):
        with build_options(**arguments) as options:
            judgement = check_document(document, options, pair, strict=strict)
        print_text(f"\nafter the correction: {judgement.outcome}")
    _write_records(judgement, ledger, badge)
    if judgement.outcome == "failed":
        return EXIT_FAILED
    return EXIT_UNJUDGED if judgement.outcome == "inconclusive" else 0


def _print_judgement(judgement: DocumentJudgement, format_name: str, columns: Sequence[str]) -> None:
    from archaudit.render.claims_ledger import render_badge, tabulate_claims
    from archaudit.render.command_texts import format_claims
    from archaudit.render.formatting import make_visible
    from archaudit.schema import encode

    if format_name == "json":
        print_text(encode(judgement).decode())
        return
    if format_name == "svg":
        print_text(render_badge(judgement.verdicts, judgement.outcome))
        return
    if columns or format_name in TABLE_FORMATS:
        print_text(write_table_text(tabulate_claims(judgement.document, judgement.verdicts, judgement.numbers, columns), format_name))
        return
    print_text("\n".join(format_claims(judgement.verdicts, judgement.numbers, judgement.coverage)))
    for unknown in judgement.unknown:
        lines = ", ".join(map(str, unknown.lines))
        print_text(make_visible(f"? another model  line {lines}  {unknown.name}: {unknown.reason}"))
    print_text(f"{judgement.document}: {judgement.outcome}")


def _write_records(judgement: DocumentJudgement, ledger: Path | None, badge: Path | None) -> None:
    """Writes the ledger and the badge, where they are wanted."""
    from archaudit.render.claims_ledger import render_badge, render_ledger

    if ledger is not None:
        text = render_ledger(judgement.document, judgement.verdicts, judgement.numbers, judgement.coverage, ledger.suffix)
        write_files(ledger.parent, {ledger.name: text})
    if badge is not None:
        write_files(badge.parent, {badge.name: render_badge(judgement.verdicts, judgement.outcome)})


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
    if not yes and not (is_terminal(sys.stdin) and click.confirm("Write these changes?", err=True)):
        print_text("nothing was written" + ("" if is_terminal(sys.stdin) else "; use --yes to write"))
        return False
    for correction in wanted:
        path = Path(correction.path).resolve()  # keep a symbolic link
        write_files(path.parent, {path.name: correction.after})
    return True
